"""Posterior encoding (docs/methods.md), computed for one query and one label set at a time."""

import numpy as np


def expected_codes(X, X_seen, L_seen, B_seen, *, xi, tau, rho):
    """f = sum_u P(u) (mean code of u), with P(u) ~ n_u^rho exp(tau (s.u - |u|^2 / 2)) and ridge scores s."""
    d = X_seen.shape[1]
    scores = X @ np.linalg.inv(X_seen.T @ X_seen + xi * np.eye(d)) @ X_seen.T @ L_seen
    sets = sorted({tuple(labels) for labels in L_seen})
    out = []
    for s in scores:
        weights, codes = [], []
        for u in sets:
            rows = [i for i, labels in enumerate(L_seen) if tuple(labels) == u]
            dot, square = sum(a * b for a, b in zip(s, u, strict=True)), sum(a * a for a in u)
            weights.append(len(rows) ** rho * np.exp(tau * (dot - square / 2)))
            codes.append(B_seen[rows].mean(axis=0))
        out.append(np.average(codes, axis=0, weights=weights))
    return np.array(out)
