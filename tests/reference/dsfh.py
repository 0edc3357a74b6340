"""DSFH's objective (Eq. 4), with the whole similarity matrix."""

from reference.descent import squares


def objective(B, H, W, **known):
    """`H`, `W`, `K` are by modality."""
    return sum(terms(B, H, W, **known).values())


def terms(B, H, W, *, S, K, alpha):
    r = B.shape[1]
    features = {f"features.m{m}": squares(h - k @ w) for m, (h, w, k) in enumerate(zip(H, W, K, strict=True))}
    return features | {f"similarity.m{m}": alpha * squares(B @ h.T - r * S) for m, h in enumerate(H)}
