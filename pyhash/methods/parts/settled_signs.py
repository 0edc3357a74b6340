"""Codes of float32 rows by products in float32, with the bits of float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.checks import is_sparse
from pyhash._inputs.threads import resolve_n_threads
from pyhash.methods.parts.feature_maps import Centering, RBFAnchors, Standardizing

if TYPE_CHECKING:
    from pyhash.methods.parts.arrays import Matrix

# With fewer rows, the preparation takes longer than products in float64.
FEWEST_ROWS = 1024
# Rows of which the products are in the caches when their signs are packed.
_ROWS_AT_A_TIME = 2048
# Lengths of directions, and sizes of intercepts, with which float32 stays within its range.
_SHORTEST, _LONGEST, _LARGEST_INTERCEPT = 1e-15, 1e15, 1e30
# Standard deviations of the rounding errors of a kernel value, taken as independent, that count as possible.
_DEVIATIONS = 8


class SettledSigns:
    """Signs of projections ``(x - mean) W`` of float32 rows: the bits that float64 gives, at the speed of float32.

    The product X W is taken in float32, the mean is an intercept ``-mean W``, and X is not copied. A bit is certain if
    the projection is farther from zero than rounding can have moved it, ``|p| > (d + 8) 2^-24 |x| |w|``. The others,
    about one in a thousand, are computed again in float64. Rows are doubtful where float64 itself, summing in another
    order, might give another bit.
    """

    def __init__(self, W: Matrix, mean: NDArray[np.float64], lengths: NDArray[np.float64]) -> None:
        self._weights = np.ascontiguousarray(W.T)
        self._mean = mean
        self._unit = (W / lengths).astype(np.float32)
        self._intercepts = (-(mean @ W) / lengths).astype(np.float32)

    @classmethod
    def of(cls, W: Matrix, mean: NDArray[np.float64]) -> SettledSigns | None:
        """Return the signs, or None if float32 has too small a range for them."""
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(W, axis=0)
            in_range = (lengths >= _SHORTEST) & (lengths <= _LONGEST) & (np.abs(mean @ W) <= _LARGEST_INTERCEPT)
        return cls(W, mean, lengths) if in_range.all() else None

    def pack(
        self, rows: NDArray[np.float32], out: NDArray[np.uint8], errors: NDArray[np.float32] | None = None
    ) -> NDArray[np.bool_]:
        """Set the codes of contiguous rows; return the doubtful ones as a mask (n,).

        The values of row i may have relative errors of errors[i], each another one.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            products = rows @ self._unit
        n_threads = resolve_n_threads(None)
        doubtful = _core.pack_settled_signs(
            rows, products, errors, self._weights, self._mean, self._intercepts, n_threads, out
        )
        return doubtful.view(np.bool_)


class SettledKernelSigns:
    """Signs of projections of float32 rows after ``RBFAnchors``, as ``SettledSigns``.

    Kernel values are computed in float32. The error of their exponents counts by its standard deviation: with d
    features, 8 deviations are ``8 sqrt(d) 2^-24 |x| |a| / sigma^2`` and a few roundings.
    """

    def __init__(self, signs: SettledSigns, feature_map: RBFAnchors) -> None:
        anchors, scale = feature_map.anchors_, 1 / feature_map.width_**2
        squares = np.einsum("ij,ij->i", anchors, anchors)
        self._signs = signs
        self._scale = scale
        self._anchors = np.ascontiguousarray((anchors * scale).T, dtype=np.float32)
        self._halves = (-0.5 * scale * squares).astype(np.float32)
        self._longest = float(np.sqrt(squares.max()))

    @classmethod
    def of(cls, W: Matrix, feature_map: RBFAnchors) -> SettledKernelSigns | None:
        """Return the signs, or None if float32 has too small a range for them or the anchors are sparse."""
        if is_sparse(feature_map.anchors_):
            return None
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            signs = SettledSigns.of(W, feature_map.mean_)
            kernels = None if signs is None else cls(signs, feature_map)
        in_range = kernels is not None and np.isfinite(kernels._halves).all() and np.isfinite(kernels._anchors).all()
        return kernels if in_range else None

    def pack(self, rows: NDArray[np.float32], out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Set the codes of contiguous rows; return the doubtful ones as a mask (n,)."""
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            kernel = rows @ self._anchors
            kernel += self._halves
            kernel -= (0.5 * self._scale * squares).astype(np.float32)[:, None]
            np.exp(kernel, out=kernel)
            errors = self._errors(squares, rows.shape[1]).astype(np.float32)
        return self._signs.pack(kernel, out, errors)

    def _errors(self, squares: NDArray[np.float64], n_features: int) -> NDArray[np.float64]:
        """Return the relative errors of the kernel values of rows with these squared lengths."""
        products = np.sqrt(squares) * self._longest * self._scale
        halves = 0.5 * self._scale * (squares + self._longest**2)
        roundings = np.sqrt(n_features) * products + 2 * (products + halves) + 3
        return np.asarray(_DEVIATIONS * 2.0**-24 * roundings)


def settled_signs(W: Matrix, feature_map: Any) -> SettledSigns | SettledKernelSigns | None:
    """Return the signs of rows after a map times W, or None where products in float64 must do."""
    if feature_map is None:
        return SettledSigns.of(W, np.zeros(len(W)))
    if isinstance(feature_map, Centering):
        return SettledSigns.of(W, feature_map.mean_)
    if isinstance(feature_map, Standardizing):
        return SettledSigns.of(W / feature_map.scale_[:, None], feature_map.mean_)
    return SettledKernelSigns.of(W, feature_map) if isinstance(feature_map, RBFAnchors) else None


def settle_block(
    signs: SettledSigns | SettledKernelSigns, rows: NDArray[np.float32], out: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Set the codes of a block of rows; return the doubtful ones as a mask (n,)."""
    doubtful = np.empty(len(rows), dtype=bool)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        doubtful[part] = signs.pack(rows[part], out[part])
    return doubtful
