"""BATCH's objective, with the whole similarity matrix."""

from reference.descent import squares

# Ridge of the mappings from the embedding.
RIDGE = 1e-3


def objective(B, V, U, U_0, *, L, S, K, eta, eta_0, omega):
    """`U`, `K`, `eta` are by modality; U (r, d) maps the embedding to features, U_0 to labels."""
    r = B.shape[1]
    total = squares(B @ V.T - r * S) + omega * squares(B - V)
    for k, u, weight in zip(K, U, eta, strict=True):
        total += weight * (squares(k - V @ u) + RIDGE * squares(u))
    return total + eta_0 * (squares(L - V @ U_0) + RIDGE * squares(U_0))
