"""Codes of queries through the label sets that exist: predict the label set, then take the code expected of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.label_sets import LabelSets

Matrix = NDArray[np.float64]

# Sharpness of the posterior, and how far the frequency of a label set counts.
TAU = 20.0
RHO = 0.5


class PosteriorEncoder:
    """Expected codes (n, n_bits) of mapped features (n, d).

    With ridge scores of the labels ``s = x (X'X + xi I)^{-1} X'L``, the posterior over the label sets u seen is
    ``P(u) ~ n_u^rho exp(tau (s . u - |u|^2 / 2))``, and the expected code ``f = sum_u P(u) mean code of u``.
    """

    def __init__(self, label_weights: Matrix, label_sets: LabelSets, tau: float = TAU, rho: float = RHO) -> None:
        sets = label_sets.matrix
        self._bias = rho * np.log(label_sets.counts) - 0.5 * tau * sets.sum(axis=1)
        self._mean_codes = label_sets.mean_codes
        # One product instead of two where it is the smaller one, as where each class is a set of its own.
        d, c = label_weights.shape
        if d * len(sets) <= (d + len(sets)) * c:
            self._factors = [tau * (label_weights @ sets.T)]
        else:
            self._factors = [tau * label_weights, sets.T]

    def __call__(self, X: Matrix) -> Matrix:
        """Expected codes, in [-1, 1]."""
        logits = X
        for factor in self._factors:
            logits = logits @ factor
        logits += self._bias
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits @ self._mean_codes
