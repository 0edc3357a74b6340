"""Filters of a search by values of the payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._extras import require
from pyhash.retriever.payload_tables import arrow, holds_nulls_alone


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
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    try:
        wanted = pa.array([_plain(value) for value in values], type=kind.value_type if is_list else kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise ValueError(f"where[{name!r}] must be a value of the column, of type {kind}, or a list: {error}") from None
    if not is_list:
        return _as_mask(compute.is_in(column, value_set=wanted))
    matching = np.zeros(len(column), dtype=bool)
    start = 0
    for chunk in column.chunks:
        is_wanted = _as_mask(compute.is_in(compute.list_flatten(chunk), value_set=wanted.filter(wanted.is_valid())))
        rows = compute.list_parent_indices(chunk).to_numpy()
        matching[start + rows[is_wanted]] = True
        start += len(chunk)
    if wanted.null_count:
        matching |= _as_mask(compute.is_null(column))
    return matching


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _as_mask(of_arrow: Any) -> NDArray[np.bool_]:
    return np.asarray(of_arrow.to_numpy(zero_copy_only=False) if hasattr(of_arrow, "type") else of_arrow).astype(bool)


def _of_expression(table: Any, where: Any) -> NDArray[np.bool_]:
    pa = arrow()
    dataset = require("pyarrow.dataset", "filters by an expression", "arrow")
    row = "pyhash:row"
    numbered = table.append_column(row, pa.array(np.arange(table.num_rows)))
    try:
        kept = dataset.dataset(numbered).to_table(columns=[row], filter=where)[row]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise ValueError(f"where must be an expression of the columns of the payload: {error}") from None
    matching = np.zeros(table.num_rows, dtype=bool)
    matching[kept.to_numpy()] = True
    return matching
