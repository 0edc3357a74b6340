"""The header of an .npy file, read without trusting it."""

from __future__ import annotations

from typing import IO, Any

import numpy as np


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and dtype, and leave the file at its first value.

    Raises
    ------
    ValueError
        If the header is damaged.
        If the format version is not 1.0.
        If the values are in Fortran order.
        If the values are neither numbers nor text.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"its npy version must be 1.0, got {version[0]}.{version[1]}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # a damaged header fails in many ways: length, text, syntax, types
        raise ValueError(f"not a whole .npy file: {error or type(error).__name__}") from error
    if fortran_order:
        raise ValueError(f"its values must be in C order, got {dtype} of shape {shape} in Fortran order")
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise ValueError(f"its values must be numbers or text, got {'Python objects' if dtype.hasobject else dtype}")
    return shape, dtype
