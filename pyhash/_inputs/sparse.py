"""Sparse matrices from stored arrays, which scipy's routines trust."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def checked_sparse(
    form: Literal["csr", "csc"],
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    shape: tuple[int, int],
) -> Any:
    """Return the csr_array or csc_array of three arrays that come from a file.

    scipy's own check passes over an `indptr` that rises and ends in 0, and its products then read beyond the ends of
    the arrays. Entries after the last one that `indptr` counts are dropped.

    Raises
    ------
    ValueError
        If the arrays are not those of a sparse matrix of this shape.
    """
    from scipy.sparse import csc_array, csr_array

    for name, part in (("data", data), ("indices", indices), ("indptr", indptr)):
        if part.ndim != 1:
            raise ValueError(f"{name} must be of 1 dimension, got shape {part.shape}")
        if name != "data" and part.dtype.kind not in "iu":
            raise ValueError(f"{name} must hold integers, got {part.dtype}")
    if min(shape) < 0:
        raise ValueError(f"the shape must not be negative, got {shape}")
    n_major, n_minor = shape if form == "csr" else shape[::-1]
    if len(indptr) != n_major + 1:
        raise ValueError(f"indptr must have {n_major + 1} entries for shape {shape}, got {len(indptr)}")
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr must start with 0 and must not decrease")
    n_entries = int(indptr[-1])
    if len(data) != len(indices) or len(data) < n_entries:
        raise ValueError(
            f"indptr must end with the number of entries, got {n_entries} where there are {len(indices)} indices "
            f"and {len(data)} values"
        )
    data, indices = data[:n_entries], indices[:n_entries]
    if n_entries and (indices.min() < 0 or indices.max() >= n_minor):
        raise ValueError(f"indices must be from 0 to {n_minor - 1}, got {indices.min()} to {indices.max()}")
    kind = csr_array if form == "csr" else csc_array
    signed = [part if part.dtype.kind == "i" else part.astype(np.int64) for part in (indices, indptr)]
    return kind((data, *signed), shape=shape)
