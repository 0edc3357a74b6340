"""Sums of X'X over a stream, and ridge regression from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


# Products of so many rows at a time are computed in float32, and only where it saves time, with so many columns.
_ROWS_OF_FLOAT32 = 2048
_LEAST_WIDTH_OF_FLOAT32 = 256
# Eigenvalues below this part of the largest are rounding, where no ridge is added to them.
_RANK_TOLERANCE = 1e-10
# Why a parameter that is a ridge must be above 0.
WHY_A_RIDGE = "without a ridge there may be no solution"
# The least ridge that the calibration of label scores tries for kernels.
LEAST_RIDGE_OF_KERNELS = 0.001


def add_gram(G: NDArray[np.float64], X: Features) -> NDArray[np.float64]:
    """Return G + X'X as a new array; sparse rows are multiplied as such."""
    if not is_sparse(X):
        product: NDArray[np.float64] = X.T @ X
        product += G
        return product
    gram: Any = (X.T @ X).tocoo()
    total: NDArray[np.float64] = G.copy()
    total[gram.row, gram.col] += gram.data  # each place once: a product has no duplicates
    return total


def add_gram_of_kernel(
    G: NDArray[np.float64], K: NDArray[np.floating[Any]], ridge: float | None
) -> NDArray[np.float64]:
    """Return G + K'K as a new array, for kernel values K (n, d) within [-1, 1].

    Products are computed in float32 if that is enough for `ridge` and for the least ridge of label scores, in blocks of
    rows that are added in float64.
    """
    blocks = [K[start : start + _ROWS_OF_FLOAT32] for start in range(0, len(K), _ROWS_OF_FLOAT32)]
    if (
        ridge is None
        or K.shape[1] < _LEAST_WIDTH_OF_FLOAT32
        or not all(float32_is_enough(block, min(ridge, LEAST_RIDGE_OF_KERNELS)) for block in blocks)
    ):
        return add_gram(G, K)
    for block in blocks:
        single = block.astype(np.float32, copy=False)
        G = G + single.T @ single
    return G


def float32_is_enough(K: NDArray[np.floating[Any]], ridge: float) -> bool:
    """Return whether the error of K'K in float32 is far below a ridge.

    Rounding errors of the entries are independent, so their matrix has a spectral norm of about
    ``2 u trace(K'K) / sqrt(d)``, u the unit roundoff. Measured, it is 0.6 to 1.2 times that for centered kernels, and
    up to 2 times for others. It may be a tenth of the ridge.
    """
    trace = float(np.einsum("ij,ij->", K, K))
    return bool(np.finfo(np.float32).eps * trace <= 0.1 * ridge * np.sqrt(K.shape[1]))


