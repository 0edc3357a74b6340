"""DSFH's objective (Eq. 4), with the whole similarity matrix."""

from reference.descent import squares


def objective(B, H, W, *, S, K, alpha):
    """`H`, `W`, `K` are by modality."""
    r = B.shape[1]
    return sum(squares(h - k @ w) + alpha * squares(B @ h.T - r * S) for h, w, k in zip(H, W, K, strict=True))
