"""Sums over all samples of a stream, of the features of one modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.growth import complete_gram, complete_rows
from pyhash.methods.parts.ridge import CenteredRidge, add_gram
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class UnlabelledSums(Sums):
    """Sums over the samples of one modality that have no label in the finest layer."""

    XX: Matrix  # (d, d): sum X'X
    X: Matrix  # (d,): sum of rows
    n: float  # weighted as the sums are

    @classmethod
    def empty(cls, d: int) -> UnlabelledSums:
        """Return the sums of no samples."""
        return cls(np.zeros((d, d)), np.zeros(d), 0)

    def add(self, X: FeatureRows, among: NDArray[np.bool_], ridge: float | None) -> UnlabelledSums:
        """Return the sums with more rows, those of X (n, d) that `among` (n,) marks; `ridge` as in ``add_gram``."""
        among = among & X.present
        of_rows = X.transposed_dot(among[:, None])[:, 0]
        return UnlabelledSums(X.add_gram(self.XX, ridge, among), self.X + of_rows, self.n + int(among.sum()))

    def completed(self, C: Matrix) -> UnlabelledSums:
        """Return the sums as if features had been there that are X C on earlier rows X; C is (d, d_new)."""
        return UnlabelledSums(complete_gram(self.XX, C), complete_rows(self.X, C), self.n)


@dataclass(frozen=True)
class LayerSums(Sums):
    """Sums over all samples of one modality by the classes of every layer, coarse to fine."""

    XL: list[Matrix]  # (d, c_k) of each layer but the finest, which FeatureSums has: sum X'L^k
    counts: list[Matrix]  # (c_k,) of each layer: rows of each class

    @classmethod
    def empty(cls, d: int, n_classes: Sequence[int]) -> LayerSums:
        """Return the sums of no samples."""
        return cls([np.zeros((d, c)) for c in n_classes[:-1]], [np.zeros(c) for c in n_classes])

    def add(self, X: FeatureRows, labels: Sequence[Matrix]) -> LayerSums:
        """Return the sums with more rows X (n, d) of labels (n, c_k) by layer, those that have the modality."""
        return LayerSums(
            [old + X.transposed_dot(L) for old, L in zip(self.XL, labels[:-1], strict=True)],
            [old + L[X.present].sum(axis=0) for old, L in zip(self.counts, labels, strict=True)],
        )

    def completed(self, C: Matrix) -> LayerSums:
        """Return the sums as if features had been there that are X C on earlier rows X; C is (d, d_new)."""
        return LayerSums([complete_rows(XL, C) for XL in self.XL], self.counts)

    def widened(self, n_classes: Sequence[int]) -> LayerSums:
        """Return the sums with room for more classes, so many in each layer."""
        n_new = [c - len(counts) for c, counts in zip(n_classes, self.counts, strict=True)]
        return LayerSums(
            [np.pad(XL, ((0, 0), (0, n))) for XL, n in zip(self.XL, n_new[:-1], strict=True)],
            [np.pad(counts, (0, n)) for counts, n in zip(self.counts, n_new, strict=True)],
        )


@dataclass(frozen=True)
class FeatureSums(Sums):
    """Sums over all samples of one modality with d mapped features.

    Files of version 0.1 lack the last two, which are then None.
    """

    XX: Matrix  # (d, d): sum X'X
    XB: Matrix  # (d, r): sum X'B
    XL: Matrix  # (d, c): sum X'L, of the finest labels
    X: Matrix | None  # (d,): sum of rows
    counts: Matrix | None  # (1 + c,): number of rows, and of those of each class

    @classmethod
    def empty(cls, d: int, r: int, c: int) -> FeatureSums:
        """Return the sums of no samples."""
        return cls(np.zeros((d, d)), np.zeros((d, r)), np.zeros((d, c)), np.zeros(d), np.zeros(1 + c))

    def add(self, X: FeatureRows, XX: Matrix, B: NDArray[Any], L: Matrix) -> FeatureSums:
        """Return the sums with more rows X (n, d), codes B (n, r) and labels L (n, c); `XX` includes the rows.

        Rows that lack the modality are left out.
        """
        products = X.transposed_dot(np.hstack([B, np.ones((len(L), 1))]))
        XL, seen = self.XL.copy(), np.flatnonzero(L.any(axis=0))
        XL[:, seen] += X.label_sums(L[:, seen])
        return FeatureSums(
            XX,
            self.XB + products[:, :-1],
            XL,
            None if self.X is None else self.X + products[:, -1],
            None if self.counts is None else self.counts + np.concatenate([[X.n_present], L[X.present].sum(axis=0)]),
        )

    def without(self, X: Features, L: Matrix) -> FeatureSums:
        """Return the sums less those of rows X (n, d) with labels L (n, c), except X'B."""
        return FeatureSums(
            add_gram(-self.XX, X) * -1.0,
            self.XB,
            self.XL - X.T @ L,
            None if self.X is None else self.X - np.asarray(X.sum(axis=0)).ravel(),
            None if self.counts is None else self.counts - np.concatenate([[len(L)], L.sum(axis=0)]),
        )

    def labelled(self, unlabelled: UnlabelledSums) -> FeatureSums:
        """Return the sums less those of samples without a label, except X'B."""
        return FeatureSums(
            self.XX - unlabelled.XX,
            self.XB,
            self.XL,
            None if self.X is None else self.X - unlabelled.X,
            None if self.counts is None else np.concatenate([[self.counts[0] - unlabelled.n], self.counts[1:]]),
        )

    def of_columns(self, columns: NDArray[np.int64]) -> FeatureSums:
        """Return the sums of some of the mapped features."""
        return FeatureSums(
            self.XX[np.ix_(columns, columns)],
            self.XB[columns],
            self.XL[columns],
            None if self.X is None else self.X[columns],
            self.counts,
        )

    def row_sums(self) -> tuple[Matrix, Matrix]:
        """Return the sum of rows (d,) and the counts (1 + c,).

        Raises
        ------
        ValueError
            If the sums are those of an old file, which lacks both.
        """
        if self.X is None or self.counts is None:
            raise ValueError("the model must have sums of rows and labels, which files of version 0.1 lack")
        return self.X, self.counts

    def regression(self, F: Matrix, t: Matrix) -> CenteredRidge:
        """Return the centered ridge regression of targets y on the rows, from ``F = sum xy'`` (d, k) and ``t = sum y``.

        Raises
        ------
        ValueError
            As ``row_sums``.
        """
        X, counts = self.row_sums()
        return CenteredRidge(self.XX, F, X, t, counts[0])

    def completed(self, C: Matrix) -> FeatureSums:
        """Return the sums as if features had been there that are X C on earlier rows X; C is (d, d_new)."""
        return FeatureSums(
            complete_gram(self.XX, C),
            complete_rows(self.XB, C),
            complete_rows(self.XL, C),
            None if self.X is None else complete_rows(self.X, C),
            self.counts,
        )

    def widened(self, n_classes: int) -> FeatureSums:
        """Return the sums with room for more classes."""
        n_new = n_classes - self.XL.shape[1]
        return FeatureSums(
            self.XX,
            self.XB,
            np.pad(self.XL, ((0, 0), (0, n_new))),
            self.X,
            None if self.counts is None else np.pad(self.counts, (0, n_new)),
        )
