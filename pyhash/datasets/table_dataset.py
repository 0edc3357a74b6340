"""Tables as data sets in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.labels import check_label_matrix, name_rows
from pyhash.datasets.captions import bag_of_words
from pyhash.datasets.dataset import Dataset
from pyhash.datasets.stored_labels import class_names
from pyhash.datasets.table import Table, open_table

_READ_ROWS = 4096
_LABELS, _CLASSES, _QUERY = "labels", "classes", "query"
_LABEL_KINDS = ("label", "labels")
_MAX_ITEM_BYTES = 1 << 28  # of an array of strings, in which the longest sets the width of all


def load_table(
    source: Any, names: Mapping[str, str] | None = None, *, kinds: Mapping[str, str] | None = None
) -> Dataset:
    """Read a table into a data set; needs pyarrow (extra ``[arrow]``).

    Parameters
    ----------
    source : path-like or object
        As for ``open_table``, or a Table that it gave.
    names : mapping of str to str, optional
        Columns of the views and of the labels: ``{"image": "clip", "text": "caption", "labels": "category"}``. By
        default every column of features is a view, so is a column of text if it is the only one, and every column of
        labels is a kind of labels, all by their own names.
    kinds : mapping of str to str, optional
        As for ``open_table``.

    Returns
    -------
    Dataset
        - A view of text is a bag of the words that occur in at least two rows.
        - One label a row gives class indices, several a 0/1 matrix. Classes are in the order of their names or numbers,
          those of a ClassLabel in its own. With `names` the labels go by the name "classes".
        - A column "query" of booleans is the split of that name.
        - Columns of numbers, and of texts that take at most 256 MiB as an array, are items, and so are those of labels
          that `names` leaves out.

    Raises
    ------
    ImportError, FileNotFoundError, TypeError, ValueError
        As ``open_table`` and ``Table.chunks`` raise them.
    ValueError
        If the table has no rows.
    ValueError
        If there are no features or text for a view, or no labels, or a view is a column of pictures.
    ValueError
        If a label is missing, where a row has one, or 0/1 vectors of labels hold something else.

    Examples
    --------
    >>> import pyarrow
    >>> rows = {"clip": [[0.5, 1], [2, 3], [4, 5]], "caption": ["a cat", "a dog", "two dogs"], "kind": ["c", "d", "d"]}
    >>> load_table(pyarrow.table(rows), names={"image": "clip", "text": "caption", "labels": "kind"})
    Dataset('table', 3 rows; views: image 2, text 1; labels: classes)
    """
    table = source if isinstance(source, Table) else open_table(source, kinds=kinds)
    views, labels = _by_default(table) if names is None else _by_names(table, names)
    kept = [name for name, kind in table.columns.items() if kind in (*_LABEL_KINDS, "number", "text")]
    values = _read(table, list(dict.fromkeys((*views.values(), *labels.values(), *kept))))
    split = _QUERY if _is_split(values.get(_QUERY)) and _QUERY not in (*views.values(), *labels.values()) else None
    found: dict[str, NDArray[Any]] = {}
    label_names: dict[str, list[str]] = {}
    for key, column in labels.items():
        where = f"{table.name}: column {column!r}"
        found[key], label_names[key] = _labels(
            where, table.columns[column], values[column], table.class_names.get(column)
        )
    features = {}
    vocabulary: list[str] = []
    for view, column in views.items():
        features[view] = values[column]
        if table.columns[column] == "text":
            try:
                features[view], vocabulary = bag_of_words(values[column])
            except ValueError as error:
                raise ValueError(f"{table.name}: column {column!r} {error}") from None
    items = {name: _items(values[name]) for name in kept if name not in (split, *labels.values())}
    return Dataset(
        table.title,
        views=features,
        labels=found,
        label_names=label_names,
        hierarchy=[],
        layers=tuple(found)[:1],
        splits={} if split is None else {_QUERY: values[split]},
        items={name: item for name, item in items.items() if item is not None},
        vocabulary=vocabulary,
    )


def _by_default(table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of views and those of labels, by their own names."""
    texts = [name for name, kind in table.columns.items() if kind == "text"]
    views = [name for name, kind in table.columns.items() if kind == "features"] + (texts if len(texts) == 1 else [])
    labels = [name for name, kind in table.columns.items() if kind in _LABEL_KINDS]
    if not views or not labels:
        columns = ", ".join(f"{name} ({kind})" for name, kind in table.columns.items())
        raise ValueError(
            f"{table.name} must have a column of {'labels' if views else 'features'}, got {columns}. Say which columns "
            "are what: names={'image': 'X1', 'text': 'X2', 'labels': 'L'} in Python, "
            "--names image=X1,text=X2,labels=L for pyhash bench"
        )
    return {name: name for name in views}, {name: name for name in labels}


