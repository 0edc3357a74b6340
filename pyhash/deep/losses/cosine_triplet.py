"""Triplets of a query, a more and a less similar candidate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyhash._inputs.checks import check_bool, check_choice, check_real
from pyhash.deep.losses.checks import check_companion, check_matrix, check_matrix_like

# Rows shorter than this count as zero: their direction is noise, and its gradient would be as large as they are short.
_SHORTEST = 1e-8


class WeightedCosineTripletLoss(nn.Module):
    """Weighted hinge loss of triplets: candidates that share more labels with a query must have larger cosines.

    Parameters
    ----------
    margin : float
        By how much the cosines of the two must differ, at least 0. The paper's 1e-5 costs nothing once near-equal
        outputs are in order, and all outputs may become nearly equal; 0.2 to 0.5 work.
    reduction : {"sum", "mean"}
        The sum over triplets, as in the paper, or their weighted mean: 0 where there is no triplet.
    weighted : bool
        Whether triplets have the paper's weights, or all 1.

    Notes
    -----
    DHSL, Eq. 8 and 9, with the query i, candidates j and k, and the numbers rel of labels shared with the query::

        sum over i, j, k with rel_ij > 0, rel_ij > rel_ik of  w_ijk max(0, cos(i, k) - cos(i, j) + margin)
        w_ijk = (2^rel_ij - 2^rel_ik) / Z_i

    Z_i is the ideal DCG of the query: the sum of ``(2^rel - 1) / log2(1 + rank)`` over all candidates, those that share
    most first. Eq. 10 is the same with the modalities exchanged. The cosine with a row of zeros is 0. Memory is for as
    many numbers as there are similar pairs, times m.

    Examples
    --------
    >>> import torch
    >>> queries = torch.tensor([[1.0, 0.0]])
    >>> candidates = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> n_shared = torch.tensor([[1, 0, 0]])
    >>> round(WeightedCosineTripletLoss(0.25)(queries, candidates, n_shared).item(), 4)
    0.25
    >>> round(WeightedCosineTripletLoss(0.25, "mean")(queries, candidates, n_shared).item(), 4)
    0.125
    """

    def __init__(self, margin: float, reduction: str = "sum", *, weighted: bool = True) -> None:
        super().__init__()
        self.margin = check_real("margin", margin, 0.0)
        self.reduction = check_choice("reduction", reduction, ("sum", "mean"))
        self.weighted = check_bool("weighted", weighted)

    def forward(self, queries: Tensor, candidates: Tensor, n_shared: Tensor) -> Tensor:
        """Return the loss of all triplets.

        Parameters
        ----------
        queries : Tensor of shape (n, r), floating
            Relaxed codes of one modality.
        candidates : Tensor of shape (m, r), same dtype
            Those of the other.
        n_shared : Tensor of shape (n, m), any real dtype
            The number of labels that a query and a candidate share.

        Returns
        -------
        Tensor of shape (), same dtype

        Raises
        ------
        TypeError
            If a dtype differs from these.
        ValueError
            If a shape or a device differs from these.
        """
        check_matrix("queries", queries, "(n, r)")
        check_matrix_like("candidates", candidates, "(m, r)", "queries", queries)
        check_companion("n_shared", n_shared, (len(queries), len(candidates)), "queries", queries)
        return self.compute(queries, candidates, n_shared)

    def compute(self, queries: Tensor, candidates: Tensor, n_shared: Tensor) -> Tensor:
        """Return the loss of checked arguments."""
        rel = n_shared.detach().to(queries.dtype)
        cosines = _unit_rows(queries) @ _unit_rows(candidates).T
        # One row for each pair (i, j), one column for each k. index_select: its gradient adds rows, not single entries.
        i, j = torch.nonzero(rel > 0, as_tuple=True)
        hinges = (cosines.index_select(0, i) - cosines[i, j].unsqueeze(1) + self.margin).relu()
        gains = _normalised_gains(rel) if self.weighted else rel
        gaps = gains[i, j].unsqueeze(1) - gains.index_select(0, i)
        weights = gaps.relu() if self.weighted else (gaps > 0).to(rel.dtype)
        loss = (weights * hinges).sum()
        if self.reduction == "sum":
            return loss
        total = weights.sum()
        return loss / torch.where(total > 0, total, torch.ones_like(total))


def _unit_rows(x: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / torch.where(lengths > _SHORTEST, lengths, torch.ones_like(lengths))


def _normalised_gains(rel: Tensor) -> Tensor:
    """Return 2^rel over the ideal DCG of its row; 0 in rows where no candidate shares a label."""
    # Both as multiples of the row's highest 2^rel: no number of labels is too large for the dtype.
    highest = rel.amax(dim=1, keepdim=True)
    gains, nothing = torch.exp2(rel - highest), torch.exp2(-highest)
    ranks = torch.arange(1, rel.shape[1] + 1, dtype=rel.dtype, device=rel.device)
    ideal = ((gains - nothing).sort(dim=1, descending=True).values / torch.log2(1 + ranks)).sum(dim=1, keepdim=True)
    return torch.where(highest > 0, gains / ideal, torch.zeros_like(gains))
