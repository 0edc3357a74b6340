"""SCM-seq for two modalities from its equations: one dense generalized eigenproblem for each bit."""

import numpy as np
from scipy.linalg import eigh

from reference.shoh import sgn


def directions(X, T, L, r, ridge):
    """Return W_x (d_x, r) and W_t (d_t, r) for centred features."""
    n = len(X)
    G = np.array([row / np.linalg.norm(row) for row in L])
    ones = np.ones((n, 1))
    C_xx, C_tt = X.T @ X / n + ridge * np.eye(X.shape[1]), T.T @ T / n + ridge * np.eye(T.shape[1])
    C = r * (2 * (X.T @ G) @ (T.T @ G).T - (X.T @ ones) @ (T.T @ ones).T)
    W_x, W_t = [], []
    for _ in range(r):
        values, vectors = eigh(C @ np.linalg.inv(C_tt) @ C.T, C_xx)
        w_x = vectors[:, -1]
        w_t = np.linalg.inv(C_tt) @ C.T @ w_x / np.sqrt(values[-1])
        C = C - np.outer(X.T @ sgn(X @ w_x), T.T @ sgn(T @ w_t))
        W_x.append(w_x)
        W_t.append(w_t)
    return np.stack(W_x, axis=1), np.stack(W_t, axis=1)


def directions_of_any_number(views, L, r, ridge):
    """The same for any number of views: the pairs' sum is highest where all directions have a fixed length together."""
    n, widths = len(L), [X.shape[1] for X in views]
    G = np.array([row / np.linalg.norm(row) for row in L])
    S = 2 * G @ G.T - 1
    ends = np.cumsum([0, *widths])
    D = np.zeros((ends[-1], ends[-1]))
    C = np.zeros_like(D)
    for a, X in enumerate(views):
        for b, T in enumerate(views):
            if a != b or len(views) == 1:
                C[ends[a] : ends[a + 1], ends[b] : ends[b + 1]] = r * X.T @ S @ T
        D[ends[a] : ends[a + 1], ends[a] : ends[a + 1]] = X.T @ X / n + ridge * np.eye(widths[a])
    W = []
    for _ in range(r):
        whole = eigh(C, D)[1][:, -1]
        W.append(whole)
        signs = [X.T @ sgn(X @ whole[ends[a] : ends[a + 1]]) for a, X in enumerate(views)]
        for a, x in enumerate(signs):
            for b, t in enumerate(signs):
                if a != b or len(views) == 1:
                    C[ends[a] : ends[a + 1], ends[b] : ends[b + 1]] -= np.outer(x, t)
    return np.split(np.stack(W, axis=1), ends[1:-1])
