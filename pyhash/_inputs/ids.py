"""Checks of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import as_array
from pyhash._inputs.frames import is_frame

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

MIN_ID, MAX_ID = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def check_ids(ids: ArrayLike, n: int | None = None, *, unique: bool = False, of: str = "code") -> NDArray[np.int64]:
    """Ids as a new array (n,) of int64; with `n`, one for each of so many codes, or of what `of` names."""
    array = as_array("ids", ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got dtype {array.dtype}")
    if n is not None and array.shape != (n,):
        raise ValueError(f"ids must have shape ({n},), one for each {of}, got {array.shape}")
    if array.ndim != 1:
        raise ValueError(f"ids must have shape (n,), got {array.shape}")
    if array.size and int(array.max()) > MAX_ID:
        raise ValueError(f"ids must fit int64, got {array.max()}")
    checked = array.astype(np.int64)
    if unique and not np.all(checked[1:] > checked[:-1]):
        distinct, counts = np.unique(checked, return_counts=True)
        if len(distinct) < len(checked):
            raise ValueError(f"ids must be unique, {distinct[counts > 1][0]} was given {counts.max()} times")
    return checked


def check_instance_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    """Return the ids of things that several rows may show, as int64 or as strings (n,)."""
    array = np.asarray(ids) if is_frame(ids) else as_array(name, ids)  # as_array refuses a series of strings
    if array.size == 0:  # of an empty list
        array = array.astype(np.int64)
    if array.dtype.kind == "O" and all(isinstance(each, str) for each in array.flat):  # a column of a data frame
        array = array.astype(np.str_)
    if array.dtype.kind not in "iuU":
        raise TypeError(f"{name} must be integers or strings, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {array.shape}")
    if array.dtype.kind == "U":
        return array
    if array.size and int(array.max()) > MAX_ID:
        raise ValueError(f"{name} must fit int64, got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)
