"""Checks of values that engines hold as bytes, one for each code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import is_iterable, n_bytes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_values(values: object) -> list[bytes]:
    """Return values that are bytes, one for each code."""
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not is_iterable(values):
        raise TypeError(f"values must be an iterable of bytes, one for each code, got {type(values).__name__}")
    rows = list(values)
    for i, row in enumerate(rows):
        if not isinstance(row, (bytes, bytearray, memoryview)):
            raise TypeError(f"values must be an iterable of bytes, row {i} is of type {type(row).__name__}")
    return [bytes(row) for row in rows]


def joined_values(rows: list[bytes], n_bits: int, n_before: int = 0) -> NDArray[np.uint8]:
    """Return the bytes of values from `n_before` on, as a matrix; read only."""
    n_bytes = n_before + n_bytes_of(n_bits)
    for i, row in enumerate(rows):
        if len(row) != n_bytes:
            raise ValueError(f"values must be of {n_bytes} bytes for n_bits={n_bits}, row {i} is of {len(row)}")
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), n_bytes)[:, n_before:]
