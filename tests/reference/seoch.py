"""SEOCH's objective (Eq. 1), over samples that are all kept."""

import numpy as np

from reference.descent import squares


def objective(B, Q, P, U, *, L, X, S, old_L, old_X, old_B, lambda_1, lambda_m, alpha, beta):
    """`S` says which new samples share a label with which old ones; `U`, `X`, `lambda_m` are by modality."""
    r = B.shape[1]
    all_L, all_B = np.concatenate([old_L, L]), np.concatenate([old_B, B])
    total = beta * squares(B @ old_B.T - r * S)
    if lambda_1:  # without a weight, Q and P are no variables
        total += lambda_1 * squares(Q @ all_B.T - P @ all_L.T) + alpha * (squares(Q) + squares(P))
    for x, old_x, u, weight in zip(X, old_X, U, lambda_m, strict=True):
        if weight:
            total += weight * squares(all_B - np.concatenate([old_x, x]) @ u) + alpha * squares(u)
    return total


def signed_codes(Q, P, U, *, L, X, S, old_B, lambda_1, lambda_m, beta):
    """Eq. 5 row by row, for new rows: sgn(beta S B_old) plus the regression on labels and features, then its sign."""
    r = Q.shape[1]
    H = lambda_1 * Q.T @ Q + sum(lambda_m) * np.eye(r)
    codes = np.empty((len(L), r))
    for i, labels in enumerate(L):
        votes = [np.sign(beta * sum(S[i, j] * old_B[j, bit] for j in range(len(old_B)))) for bit in range(r)]
        right = lambda_1 * Q.T @ (P @ labels) + sum(w * x[i] @ u for x, u, w in zip(X, U, lambda_m, strict=True))
        codes[i] = votes + np.linalg.pinv(H, hermitian=True) @ right
    return np.where(codes > 0, 1.0, -1.0)
