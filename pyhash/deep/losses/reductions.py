"""Reductions of the losses of entries or pairs to one number."""

from __future__ import annotations

from torch import Tensor


def sum_or_mean(losses: Tensor, reduction: str) -> Tensor:
    """Return the sum of all entries if `reduction` is "sum", else their mean."""
    return losses.sum() if reduction == "sum" else losses.mean()


def sum_or_balanced(losses: Tensor, similar: Tensor, reduction: str) -> Tensor:
    """Return the sum of all pairs if `reduction` is "sum", else the mean of two means: of similar and dissimilar pairs.

    If one kind is absent, the mean of the other. `similar` holds 0 and 1 in the dtype of the losses.
    """
    if reduction == "sum":
        return losses.sum()
    dissimilar = 1 - similar
    n_similar, n_dissimilar = similar.sum(), dissimilar.sum()
    means = (losses * similar).sum() / n_similar.clamp(min=1) + (losses * dissimilar).sum() / n_dissimilar.clamp(min=1)
    return means / ((n_similar > 0).to(losses.dtype) + (n_dissimilar > 0).to(losses.dtype))
