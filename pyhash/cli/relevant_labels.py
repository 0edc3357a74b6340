"""Labels of queries and of indexed items, as metrics take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.cli.rows import Rows
from pyhash.cli.table_rows import label_parts
from pyhash.retriever import Retriever

Labels = NDArray[np.object_]


def labels_of(rows: Rows) -> Labels:
    """Return the labels (n,) of rows, None for each where there are none."""
    return np.full(len(rows), None, dtype=object) if rows.labels is None else rows.labels


def indexed_labels(retriever: Retriever, column: str, like: Labels) -> Labels:
    """Return the labels (n,) of all indexed items by their payload: a label, a frozenset of labels, or None.

    Texts become several labels where those of `like` are.
    """
    several = any(isinstance(label, frozenset) for label in like)
    labels = np.empty(len(retriever.index), dtype=object)
    for i, value in enumerate(retriever.payload[column].to_pylist()):
        if isinstance(value, list):
            labels[i] = frozenset(value) or None
        elif isinstance(value, str) and several:
            labels[i] = frozenset(label_parts(value)) or None
        else:
            labels[i] = value
    return labels


def label_arrays(queries: Labels, database: Labels) -> tuple[Any, Any]:
    """Return class indices of both where every row has at most one label, else 0/1 matrices (n, n_classes).

    Labels are compared as text: 3 in one file is "3" in another.
    """
    rows = [[_names(label) for label in labels] for labels in (queries, database)]
    columns = {name: i for i, name in enumerate(sorted({name for labels in rows for row in labels for name in row}))}
    if all(len(row) <= 1 for labels in rows for row in labels):
        # Rows without a label: classes of their own, other ones for queries and for items.
        n = len(columns)
        of = [[columns[row[0]] if row else n + side for row in labels] for side, labels in enumerate(rows)]
        return np.array(of[0], dtype=np.int64), np.array(of[1], dtype=np.int64)
    return _matrix(rows[0], columns), _matrix(rows[1], columns)


def _names(label: Any) -> list[str]:
    if label is None:
        return []
    return [str(each) for each in label] if isinstance(label, frozenset) else [str(label)]


def _matrix(rows: list[list[str]], columns: dict[str, int]) -> Any:
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(row) for row in rows)])
    places = np.array([columns[name] for row in rows for name in row], dtype=np.int64)
    return csr_array((np.ones(len(places), dtype=np.uint8), places, ends), shape=(len(rows), len(columns)))
