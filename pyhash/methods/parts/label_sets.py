"""The table of distinct label sets of a stream, with the count and the sum of codes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.checks import n_bytes_of
from pyhash._inputs.threads import resolve_n_threads
from pyhash.methods.parts.arrays import Matrix

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash.methods.parts.onnx_graph import Graph


# A weight that no sum with a whole sample shows.
LEAST_COUNT = 2.0**-53


def distinct_label_sets(L: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the distinct rows of a 0/1 matrix (n, c), packed and sorted, and which of them each row is."""
    distinct, inverse = np.unique(pack_label_sets(L), axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1)


def pack_label_sets(L: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the rows of a 0/1 matrix (n, c), packed, (n, ceil(c / 8))."""
    return np.packbits(L != 0, axis=1, bitorder="little")


def unpack_label_sets(sets: NDArray[np.uint8], n_classes: int) -> Matrix:
    """Return packed label sets as a 0/1 matrix (u, n_classes)."""
    return np.unpackbits(sets, axis=1, count=n_classes, bitorder="little").astype(np.float64)


def unit_rows(L: NDArray[Any]) -> Matrix:
    """Return label rows scaled to Euclidean length 1; every row has a label."""
    rows: Matrix = L / np.sqrt(L.sum(axis=1, keepdims=True))
    return rows


class _Numbering:
    """Numbers of distinct packed label sets, in the order of their first appearance. New sets can be added."""

    def __init__(self, sets: NDArray[np.uint8]) -> None:
        self._rows = sets
        self._number = {row: i for i, row in enumerate(_as_bytes(sets))}

    def number(self, packed: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the number of each row; new rows get the next numbers."""
        number, n_before = self._number, len(self._number)
        numbers = np.fromiter((number.setdefault(row, len(number)) for row in _as_bytes(packed)), np.intp, len(packed))
        if len(number) > len(self._rows):
            # Twice the size that is needed: on average each row is copied at most twice, however many are added.
            rows = np.empty((2 * len(number), packed.shape[1]), dtype=np.uint8)
            rows[:n_before] = self._rows[:n_before]
            self._rows = rows
        is_new = numbers >= n_before
        self._rows[numbers[is_new]] = packed[is_new]
        return numbers

    def sets(self) -> NDArray[np.uint8]:
        """Return the sets by number, (u, n_bytes), in memory that no later call changes."""
        return self._rows[: len(self._number)]


class LabelSets:
    """Table of distinct label sets: how many samples have each, and the sum of their codes.

    A table never changes: ``add`` returns a new one. Old and new table share the buffer of sets, to which new sets are
    appended; counts and sums are copied. The index that finds a set moves to the first table made from another. Further
    tables made from the same one build their own index and buffer.

    Attributes
    ----------
    n_classes : int
    sets : ndarray of shape (u, ceil(n_classes / 8)), uint8
        Packed rows, distinct, in the order of their first appearance.
    counts : ndarray of shape (u,), int64
        Samples of each; float64 once they were weighted.
    code_sums : ndarray of shape (u, n_bits), float64
        Sum of their signs.
    """

    def __init__(self, n_classes: int, sets: NDArray[np.uint8], counts: NDArray[Any], code_sums: Matrix) -> None:
        self.n_classes = n_classes
        self.sets = sets
        self.counts = counts
        self.code_sums = code_sums
        self._numbering: list[_Numbering] = []  # empty once another table has it

    @classmethod
    def empty(cls, n_classes: int, n_bits: int) -> LabelSets:
        """Return the table before any sample."""
        return cls(
            n_classes,
            np.zeros((0, n_bytes_of(n_classes)), dtype=np.uint8),
            np.zeros(0, dtype=np.int64),
            np.zeros((0, n_bits)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the index, which a copy builds when it needs it, and without the unused part of the buffer.
        return type(self), (self.n_classes, self.sets, self.counts, self.code_sums)

    def add(self, L: NDArray[Any], B: NDArray[np.int8]) -> LabelSets:
        """Return the table with more samples: labels L (n, n_classes), signs B (n, n_bits).

        Samples without a label are left out.
        """
        is_labelled = L.any(axis=1)
        if not is_labelled.all():
            L, B = L[is_labelled], B[is_labelled]
        if len(L) == 0:
            return self
        try:
            # Atomic: only one caller gets the index, and with it the right to append to the shared buffer.
            numbering = self._numbering.pop()
        except IndexError:
            numbering = _Numbering(self.sets)
        row_sets = numbering.number(pack_label_sets(L))
        sets = numbering.sets()
        n_new = len(sets) - len(self.sets)
        counts = np.concatenate([self.counts, np.zeros(n_new, dtype=np.int64)])
        code_sums = np.concatenate([self.code_sums, np.zeros((n_new, B.shape[1]))])
        # Sorted by set, so that reduceat sums the rows of each set.
        order = np.argsort(row_sets, kind="stable")
        found, starts, n_rows = np.unique(row_sets[order], return_index=True, return_counts=True)
        counts[found] += n_rows
        code_sums[found] += np.add.reduceat(B[order], starts, axis=0, dtype=np.float64)
        table = LabelSets(self.n_classes, sets, counts, code_sums)
        table._numbering.append(numbering)
        return table

    def plus(self, other: LabelSets) -> LabelSets:
        """Return the table of the samples of both; new sets follow the old ones in their order in `other`."""
        return self._with(other, 1)

    def minus(self, other: LabelSets) -> LabelSets:
        """Return the table less some of its samples, without the sets that no sample has then.

        Raises
        ------
        ValueError
            If a set has more samples in `other`.
        """
        remaining = self._with(other, -1)
        too_many = np.flatnonzero(remaining.counts < 0)
        if too_many.size:
            u = too_many[0]
            labels = np.flatnonzero(unpack_label_sets(remaining.sets[u : u + 1], self.n_classes)[0]).tolist()
            n = self.counts[u] if u < len(self.counts) else 0
            raise ValueError(f"{n} rows have the labels {labels}, got {n - remaining.counts[u]} to take away")
        kept = remaining.counts > 0
        return LabelSets(self.n_classes, remaining.sets[kept], remaining.counts[kept], remaining.code_sums[kept])

    def scaled(self, factor: float) -> LabelSets:
        """Return the table with every sample weighted by a factor, without the sets that next to nothing is left of."""
        counts, code_sums = self.counts * factor, self.code_sums * factor
        kept = counts > LEAST_COUNT
        if kept.all():
            table = LabelSets(self.n_classes, self.sets, counts, code_sums)
            table._numbering = self._numbering  # the same sets, and one index for both
            return table
        return LabelSets(self.n_classes, self.sets[kept], counts[kept], code_sums[kept])

    def _with(self, other: LabelSets, sign: int) -> LabelSets:
        """Return the table with the samples of another one, of as many classes, counted with a sign."""
        numbering = _Numbering(self.sets)
        numbers = numbering.number(other.sets)
        sets = numbering.sets()
        n_new = len(sets) - len(self.sets)
        counts, code_sums = np.pad(self.counts, (0, n_new)), np.pad(self.code_sums, ((0, n_new), (0, 0)))
        if counts.dtype != other.counts.dtype:
            counts = counts.astype(np.float64)
        counts[numbers] += sign * other.counts
        code_sums[numbers] += sign * other.code_sums
        return LabelSets(self.n_classes, sets, counts, code_sums)

    def store(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put what a file keeps into `arrays`."""
        arrays |= {"sets": self.sets, "sets.counts": self.counts, "sets.code_sums": self.code_sums}

    @staticmethod
    def is_in(archive: Archive) -> bool:
        """Return whether a file has a table, or a part of one."""
        return any(name in archive.arrays for name in ("sets", "sets.counts", "sets.code_sums"))

    @classmethod
    def restore(cls, archive: Archive, n_classes: int, n_bits: int) -> LabelSets:
        """Return the table of a file; raise if its parts do not fit together."""
        sets = archive.array("sets", np.uint8, (None, n_bytes_of(n_classes)))
        weighted = "sets.counts" in archive.arrays and archive.arrays["sets.counts"].dtype == np.float64
        counts = archive.array("sets.counts", np.float64 if weighted else np.int64, (len(sets),))
        code_sums = archive.array("sets.code_sums", np.float64, (len(sets), n_bits))
        if len(set(_as_bytes(sets))) < len(sets):
            raise ValueError("sets must be distinct, some are there twice")
        least = LEAST_COUNT if weighted else 1
        if not (counts >= least).all():
            raise ValueError(f"sets.counts must be at least {least:g}, got {counts.min():g}")
        return cls(n_classes, sets, counts, code_sums)

    @property
    def matrix(self) -> Matrix:
        """The sets as rows of 0 and 1, (u, n_classes)."""
        return unpack_label_sets(self.sets, self.n_classes)

    @property
    def has_several(self) -> bool:
        """Whether some set has more than one label."""
        is_single = (self.sets & (self.sets - 1) == 0).all(axis=1) & (np.count_nonzero(self.sets, axis=1) == 1)
        return not is_single.all()

    def find(self, L: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number of the set of each row of L (n, n_classes); -1 for sets that are not in the table."""
        number = {row: i for i, row in enumerate(_as_bytes(self.sets))}
        return np.array([number.get(row, -1) for row in _as_bytes(pack_label_sets(L))], dtype=np.intp)

    def similar_to(self, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return whether each of some sets, given by number, shares a label with each set, (n, u)."""
        sets = self.matrix
        similar: NDArray[np.bool_] = sets[numbers] @ sets.T > 0
        return similar

    def fit_of(self, scores: Matrix) -> Matrix:
        """Return ``s . u - |u|^2 / 2`` (n, u) of scores (n, n_classes) and every set."""
        if not self.has_several:
            fit: Matrix = scores[:, self.classes] - 0.5
            return fit
        sets = self.matrix
        fit = scores @ sets.T
        fit -= 0.5 * sets.sum(axis=1)
        return fit

    def fit_in_graph(self, graph: Graph, scores: str) -> str:
        """Return ``fit_of`` scores (n, n_classes) float64 of a graph."""
        if not self.has_several:
            return str(graph.add("Sub", graph.add("Gather", scores, self.classes, axis=1), np.float64(0.5)))
        sets = self.matrix
        product = graph.add("MatMul", scores, np.ascontiguousarray(sets.T))
        return str(graph.add("Sub", product, 0.5 * sets.sum(axis=1)))

    @property
    def classes(self) -> NDArray[np.intp]:
        """The class of each set (u,), where every set is one."""
        byte: NDArray[np.intp] = np.argmax(self.sets != 0, axis=1)
        bit = np.log2(self.sets[np.arange(len(self.sets)), byte]).astype(np.intp)
        classes: NDArray[np.intp] = 8 * byte + bit
        return classes

    def widened(self, n_classes: int) -> LabelSets:
        """Return the table with room for more classes."""
        n_new = n_bytes_of(n_classes) - self.sets.shape[1]
        return LabelSets(n_classes, np.pad(self.sets, ((0, 0), (0, n_new))), self.counts, self.code_sums)

    @property
    def mean_codes(self) -> Matrix:
        """Mean signs of each set, (u, n_bits)."""
        means: Matrix = self.code_sums / self.counts[:, None]
        return means

    def codes_of_similar(self, L: NDArray[Any], n_threads: int | None = None) -> Matrix:
        """Return ``S B``: for each row of L (n, n_classes), the summed signs of all samples that share a label with it.

        Exact: whether two samples share one depends on their label sets alone, and sums of signs are integers.
        """
        packed, row_sets = distinct_label_sets(L)
        summed = _core.sum_similar(packed, self.sets, self.code_sums, resolve_n_threads(n_threads))
        return summed[row_sets]

    def n_similar(self, L: NDArray[Any], n_threads: int | None = None) -> float:
        """Return how many pairs of a row of L (n, n_classes) and a sample of the table share a label."""
        counts = self.counts[:, None].astype(np.float64)
        return float(LabelSets(self.n_classes, self.sets, self.counts, counts).codes_of_similar(L, n_threads).sum())


def _as_bytes(packed: NDArray[np.uint8]) -> list[bytes]:
    rows: list[bytes] = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").reshape(-1).tolist()
    return rows
