"""Data frames and series of pandas and polars as arrays, without importing either library."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_REAL = "biuf"


def is_frame(value: object) -> bool:
    """Return whether `value` is a data frame or series of pandas or polars."""
    return _is_of("pandas", value) or _is_of("polars", value)


def is_series(value: object) -> bool:
    """Return whether `value` is a series of pandas or polars."""
    return is_frame(value) and type(value).__name__ != "LazyFrame" and not hasattr(value, "columns")


def series_objects(series: Any) -> NDArray[np.object_] | None:
    """Return the values of a series that are not numbers, such as strings or categories, as objects (n,); else None."""
    dtype, _ = _of_polars(series) if _is_of("polars", series) else _of_pandas(series)
    if dtype is not None and dtype.kind in _REAL:
        return None
    return np.fromiter(series.to_list(), dtype=object, count=len(series))


def frame_rows(name: str, frame: Any) -> Any:
    """Return a data frame as (n, n_columns) and a series as (n,).

    A pandas frame of which all columns are sparse becomes a csr_array. Rows are taken by position: an index is ignored.
    Columns of one dtype keep it, columns of several become float64. Columns that are not numeric raise TypeError,
    missing values ValueError. NaN is left to the check of finite values.
    """
    if type(frame).__name__ == "LazyFrame":
        raise TypeError(f"{name} must be a DataFrame, got a LazyFrame; call .collect() on it")
    if not hasattr(frame, "columns"):
        return _values(name, "", frame)
    if is_sparse_frame(frame):
        return _sparse_rows(name, frame)
    # By position, since names of columns may repeat.
    is_pandas = _is_of("pandas", frame)
    series = (frame.iloc[:, j] if is_pandas else frame.to_series(j) for j in range(frame.shape[1]))
    columns = [_values(name, f" in column {label!r}", one) for label, one in zip(frame.columns, series, strict=True)]
    dtypes = {column.dtype for column in columns}
    # In column order, in which it is filled; whatever needs contiguous rows copies anyway.
    rows = np.empty(frame.shape, dtype=dtypes.pop() if len(dtypes) == 1 else np.float64, order="F")
    for j, column in enumerate(columns):
        rows[:, j] = column
    return rows


def is_sparse_frame(value: object) -> bool:
    """Return whether `value` is a pandas data frame of which all columns are sparse."""
    if not _is_of("pandas", value) or not hasattr(value, "columns") or value.shape[1] == 0:  # type: ignore[attr-defined]
        return False
    sparse = sys.modules["pandas"].SparseDtype
    return all(isinstance(dtype, sparse) for dtype in value.dtypes)  # type: ignore[attr-defined]


def _is_of(library: str, value: object) -> bool:
    if isinstance(value, np.ndarray):  # first, since most are, and searches of one query should be quick
        return False
    module = sys.modules.get(library)
    # A module that is still being imported has made no frames yet.
    kinds = tuple(getattr(module, kind) for kind in ("DataFrame", "Series", "LazyFrame") if hasattr(module, kind))
    return bool(kinds) and isinstance(value, kinds)


def _values(name: str, where: str, series: Any) -> NDArray[Any]:
    """Return the numbers of a series; `where` names its column in messages."""
    dtype, is_missing = _of_polars(series) if _is_of("polars", series) else _of_pandas(series)
    if dtype is None or dtype.kind not in _REAL:
        hint = "; .cat.codes of it are class indices" if str(series.dtype) == "category" else ""
        raise TypeError(f"{name} must hold real numbers, got dtype {series.dtype}{where}{hint}")
    if is_missing is not None and is_missing.any():
        row = int(np.flatnonzero(is_missing)[0])
        raise ValueError(f"{name} must have no missing values, got one in row {row}{where}")
    return np.asarray(series, dtype=dtype)


def _of_polars(series: Any) -> tuple[np.dtype[Any] | None, NDArray[np.bool_] | None]:
    """Return the numpy dtype of a series, None if it has none, and which values are missing, None if none are."""
    kind = series.dtype
    # Of an empty copy, since nulls would turn integers into floats.
    dtype = series.clear().to_numpy().dtype if kind.is_numeric() or kind == sys.modules["polars"].Boolean else None
    return dtype, series.is_null().to_numpy() if series.null_count() else None


def _of_pandas(series: Any) -> tuple[np.dtype[Any] | None, NDArray[np.bool_] | None]:
    """Return the numpy dtype of a series, None if it has none, and which values are missing, None if none are."""
    kind = series.dtype
    if isinstance(kind, np.dtype):
        return kind, None
    if isinstance(kind, sys.modules["pandas"].SparseDtype):
        return np.dtype(kind.subtype), None
    # Nullable and Arrow columns hold missing values beside their numbers.
    dtype = getattr(kind, "numpy_dtype", None)
    return dtype, np.asarray(series.isna(), dtype=bool)


def _sparse_rows(name: str, frame: Any) -> Any:
    from scipy.sparse import csr_array

    for label, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if dtype.subtype.kind not in _REAL:
            raise TypeError(f"{name} must hold real numbers, got dtype {dtype} in column {label!r}")
        if dtype.fill_value != 0:
            raise ValueError(
                f"{name} must have sparse columns whose fill value is 0, got {dtype.fill_value} in column {label!r}"
            )
    if len({dtype.subtype for dtype in frame.dtypes}) > 1:
        frame = frame.astype(sys.modules["pandas"].SparseDtype(np.float64, 0.0))
    return csr_array(frame.sparse.to_coo())
