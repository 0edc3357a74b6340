"""SEOCH's objective (Eq. 1), over samples that are all kept."""

import numpy as np

from reference.descent import squares


def objective(B, Q, P, U, *, L, X, S, old_L, old_X, old_B, lambda_1, lambda_m, alpha, beta):
    """`S` says which new samples share a label with which old ones; `U`, `X`, `lambda_m` are by modality."""
    r = B.shape[1]
    all_L, all_B = np.concatenate([old_L, L]), np.concatenate([old_B, B])
    total = lambda_1 * squares(Q @ all_B.T - P @ all_L.T) + alpha * (squares(Q) + squares(P))
    for x, old_x, u, weight in zip(X, old_X, U, lambda_m, strict=True):
        total += weight * squares(all_B - np.concatenate([old_x, x]) @ u) + alpha * squares(u)
    return total + beta * squares(B @ old_B.T - r * S)
