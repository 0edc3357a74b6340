"""SHOH from its equations in plain numpy; every sum is computed anew over all rows, one layer after another."""

import numpy as np


def sgn(x):
    return np.where(x > 0, 1.0, -1.0)


def sweep(B, H, Q):
    """Run one sweep of discrete cyclic coordinate descent, one column of B at a time."""
    for bit in range(B.shape[1]):
        others = [other for other in range(B.shape[1]) if other != bit]
        B[:, bit] = sgn(Q[:, bit] - B[:, others] @ H[others, bit])


def soft_labels(L, A, gamma):
    """Return S^1, ..., S^K (Eq. 3, 4), row by row; a row without labels in a layer has none there."""
    S = [L[0]]
    for k, affiliation in enumerate(A):
        layer = np.zeros(L[k + 1].shape)
        for row in np.flatnonzero(L[k + 1].sum(axis=1)):
            v = L[k][row] @ affiliation + L[k + 1][row]
            layer[row] = v / np.sqrt(v @ v) + gamma[k] * L[k + 1][row]
        S.append(layer)
    return S


def with_finest(A):
    """Return A^{k,K} for k < K."""
    return [np.linalg.multi_dot([*A[k:], np.eye(A[-1].shape[1])]) for k in range(len(A))]


def terms(B, C, S, L, A, *, alpha, beta, eta):
    """Return the terms of Eq. 8 over all rows: similarity of each layer, over its rows, and affiliation of each."""
    r = B.shape[1]
    similarity = []
    for a, c, s, labels in zip(alpha, C, S, L, strict=True):
        known = labels.sum(axis=1) > 0
        similarity.append(a * np.sum((r * s[known] - B[known] @ c.T) ** 2))
    return similarity + [
        eta * b * np.sum((r * a - c @ C[-1].T) ** 2) for b, a, c in zip(beta, with_finest(A), C[:-1], strict=True)
    ]


class ReferenceSHOH:
    """SHOH that keeps all rows instead of sums: memory grows, but no sum can be updated wrongly.

    `A` and `C` are the affiliations A^{k,k+1} and the first centers C^k. ``objectives`` has Eq. 8 after every update,
    ``history`` its terms after every iteration.
    """

    def __init__(
        self,
        A,
        C,
        *,
        alpha=(0.2, 0.8),
        beta=(1.0,),
        gamma=(1.0,),
        is_soft=True,
        eta=10.0,
        mu=1000.0,
        xi=1.0,
        n_iter=7,
    ):
        self.A, self.C = [a.astype(float) for a in A], [c.astype(float) for c in C]
        self.alpha, self.beta, self.gamma, self.is_soft = alpha, beta, gamma, is_soft
        self.eta, self.mu, self.xi, self.n_iter = eta, mu, xi, n_iter
        self.chunks = []  # (X, L, B)
        self.objectives, self.history = [], []

    def learn(self, X, L, B):
        r, C, alpha, K = B.shape[1], self.C, self.alpha, len(self.C)
        B = B.astype(float)
        self.chunks.append((X, L, B))
        self.all_L = [np.concatenate([of_chunk[k] for _, of_chunk, _ in self.chunks]) for k in range(K)]
        self.all_S = soft_labels(self.all_L, self.A, self.gamma) if self.is_soft else self.all_L
        S = [layer[-len(B) :] for layer in self.all_S]
        depth = sum((layer.sum(axis=1) > 0).astype(int) for layer in L)
        to_finest = with_finest(self.A)
        self.note()
        for _ in range(self.n_iter):
            for d in np.unique(depth):  # rows do not depend on each other
                rows = np.flatnonzero(depth == d)
                codes = B[rows]
                H = sum(alpha[k] * C[k].T @ C[k] for k in range(d))
                sweep(codes, H, r * sum(alpha[k] * S[k][rows] @ C[k] for k in range(d)))
                B[rows] = codes
            self.note()
            all_B, all_S = self.codes(), self.all_S
            E = []
            for layer in self.all_L:
                known_B = all_B[layer.sum(axis=1) > 0]
                E.append(known_B.T @ known_B)
            sweep(
                C[-1],
                alpha[-1] * E[-1] + self.eta * sum(self.beta[k] * C[k].T @ C[k] for k in range(K - 1)),
                r
                * (
                    alpha[-1] * all_S[-1].T @ all_B
                    + self.eta * sum(self.beta[k] * to_finest[k].T @ C[k] for k in range(K - 1))
                ),
            )
            self.note()
            for k in range(K - 1):
                sweep(
                    C[k],
                    alpha[k] * E[k] + self.eta * self.beta[k] * C[-1].T @ C[-1],
                    r * (alpha[k] * all_S[k].T @ all_B + self.eta * self.beta[k] * to_finest[k] @ C[-1]),
                )
                self.note()
            self.history.append(self.terms())
        return B

    def codes(self):
        return np.concatenate([B for _, _, B in self.chunks])

    def terms(self):
        weights = {"alpha": self.alpha, "beta": self.beta, "eta": self.eta}
        return terms(self.codes(), self.C, self.all_S, self.all_L, self.A, **weights)

    def note(self):
        self.objectives.append(sum(self.terms()))

    def projection(self, modality):
        """Solve Eq. 26 as one least-squares problem over rows, class means and the ridge."""
        X = np.concatenate([views[modality] for views, _, _ in self.chunks])
        B = self.codes()
        rows, targets = [X], [B]
        for alpha, labels, C in zip(self.alpha, self.all_L, self.C, strict=True):
            for c in np.flatnonzero(labels.sum(axis=0)):
                weight = np.sqrt(self.mu * alpha)
                rows.append(weight * X[labels[:, c] == 1].mean(axis=0, keepdims=True))
                targets.append(weight * C[[c]])
        rows.append(np.sqrt(self.xi) * np.eye(X.shape[1]))
        targets.append(np.zeros((X.shape[1], B.shape[1])))
        return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]