def _by_names(table: Table, names: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    if not isinstance(names, Mapping) or not all(isinstance(s, str) for pair in names.items() for s in pair):
        raise TypeError(f"names must be a mapping of views and 'labels' to names of columns, got {names!r}")
    if _LABELS not in names or len(names) < 2:
        raise ValueError(f"names must hold 'labels' and at least one view, got {', '.join(map(repr, names)) or 'none'}")
    for key, column in names.items():
        if column not in table.columns:
            raise ValueError(
                f"names[{key!r}] is {column!r}, which {table.name} does not have; it has {', '.join(table.columns)}"
            )
    views = {key: column for key, column in names.items() if key != _LABELS}
    texts = [column for column in views.values() if table.columns[column] == "text"]
    for key, column in views.items():
        kind = table.columns[column]
        if kind not in ("features", "text"):
            hint = "; pyhash.encoders makes features of pictures" if kind == "image" else ""
            raise ValueError(f"names[{key!r}] must be a column of features or text, got {column!r} of {kind}{hint}")
    if len(texts) > 1:
        raise ValueError(f"names must hold at most one column of text, got {', '.join(map(repr, texts))}")
    return views, {_CLASSES: names[_LABELS]}


def _read(table: Table, columns: list[str]) -> dict[str, Any]:
    """Return all rows of some columns."""
    parts: dict[str, list[Any]] = {name: [] for name in columns}
    for chunk in table.chunks(_READ_ROWS, columns):
        for name, values in chunk.items():
            parts[name].append(values)
    if not parts[columns[0]]:
        raise ValueError(f"{table.name} must have rows, got none")
    joined: dict[str, Any] = {}
    for name in columns:
        arrays = parts.pop(name)
        is_array = isinstance(arrays[0], np.ndarray)
        joined[name] = np.concatenate(arrays) if is_array else [value for part in arrays for value in part]
    return joined


def _is_split(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == np.bool_


def _labels(where: str, kind: str, values: Any, known: list[str] | None) -> tuple[NDArray[Any], list[str]]:
    """Return class indices (n,) or a 0/1 matrix (n, n_classes), and the names of the classes."""
    if kind == "features":
        try:
            matrix = check_label_matrix(where, values)
        except ValueError as error:
            raise ValueError(f"{error}; labels are 0/1 vectors, lists of names or one label a row") from None
        return matrix.astype(np.uint8), class_names(matrix.shape[1])
    is_single = kind != "labels"
    rows = [[value] for value in list(values)] if is_single else values
    if is_single:
        missing = np.flatnonzero([value is None or value != value for value in list(values)])
        if missing.size:
            raise ValueError(f"{where} must have a label in each row, got none in {name_rows(missing)}")
    classes = known or sorted({value for row in rows for value in row})
    if not classes:
        raise ValueError(f"{where} must hold at least one label, got none")
    index = {name: c for c, name in enumerate(classes)}
    names = [str(name) for name in classes]
    if is_single:
        return np.array([index[row[0]] for row in rows], dtype=np.int64), names
    matrix = np.zeros((len(rows), len(classes)), dtype=np.uint8)
    for i, row in enumerate(rows):
        matrix[i, [index[name] for name in row]] = 1
    return matrix, names


def _items(values: Any) -> NDArray[Any] | None:
    """Return values of rows that a file can hold, None for others."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
        return values
    if not all(isinstance(value, str) for value in values):
        return None
    width = 4 * max(map(len, values))  # of UTF-32
    return np.asarray(list(values), dtype=np.str_) if width * len(values) <= _MAX_ITEM_BYTES else None
