"""Posterior encoding: predict the label set of a query, then take the code expected for that set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.label_sets import LabelSets

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.onnx_graph import Graph

# Sharpness of the posterior, and exponent of the frequency of a label set.
TAU = 20.0
RHO = 0.5
# The largest error of an exponent that rounding to float32 may cause.
_MAX_ERROR = 0.02


class PosteriorEncoder:
    """Encoder from mapped features (n, d) to expected codes (n, n_bits).

    With ridge scores of the labels ``s = x (X'X + xi I)^{-1} X'L``, the posterior over the label sets u seen is
    ``P(u) ~ n_u^rho exp(tau (s . u - |u|^2 / 2))``, and the expected code ``f = sum_u P(u) mean code of u``.

    Attributes
    ----------
    factors : dict of dtype to list of ndarray
        One or two matrices, in float64 and float32; the product of x and all of them, plus `bias`, are the exponents.
    bias : ndarray of shape (u,), float32
    mean_codes : ndarray of shape (u, n_bits), float32
    """

    def __init__(self, label_weights: Matrix, label_sets: LabelSets, tau: float = TAU, rho: float = RHO) -> None:
        sets = label_sets.matrix
        bias = rho * np.log(label_sets.counts) - 0.5 * tau * sets.sum(axis=1)
        # A single factor if it is smaller than two, for example if each class is a set of its own.
        d, c = label_weights.shape
        if d * len(sets) <= (d + len(sets)) * c:
            factors = [tau * (label_weights @ sets.T)]
        else:
            factors = [tau * label_weights, sets.T]
        self.factors = {dtype: [factor.astype(dtype) for factor in factors] for dtype in (np.float64, np.float32)}
        self._largest_gain = float(np.abs(factors[0]).sum(axis=0).max())
        self.bias = bias.astype(np.float32)
        self.mean_codes = label_sets.mean_codes.astype(np.float32)

    def __call__(self, X: Features) -> NDArray[np.float32]:
        """Return expected codes (n, n_bits), in [-1, 1]."""
        return self.expected_codes(self.logits(X))

    def logits(self, X: Features) -> NDArray[np.float32]:
        """Return log P (n, u), up to a number for each row."""
        # float32 halves the cost of these products. It is used if even the worst rounding changes no exponent by more
        # than _MAX_ERROR; typical errors are about a hundredth of the bound.
        largest = float(np.abs(X.data if is_sparse(X) else X).max(initial=0.0))
        error = float(np.finfo(np.float32).eps) * self._largest_gain * largest
        dtype = np.float32 if error < _MAX_ERROR else np.float64
        logits = X.astype(dtype, copy=False)
        for factor in self.factors[dtype]:
            logits = logits @ factor
        found: NDArray[np.float32] = logits.astype(np.float32, copy=False)
        found += self.bias
        return found

    def in_graph(self, graph: Graph, x: str) -> str:
        """Return the expected codes (n, n_bits) float32 of mapped rows x (n, d) float64 of a graph."""
        for factor in self.factors[np.float64]:
            x = graph.add("MatMul", x, factor)
        logits = graph.add("Add", graph.cast(x, np.float32), self.bias)
        return str(graph.add("MatMul", graph.softmax(logits), self.mean_codes))

    def expected_codes(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the expected codes (n, n_bits) under posteriors that are given as logits (n, u)."""
        expected: NDArray[np.float32] = softmax(logits) @ self.mean_codes
        return expected


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the probabilities (n, u) of posteriors that are given as logits (n, u), each up to a number."""
    P: NDArray[Any] = logits - logits.max(axis=1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    return P
