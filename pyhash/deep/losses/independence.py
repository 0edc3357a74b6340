"""Independence of bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_matrix
from pyhash.deep.losses.reductions import sum_or_mean


class IndependenceLoss(nn.Module):
    """Squared differences between the products of bits and the identity.

    Parameters
    ----------
    reduction : {"sum", "mean"}
        Over the r x r entries.
    divisor : {"bits", "samples"}
        What products are divided by: c = r, as printed in the paper, where the loss also holds the outputs' scale down;
        or c = n, where it is 0 for codes with balanced, uncorrelated bits.

    Notes
    -----
    SDCH, third term of Eq. 7, with samples as rows: ``||Z'Z / c - I||^2``.

    Examples
    --------
    >>> import torch
    >>> Z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> IndependenceLoss()(Z).item(), IndependenceLoss(divisor="samples")(Z).item()
    (2.0, 0.0)
    """

    def __init__(self, reduction: str = "sum", divisor: str = "bits") -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, ("sum", "mean"))
        self.divisor = check_choice("divisor", divisor, ("bits", "samples"))

    def forward(self, Z: Tensor) -> Tensor:
        """Return the loss of all pairs of bits.

        Parameters
        ----------
        Z : Tensor of shape (n, r), floating
            Relaxed codes.

        Returns
        -------
        Tensor of shape (), same dtype

        Raises
        ------
        TypeError
            If the dtype differs from these.
        ValueError
            If the shape differs from these.
        """
        check_matrix("Z", Z, "(n, r)")
        return self.compute(Z)

    def compute(self, Z: Tensor) -> Tensor:
        """Return the loss of checked arguments."""
        n, r = Z.shape
        c = r if self.divisor == "bits" else n
        identity = torch.eye(r, dtype=Z.dtype, device=Z.device)
        return sum_or_mean((Z.T @ Z / c - identity).square(), self.reduction)
