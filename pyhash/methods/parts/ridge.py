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
    total: NDArray[np.float64] = G.copy()
    for block in blocks:
        single = block.astype(np.float32, copy=False)
        total += single.T @ single
    return total


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
    eigenvalues are at least the ridge.

    With `is_rough`, in half the time, G is factored in float32 unless rounding comes near the ridge. That is enough to
    compare ridges by how well they predict.
    """

    def __init__(
        self,
        G: NDArray[np.float64],
        ridge: float,
        s: NDArray[np.float64] | None = None,
        n: float = 1.0,
        *,
        is_rough: bool = False,
    ) -> None:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

        self._solve: Callable[[NDArray[np.float64]], NDArray[np.float64]]
        regular = _lower_triangle(G, s, n)
        regular[np.diag_indices_from(regular)] += ridge
        rough = _rough_solver(regular) if is_rough else None
        if rough is not None:
            self._solve = rough
            return
        try:
            factor = cho_factor(regular, lower=True, overwrite_a=True, check_finite=False)
            self._solve = lambda F: cho_solve(factor, F, check_finite=False)
        except LinAlgError:
            values, vectors = eigh(_lower_triangle(G, s, n), check_finite=False)
            scale = (np.maximum(values, 0) + ridge)[:, None]
            self._solve = lambda F: vectors @ ((vectors.T @ F) / scale)

    def solve(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return W (d, k) for F (d, k)."""
        return self._solve(F)


def _lower_triangle(G: NDArray[np.float64], s: NDArray[np.float64] | None, n: float) -> NDArray[np.float64]:
    """Return an array in the order of LAPACK with the lower triangle of a symmetric G, or of ``G - s s' / n``."""
    from scipy.linalg.blas import dsyr

    lower: NDArray[np.float64] = np.array(G, order="C").T
    return lower if s is None else dsyr(-1.0 / n, s, a=lower, lower=1, overwrite_a=1)


def _rough_solver(
    regular: NDArray[np.float64],
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Return a solver in float32, from a lower triangle; None if rounding comes near the smallest pivot."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    largest = float(regular.diagonal().max())
    if not np.finfo(np.float64).tiny < largest < np.inf:
        return None
    try:
        single = np.asfortranarray(regular / largest, dtype=np.float32)  # scaled, within the range of float32
        factor = cho_factor(single, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    smallest = float(factor[0].diagonal().min())
    if not smallest**2 > 100 * np.finfo(np.float32).eps:
        return None

    def solve(F: NDArray[np.float64]) -> NDArray[np.float64]:
        size = float(np.abs(F).max()) or 1.0
        W: NDArray[np.float64] = cho_solve(factor, (F / size).astype(np.float32), check_finite=False).astype(np.float64)
        return W * (size / largest)

    return solve


def solve_ridge(G: NDArray[np.float64], F: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return W (d, k) of ``(G + ridge I) W = F``."""
    return RidgeSolver(G, ridge).solve(F)


def centered_ridge(
    G: NDArray[np.float64],
    F: NDArray[np.float64],
    s: NDArray[np.float64],
    t: NDArray[np.float64],
    n: float,
    ridge: float,
    *,
    is_rough: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return W (d, k) and b (k,) such that ``x W + b`` predicts the deviation of targets from their mean.

    From sums over n rows x and targets y: ``G = sum xx'``, ``F = sum xy'``, ``s = sum x``, ``t = sum y``. Both are
    centered: ``(G - s s' / n + ridge I) W = F - s t' / n`` and ``b = -(s / n) W``. For `is_rough` see ``RidgeSolver``.
    """
    W = RidgeSolver(G, ridge, s, n, is_rough=is_rough).solve(F - np.outer(s / n, t))
    return W, -(s / n) @ W
