"""BATCH's objective, with the whole similarity matrix."""

from reference.descent import squares

# Ridge of the mappings from the embedding.
RIDGE = 1e-3


def objective(B, V, U, U_0, *, L, S, K, eta, eta_0, omega):
    return sum(terms(B, V, U, U_0, L=L, S=S, K=K, eta=eta, eta_0=eta_0, omega=omega).values())


def terms(B, V, U, U_0, *, L, S, K, eta, eta_0, omega):
    """`U`, `K`, `eta` are by modality; U (r, d) maps the embedding to features, U_0 to labels."""
    found = {
        "similarity": squares(B @ V.T - B.shape[1] * S),
        "codes": omega * squares(B - V),
        "labels": eta_0 * (squares(L - V @ U_0) + RIDGE * squares(U_0)),
    }
    for m, (k, u, weight) in enumerate(zip(K, U, eta, strict=True)):
        found[f"features.m{m}"] = weight * (squares(k - V @ u) + RIDGE * squares(u))
    return found
