"""DCH's objective."""

from reference.descent import squares


def objective(B, W, P, *, L, K, ridge, mu, xi):
    return sum(terms(B, W, P, L=L, K=K, ridge=ridge, mu=mu, xi=xi).values())


def terms(B, W, P, *, L, K, ridge, mu, xi):
    """`P`, `K`, `mu`, `xi` are by modality."""
    found = {"labels": squares(L - B @ W) + ridge * squares(W)}
    for m, (k, p, weight, xi_m) in enumerate(zip(K, P, mu, xi, strict=True)):
        found[f"features.m{m}"] = weight * (squares(B - k @ p) + xi_m * squares(p))
    return found
