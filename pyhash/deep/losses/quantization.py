"""The distance of outputs from codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_companion, check_matrix
from pyhash.deep.losses.reductions import sum_or_mean


class QuantizationLoss(nn.Module):
    """Squared differences between outputs and signs, by default their own.

    Parameters
    ----------
    reduction : {"sum", "mean"}
        Over all entries.

    Notes
    -----
    ``||B - H||^2``: DHSL, Eq. 3, where B are the signs of H; SDCH, second term of Eq. 7, where B is kept over an epoch.
    The sign of 0 is -1. B is constant: no gradient goes through it.

    Examples
    --------
    >>> import torch
    >>> outputs = torch.tensor([[0.5, 0.0], [-1.0, 3.0]])
    >>> QuantizationLoss()(outputs).item()
    5.25
    >>> QuantizationLoss("mean")(outputs, torch.tensor([[1, 1], [-1, 1]])).item()
    1.3125
    """

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, ("sum", "mean"))

    def forward(self, outputs: Tensor, signs: Tensor | None = None) -> Tensor:
        """Return the loss of all entries.

        Parameters
        ----------
        outputs : Tensor of shape (n, r), floating
            Relaxed codes.
        signs : Tensor of shape (n, r), any real dtype, or None
            +1 and -1; by default the signs of the outputs.

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
        check_matrix("outputs", outputs, "(n, r)")
        if signs is not None:
            check_companion("signs", signs, (outputs.shape[0], outputs.shape[1]), "outputs", outputs)
        return self.compute(outputs, signs)

    def compute(self, outputs: Tensor, signs: Tensor | None) -> Tensor:
        """Return the loss of checked arguments."""
        B = _signs_of(outputs) if signs is None else signs.detach().to(outputs.dtype)
        return sum_or_mean((B - outputs).square(), self.reduction)


def _signs_of(outputs: Tensor) -> Tensor:
    one = torch.ones((), dtype=outputs.dtype, device=outputs.device)
    return torch.where(outputs > 0, one, -one)
