"""Balance of bits."""

from __future__ import annotations

from torch import Tensor, nn

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_matrix


class BalanceLoss(nn.Module):
    """Penalty of bits that are mostly +1 or mostly -1.

    Parameters
    ----------
    form : {"norm", "mean"}
        The squared norm of the outputs, as printed in the paper, which shrinks them all; or the squared mean of each
        bit, which is 0 where as many outputs are positive as negative.

    Notes
    -----
    SDCH, last term of Eq. 7, with n samples as rows: ``||Z||^2 / r`` ("norm"), or ``||1'Z / n||^2 / r`` ("mean").

    Examples
    --------
    >>> import torch
    >>> Z = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    >>> BalanceLoss()(Z).item(), BalanceLoss("mean")(Z).item()
    (2.0, 0.5)
    """

    def __init__(self, form: str = "norm") -> None:
        super().__init__()
        self.form = check_choice("form", form, ("norm", "mean"))

    def forward(self, Z: Tensor) -> Tensor:
        """Return the loss of all bits.

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
        if self.form == "norm":
            return Z.square().sum() / Z.shape[1]
        return Z.mean(dim=0).square().mean()
