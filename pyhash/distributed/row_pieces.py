"""Rows of dask arrays, checked and cut into pieces that tasks take; blocks may be dense or of scipy.sparse."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import is_sparse

if TYPE_CHECKING:
    from dask.array import Array
    from dask.delayed import Delayed


def is_dask_array(value: object) -> bool:
    """Return whether `value` is an array of dask."""
    from dask.array import Array

    return isinstance(value, Array)


def check_dask_rows(name: str, value: Any) -> Array:
    """Return a dask array whose numbers of rows are known.

    Raises
    ------
    TypeError
        If it is anything else, such as a data frame.
    ValueError
        If it has no dimension, or the numbers of rows of its blocks are not known.
    """
    if not is_dask_array(value):
        hint = "; dask.array.from_array(x, chunks=(100_000, -1)) makes one of an array in memory"
        if hasattr(value, "to_dask_array"):
            hint = "; call .to_dask_array(lengths=True) on it"
        raise TypeError(f"{name} must be a dask array, got {type(value).__name__}{hint}")
    if value.ndim == 0:
        raise ValueError(f"{name} must have rows, got an array without dimensions")
    if np.isnan(value.shape).any():
        raise ValueError(
            f"{name} must have blocks of known sizes, got shape {value.shape}; call .compute_chunk_sizes() on it"
        )
    array: Array = value
    return array


def aligned(sizes: Sequence[int], multiple: int) -> tuple[int, ...]:
    """Return sizes of blocks near those given, which all start at a multiple of some number of rows."""
    ends = np.cumsum(sizes)
    starts = np.unique([0, *(-(-ends[:-1] // multiple) * multiple)])
    return tuple(np.diff([*starts[starts < max(1, ends[-1])], ends[-1]]).tolist())


def cut_rows(array: Array, bounds: Sequence[int]) -> list[Delayed]:
    """Return the rows between each two neighbouring bounds, ascending, as delayed pieces.

    Slices are taken where the blocks are, so that no more than the rows of a piece travel.
    """
    from dask import delayed

    blocks = array.to_delayed()
    blocks = blocks.reshape(len(blocks), -1)
    ends = np.cumsum([0, *array.chunks[0]]).tolist()
    join = delayed(join_rows, pure=False)
    pieces = []
    for start, stop in pairwise(bounds):
        parts: list[list[Any]] = []
        # A piece without rows is no rows of some block.
        for i in range(bisect_right(ends, start) - 1, bisect_left(ends, stop)) or [0]:
            rows = slice(max(start - ends[i], 0), min(stop, ends[i + 1]) - ends[i]) if start < stop else slice(0)
            is_whole = rows == slice(0, ends[i + 1] - ends[i])
            parts.append([block if is_whole else block[rows] for block in blocks[i]])
        pieces.append(parts[0][0] if len(parts) == len(parts[0]) == 1 else join(parts))
    return pieces


def join_rows(parts: list[list[Any]]) -> Any:
    """Return the rows of blocks that follow each other in rows (outer lists) and in columns (inner lists)."""
    if len(parts) == len(parts[0]) == 1:
        return parts[0][0]
    if any(is_sparse(block) for part in parts for block in part):
        from scipy.sparse import block_array

        return block_array(parts, format="csr")
    if parts[0][0].ndim == 1:
        return np.concatenate([block for part in parts for block in part])
    return np.concatenate([part[0] if len(part) == 1 else np.concatenate(part, axis=1) for part in parts])
