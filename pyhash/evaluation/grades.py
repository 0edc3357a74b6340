"""Graded relevance: how relevant the items of a database are to queries, as numbers 0, 1, 2, ..."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_choice
from pyhash._inputs.labels import check_label_matrix, is_class_indices
from pyhash.evaluation.relevance import Relevance, pack_relevance

GradeBy = Literal["binary", "layers", "labels"]


class Grades(ABC):
    """Grades of the items of a database for queries, computed in blocks of queries.

    Attributes
    ----------
    n_queries, n_database : int
        Number of queries, and of items in the database.
    """

    n_queries: int
    n_database: int

    @abstractmethod
    def levels(self, start: int, stop: int) -> Iterator[NDArray[np.uint64]]:
        """Yield, for g = 1, 2, ..., the items of grade g or higher for queries [start, stop).

        The items are bits as in ``Relevance.block``. The levels end before the first without an item, or later.
        """


class LayerGrades(Grades):
    """The number of layers, counted from the first, in which an item shares a label with the query without a gap."""

    def __init__(self, layers: Sequence[Relevance]) -> None:
        self.n_queries, self.n_database = layers[0].n_queries, layers[0].n_database
        self._layers = layers

    def levels(self, start: int, stop: int) -> Iterator[NDArray[np.uint64]]:  # noqa: D102
        shared = self._layers[0].block(start, stop)
        yield shared
        for layer in self._layers[1:]:
            shared = shared & layer.block(start, stop)
            yield shared


class SharedLabelGrades(Grades):
    """The number of labels that an item shares with the query."""

    def __init__(self, query_labels: NDArray[np.bool_], database_labels: NDArray[np.bool_]) -> None:
        self.n_queries, self.n_database = len(query_labels), len(database_labels)
        # Sums of float32 are exact up to 2 ** 24 labels.
        self._queries, self._database = query_labels.astype(np.float32), database_labels.T.astype(np.float32)

    def levels(self, start: int, stop: int) -> Iterator[NDArray[np.uint64]]:  # noqa: D102
        grades = self._queries[start:stop] @ self._database
        for grade in range(1, int(grades.max()) + 1):
            yield pack_relevance(grades >= grade)


def grade_labels(query_labels: Any, database_labels: Any, by: GradeBy) -> Grades:
    """Return the grades by labels; ``ndcg`` documents the arguments."""
    check_choice("grades", by, get_args(GradeBy))
    if by == "binary":
        return LayerGrades([Relevance(query_labels, database_labels)])
    if by == "layers":
        return LayerGrades(_layers(query_labels, database_labels))
    for name, labels in (("query_labels", query_labels), ("database_labels", database_labels)):
        if is_class_indices(name, labels):
            raise ValueError(f"{name} must be a 0/1 matrix (n, n_classes) with grades='labels', got {np.shape(labels)}")
    queries = check_label_matrix("query_labels", query_labels)
    return SharedLabelGrades(queries, check_label_matrix("database_labels", database_labels, queries.shape[1]))


def _layers(query_labels: Sequence[ArrayLike], database_labels: Sequence[ArrayLike]) -> list[Relevance]:
    """Return the relevance of each layer; raise unless both are equally many layers of equally many rows."""
    for name, given in (("query_labels", query_labels), ("database_labels", database_labels)):
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"{name} must be a list of labels, one for each layer, with grades='layers', got {type(given).__name__}"
            )
    if not query_labels or len(query_labels) != len(database_labels):
        raise ValueError(
            f"query_labels and database_labels must have equally many layers, at least one, got {len(query_labels)} "
            f"and {len(database_labels)}"
        )
    layers = [
        Relevance(*labels, names=(f"query_labels[{number}]", f"database_labels[{number}]"))
        for number, labels in enumerate(zip(query_labels, database_labels, strict=True))
    ]
    for side, name in (("query", "n_queries"), ("database", "n_database")):
        numbers = [getattr(layer, name) for layer in layers]
        if len(set(numbers)) > 1:
            raise ValueError(f"{side}_labels must have equally many rows in every layer, got {numbers}")
    return layers
