"""Row masks: which rows of a set of codes a search may find.

Bit ``i % 8`` of byte ``i // 8`` belongs to row i. A mask has whole blocks of rows, as the core scans them
(``mask_bytes`` of csrc/core/hits.hpp); the bits after the last row are 0.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyhash import _core

RowMask: TypeAlias = NDArray[np.uint8]
Rows: TypeAlias = NDArray[np.intp]


def mask_of_rows(rows: NDArray[np.integer] | NDArray[np.bool_] | slice, n: int) -> RowMask:
    """Return the mask of `n` rows that lets these through: row numbers, n booleans, or a slice."""
    bits = np.zeros(8 * _core.mask_bytes(n), dtype=np.bool_)
    bits[:n][rows] = True
    return np.packbits(bits, bitorder="little")


def n_stored_bytes(n: int) -> int:
    """Return the number of bytes up to that of the last of `n` rows, as files keep them."""
    return (n + 7) // 8


def has_padding_bits(last: int, n: int) -> bool:
    """Return whether the last stored byte of a mask of `n` rows lets rows through that there are not."""
    return n % 8 > 0 and last >> (n % 8) > 0


def mask_of_bytes(stored: NDArray[np.uint8], n: int) -> RowMask:
    """Return the mask of `n` rows of which these are the stored bytes."""
    mask = np.zeros(_core.mask_bytes(n), dtype=np.uint8)
    mask[: len(stored)] = stored
    return mask


def bytes_of_mask(mask: RowMask, n: int) -> NDArray[np.uint8]:
    """Return the bytes of a mask that files keep."""
    return mask[: n_stored_bytes(n)]


def rows_of_mask(mask: RowMask, n: int) -> Rows:
    """Return the rows that a mask lets through, ascending."""
    return np.flatnonzero(np.unpackbits(mask, count=n, bitorder="little"))


def last_row_of_mask(mask: RowMask) -> int:
    """Return the last row that a mask lets through; there must be one."""
    byte = int(np.flatnonzero(mask)[-1])
    return 8 * byte + int(mask[byte]).bit_length() - 1


def is_in_mask(mask: RowMask, rows: Rows) -> NDArray[np.bool_]:
    """Return for each of the rows whether a mask lets it through."""
    return (mask[rows // 8] >> (rows % 8).astype(np.uint8) & 1).astype(np.bool_)


def mask_without(mask: RowMask, rows: Rows) -> RowMask:
    """Return a mask that lets these rows through no more."""
    kept: RowMask = mask.copy()
    bits = (np.uint8(1) << (rows % 8).astype(np.uint8)).astype(np.uint8)
    np.bitwise_and.at(kept, rows // 8, ~bits)
    return kept
