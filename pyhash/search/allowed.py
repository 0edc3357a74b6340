"""The argument `allowed`: which items a search may find."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array


def allowed_rows(allowed: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return row numbers of `n` rows, given as a mask or as row numbers.

    Raises
    ------
    TypeError
        If `allowed` holds neither booleans nor integers.
    ValueError
        If `allowed` is not a list, or as a mask not of length `n`.
        If a row number is not from 0 to n - 1.
    """
    given = check_allowed(allowed, n, "row numbers")
    if given.dtype == np.bool_:
        return np.flatnonzero(given)
    wrong = (given < 0) | (given >= n)
    if wrong.any():
        wanted = f"from 0 to {n - 1}" if n else "of 0 rows"
        raise ValueError(f"allowed must hold row numbers {wanted}, got {given[wrong][0]}")
    return given.astype(np.intp)


def check_allowed(allowed: ArrayLike, n: int, numbers: str) -> NDArray[Any]:
    """Return `allowed` as a mask (n,) or as integers of any size; `numbers` says what they are."""
    array = as_array("allowed", allowed)
    if array.size == 0 and array.dtype != np.bool_:
        array = array.astype(np.int64)
    wanted = f"allowed must be a boolean mask of shape ({n},) or a list of {numbers}"
    if array.dtype.kind not in "biu":
        raise TypeError(f"{wanted}, got {array.dtype} of shape {array.shape}")
    if array.ndim != 1:
        raise ValueError(f"{wanted}, got {array.dtype} of shape {array.shape}")
    if array.dtype == np.bool_ and len(array) != n:
        raise ValueError(f"allowed must have one value for each of the {n} codes, as a mask, got {len(array)}")
    return array
