"""SEOCH's objective (Eq. 1), over samples that are all kept."""

import numpy as np

from reference.descent import squares


def objective(B, Q, P, U, **known):
    """`S` says which new samples share a label with which old ones; `U`, `X`, `lambda_m` are by modality."""
    return sum(terms(B, Q, P, U, **known).values())


def terms(B, Q, P, U, *, L, X, S, old_L, old_X, old_B, lambda_1, lambda_m, alpha, beta):
    """Variables whose term has no weight are none: they have no ridge."""
    r = B.shape[1]
    all_L, all_B = np.concatenate([old_L, L]), np.concatenate([old_B, B])
    found = {
        "labels": lambda_1 * squares(Q @ all_B.T - P @ all_L.T),
        "ridge": alpha * (squares(Q) + squares(P)) if lambda_1 else 0.0,
        "similarity": beta * squares(B @ old_B.T - r * S),
    }
    for m, (x, old_x, u, weight) in enumerate(zip(X, old_X, U, lambda_m, strict=True)):
        found[f"features.m{m}"] = weight * squares(all_B - np.concatenate([old_x, x]) @ u)
        found["ridge"] += alpha * squares(u) if weight else 0.0
    return found


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
