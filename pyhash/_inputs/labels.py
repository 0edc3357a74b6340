"""Checks of labels: one class index for each sample, or a 0/1 matrix, dense, sparse or a data frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import as_array, as_rows, check_numeric, is_sparse
from pyhash._inputs.frames import is_sparse_frame

# Larger class indices are a mistake, such as hashes or item numbers.
MAX_CLASSES = 1 << 24
# If the number of classes is inferred from labels, up to _MAX_UNQUESTIONED are always accepted. More need at least one
# distinct index for every _MAX_CLASSES_PER_INDEX classes, however many rows there are.
_MAX_UNQUESTIONED = 1000
_MAX_CLASSES_PER_INDEX = 4


def name_rows(rows: NDArray[np.intp], first_row: int = 0) -> str:
    """Return rows as text for an error message: the first five, and how many more there are."""
    shown = ", ".join(str(first_row + int(row)) for row in rows[:5])
    noun = "row" if len(rows) == 1 else "rows"
    return f"{noun} {shown}" + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def is_class_indices(name: str, labels: object) -> bool:
    """Return whether `labels` are class indices (n,) rather than a matrix."""
    return not (is_sparse(labels) or is_sparse_frame(labels)) and as_array(name, labels).ndim == 1


def check_class_indices(
    name: str,
    labels: object,
    n_classes: int | None = None,
    first_row: int = 0,
    hint: str = "",
    *,
    allow_unknown: bool = False,
) -> NDArray[np.int64]:
    """Return class indices (n,); raise unless each is in [0, n_classes), or -1 for an unknown class if that is allowed.

    `hint` ends the message.
    """
    array = as_array(name, labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be class indices of an integer dtype, got {array.dtype}")
    end = MAX_CLASSES if n_classes is None else n_classes
    classes: NDArray[np.int64] = array.astype(np.int64)  # what does not fit turns negative
    wrong = np.flatnonzero((classes < 0) & ~(allow_unknown & (array == -1)) | (classes >= end))
    if wrong.size:
        unknown = ", or -1 for a class that is not known" if allow_unknown and array[wrong[0]] < 0 else ""
        raise ValueError(
            f"{name} must be class indices from 0 to {end - 1}{unknown}, got {array[wrong[0]]} "
            f"in {name_rows(wrong, first_row)}{hint}"
        )
    return classes


def count_class_indices(name: str, classes: NDArray[np.int64], hint: str = ", pass n_classes", n_known: int = 0) -> int:
    """Return the greatest class index plus 1; raise if it is far above the number of distinct ones and known classes.

    Memory and time grow with the number of classes, and such indices are most likely a mistake, for example ids in
    place of labels. `hint` ends the message.
    """
    n_classes = int(classes.max(initial=-1)) + 1
    if n_classes <= max(_MAX_UNQUESTIONED, n_known):
        return n_classes
    n_distinct = len(np.unique(classes))
    if n_classes > n_known + _MAX_CLASSES_PER_INDEX * n_distinct:
        row = int(np.argmax(classes))
        raise ValueError(
            f"{name} must be class indices counted from 0, got {n_classes - 1} in row {row} where {len(classes)} rows "
            f"have {n_distinct} distinct ones; relabel them by numpy.unique(labels, return_inverse=True)[1], "
            f"or, if there are {n_classes} classes{hint}"
        )
    return n_classes


def check_label_matrix(
    name: str, labels: object, n_classes: int | None = None, first_row: int = 0
) -> NDArray[np.bool_]:
    """Return a 0/1 matrix (n, n_classes), dense or sparse, as a dense boolean array."""
    rows = as_rows(name, labels)
    array: NDArray[Any] = rows.toarray() if is_sparse(rows) else rows
    check_numeric(name, array)
    if array.ndim != 2 or array.shape[1] == 0 or (n_classes is not None and array.shape[1] != n_classes):
        raise ValueError(f"{name} must have shape (n,) or (n, {n_classes or 'n_classes'}), got {array.shape}")
    wrong = np.flatnonzero(((array != 0) & (array != 1)).any(axis=1))
    if wrong.size:
        raise ValueError(f"{name} must hold only 0 and 1, wrong in {name_rows(wrong, first_row)}")
    matrix: NDArray[np.bool_] = array != 0
    return matrix


def one_hot(classes: NDArray[np.int64], n_classes: int) -> NDArray[np.bool_]:
    """Return class indices as a 0/1 matrix (n, n_classes); the rows of -1 are zero."""
    matrix = np.zeros((len(classes), n_classes), dtype=bool)
    known = np.flatnonzero(classes >= 0)
    matrix[known, classes[known]] = True
    return matrix
