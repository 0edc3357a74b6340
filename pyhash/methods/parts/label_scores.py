"""Scores of the classes from features: ridge regression, and naive Bayes where features are counts of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.ridge import CenteredRidge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.feature_sums import FeatureSums
    from pyhash.methods.parts.onnx_graph import Graph

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
            scores += self.share * _log_ratios(X, self.V)
        return scores

    def in_graph(self, graph: Graph, x: str) -> str:
        """Return the scores (n, c) of rows x (n, d) float64 of a graph."""
        scores = graph.add("Add", graph.add("MatMul", x, self.W), self.b)
        if self.V is not None:
            ratios = graph.add("MatMul", x, self.V)
            ratios = graph.add("Sub", ratios, graph.rows_max(ratios))
            scores = graph.add("Add", scores, graph.add("Mul", np.float64(self.share), ratios))
        return str(scores)


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
        self._ridges: dict[float, tuple[Matrix, Matrix]] = {}
        self._V: Matrix | None = None

    def scores(self, xi: float, share: float) -> LabelScores:
        """Return the scores with ridge `xi` and a `share` of naive Bayes."""
        if xi not in self._ridges:
            self._ridges[xi] = self._regression_of_labels().solve(xi)
        return LabelScores(*self._ridges[xi], self._naive_bayes() if share else None, share)

    def rough_scores(self, X: Features, xi: float, shares: Sequence[float]) -> Iterator[Matrix]:
        """Iterate over the scores (n, c) of rows with each of the shares, rough ones, for comparing ridges."""
        of_ridge = self._regression_of_labels().predict_roughly(X, xi)
        ratios = _log_ratios(X, self._naive_bayes()) if any(shares) else of_ridge
        for share in shares:
            yield of_ridge + share * ratios if share else of_ridge

    def _regression_of_labels(self) -> CenteredRidge:
        if self._regression is None:
            _, counts = self._sums.row_sums()
            self._regression = self._sums.regression(self._sums.XL, counts[1:])
        return self._regression

    def _naive_bayes(self) -> Matrix:
        if self._V is None:
            self._V = _naive_bayes(self._sums)
        return self._V


def _log_ratios(X: Features, V: Matrix) -> Matrix:
    """Return the part of naive Bayes (n, c), before its share."""
    ratios: Matrix = X @ V
    ratios -= ratios.max(axis=1, keepdims=True)
    return ratios


def _naive_bayes(sums: FeatureSums) -> Matrix:
    """Return V (d, c): the logarithm of each word's share among the words of a class, smoothed."""
    F = np.maximum(sums.XL, 0) + _SMOOTHING
    V: Matrix = np.log(F / F.sum(axis=0))
    return V
