"""Filters of a search by values of the payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._extras import require
from pyhash._inputs.named_labels import is_missing
from pyhash.retriever.payload_tables import ID, arrow, holds_nulls_alone, is_list


def matching_rows(table: Any, where: object) -> NDArray[np.bool_]:
    """Return which rows (n,) of a pyarrow.Table a filter lets through.

    Raises
    ------
    TypeError
        If `where` is neither a mapping of columns to values nor an expression of Arrow.
    ValueError
        If there is no such column, or a value does not fit its type.
    """
    compute = require("pyarrow.compute", "payloads of a Retriever", "arrow")
    if isinstance(where, compute.Expression):
        return _of_expression(table, where)
    if not isinstance(where, Mapping):
        raise TypeError(
            "where must be a mapping of columns to a value or a list of values, or a pyarrow.compute.Expression, got "
            f"{type(where).__name__}"
        )
    matching = np.ones(table.num_rows, dtype=bool)
    for name, wanted in where.items():
        if name not in table.column_names:
            columns = ", ".join(map(repr, table.column_names))
            raise ValueError(f"where must be of columns of the payload, {columns}, got {name!r}")
        values = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset, np.ndarray)) else [wanted]
        matching &= _of_column(compute, name, table[name], values)
    return matching


def _of_column(compute: Any, name: str, column: Any, values: list[Any]) -> NDArray[np.bool_]:
    """Return which values of a column are among some; a list is, where one of its values is."""
    pa = arrow()
    kind = column.type
    if holds_nulls_alone(pa, kind):
        return _as_mask(compute.is_null(column)) & any(value is None for value in values)
    of_value = kind.value_type if is_list(pa, kind) else kind
    if not _can_be_compared(compute, pa, of_value):
        raise ValueError(f"where must be of columns whose values can be compared, {name!r} is of type {kind}")
    try:
        given = [_plain(pa, value) for value in values]
        wanted = pa.array(given, type=of_value)
        _check_whole(pa, wanted, given)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError) as error:
        raise ValueError(f"where[{name!r}] must be a value of the column, of type {kind}, or a list: {error}") from None
    if of_value is kind:
        return _as_mask(compute.is_in(column, value_set=wanted))
    matching = np.zeros(len(column), dtype=bool)
    start = 0
    for chunk in column.chunks:
        # A null list can have values beneath it, which the one function leaves out and the other counts.
        there = chunk.drop_null()
        is_wanted = _as_mask(compute.is_in(compute.list_flatten(there), value_set=wanted.filter(wanted.is_valid())))
        rows = np.flatnonzero(_as_mask(chunk.is_valid()))[compute.list_parent_indices(there).to_numpy()]
        matching[start + rows[is_wanted]] = True
        start += len(chunk)
    if wanted.null_count:
        matching |= _as_mask(compute.is_null(column))
    return matching


def _can_be_compared(compute: Any, pa: Any, kind: Any) -> bool:
    """Return whether Arrow looks values of a type up among others."""
    try:
        compute.is_in(pa.nulls(0, kind), value_set=pa.nulls(0, kind))
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return False
    return True


def _plain(pa: Any, value: Any) -> Any:
    """Return a value of NumPy as one of Python."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return pa.array(np.array([value]))[0].as_py()  # item() gives nanoseconds as integers
    return value.item() if isinstance(value, np.generic) else value


def _check_whole(pa: Any, wanted: Any, given: list[Any]) -> None:
    """Raise ValueError for a value that an integer or a time cannot hold: Arrow cuts it off, and finds another one."""
    if not (pa.types.is_integer(wanted.type) or pa.types.is_temporal(wanted.type)):
        return
    for held, value in zip(wanted.to_pylist(), given, strict=True):
        if held != value and not (held is None and is_missing(value)):
            raise ValueError(f"{value!r} would become {held!r}")


def _as_mask(of_arrow: Any) -> NDArray[np.bool_]:
    return np.asarray(of_arrow.to_numpy(zero_copy_only=False) if hasattr(of_arrow, "type") else of_arrow).astype(bool)


def _of_expression(table: Any, where: Any) -> NDArray[np.bool_]:
    pa = arrow()
    dataset = require("pyarrow.dataset", "filters by an expression", "arrow")
    numbered = table.append_column(ID, pa.array(np.arange(table.num_rows)))  # a name that no payload has
    try:
        kept = dataset.dataset(numbered).to_table(columns=[ID], filter=where)[ID]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise ValueError(f"where must be an expression of the columns of the payload: {error}") from None
    matching = np.zeros(table.num_rows, dtype=bool)
    matching[kept.to_numpy()] = True
    return matching
