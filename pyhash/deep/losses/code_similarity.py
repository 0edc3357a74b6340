"""Inner products of codes against similarities."""

from __future__ import annotations

from torch import Tensor, nn

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_companion, check_matrix
from pyhash.deep.losses.reductions import sum_or_balanced


class CodeSimilarityLoss(nn.Module):
    """Squared differences between the inner products of relaxed codes and the similarities +1 and -1.

    Parameters
    ----------
    reduction : {"sum", "balanced"}
        The sum over pairs, as in the paper; or half of the mean over similar pairs plus half of the mean over
        dissimilar ones (where one kind is absent, the mean over the other), which matters where few pairs are similar.

    Notes
    -----
    SDCH, first term of Eq. 7, with samples as rows: ``||Z Z' / r - S||^2``. S is -1 where a pair is dissimilar; the
    paper's text says 0 in one place, where its codes could not agree with it.

    Examples
    --------
    >>> import torch
    >>> Z = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    >>> CodeSimilarityLoss()(Z, torch.eye(2)).item()
    2.0
    >>> CodeSimilarityLoss("balanced")(Z, torch.eye(2)).item()
    0.5
    """

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, ("sum", "balanced"))

    def forward(self, Z: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of all pairs, in both orders and each sample with itself.

        Parameters
        ----------
        Z : Tensor of shape (n, r), floating
            Relaxed codes, of all modalities.
        similar : Tensor of shape (n, n), any real dtype or bool
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
        check_matrix("Z", Z, "(n, r)")
        check_companion("similar", similar, (len(Z), len(Z)), "Z", Z)
        return self.compute(Z, similar)

    def compute(self, Z: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of checked arguments."""
        s = similar.to(Z.dtype)
        return sum_or_balanced((Z @ Z.T / Z.shape[1] - (2 * s - 1)).square(), s, self.reduction)
