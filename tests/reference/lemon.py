"""LEMON's objective, over samples that are all kept, with a similarity matrix of every pair."""

import numpy as np

from reference.descent import squares


def objective(P, V, R, B, *, L, S, old_V, old_B, alpha, beta, gamma):
    known = {"L": L, "S": S, "old_V": old_V, "old_B": old_B, "alpha": alpha, "beta": beta, "gamma": gamma}
    return sum(terms(P, V, R, B, **known).values())


def terms(P, V, R, B, *, L, S, old_V, old_B, alpha, beta, gamma):
    """Pairs within the chunk count once, pairs of a new and an old sample both ways, old pairs not at all.

    Labels `L` and cosines `S` of labels are of all samples, old ones first.
    """
    r = B.shape[1]
    is_old = np.arange(len(L)) < len(old_V)
    V, B = np.concatenate([old_V, V]), np.concatenate([old_B, B])
    pairs = (V @ B.T - r * (2 * S - 1)) ** 2
    return {
        "similarity": alpha * float(pairs[~(is_old[:, None] & is_old[None, :])].sum()),
        "labels": beta * (squares(L - V @ P) + gamma * squares(P)),
        "quantization": squares(B - V @ R),
    }


def sums(L, V, B):
    """Return the sums that LEMON keeps, from all samples at once."""
    G = np.array([row / np.linalg.norm(row) for row in L])
    ones = np.ones(len(L))
    return {
        "VV": V.T @ V,
        "VL": V.T @ L,
        "VB": V.T @ B,
        "GV": G.T @ V,
        "GB": G.T @ B,
        "V": V.T @ ones,
        "B": B.T @ ones,
    }
