"""Mapped features of one modality, and the products that methods compute with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def by_modalities(present: Mapping[str, NDArray[np.bool_]]) -> list[tuple[list[str], NDArray[np.int64]]]:
    """Return the sets of modalities that rows have, and the rows (k,) of each; `present` (n,) is by modality."""
    sets, row_sets = np.unique(np.stack(list(present.values()), axis=1), axis=0, return_inverse=True)
    return [
        ([name for name, has in zip(present, of_set, strict=True) if has], np.flatnonzero(row_sets.ravel() == i))
        for i, of_set in enumerate(sets)
    ]


class FeatureRows:
    """Rows (n, d) after their feature map; rows that lack the modality count as zeros, and their values are not read.

    Rows are mapped in blocks. Mapped rows are kept: in float64 if they are small, else in float32, so that memory stays
    near that of the mapped rows in float32. Without a map a single block is kept, and several are converted again from
    the user's rows on each pass.

    Attributes
    ----------
    shape : tuple of int
        (n, d), all rows counted.
    present : ndarray of shape (n,), bool
        Which rows have the modality.
    """

    def __init__(
        self,
        modality: str,
        rows: Features,
        feature_map: Any,
        first_row: int = 0,
        present: NDArray[np.bool_] | None = None,
    ) -> None:
        self._name = f"views[{modality!r}]"
        self._rows = rows
        self._kept: dict[int, Features] = {}  # by number of the block
        self._are_kernels = isinstance(feature_map, RBFAnchors)
        n, width = rows.shape
        self.present = np.ones(n, dtype=bool) if present is None else present
        slices = list(row_blocks(n))
        self._blocks: dict[int, slice | NDArray[np.int64]] = {
            i: block if self.present[block].all() else block.start + np.flatnonzero(self.present[block])
            for i, block in enumerate(slices)
            if self.present[block].any()
        }
        is_one_block = len(slices) == 1
        for i, block in self._blocks.items():
            checked = check_features(self._name, rows[block], first_row + slices[i].start)
            if is_one_block or feature_map is not None:
                mapped = apply_map(self._name, modality, feature_map, checked)
                width = mapped.shape[1]
                is_little = is_sparse(mapped) or 8 * n * width <= MAX_FLOAT64_BYTES
                self._kept[i] = mapped if is_little or is_one_block else mapped.astype(np.float32)
        self.shape: tuple[int, int] = (n, width)

    @property
    def n_present(self) -> int:
        """Number of rows that have the modality."""
        return int(np.count_nonzero(self.present))

    def blocks(self) -> Iterator[tuple[slice | NDArray[np.int64], Features]]:
        """Iterate over blocks of the rows that have the modality: which rows, and their features as float64."""
        return ((block, self._block(i)) for i, block in self._blocks.items())

    def _block(self, i: int) -> Features:
        rows = self._kept[i] if self._kept else self._rows[self._blocks[i]]
        return rows.astype(np.float64, copy=False)

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

    def cross(self, other: FeatureRows) -> Matrix:
        """Return X'Y (d, d') with the rows Y of another modality, over the rows that have both."""
        total = np.zeros((self.shape[1], other.shape[1]))
        both = self.present & other.present
        for i in self._blocks:
            if i in other._blocks:
                X, Y = (rows._block(i)[both[rows._blocks[i]]] for rows in (self, other))
                product = X.T @ Y
                total += product.toarray() if is_sparse(product) else product
        return total

    def dot(self, W: Matrix) -> Matrix:
        """Return X W (n, k) for W (d, k); a W of fewer rows counts as 0 in the columns of X beyond."""
        out = np.zeros((self.shape[0], W.shape[1]))
        for block, X in self.blocks():
            out[block] = (X if X.shape[1] == len(W) else X[:, : len(W)]) @ W
        return out

    def _summable(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(squares).all():
            raise ValueError(TOO_LARGE.format(self._name))
        return squares
