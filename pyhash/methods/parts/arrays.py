"""Types of the arrays that methods compute with, and of what a file keeps of a model; packed triangles."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]
Signs: TypeAlias = NDArray[np.int8]  # -1 and +1
Fields: TypeAlias = dict[str, Any]  # of a file's JSON header
Arrays: TypeAlias = dict[str, NDArray[Any]]  # of a file, by name

_ROWS_PER_BLOCK = 256


def pack_triangle(G: Matrix) -> NDArray[np.float64]:
    """Return the upper triangle of a symmetric matrix (d, d), row by row: (d (d + 1) / 2,)."""
    return np.concatenate([row[i:] for i, row in enumerate(G)])


def unpack_triangle(packed: NDArray[np.float64], d: int) -> Matrix:
    """Return the symmetric matrix (d, d) of a packed triangle."""
    G = np.empty((d, d))
    start = 0
    for i in range(d):
        G[i, i:] = packed[start : start + d - i]
        start += d - i
    for start in range(0, d, _ROWS_PER_BLOCK):
        stop = start + _ROWS_PER_BLOCK
        on_diagonal = np.triu(G[start:stop, start:stop])
        G[start:stop, start:stop] = on_diagonal + np.triu(on_diagonal, 1).T
        G[stop:, start:stop] = G[start:stop, stop:].T
    return G
