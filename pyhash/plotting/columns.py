"""Checks of the numbers given to a display."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pyhash._inputs.checks import as_array, check_numeric


def check_column(name: str, values: object, n: int | None = None, each: str = "") -> NDArray[Any]:
    """Return `values` as an array (n,) of numbers; `each` says in the message what they belong to."""
    array = as_array(name, values)
    check_numeric(name, array)
    if array.ndim != 1 or (n is not None and len(array) != n):
        wanted = "(n,)" if n is None else f"({n},), one for each {each}"
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    return array