class RidgeSolver:
    """Solver of ``(G + ridge I) W = F`` for one positive semidefinite G (d, d) and any F.

    With the sum s (d,) of n rows, G is that of the rows less their mean: ``G - s s' / n``.

    G is factored once, by Cholesky. If rounding of G swallows the ridge, eigenvectors are used instead: the true
    eigenvalues are at least the ridge. For a ridge of 0 the solution is that of least norm.
    """

    def __init__(
        self, G: NDArray[np.float64], ridge: float, s: NDArray[np.float64] | None = None, n: float = 1.0
    ) -> None:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

        self._solve: Callable[[NDArray[np.float64]], NDArray[np.float64]]
        try:
            if ridge == 0:
                raise LinAlgError("G alone may be singular")
            regular = _lower_triangle(G, s, n)
            regular[np.diag_indices_from(regular)] += ridge
            factor = cho_factor(regular, lower=True, overwrite_a=True, check_finite=False)
            self._solve = lambda F: cho_solve(factor, F, check_finite=False)
        except LinAlgError:
            values, vectors = eigh(_lower_triangle(G, s, n), check_finite=False)
            scale = (np.maximum(values, 0) + ridge)[:, None]
            if ridge == 0:
                scale[values <= _RANK_TOLERANCE * values[-1]] = np.inf
            self._solve = lambda F: vectors @ ((vectors.T @ F) / scale)

    def solve(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return W (d, k) for F (d, k)."""
        return self._solve(F)


def _lower_triangle(G: NDArray[np.float64], s: NDArray[np.float64] | None, n: float) -> NDArray[np.float64]:
    """Return an array in the order of LAPACK with the lower triangle of a symmetric G, or of ``G - s s' / n``."""
    from scipy.linalg.blas import dsyr

    lower: NDArray[np.float64] = np.array(G, order="C").T
    return lower if s is None else dsyr(-1.0 / n, s, a=lower, lower=1, overwrite_a=1)


def solve_ridge(G: NDArray[np.float64], F: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return W (d, k) of ``(G + ridge I) W = F``."""
    return RidgeSolver(G, ridge).solve(F)


class CenteredRidge:
    """Ridge regression of targets y (k,) on rows x (d,), both less their mean, for any ridge.

    Solved from the sums ``G = sum xx'``, ``F = sum xy'``, ``s = sum x`` and ``t = sum y`` over n rows:
    ``(G - s s' / n + ridge I) W = F - s t' / n``. Then ``x W + b`` with ``b = -(s / n) W`` predicts y less its mean.
    """

    def __init__(
        self,
        G: NDArray[np.float64],
        F: NDArray[np.float64],
        s: NDArray[np.float64],
        t: NDArray[np.float64],
        n: float,
    ) -> None:
        self._G, self._s, self._n = G, s, n
        self._F = F - np.outer(s / n, t)
        self._single: tuple[NDArray[np.float32], float] | None = None

    def solve(self, ridge: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return W (d, k) and b (k,)."""
        return self._with_intercept(self._solved(ridge, self._F))

    def solve_roughly(self, ridge: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return W (d, k) and b (k,), factored in float32 unless rounding comes near the ridge.

        That takes half the time, and is enough to compare ridges by how well they predict.
        """
        return self._with_intercept(self._solved_roughly(ridge, self._F))

    def predict_roughly(self, X: Features, ridge: float) -> NDArray[np.float64]:
        """Return ``x W + b`` (n, k) of rows X (n, d), as solved roughly; fewer rows than targets take less time."""
        if X.shape[0] < self._F.shape[1]:
            centered = (X.toarray() if is_sparse(X) else X) - self._s / self._n
            predicted: NDArray[np.float64] = self._solved_roughly(ridge, centered.T).T @ self._F
        else:
            W, b = self.solve_roughly(ridge)
            predicted = X @ W + b
        return predicted

    def _solved_roughly(self, ridge: float, F: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        if self._single is None:
            centered = _lower_triangle(self._G, self._s, self._n)
            largest = float(centered.diagonal().max())
            if not np.finfo(np.float64).tiny < largest < np.inf:
                return self._solved(ridge, F)
            centered /= largest  # for the range of float32
            self._single = centered.astype(np.float32), largest
        single, largest = self._single
        regular = single.copy(order="F")
        regular[np.diag_indices_from(regular)] += ridge / largest
        try:
            factor = cho_factor(regular, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return self._solved(ridge, F)
        if not factor[0].diagonal().min() ** 2 > 100 * np.finfo(np.float32).eps * (1 + ridge / largest):
            return self._solved(ridge, F)
        size = float(np.abs(F).max()) or 1.0
        W: NDArray[np.float32] = cho_solve(factor, (F / size).astype(np.float32), check_finite=False)
        return W.astype(np.float64) * (size / largest)

    def _solved(self, ridge: float, F: NDArray[np.float64]) -> NDArray[np.float64]:
        return RidgeSolver(self._G, ridge, self._s, self._n).solve(F)

    def _with_intercept(self, W: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return W, -(self._s / self._n) @ W
