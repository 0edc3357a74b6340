"""SHOH for two layers, from its equations in plain numpy; every sum is computed anew over all rows."""

import numpy as np


def sgn(x):
    return np.where(x > 0, 1.0, -1.0)


def sweep(B, H, Q):
    """Run one sweep of discrete cyclic coordinate descent, one column of B at a time."""
    for bit in range(B.shape[1]):
        others = [other for other in range(B.shape[1]) if other != bit]
        B[:, bit] = sgn(Q[:, bit] - B[:, others] @ H[others, bit])


def soft_labels(L1, L2, A, gamma):
    V = L1 @ A + L2
    return V / np.linalg.norm(V, axis=1, keepdims=True) + gamma * L2


def objective(B, C1, C2, S1, S2, A, *, alpha, eta):
    """Return Eq. 8 over all rows (beta = 1: two layers have one weight)."""
    r = B.shape[1]
    return (
        alpha[0] * np.sum((r * S1 - B @ C1.T) ** 2)
        + alpha[1] * np.sum((r * S2 - B @ C2.T) ** 2)
        + eta * np.sum((r * A - C1 @ C2.T) ** 2)
    )


class ReferenceSHOH:
    """SHOH that keeps all rows instead of sums: memory grows, but no sum can be updated wrongly."""

    def __init__(self, A, C1, C2, *, alpha=(0.2, 0.8), gamma=1.0, eta=10.0, mu=1000.0, xi=1.0, n_iter=7):
        self.A, self.C1, self.C2 = A.astype(float), C1.astype(float), C2.astype(float)
        self.alpha, self.gamma, self.eta, self.mu, self.xi, self.n_iter = alpha, gamma, eta, mu, xi, n_iter
        self.B, self.X, self.L1, self.L2 = [], [], [], []
        self.objectives = []

    def learn(self, X, L1, L2, B):
        r = B.shape[1]
        a1, a2 = self.alpha
        S1, S2 = L1, soft_labels(L1, L2, self.A, self.gamma)
        B = B.astype(float)
        all_S1 = np.concatenate([*self.L1, S1])
        all_S2 = np.concatenate([*(soft_labels(l1, l2, self.A, self.gamma) for l1, l2 in self.old_labels()), S2])
        self.note(B, all_S1, all_S2)
        for _ in range(self.n_iter):
            sweep(B, a1 * self.C1.T @ self.C1 + a2 * self.C2.T @ self.C2, r * (a1 * S1 @ self.C1 + a2 * S2 @ self.C2))
            self.note(B, all_S1, all_S2)
            all_B = np.concatenate([*self.B, B])
            E = all_B.T @ all_B
            sweep(
                self.C2,
                a2 * E + self.eta * self.C1.T @ self.C1,
                r * (a2 * all_S2.T @ all_B + self.eta * self.A.T @ self.C1),
            )
            self.note(B, all_S1, all_S2)
            sweep(
                self.C1,
                a1 * E + self.eta * self.C2.T @ self.C2,
                r * (a1 * all_S1.T @ all_B + self.eta * self.A @ self.C2),
            )
            self.note(B, all_S1, all_S2)
        self.B.append(B)
        self.X.append(X)
        self.L1.append(L1)
        self.L2.append(L2)
        return B

    def old_labels(self):
        return zip(self.L1, self.L2, strict=True)

    def note(self, B, all_S1, all_S2):
        all_B = np.concatenate([*self.B, B])
        self.objectives.append(
            objective(all_B, self.C1, self.C2, all_S1, all_S2, self.A, alpha=self.alpha, eta=self.eta)
        )

    def projection(self, modality):
        """Solve Eq. 26 as one least-squares problem over rows, class means and the ridge."""
        X = np.concatenate([views[modality] for views in self.X])
        B = np.concatenate(self.B)
        rows, targets = [X], [B]
        for alpha, L, C in zip(self.alpha, (self.L1, self.L2), (self.C1, self.C2), strict=True):
            labels = np.concatenate(L)
            for c in np.flatnonzero(labels.sum(axis=0)):
                weight = np.sqrt(self.mu * alpha)
                rows.append(weight * X[labels[:, c] == 1].mean(axis=0, keepdims=True))
                targets.append(weight * C[[c]])
        rows.append(np.sqrt(self.xi) * np.eye(X.shape[1]))
        targets.append(np.zeros((X.shape[1], B.shape[1])))
        return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]
