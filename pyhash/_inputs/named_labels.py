"""Labels by name: strings, ids and other values in place of class indices."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyhash._inputs.checks import as_array, as_rows, is_sparse
from pyhash._inputs.frames import is_frame, is_series, series_objects

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

# What a file can hold and give back equal; tuples hold such values again.
Label: TypeAlias = Any  # str, int, float, bool, bytes or a tuple of these

# Integers that Python writes and reads as text without a limit of digits.
_MAX_INT_BITS = 1024
_MAX_DEPTH = 8  # of tuples in tuples
_NUMERIC = "biufc"
_NAMED = "OUST"  # dtypes of labels by name: objects, and the three of strings


def label_rows(name: str, labels: object) -> Features:
    """Return labels as an array or a csr_array whose rows can be sliced; values are not checked.

    Labels by name become an array (n,) of objects. A row without a label has None there, a row with several a set.
    """
    if is_series(labels):
        objects = series_objects(labels)
        return as_rows(name, labels) if objects is None else objects
    if is_sparse(labels) or is_frame(labels):
        return as_rows(name, labels)
    if not isinstance(labels, (list, tuple)):
        rows = as_rows(name, labels)
        return rows.astype(object) if is_named(rows) else rows
    entries = list(labels)
    try:
        array = as_array(name, labels)
    except (TypeError, ValueError):
        if not _hold_names(entries):
            raise
    else:
        if array.dtype.kind not in _NAMED or not _hold_names(entries):
            return array
    # Entry by entry: numpy would turn numbers beside strings into strings, and tuples into rows of a matrix.
    return np.fromiter(entries, dtype=object, count=len(entries))


def _hold_names(entries: list[Any]) -> bool:
    """Return whether the entries of a list are labels by name, rather than numbers or rows of a matrix."""
    names = (str, bytes, tuple, set, frozenset)
    return any(
        isinstance(entry, names)
        or not hasattr(entry, "__len__")
        or (isinstance(entry, list) and any(isinstance(label, str) for label in entry))
        for entry in entries
    )


def is_named(rows: Features) -> bool:
    """Return whether rows of labels, as ``label_rows`` gives them, hold labels by name."""
    return not is_sparse(rows) and rows.ndim == 1 and rows.dtype.kind in _NAMED


def labels_of_entry(name: str, entry: object, where: str) -> list[Label]:
    """Return the labels of one row, checked: none, one, or those of a set in an order that does not change.

    Errors say `where` the entry is.
    """
    if isinstance(entry, (set, frozenset)):
        if all(type(label) is str for label in entry):  # the common case, quickly
            return sorted(entry)
        labels = [check_label(name, label, where) for label in entry if not is_missing(label)]
        return labels if len(labels) < 2 else sorted(labels, key=_sorting_key)
    return [] if is_missing(entry) else [check_label(name, entry, where)]


def is_missing(label: object) -> bool:
    """Return whether this stands for no label: None, NaN, and the missing values of pandas."""
    if label is None:
        return True
    if isinstance(label, (float, np.floating)):
        return bool(np.isnan(label))
    pandas = sys.modules.get("pandas")
    return pandas is not None and (label is getattr(pandas, "NA", None) or label is getattr(pandas, "NaT", None))


def check_label(name: str, label: object, where: str, depth: int = 0) -> Label:
    """Return a label as a value that a file can keep; numbers and strings of numpy become those of Python.

    Raises
    ------
    TypeError
        If it is of another type.
    ValueError
        If it is not finite, or an integer of more than 1024 bits.
    ValueError
        If tuples are nested more than 8 deep.
    """
    if isinstance(label, np.generic):
        label = label.item()
    if type(label) in (str, bool, bytes):
        return label
    if type(label) is int:
        if label.bit_length() > _MAX_INT_BITS:
            raise ValueError(f"{name} must have integers of at most {_MAX_INT_BITS} bits, got a larger one in {where}")
        return label
    if type(label) is float:
        if not math.isfinite(label):
            raise ValueError(f"{name} must be finite where they are numbers, got {label} in {where}")
        return label
    if type(label) is tuple:
        if depth == _MAX_DEPTH:
            raise ValueError(f"{name} must have tuples nested at most {_MAX_DEPTH} deep, got deeper ones in {where}")
        return tuple(check_label(name, part, where, depth + 1) for part in label)
    hint = "; several labels of a row are a set" if isinstance(label, (list, np.ndarray)) else ""
    raise TypeError(
        f"{name} must be str, int, float, bool, bytes or tuples of these, which files can keep, got "
        f"{type(label).__name__} in {where}{hint}"
    )


def _sorting_key(label: Label) -> tuple[str, Any]:
    # By type first, since values of several types have no order.
    return type(label).__name__, repr(label) if isinstance(label, tuple) else label


def label_to_json(label: Label) -> Any:
    """Return a checked label as JSON."""
    if isinstance(label, tuple):
        return {"tuple": [label_to_json(part) for part in label]}
    if isinstance(label, bytes):
        return {"bytes": base64.b64encode(label).decode()}
    return label


def label_from_json(stored: Any) -> Label:
    """Return the label that ``label_to_json`` gave.

    Raises
    ------
    TypeError, ValueError
        If the JSON is none of a label.
    """
    if isinstance(stored, Mapping):
        ((kind, value),) = stored.items()
        if kind == "tuple":
            return tuple(label_from_json(part) for part in value)
        if kind != "bytes":
            raise ValueError(f"a label must be stored as a tuple or bytes, got {kind!r}")
        return base64.b64decode(value, validate=True)
    return check_label("labels", stored, "a file")
