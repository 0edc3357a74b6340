"""Relevance: two samples are relevant to each other if they share a label, or have the same id."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.ids import check_instance_ids
from pyhash._inputs.labels import check_class_indices, check_label_matrix, is_class_indices
from pyhash.evaluation import _ranks


class Relevance:
    """Relevance of the items of a database to queries, computed in blocks of queries.

    Attributes
    ----------
    n_queries, n_database : int
        Number of queries, and of items in the database.
    """

    n_queries: int
    n_database: int
    # By labels: the labels (n_queries, n_classes) of queries, and the bits of the items with each label.
    # By classes: all items, those of a class one after the other, and which run of them is relevant to each query.
    _labels: NDArray[np.uint8] | None
    _items: NDArray[Any]
    _starts: NDArray[np.int64]
    _ends: NDArray[np.int64]

    def __init__(
        self,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        names: tuple[str, str] = ("query_labels", "database_labels"),
    ) -> None:
        of_classes = is_class_indices(names[0], query_labels)
        if of_classes != is_class_indices(names[1], database_labels):
            raise ValueError(
                f"{names[0]} and {names[1]} must both be class indices (n,) or both be 0/1 matrices, "
                f"got {np.shape(query_labels)} and {np.shape(database_labels)}"
            )
        if of_classes:
            self._by_class(
                check_class_indices(names[0], query_labels),
                check_class_indices(names[1], database_labels),
            )
        else:
            query = check_label_matrix(names[0], query_labels)
            database = check_label_matrix(names[1], database_labels, query.shape[1])
            self.n_queries, self.n_database = len(query), len(database)
            self._labels = np.ascontiguousarray(query).view(np.uint8)
            self._items = pack_relevance(database.T)

    @classmethod
    def of_ids(cls, query_ids: ArrayLike, database_ids: ArrayLike) -> Relevance:
        """Return the relevance of items with equal ids, all integers or all strings."""
        query, database = check_instance_ids("query_ids", query_ids), check_instance_ids("database_ids", database_ids)
        if query.dtype.kind != database.dtype.kind:
            raise TypeError(
                f"query_ids and database_ids must both be integers or both be strings, got {query.dtype} and "
                f"{database.dtype}"
            )
        relevance = cls.__new__(cls)
        relevance._by_class(query, database)
        return relevance

    def _by_class(self, query: NDArray[Any], database: NDArray[Any]) -> None:
        self.n_queries, self.n_database = len(query), len(database)
        self._labels = None
        self._items = np.argsort(database, kind="stable").astype(np.int64, copy=False)  # those of a class are a run
        in_order = database[self._items]
        self._starts = np.searchsorted(in_order, query, side="left").astype(np.int64, copy=False)
        self._ends = np.searchsorted(in_order, query, side="right").astype(np.int64, copy=False)

    def block(self, start: int, stop: int) -> NDArray[np.uint64]:
        """Return the relevance of all items to queries [start, stop), (stop - start, ceil(n_database / 64)).

        Bit j % 64 of word j / 64 is 1 where item j is relevant; padding bits are 0.
        """
        out = np.empty((stop - start, -(-self.n_database // 64)), dtype=np.uint64)
        if self._labels is None:
            _ranks.relevance_of_runs(self._items, self._starts[start:stop], self._ends[start:stop], out)
        else:
            _ranks.relevance_of_labels(self._labels[start:stop], self._items, out)
        return out


def count_relevant(block: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the number of relevant items (n_queries,) of each query of a block."""
    counts = np.empty(len(block), dtype=np.int64)
    _ranks.count_relevant(block, counts)
    return counts


def unpack_relevance(block: NDArray[np.uint64], n_database: int) -> NDArray[np.uint8]:
    """Return the bits of a block as values 0 or 1, (n_queries, n_database)."""
    return np.unpackbits(block.view(np.uint8), axis=1, count=n_database, bitorder="little")


def pack_relevance(values: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return rows of values (n_rows, n) as rows of bits, (n_rows, ceil(n / 64)), in the layout of a block."""
    n_rows, n = values.shape
    bits = np.zeros((n_rows, 8 * -(-n // 64)), dtype=np.uint8)
    bits[:, : -(-n // 8)] = np.packbits(values, axis=1, bitorder="little")
    return bits.view(np.uint64)
