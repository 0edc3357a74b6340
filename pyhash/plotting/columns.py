"""Checks of the numbers that a display is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pyhash._inputs.checks import as_array, check_numeric


def check_column(name: str, values: object, n: int | None = None, each: str = "") -> NDArray[Any]:
    """Numbers (n,), one for `each` of something; any n where none is given."""
    array = as_array(name, values)
    check_numeric(name, array)
    if array.ndim != 1 or (n is not None and len(array) != n):
        wanted = "(n,)" if n is None else f"({n},), one for each {each}"
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    return array


def check_same_keys(queries: Mapping[Any, Any], database: Mapping[Any, Any], of: str) -> None:
    """Refuses what are not two mappings of the same keys."""
    for name, codes in (("queries", queries), ("database", database)):
        if not isinstance(codes, Mapping):
            raise TypeError(f"{name} must be a mapping of {of} to codes, got {type(codes).__name__}")
    if not queries:
        raise ValueError("queries must hold at least one set of codes, got none")
    if set(queries) != set(database):
        raise ValueError(f"database must have the keys of queries, {list(queries)}, got {list(database)}")
