"""Scores of the classes from features: ridge regression, and naive Bayes where features are counts of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.ridge import CenteredRidge

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.feature_sums import FeatureSums

# Added to every count of a word in a class, so that none is 0.
_SMOOTHING = 0.01


@dataclass(frozen=True)
class LabelScores:
    """Linear scores of c classes from mapped features x (d,).

    ``s = x W + b + a (x V - max(x V))``: ridge regression of centered 0/1 labels on centered features, and the
    logarithms of naive Bayes, less the greatest of the row. Both are solved from sums over rows.
    """

    W: Matrix  # (d, c)
    b: Matrix  # (c,): -mean W
    V: Matrix | None  # (d, c); None without naive Bayes
    share: float  # a

    def __call__(self, X: Features) -> Matrix:
        """Return scores (n, c) of rows X (n, d)."""
        scores: Matrix = X @ self.W
        scores += self.b
        if self.V is not None:
            scores += self.share * self.log_ratios(X)
        return scores

    def log_ratios(self, X: Features) -> Matrix:
        """Return the part of naive Bayes (n, c), before its share."""
        ratios: Matrix = X @ self.V
        ratios -= ratios.max(axis=1, keepdims=True)
        return ratios


class ScoreSolver:
    """Solver of label scores from the sums of one modality; what it solved is kept.

    Raises
    ------
    ValueError
        If the sums are those of an old file, which has no sums of rows.
    """

    def __init__(self, sums: FeatureSums) -> None:
        self._sums = sums
        self._regression: CenteredRidge | None = None
        self._ridges: dict[tuple[float, bool], tuple[Matrix, Matrix]] = {}
        self._V: Matrix | None = None

    def scores(self, xi: float, share: float, *, is_rough: bool = False) -> LabelScores:
        """Return the scores with ridge `xi` and a `share` of naive Bayes; rough ones are for comparing ridges."""
        key = xi, is_rough
        if key not in self._ridges:
            self._regression = self._regression or _regression_of(self._sums)
            self._ridges[key] = self._regression.solve_roughly(xi) if is_rough else self._regression.solve(xi)
        if share and self._V is None:
            self._V = _naive_bayes(self._sums)
        return LabelScores(*self._ridges[key], self._V if share else None, share)


def _regression_of(sums: FeatureSums) -> CenteredRidge:
    """Return the ridge regression of labels."""
    if sums.X is None or sums.counts is None:
        raise ValueError("the model must have sums of rows and labels, which files of version 0.1 lack")
    return CenteredRidge(sums.XX, sums.XL, sums.X, sums.counts[1:], sums.counts[0])


def _naive_bayes(sums: FeatureSums) -> Matrix:
    """Return V (d, c): the logarithm of each word's share among the words of a class, smoothed."""
    F = np.maximum(sums.XL, 0) + _SMOOTHING
    V: Matrix = np.log(F / F.sum(axis=0))
    return V
