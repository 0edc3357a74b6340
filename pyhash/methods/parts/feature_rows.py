"""Mapped features of one modality, and the products that methods compute with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_features, is_sparse
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.feature_maps import TOO_LARGE, RBFAnchors, apply_map, row_blocks
from pyhash.methods.parts.ridge import add_gram, add_gram_of_kernel

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

# Mapped rows of a modality that are kept in float64, at most; more are converted at every product.
MAX_FLOAT64_BYTES = 1 << 28


class FeatureRows:
    """Rows (n, d) after their feature map.

    Rows are mapped in blocks. Mapped rows are kept: in float64 if they are small, else in float32, so that memory stays
    near that of the mapped rows in float32. Without a map a single block is kept, and several are converted again from
    the user's rows on each pass.
    """

    def __init__(self, modality: str, rows: Features, feature_map: Any, first_row: int = 0) -> None:
        self._name = f"views[{modality!r}]"
        self._rows = rows
        self._kept: list[Features] = []
        self._are_kernels = isinstance(feature_map, RBFAnchors)
        slices = list(row_blocks(rows.shape[0]))
        keep = len(slices) == 1 or feature_map is not None
        width = rows.shape[1]
        for block in slices:
            checked = check_features(self._name, rows[block], first_row + block.start)
            if keep:
                mapped = apply_map(self._name, modality, feature_map, checked)
                width = mapped.shape[1]
                is_little = is_sparse(mapped) or 8 * rows.shape[0] * width <= MAX_FLOAT64_BYTES
                self._kept.append(mapped if is_little or len(slices) == 1 else mapped.astype(np.float32))
        self.shape: tuple[int, int] = (rows.shape[0], width)

    def blocks(self) -> Iterator[tuple[slice, Features]]:
        """Iterate over slices of rows and their features as float64, dense or csr."""
        for i, block in enumerate(row_blocks(self.shape[0])):
            yield block, (self._kept[i] if self._kept else self._rows[block]).astype(np.float64, copy=False)

    def add_gram(self, G: Matrix, ridge: float | None = None, among: NDArray[np.bool_] | None = None) -> Matrix:
        """Return G + X'X (d, d), a new array; raise ValueError if float64 cannot hold it.

        With the least `ridge` that solvers add to G, products of kernel values may be computed in float32. `among` (n,)
        says which rows to sum over; by default all.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            for block, X in self.blocks():
                if among is not None:
                    X = X[among[block]]
                G = add_gram_of_kernel(G, X, ridge) if self._are_kernels else add_gram(G, X)
        return self._summable(G)

    def column_squares(self) -> NDArray[np.float64]:
        """Return the sum of squares of each column (d,); raise ValueError if float64 cannot hold it."""
        total = np.zeros(self.shape[1])
        with np.errstate(over="ignore"):
            for _, X in self.blocks():
                total += np.asarray((X * X).sum(axis=0)).ravel()
        return self._summable(total)

    def transposed_dot(self, M: NDArray[Any]) -> Matrix:
        """Return X'M (d, k) for M (n, k)."""
        total = np.zeros((self.shape[1], M.shape[1]))
        for block, X in self.blocks():
            total += X.T @ M[block].astype(np.float64, copy=False)
        return total

    def label_sums(self, L: Matrix) -> Matrix:
        """Return X'L (d, c) for labels L (n, c), most of which are 0: the time does not depend on c."""
        from scipy.sparse import csr_array

        labels, total = csr_array(L), np.zeros((self.shape[1], L.shape[1]))
        for block, X in self.blocks():
            of_classes = labels[block].T @ X
            total += (of_classes.toarray() if is_sparse(of_classes) else of_classes).T
        return total

    def dot(self, W: Matrix) -> Matrix:
        """Return X W (n, k) for W (d, k); a W of fewer rows counts as 0 in the columns of X beyond."""
        out = np.empty((self.shape[0], W.shape[1]))
        for block, X in self.blocks():
            out[block] = (X if X.shape[1] == len(W) else X[:, : len(W)]) @ W
        return out

    def _summable(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(squares).all():
            raise ValueError(TOO_LARGE.format(self._name))
        return squares
