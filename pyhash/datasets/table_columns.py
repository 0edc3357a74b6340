"""Columns of a table: what each is, and its Arrow values as features, texts, pictures and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_finite
from pyhash.datasets.table_pictures import are_pictures, locate, starts_as_picture

Kind = Literal["features", "text", "image", "label", "labels", "number", "other"]
KINDS: tuple[str, ...] = get_args(Kind)
# Rows that are looked at where the type of a column does not tell its kind.
SAMPLE_ROWS = 100
LABEL_NAMES = ("label", "labels", "class", "category")
# Between several labels in one text.
_SEPARATORS = (";", "|")


@dataclass(frozen=True)
class Column:
    """A column: its kind, and for class numbers the names of the classes if they are known."""

    name: str
    kind: Kind
    class_names: tuple[str, ...] | None = None


def column_of(field: Any, declared: Any, sample: Any, folder: Path | None, kind: str | None) -> Column:
    """Return what a column is.

    `declared` is its entry in the metadata of Hugging Face, None if there is none; `sample` holds its first rows.
    Pictures are looked for in `folder`. A `kind` that the user gives goes before all.
    """
    feature = _declared_type(declared)
    items = declared[0] if isinstance(declared, list) and len(declared) == 1 else None
    items = declared.get("feature") if isinstance(declared, Mapping) else items
    class_names = _class_names(declared) or _class_names(items)
    if kind is None:
        if feature == "Image":
            kind = "image"
        elif class_names:
            kind = "label" if feature == "ClassLabel" else "labels"
        else:
            kind = _kind_of(field, sample, folder)
    return Column(field.name, kind, class_names)  # type: ignore[arg-type]


def declared_features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """Return the features that Hugging Face's `datasets` keeps in the metadata of a schema, by column; {} if none."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, Mapping) else {}


def _declared_type(declared: Any) -> Any:
    return declared.get("_type") if isinstance(declared, Mapping) else None


def _class_names(declared: Any) -> tuple[str, ...] | None:
    if _declared_type(declared) != "ClassLabel" or not isinstance(declared.get("names"), list):
        return None
    return tuple(map(str, declared["names"]))


def _kind_of(field: Any, sample: Any, folder: Path | None) -> str:
    from pyarrow import types

    kind = _storage(field.type)
    is_label = field.name.lower() in LABEL_NAMES
    if types.is_dictionary(kind):
        return "label"
    if _is_text(kind):
        values = [value for value in sample.to_pylist() if value is not None]
        if folder is not None and are_pictures(values, folder):
            return "image"
        if is_label:
            return "labels" if any(mark in value for value in values for mark in _SEPARATORS) else "label"
        return "text"
    if _is_integer(kind) and is_label:
        return "label"
    if _is_integer(kind) or types.is_floating(kind):
        return "number"
    if _is_binary(kind):
        values = [value for value in sample.to_pylist() if value is not None]
        return "image" if values and all(map(starts_as_picture, values)) else "other"
    if types.is_struct(kind):
        return "image" if {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"} else "other"
    return _kind_of_lists(kind, sample) if _is_list(kind) else "other"


def _kind_of_lists(kind: Any, sample: Any) -> str:
    from pyarrow import types

    leaf = kind
    while _is_list(leaf):
        leaf = _storage(leaf.value_type)
    if types.is_floating(leaf):
        return "features"
    is_flat = not _is_list(_storage(kind.value_type))
    if _is_integer(leaf):
        lengths = {len(values) for values in sample.to_pylist() if values is not None}
        return "labels" if is_flat and not types.is_fixed_size_list(kind) and len(lengths) > 1 else "features"
    return "labels" if is_flat and (_is_text(leaf) or types.is_dictionary(leaf)) else "other"


def _storage(kind: Any) -> Any:
    """Return the type that an extension type is stored as; other types as they are."""
    return getattr(kind, "storage_type", kind)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_integer(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_boolean(kind))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


# --- values -----------------------------------------------------------------------------------------------------------


def column_values(where: str, column: Column, array: Any, first_row: int, folder: Path | None) -> Any:
    """Return the values of some rows of a column, as its kind has them.

    `where` names the column in messages, `first_row` is the number of the first row there.
    """
    storage = getattr(array, "storage", array)
    if column.kind == "features":
        return _features(where, storage, first_row)
    if column.kind == "text":
        return _texts(where, storage)
    if column.kind == "image":
        return _images(where, storage, first_row, folder)
    if column.kind == "label":
        return _label(where, column, storage, first_row)
    if column.kind == "labels":
        return _labels(where, column, storage, first_row)
    return _numbers(where, storage) if column.kind == "number" else storage.to_pylist()


def _features(where: str, array: Any, first_row: int) -> NDArray[np.float32]:
    import pyarrow.compute as pc
    from pyarrow import types

    n, width = len(array), 1  # values of a row at this depth of the lists
    _check_present(where, array, width, first_row)
    while _is_list(array.type):
        if not types.is_fixed_size_list(array.type):
            lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
            unequal = np.flatnonzero(lengths != lengths[:1])
            if unequal.size:
                raise ValueError(
                    f"{where} must hold lists of one length, got {lengths[0]} values in row {first_row} and "
                    f"{lengths[unequal[0]]} in row {first_row + int(unequal[0]) // width}"
                )
        array = array.flatten()
        array = getattr(array, "storage", array)
        width = len(array) // max(n, 1)
        _check_present(where, array, max(width, 1), first_row)
    if not (_is_integer(array.type) or types.is_floating(array.type)):
        raise TypeError(f"{where} must hold numbers or lists of numbers to be features, got {array.type}")
    if width == 0:
        raise ValueError(f"{where} must hold lists of at least one number, got an empty one in row {first_row}")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False).reshape(n, width)
    check_finite(where, values, first_row)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, dtype=np.float32)
    if features.base is not None or not features.flags.writeable:
        features = features.copy()  # not a view of Arrow's memory, which keeps the whole chunk
    too_large = np.argwhere(~np.isfinite(features))
    if too_large.size:
        row, place = map(int, too_large[0])
        raise ValueError(
            f"{where} must hold numbers that float32 can hold, got {values[row, place]} in row {first_row + row}"
        )
    return features


