"""Relevance: two samples are relevant to each other if they share a label, or have the same id."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.ids import check_instance_ids
from pyhash._inputs.labels import check_class_indices, check_label_matrix, is_class_indices
from pyhash.evaluation import _ranks


class Relevance:
    """Relevance of the items of a database to queries, computed in blocks of queries."""

    def __init__(self, query_labels: ArrayLike, database_labels: ArrayLike) -> None:
        self._of_classes = is_class_indices("query_labels", query_labels)
        if self._of_classes != is_class_indices("database_labels", database_labels):
            raise ValueError(
                "query_labels and database_labels must both be class indices (n,) or both be 0/1 matrices, "
                f"got {np.shape(query_labels)} and {np.shape(database_labels)}"
            )
        if self._of_classes:
            self._query = check_class_indices("query_labels", query_labels)
            self._database = check_class_indices("database_labels", database_labels)
        else:
            query = check_label_matrix("query_labels", query_labels)
            database = check_label_matrix("database_labels", database_labels, query.shape[1])
            self._query_sets = _pack_sets(query)
            self._database_sets = _pack_sets(database)

    @classmethod
    def of_ids(cls, query_ids: ArrayLike, database_ids: ArrayLike) -> Relevance:
        """Return the relevance of items with equal ids, all integers or all strings."""
        query, database = check_instance_ids("query_ids", query_ids), check_instance_ids("database_ids", database_ids)
        if query.dtype.kind != database.dtype.kind:
            raise TypeError(
                f"query_ids and database_ids must both be integers or both be strings, got {query.dtype} and "
                f"{database.dtype}"
            )
        if query.dtype.kind == "U":
            numbers = np.unique(np.concatenate([query, database]), return_inverse=True)[1].astype(np.int64)
            query, database = numbers[: len(query)], numbers[len(query) :]
        relevance = cls.__new__(cls)
        relevance._of_classes, relevance._query, relevance._database = True, query, database
        return relevance

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self._query if self._of_classes else self._query_sets)

    @property
    def n_database(self) -> int:
        """Number of items in the database."""
        return len(self._database if self._of_classes else self._database_sets)

    def block(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the relevance of all items to queries [start, stop): 0 or 1, (stop - start, n_database)."""
        out = np.empty((stop - start, self.n_database), dtype=np.uint8)
        if self._of_classes:
            _ranks.relevance_of_classes(self._query[start:stop], self._database, out)
        else:
            _ranks.relevance_of_sets(self._query_sets[start:stop], self._database_sets, out)
        return out


def _pack_sets(matrix: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return label sets as rows of bits, 32 labels a word."""
    n, n_classes = matrix.shape
    packed = np.zeros((n, 4 * ((n_classes + 31) // 32)), dtype=np.uint8)
    packed[:, : (n_classes + 7) // 8] = np.packbits(matrix, axis=1, bitorder="little")
    return packed.view(np.uint32)
