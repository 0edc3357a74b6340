"""Rows of ids and codes in the binary form of PostgreSQL's ``COPY``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import n_bytes_of
from pyhash.interop.msb import from_msb_bytes, to_msb_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhash.interop.code_table import Ids, Rows

# A signature, flags and the length of further fields; the rows; and -1 as the number of columns, which ends them.
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_READ_BYTES = 1 << 20


def _id_layout() -> list[Any]:
    return [("n_columns", ">i2"), ("id_bytes", ">i4"), ("id", ">i8")]


def _row_layout(n_bits: int) -> list[Any]:
    """Return the fields of a row: the number of columns, and each value after its length; bit(n) tells n itself."""
    return [*_id_layout(), ("code_bytes", ">i4"), ("n_bits", ">i4"), ("code", np.uint8, (n_bytes_of(n_bits),))]


def copied(blocks: Iterable[Rows], n_bits: int) -> Iterator[bytes]:
    """Iterate over the bytes of rows of (bigint, bit(n))."""
    yield _HEAD
    for ids, codes in blocks:
        rows = np.empty(len(ids), dtype=_row_layout(n_bits))
        rows["n_columns"], rows["id_bytes"], rows["id"] = 2, 8, ids
        rows["code_bytes"], rows["n_bits"], rows["code"] = 4 + codes.shape[1], n_bits, to_msb_bytes(codes, n_bits)
        yield rows.tobytes()
    yield _END


def rows_of_copy(chunks: Iterable[Any], n_bits: int) -> Iterator[Rows]:
    """Iterate over the rows of (bigint, bit(n)), without NULL, that these bytes hold."""
    for rows in _parsed(chunks, _row_layout(n_bits)):
        yield rows["id"].astype(np.int64), from_msb_bytes(rows["code"], n_bits)


def ids_of_copy(chunks: Iterable[Any]) -> Iterator[Ids]:
    """Iterate over the rows of (bigint,), without NULL, that these bytes hold."""
    for rows in _parsed(chunks, _id_layout()):
        yield rows["id"].astype(np.int64)


def _parsed(chunks: Iterable[Any], layout: list[Any]) -> Iterator[NDArray[Any]]:
    dtype = np.dtype(layout)
    waiting, n_before = bytearray(), len(_HEAD)
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= n_before + max(_READ_BYTES, dtype.itemsize):
            yield _taken(waiting, n_before, dtype)
            n_before = 0
    yield _taken(waiting, n_before, dtype)


def _taken(waiting: bytearray, n_before: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Take the whole rows away from the bytes, and what comes before them."""
    n = (len(waiting) - n_before) // dtype.itemsize
    end = n_before + n * dtype.itemsize
    rows = np.frombuffer(bytes(waiting[n_before:end]), dtype=dtype)
    del waiting[:end]
    return rows
