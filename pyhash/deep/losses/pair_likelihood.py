"""The likelihood of pairs of features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from pyhash._inputs.checks import check_choice
from pyhash.deep.losses.checks import check_companion, check_matrix, check_matrix_like
from pyhash.deep.losses.reductions import sum_or_balanced


class PairLikelihoodLoss(nn.Module):
    """The negative log likelihood of similarities between two modalities, from inner products of features.

    Parameters
    ----------
    reduction : {"sum", "balanced"}
        The sum over pairs, as in the paper; or half of the mean over similar pairs plus half of the mean over
        dissimilar ones (where one kind is absent, the mean over the other), which matters where few pairs are similar.

    Notes
    -----
    SDCH, Eq. 4, with features f_i of one modality and g_j of the other::

        sum_ij log(1 + exp(f_i . g_j)) - s_ij f_i . g_j

    computed without overflow or cancellation.

    Examples
    --------
    >>> import torch
    >>> features, others = torch.eye(2), 3 * torch.eye(2)
    >>> similar = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(PairLikelihoodLoss()(features, others, similar).item(), 4)
    1.4835
    >>> round(PairLikelihoodLoss("balanced")(features, others, similar).item(), 4)
    0.3709
    """

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, ("sum", "balanced"))

    def forward(self, features: Tensor, others: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of all pairs.

        Parameters
        ----------
        features : Tensor of shape (n, k), floating
            Of one modality.
        others : Tensor of shape (m, k), same dtype
            Of the other.
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
        check_matrix("features", features, "(n, k)")
        check_matrix_like("others", others, "(m, k)", "features", features)
        check_companion("similar", similar, (len(features), len(others)), "features", features)
        return self.compute(features, others, similar)

    def compute(self, features: Tensor, others: Tensor, similar: Tensor) -> Tensor:
        """Return the loss of checked arguments."""
        products, s = features @ others.T, similar.to(features.dtype)
        # softplus(x) - s x as s softplus(-x) + (1 - s) softplus(x): no difference of two large numbers.
        return sum_or_balanced(-s * logsigmoid(products) - (1 - s) * logsigmoid(-products), s, self.reduction)
