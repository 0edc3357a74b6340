"""The files of one segment, and what they may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import n_bytes_of
from pyhash.index.manifest import StoredSegment, StoredTables
from pyhash.index.npy_file import Blocks, NpyFile, write_npy
from pyhash.search.row_mask import has_padding_bits, n_stored_bytes


class SegmentArrays(NamedTuple):
    """The arrays of a segment; see ``SegmentContent``."""

    codes: NDArray[np.uint8]
    ids: NDArray[np.int64]
    alive: NDArray[np.uint8] | None
    tables: NDArray[np.uint8] | None


class Tables(NamedTuple):
    """Substring tables, as the core gives and takes them.

    Attributes
    ----------
    n_tables : int
    with_codes : bool
    data : ndarray of shape (size,), uint8
    """

    n_tables: int
    with_codes: bool
    data: NDArray[np.uint8]

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    def are_stored_as(self, stored: StoredTables | None) -> bool:
        """Return whether these are the stored ones, given that both are of the same codes."""
        own = (self.n_tables, self.with_codes, self.size)
        return stored is not None and own == (stored.n_tables, stored.with_codes, stored.size)


@dataclass(frozen=True, eq=False)
class SegmentContent:
    """A segment to commit.

    Attributes
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), uint8, C-contiguous
        Packed codes, padding bits zero. May be a memory map.
    ids : ndarray of shape (n,), int64, contiguous
        Strictly ascending.
    alive : ndarray of shape (ceil(n / 8),), uint8, or None
        The row mask of those that are still there, as files keep it (see ``pyhash.search.row_mask``). None: all are.
    stored : StoredSegment or None
        The stored form that has these codes and ids, whatever its mask. It is used where the directory's last commit
        names it; else the segment is written.
    tables : Tables or None
        Substring tables of the codes. None: those that the stored form has stay.
    """

    codes: NDArray[np.uint8]
    ids: NDArray[np.int64]
    alive: NDArray[np.uint8] | None = None
    stored: StoredSegment | None = None
    tables: Tables | None = None

    def check(self, n_bits: int) -> None:
        """Raise if the arrays are not of these dtypes and shapes; their values are checked as they are written."""
        n = len(self.ids)
        _check_array("codes", self.codes, np.uint8, (n, n_bytes_of(n_bits)))
        _check_array("ids", self.ids, np.int64, (n,))
        if self.alive is not None:
            _check_array("alive", self.alive, np.uint8, (n_stored_bytes(n),))
        if self.tables is not None:
            _check_array("tables", self.tables.data, np.uint8, (self.tables.size,))


@dataclass(frozen=True)
class SegmentFiles:
    """The files of a stored segment, as the manifest describes them."""

    codes: NpyFile
    ids: NpyFile
    alive: NpyFile | None
    tables: NpyFile | None

    @classmethod
    def of(cls, directory: Path, segment: StoredSegment, n_bits: int) -> SegmentFiles:
        """Return the files that the manifest names."""
        n = segment.n
        bytes_, int64 = np.dtype(np.uint8), np.dtype(np.int64)
        alive = None
        if segment.alive is not None and segment.alive_crc is not None:
            check_alive = partial(_checked_alive, n=n)
            alive = NpyFile(directory / segment.alive, bytes_, (n_stored_bytes(n),), segment.alive_crc, check_alive)
        tables = None
        if segment.tables is not None:
            of = segment.tables
            tables = NpyFile(directory / of.name, bytes_, (of.size,), of.crc, iter)
        check_codes = partial(_checked_codes, n_bits=n_bits)
        shape = (n, n_bytes_of(n_bits))
        return cls(
            NpyFile(directory / segment.codes_file, bytes_, shape, segment.codes_crc, check_codes),
            NpyFile(directory / segment.ids_file, int64, (n,), segment.ids_crc, _checked_ids),
            alive,
            tables,
        )

    def load(self, *, mmap: bool, with_tables: bool) -> SegmentArrays:
        """Return the arrays, read only; with `mmap`, all but `alive` are mapped and only their sizes are checked."""
        alive = None if self.alive is None else self.alive.read()
        read = NpyFile.map if mmap else NpyFile.read
        tables = None if self.tables is None or not with_tables else read(self.tables)
        return SegmentArrays(read(self.codes), read(self.ids), alive, tables)

    def verify(self) -> None:
        """Check every byte."""
        for file in (self.codes, self.ids, self.alive, self.tables):
            if file is not None:
                file.verify()


def write_codes(path: Path, codes: NDArray[np.uint8], n_bits: int) -> int:
    """Write the codes of a segment; return the crc32 of the file."""
    return write_npy(path, codes, partial(_checked_codes, n_bits=n_bits))


def write_ids(path: Path, ids: NDArray[np.int64]) -> int:
    """Write the ids of a segment; return the crc32 of the file."""
    return write_npy(path, ids, _checked_ids)


def write_alive(path: Path, alive: NDArray[np.uint8], n: int) -> int:
    """Write the mask of a segment of `n` rows; return the crc32 of the file."""
    return write_npy(path, alive, partial(_checked_alive, n=n))


def write_tables(path: Path, tables: NDArray[np.uint8]) -> int:
    """Write the tables of a segment; return the crc32 of the file. Searches check what they read of them."""
    return write_npy(path, tables, iter)


# What a file may hold, checked block by block, on the way to the disk as on the way from there.


def _checked_codes(blocks: Iterable[NDArray[Any]], n_bits: int) -> Blocks:
    padding = n_bytes_of(n_bits) * 8 - n_bits
    for block in blocks:
        if padding and np.any(block[:, -1] >> (8 - padding)):
            raise ValueError(f"codes must have zero padding bits for n_bits={n_bits}, a row has set ones")
        yield block


def _checked_ids(blocks: Iterable[NDArray[Any]]) -> Blocks:
    last: int | None = None
    for block in blocks:
        if np.any(block[1:] <= block[:-1]) or (last is not None and block[0] <= last):
            raise ValueError("ids must be strictly ascending, they are not")
        last = int(block[-1])
        yield block


def _checked_alive(blocks: Iterable[NDArray[Any]], n: int) -> Blocks:
    block = None
    for block in blocks:
        yield block
    if block is not None and has_padding_bits(int(block[-1]), n):
        raise ValueError(f"alive must have zero padding bits for {n} rows, has set ones")


def _check_array(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} of a segment must be an array of {np.dtype(dtype)}, got {got}")
    if array.shape != shape or not array.flags.c_contiguous:
        layout = "" if array.flags.c_contiguous else ", not contiguous"
        raise ValueError(f"{name} of a segment must have shape {shape} and be contiguous, got {array.shape}{layout}")
