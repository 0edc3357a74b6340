"""DCH's objective."""

from reference.descent import squares


def objective(B, W, P, *, L, K, ridge, mu, xi):
    """`P`, `K`, `mu`, `xi` are by modality."""
    total = squares(L - B @ W) + ridge * squares(W)
    for k, p, weight, xi_m in zip(K, P, mu, xi, strict=True):
        total += weight * (squares(B - k @ p) + xi_m * squares(p))
    return total