def _check_present(where: str, array: Any, width: int, first_row: int) -> None:
    """Raise if a value is missing; every row of the table has `width` values of `array`."""
    if array.null_count:
        place = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise ValueError(f"{where} must have no missing values, got one in row {first_row + place // width}")


def _texts(where: str, array: Any) -> list[str | None]:
    from pyarrow import types

    kind = array.type.value_type if types.is_dictionary(array.type) else array.type
    if not _is_text(kind):
        raise TypeError(f"{where} must hold strings to be text, got {array.type}")
    texts: list[str | None] = array.to_pylist()
    return texts


def _images(where: str, array: Any, first_row: int, folder: Path | None) -> list[str | bytes | None]:
    from pyarrow import types

    if types.is_struct(array.type):
        rows = [row or {} for row in array.to_pylist()]
        pictures = [row.get("path") if row.get("bytes") is None else row["bytes"] for row in rows]
    elif _is_binary(array.type) or _is_text(array.type):
        pictures = array.to_pylist()
    else:
        raise TypeError(f"{where} must hold paths or bytes of files to be images, got {array.type}")
    images: list[str | bytes | None] = []
    for row, picture in enumerate(pictures, start=first_row):
        picture = picture or None
        images.append(locate(where, picture, row, folder) if isinstance(picture, str) else picture)
    return images


def _label(where: str, column: Column, array: Any, first_row: int) -> NDArray[Any]:
    """Return class numbers as int64 if none is missing and they have no names, else objects, None where missing."""
    from pyarrow import types

    kind = array.type.value_type if types.is_dictionary(array.type) else array.type
    if not (_is_text(kind) or _is_integer(kind)):
        raise TypeError(f"{where} must hold strings or integers to be one label a row, got {array.type}")
    if types.is_integer(kind) and column.class_names is None and not array.null_count:
        try:
            return np.asarray(array.to_pylist(), dtype=np.int64)
        except OverflowError:
            raise ValueError(f"{where} must hold labels that int64 can hold, got a greater one") from None
    values = array.to_pylist()
    labels = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        labels[i] = _name_of(where, column, value, first_row + i)
    return labels


def _labels(where: str, column: Column, array: Any, first_row: int) -> list[list[Any]]:
    """Return the labels of each row, an empty list where they are missing."""
    from pyarrow import types

    if _is_text(array.type):
        return [_cut(text) for text in array.to_pylist()]
    leaf = array.type.value_type if _is_list(array.type) else None
    leaf = leaf.value_type if leaf is not None and types.is_dictionary(leaf) else leaf
    if leaf is None or not (_is_text(leaf) or _is_integer(leaf)):
        raise TypeError(f"{where} must hold lists of strings or integers to be labels, got {array.type}")
    rows = []
    for i, values in enumerate(array.to_pylist(), start=first_row):
        names = [_name_of(where, column, value, i) for value in values or ()]
        rows.append([name for name in names if name is not None])
    return rows


def _cut(text: str | None) -> list[str]:
    """Return the labels in a text, between semicolons or bars."""
    if text is None:
        return []
    for mark in _SEPARATORS[1:]:
        text = text.replace(mark, _SEPARATORS[0])
    return [label.strip() for label in text.split(_SEPARATORS[0]) if label.strip()]


def _name_of(where: str, column: Column, value: Any, row: int) -> Any:
    """Return a label by name where the classes have names; -1 stands for a missing one there."""
    names = column.class_names
    if names is None or not isinstance(value, int):
        return None if value == "" else value
    if not -1 <= value < len(names):
        raise ValueError(f"{where} must hold classes from 0 to {len(names) - 1}, got {value} in row {row}")
    return None if value == -1 else names[value]


def _numbers(where: str, array: Any) -> NDArray[Any]:
    """Return numbers; with missing ones, as float64 with NaN in their place."""
    import pyarrow
    from pyarrow import types

    if not (_is_integer(array.type) or types.is_floating(array.type)):
        raise TypeError(f"{where} must hold numbers, got {array.type}")
    if array.null_count:
        try:
            array = array.cast("float64")
        except pyarrow.ArrowInvalid as error:  # of integers that float64 would round
            raise ValueError(
                f"{where} must hold numbers that float64 can hold where some are missing: {error}"
            ) from None
    numbers: NDArray[Any] = np.array(array.to_numpy(zero_copy_only=False))
    return numbers
