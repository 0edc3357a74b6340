"""Payloads as tables of Arrow: columns as users give them, and tables whose columns fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyhash._extras import require
from pyhash._inputs.frames import is_frame

# The column of the ids in files; users' columns have other names.
ID = "pyhash:id"


def arrow() -> Any:
    """Return pyarrow; raise an ImportError that names the extra where it is not installed."""
    return require("pyarrow", "payloads of a Retriever", "arrow")


def payload_table(payload: Any, n: int) -> Any:
    """Return a payload of `n` rows as a pyarrow.Table.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    TypeError
        If it is neither a mapping of columns, nor a data frame, nor a table of Arrow, or Arrow cannot hold a column.
    ValueError
        If it has another number of rows, or names of columns that are not unique or reserved.
    """
    pa = arrow()
    if isinstance(payload, pa.RecordBatch):
        table = pa.Table.from_batches([payload])
    elif isinstance(payload, pa.Table):
        table = payload
    elif is_frame(payload) and hasattr(payload, "columns"):
        table = payload.to_arrow() if hasattr(payload, "to_arrow") else _of_pandas(pa, payload)
    elif isinstance(payload, Mapping):
        columns = {name: _column(pa, name, values) for name, values in payload.items()}
        for name, column in columns.items():
            if len(column) != n:
                raise ValueError(f"payload[{name!r}] must have {n} values, one for each row, got {len(column)}")
        table = pa.table(columns)
    else:
        raise TypeError(
            f"payload must be a mapping of columns, a data frame or a pyarrow.Table, got {type(payload).__name__}"
        )
    if table.num_columns and table.num_rows != n:
        raise ValueError(f"payload must have {n} rows, one for each row of items, got {table.num_rows}")
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"payload must have columns of different names, {name!r} is there {names.count(name)} times"
            )
        if name == ID:
            raise ValueError(f"payload must not have a column {ID!r}, which files keep the ids in")
    return pa.table({name: _plain(pa, table[name]) for name in names})


def _of_pandas(pa: Any, frame: Any) -> Any:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(f"payload must hold values that Arrow can hold: {error}") from None


def _column(pa: Any, name: object, values: Any) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"payload must have names of columns of type str, got {name!r}")
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise TypeError(f"payload[{name!r}] must be a sequence with a value for each row, got {type(values).__name__}")
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if hasattr(values, "to_arrow"):  # a series of polars
        return values.to_arrow()
    if getattr(values, "ndim", 1) > 1:
        values = list(values)
    try:
        return pa.array(values, from_pandas=True if is_frame(values) else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise TypeError(f"payload[{name!r}] must hold values of one type that Arrow can hold: {error}") from None


def _plain(pa: Any, column: Any) -> Any:
    """Return a column without dictionaries and views, of which there are too many kinds to fit each other."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if kind == pa.string_view():
        return column.cast(pa.string())
    if kind == pa.binary_view():
        return column.cast(pa.binary())
    return column


def fitted(table: Any, schema: Any) -> tuple[Any, Any]:
    """Return a table with the types of a schema where it has the column, and the schema with all columns of both.

    Raises
    ------
    TypeError
        If the values of a column do not fit the type of the schema; the message names it.
    """
    pa = arrow()
    columns, types = {}, dict(zip(schema.names, schema.types, strict=True))
    for name in table.column_names:
        column, known = table[name], types.get(name)
        if known is None or holds_nulls_alone(pa, known):
            types[name] = column.type
        elif column.type != known:
            column = _cast(pa, name, column, known)
        columns[name] = column
    return pa.table(columns), pa.schema(list(types.items()))


def holds_nulls_alone(pa: Any, kind: Any) -> bool:
    """Return whether values of a type are null, or lists of such, which were without any item so far."""
    return bool(pa.types.is_null(kind) or (is_list(pa, kind) and holds_nulls_alone(pa, kind.value_type)))


def is_list(pa: Any, kind: Any) -> bool:
    """Return whether values of a type are lists, whatever their offsets."""
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def _cast(pa: Any, name: str, column: Any, known: Any) -> Any:
    if pa.types.is_null(column.type) or _family(pa, column.type) in _fitting(pa, known):
        try:
            return column.cast(known)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TypeError(f"payload[{name!r}] must be {known}, as in the items before: {error}") from None
    raise TypeError(f"payload[{name!r}] must be {known}, as in the items before, got {column.type}")


def _family(pa: Any, kind: Any) -> str:
    """Return what values of a type are, whatever their width."""
    t = pa.types
    if is_list(pa, kind):
        return f"list of {_family(pa, kind.value_type)}"
    families = {
        "integer": t.is_integer(kind),
        "floating": t.is_floating(kind),
        "text": t.is_string(kind) or t.is_large_string(kind),
        "bytes": t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind),
        "timestamp": t.is_timestamp(kind) and kind.tz is None,
        "timestamp with time zone": t.is_timestamp(kind) and kind.tz is not None,
    }
    return next((name for name, holds in families.items() if holds), str(kind))


def _fitting(pa: Any, known: Any) -> set[str]:
    family = _family(pa, known)
    return {family, family.replace("floating", "integer"), "list of null" if family.startswith("list of") else family}


def with_schema(table: Any, schema: Any) -> Any:
    """Return a table with all columns of a schema, in its order; those that it lacks are null."""
    pa = arrow()
    names = set(table.column_names)
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        column = table[name] if name in names else pa.nulls(table.num_rows, kind)
        columns.append(column if column.type == kind else column.cast(kind))
    return pa.Table.from_arrays(columns, schema=schema)
