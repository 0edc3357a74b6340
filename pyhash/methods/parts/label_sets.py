"""The distinct label sets of a stream: how often each came, and the sum of its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import n_bytes_of
from pyhash.methods.parts.arrays import Matrix

if TYPE_CHECKING:
    from pyhash._files.archive import Archive


def distinct_label_sets(L: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Distinct rows of a 0/1 matrix (n, c), packed and sorted, (u, ceil(c / 8)); and which one each row is."""
    return _distinct(pack_label_sets(L))


def pack_label_sets(L: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows of a 0/1 matrix (n, c), packed, (n, ceil(c / 8))."""
    return np.packbits(L != 0, axis=1, bitorder="little")


def unpack_label_sets(sets: NDArray[np.uint8], n_classes: int) -> Matrix:
    """Packed label sets as a 0/1 matrix (u, n_classes)."""
    return np.unpackbits(sets, axis=1, count=n_classes, bitorder="little").astype(np.float64)


def unit_rows(L: NDArray[Any]) -> Matrix:
    """Label rows scaled to Euclidean length 1; every row has a label."""
    rows: Matrix = L / np.sqrt(L.sum(axis=1, keepdims=True))
    return rows


def _distinct(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    distinct, inverse = np.unique(packed, axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1)


@dataclass(frozen=True)
class LabelSets:
    """Grows with distinct label sets, never with samples.

    Attributes
    ----------
    n_classes : int
    sets : ndarray of shape (u, ceil(n_classes / 8)), uint8
        Packed rows, each once, in ascending order of their bytes.
    counts : ndarray of shape (u,), int64
        Samples of each.
    code_sums : ndarray of shape (u, n_bits), float64
        Sum of their signs.
    """

    n_classes: int
    sets: NDArray[np.uint8]
    counts: NDArray[np.int64]
    code_sums: Matrix

    @classmethod
    def empty(cls, n_classes: int, n_bits: int) -> LabelSets:
        """Before any sample."""
        return cls(
            n_classes,
            np.zeros((0, (n_classes + 7) // 8), dtype=np.uint8),
            np.zeros(0, dtype=np.int64),
            np.zeros((0, n_bits)),
        )

    def add(self, L: NDArray[Any], B: NDArray[np.int8]) -> LabelSets:
        """With the samples that have labels L (n, n_classes) and signs B (n, n_bits); this object stays as it is."""
        packed, row_sets = distinct_label_sets(L)
        counts = np.bincount(row_sets, minlength=len(packed))
        sums = np.zeros((len(packed), B.shape[1]))
        order = np.argsort(row_sets, kind="stable")
        sums += np.add.reduceat(B[order].astype(np.float64), np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0)
        sets, places = _distinct(np.concatenate([self.sets, packed]))
        all_counts = np.zeros(len(sets), dtype=np.int64)
        all_sums = np.zeros((len(sets), B.shape[1]))
        old, new = places[: len(self.sets)], places[len(self.sets) :]
        all_counts[old] = self.counts
        all_sums[old] = self.code_sums
        all_counts[new] += counts
        all_sums[new] += sums
        return LabelSets(self.n_classes, sets, all_counts, all_sums)

    def store(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Puts what a file keeps into `arrays`."""
        arrays |= {"sets": self.sets, "sets.counts": self.counts, "sets.code_sums": self.code_sums}

    @classmethod
    def restore(cls, archive: Archive, n_classes: int, n_bits: int) -> LabelSets:
        """What ``store`` stored."""
        sets = archive.array("sets", np.uint8, (None, n_bytes_of(n_classes)))
        return cls(
            n_classes,
            sets,
            archive.array("sets.counts", np.int64, (len(sets),)),
            archive.array("sets.code_sums", np.float64, (len(sets), n_bits)),
        )

    @property
    def matrix(self) -> Matrix:
        """The sets as rows of 0 and 1, (u, n_classes)."""
        return unpack_label_sets(self.sets, self.n_classes)

    @property
    def mean_codes(self) -> Matrix:
        """Mean signs of each set, (u, n_bits)."""
        return self.code_sums / self.counts[:, None]

    def codes_of_similar(self, L: NDArray[Any]) -> Matrix:
        """``S B``: for each row of L (n, n_classes), the sum of the signs of all samples that share a label with it.

        Exact: whether two samples share one depends on their label sets alone, and sums of signs are integers.
        """
        packed, row_sets = distinct_label_sets(L)
        similar = unpack_label_sets(packed, self.n_classes) @ self.matrix.T > 0
        summed: Matrix = similar.astype(np.float64) @ self.code_sums
        return summed[row_sets]
