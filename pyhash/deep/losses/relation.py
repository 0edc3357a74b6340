"""The outputs of a relation network against similarities."""

from __future__ import annotations

from torch import Tensor, nn

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_companion, check_matrix
from pyhash.deep.losses.reductions import sum_or_mean


class RelationLoss(nn.Module):
    """Squared differences between learned relations and similarities.

    Parameters
    ----------
    reduction : {"sum", "mean"}
        Over all pairs.

    Notes
    -----
    DHSL, Eq. 5: ``||R - S||^2`` between two modalities, and Eq. 6 within one. S is that of the modalities of R; the
    S of texts beside the R of images in Eq. 6 is a misprint.

    Examples
    --------
    >>> import torch
    >>> RelationLoss()(torch.tensor([[0.5, 1.0]]), torch.tensor([[True, False]])).item()
    1.25
    """

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, ("sum", "mean"))

    def forward(self, relations: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of all pairs.

        Parameters
        ----------
        relations : Tensor of shape (n, m), floating
            What the relation network says of each pair, from 0 to 1.
        similar : Tensor of shape (n, m), any real dtype or bool
            1 where two samples are similar, else 0.

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
        check_matrix("relations", relations, "(n, m)")
        check_companion("similar", similar, (relations.shape[0], relations.shape[1]), "relations", relations)
        return self.compute(relations, similar)

    def compute(self, relations: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of checked arguments."""
        return sum_or_mean((relations - similar.to(relations.dtype)).square(), self.reduction)
