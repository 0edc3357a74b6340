"""Sparsity by rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyhash.deep.losses.checks import check_matrix


class RowSparsityPenalty(nn.Module):
    """The L2,1 norm of a weight matrix: it drives whole rows, that is inputs, to zero.

    Notes
    -----
    DHSL, Eq. 1, for one modality: ``||U||_{2,1}``, the sum over rows of their Euclidean lengths. The gradient at a row
    of zeros is 0.

    Examples
    --------
    >>> import torch
    >>> RowSparsityPenalty()(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).item()
    5.0
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Return the penalty of a matrix.

        Parameters
        ----------
        weight : Tensor of shape (d, h), floating
            One row for each input: of a ``torch.nn.Linear`` the transpose of its weight.

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
        check_matrix("weight", weight, "(d, h)")
        return self.compute(weight)

    def compute(self, weight: Tensor) -> Tensor:
        """Return the penalty of a checked argument."""
        lengths: Tensor = torch.linalg.vector_norm(weight, dim=1)
        return lengths.sum()
