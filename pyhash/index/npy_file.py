"""One .npy file of an index: written through to the disk, read or mapped, and checked on the way."""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyhash._files.npy import read_npy_header
from pyhash.errors import ModelFormatError

_BLOCK_BYTES = 1 << 22  # read or written at once: large for the disk, small for the memory

Blocks: TypeAlias = Iterator[NDArray[Any]]
# Yields the blocks that it is given; raises ValueError at the first that a file must not hold.
Check: TypeAlias = Callable[[Iterable[NDArray[Any]]], Blocks]


def write_npy(path: Path, array: NDArray[Any], check: Check) -> int:
    """Write a new .npy file through to the disk, and return its crc32.

    Raises
    ------
    FileExistsError
        If there is a file already.
    ValueError
        If `check` refuses the content.
    """
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    with open(path, "xb") as file:
        file.write(head.getvalue())
        crc = zlib.crc32(head.getvalue())
        for block in check(array[rows] for rows in _slices(array.shape, array.dtype)):
            crc = zlib.crc32(_as_bytes(block), crc)
            file.write(_as_bytes(block))
        file.flush()
        os.fsync(file.fileno())
    return crc


@dataclass(frozen=True)
class NpyFile:
    """An .npy file as the manifest describes it.

    Its methods raise ModelFormatError where the file is another one, and FileNotFoundError where it is missing.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    crc: int
    check: Check

    def map(self) -> NDArray[Any]:
        """Return its array, read only and mapped: nothing of it is read."""
        with self._opened() as (file, _):
            mapped = np.memmap(file, self.dtype, mode="r", offset=file.tell(), shape=self.shape)
        # As a plain array: slices of a memmap are slower, and behave as any other.
        return np.asarray(mapped)

    def read(self) -> NDArray[Any]:
        """Return its array, read only, with every byte of the file checked."""
        with self._opened() as (file, head_crc):
            array = np.empty(self.shape, dtype=self.dtype)
            self._read_into(file, head_crc, (array[rows] for rows in _slices(self.shape, self.dtype)))
        array.flags.writeable = False
        return array

    def verify(self) -> None:
        """Check every byte, in little memory."""
        with self._opened() as (file, head_crc):
            buffer = np.empty((_rows_per_block(self.shape, self.dtype), *self.shape[1:]), dtype=self.dtype)
            slices = _slices(self.shape, self.dtype)
            self._read_into(file, head_crc, (buffer[: rows.stop - rows.start] for rows in slices))

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], int]]:
        """Open the file at its first row, with header and size checked; yield it and the crc32 of the header."""
        try:
            with open(self.path, "rb") as file:
                yield file, self._check_header(file)
        except IsADirectoryError as error:
            raise ModelFormatError(f"{self.path} is not an .npy file: it is a directory") from error

    def _read_into(self, file: IO[bytes], head_crc: int, targets: Iterable[NDArray[Any]]) -> None:
        """Read all rows into `targets`, and check them and the crc32."""
        try:
            for _ in self.check(self._blocks(file, head_crc, targets)):
                pass
        except ModelFormatError:
            raise
        except ValueError as error:
            raise ModelFormatError(f"{self.path} is not valid: {error}") from error

    def _blocks(self, file: IO[bytes], crc: int, targets: Iterable[NDArray[Any]]) -> Blocks:
        for block in targets:
            if file.readinto(_as_bytes(block)) != block.nbytes:  # type: ignore[attr-defined]
                raise ModelFormatError(f"{self.path} was cut short while it was read")
            crc = zlib.crc32(_as_bytes(block), crc)
            yield block
        if crc != self.crc:
            raise ModelFormatError(f"{self.path} is damaged: its crc32 must be {self.crc}, got {crc}")

    def _check_header(self, file: IO[bytes]) -> int:
        try:
            shape, dtype = read_npy_header(file)
        except ValueError as error:
            raise ModelFormatError(f"{self.path} must hold {self._content}: {error}") from error
        if (shape, dtype) != (self.shape, self.dtype):
            raise ModelFormatError(f"{self.path} must hold {self._content}, got {dtype} of shape {shape}")
        # Before any memory is taken: what the header says may be more than there is.
        start = file.tell()
        size = os.fstat(file.fileno()).st_size
        wanted = start + math.prod(self.shape) * self.dtype.itemsize
        if size != wanted:
            raise ModelFormatError(f"{self.path} must have {wanted} bytes, got {size}")
        file.seek(0)
        return zlib.crc32(file.read(start))

    @property
    def _content(self) -> str:
        return f"{self.dtype} of shape {self.shape} in C order"


def _rows_per_block(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return max(1, _BLOCK_BYTES // (math.prod(shape[1:]) * dtype.itemsize))


def _slices(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[slice]:
    """Return the slices of rows that make up the blocks of an array."""
    step = _rows_per_block(shape, dtype)
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def _as_bytes(block: NDArray[Any]) -> memoryview:
    return block.reshape(-1).view(np.uint8).data
