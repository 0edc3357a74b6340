"""Check of the structure of MATLAB files of version 5 to 7. The reader of scipy trusts it, and crashes if it is wrong.

A file is a header of 128 bytes and a sequence of elements. An element is a tag (type and number of bytes), data, and
padding to a multiple of 8 bytes; data of at most 4 bytes may lie within the tag. A variable is an element that holds
others: flags, dimensions, name, and values; or such an element, compressed. See MathWorks, MAT-File Format.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import IO

_HEADER_BYTES = 128
_BYTE_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}

# Types of elements.
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
# Types of characters; the number of bytes of each, where it is fixed.
_CHARACTER_BYTES = {1: 1, 2: 1, 4: 2, 16: None, 17: 2, 18: 4}

# Classes of arrays.
_CELL, _CHAR, _SPARSE, _OPAQUE = 1, 4, 5, 17
_NUMERIC = range(6, 16)
_CLASSES = range(1, 18)
_UNREADABLE = {2: "struct", 3: "object", 16: "function", 17: "opaque"}

# Flags of arrays.
_IS_LOGICAL, _IS_COMPLEX = 0x0200, 0x0800
# The names by which scipy lists variables without one; opaque ones have None.
_NAMES_IN_SCIPY = {"": "__function_workspace__", None: "None"}
_MAX_DIMENSIONS = 32
# Of cells within cells, which readers read by recursion.
_MAX_DEPTH = 32
_MAX_NAME_BYTES = 4096
# Readers need memory for every row of a sparse matrix, also for empty ones.
MAX_SPARSE_ROWS = 1 << 28
# A text without bytes stands for blanks.
_MAX_BLANKS = 1 << 16
# Zeros inflate to at most 1,032 times their compressed size, data sets to far less.
_MAX_INFLATION = 900
_MAX_UNQUESTIONED_BYTES = 1 << 28
_PIECE = 1 << 18


class UnreadableError(ValueError):
    """The file may be whole, but holds what is not read; the message names the variable."""


def check_mat5_structure(file: IO[bytes], name: str | None = None) -> None:
    """Check the headers of all variables of a file, and of the variable `name` all that it holds.

    A ValueError says which variable contradicts itself, and where; an UnreadableError, that `name` holds arrays of
    other classes than numbers, texts and cells. Values are not looked at. Names are those that scipy lists.
    """
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    order = _BYTE_ORDERS.get(header[124:128])
    if order is None:
        raise ValueError(f"its header ends in {header[124:128]!r}, not in the version and byte order of a file")
    position, size = _HEADER_BYTES, file.seek(0, os.SEEK_END)
    number = 0
    while position < size:
        number += 1
        try:
            if size - position < 8:
                raise ValueError(f"has only {size - position} bytes of the 8 of its tag")
            file.seek(position)
            kind, n_bytes = struct.unpack(order + "II", file.read(8))
            position += 8
            if n_bytes > size - position:
                raise ValueError(f"needs {n_bytes} bytes, the file has {size - position} more")
            source: _Source = _Stored(file, n_bytes)
            if kind == _COMPRESSED:
                source = _Inflated(file, n_bytes)
                kind, n_bytes = struct.unpack(order + "II", source.take(8))
            if kind != _MATRIX:
                raise ValueError(f"is an element of type {kind}, not an array")
            _Variable(source, order, n_bytes).check(name)
        except UnreadableError:
            raise
        except ValueError as error:
            raise ValueError(f"its variable {number} {error}") from None
        position += source.n_stored


class _Source(ABC):
    """The bytes of a variable, read in order."""

    def __init__(self, file: IO[bytes], n_stored: int) -> None:
        self._file = file
        self.n_stored = n_stored
        self.position = 0

    def take(self, n: int) -> bytes:
        """Return the next n bytes; n is small."""
        data = self._read(n)
        if len(data) < n:
            raise ValueError(f"ends after {self.position + len(data)} bytes")
        self.position += n
        return data

    def skip(self, n: int) -> None:
        """Go past the next n bytes."""
        while n > 0:
            piece = min(n, _PIECE)
            self.take(piece)
            n -= piece

    @abstractmethod
    def _read(self, n: int) -> bytes:
        """Return the next n bytes, or as many as there are."""

    def check_end(self) -> None:
        """Raise if there are more bytes."""
        if self._read(1):
            raise ValueError(f"has more than the {self.position} bytes that it needs")


class _Stored(_Source):
    """Uncompressed bytes."""

    def _read(self, n: int) -> bytes:
        return self._file.read(min(n, self.n_stored - self.position))

    def skip(self, n: int) -> None:
        if n > self.n_stored - self.position:
            raise ValueError(f"ends after {self.n_stored} bytes")
        self._file.seek(n, os.SEEK_CUR)
        self.position += n


class _Inflated(_Source):
    """Compressed bytes, inflated in pieces."""

    def __init__(self, file: IO[bytes], n_stored: int) -> None:
        super().__init__(file, n_stored)
        self._inflate = zlib.decompressobj()
        self._n_left = n_stored

    def _read(self, n: int) -> bytes:
        parts, missing = [], n
        while missing > 0 and not self._inflate.eof:
            waiting = self._inflate.unconsumed_tail
            if not waiting:
                waiting = self._file.read(min(_PIECE, self._n_left))
                self._n_left -= len(waiting)
            try:
                part = self._inflate.decompress(waiting, missing)
            except zlib.error as error:
                raise ValueError(f"cannot be decompressed: {error}") from None
            if not part and not waiting:
                break
            parts.append(part)
            missing -= len(part)
        inflated = self.position + n
        if inflated > _MAX_UNQUESTIONED_BYTES and inflated > _MAX_INFLATION * self.n_stored:
            raise ValueError(f"has more than {_MAX_INFLATION} times as many bytes as are stored of it")
        return b"".join(parts)

    def check_end(self) -> None:
        super().check_end()
        if not self._inflate.eof:
            raise ValueError("is cut short: its checksum is missing")


@dataclass(frozen=True)
class _Header:
    """What the header of an array says of its content."""

    array_class: int
    dimensions: list[int]
    is_complex: bool = False
    # Logical entries of a sparse array, each stored in one byte, whatever the type in the tag; None if not logical.
    n_logical: int | None = None


class _Variable:
    """The array in the next `n_bytes` bytes of a source."""

    def __init__(self, source: _Source, order: str, n_bytes: int) -> None:
        self._source = source
        self._order = order
        self._end = source.position + n_bytes

    def check(self, name: str | None) -> None:
        """Check the header, and the content if it is the variable `name`."""
        found, header = self._header(self._end)
        if name is not None and _NAMES_IN_SCIPY.get(found, found) == name:
            if header.array_class in _UNREADABLE:
                raise UnreadableError(f"{name} is of class {_UNREADABLE[header.array_class]}, which is not read")
            self._content(name, header, self._end, 0)
            if self._source.position != self._end:
                raise ValueError(f"has {self._end - self._source.position} bytes more than its content")
            self._source.check_end()

    def _header(self, end: int) -> tuple[str | None, _Header]:
        """Return the name and the rest of the header."""
        kind, data = self._small_element("flags", end, 8)
        if kind != _UINT32 or len(data) != 8:
            raise ValueError(f"has flags of type {kind} in {len(data)} bytes, not two unsigned numbers")
        flags, n_logical = struct.unpack(self._order + "II", data)
        array_class = flags & 0xFF
        if array_class not in _CLASSES:
            raise ValueError(f"is of class {array_class}, which does not exist")
        if array_class == _OPAQUE:  # its name lies elsewhere
            return None, _Header(array_class, [])
        kind, data = self._small_element("dimensions", end, 4 * _MAX_DIMENSIONS)
        if kind not in (_INT32, _UINT32) or len(data) % 4 or len(data) == 0:
            raise ValueError(f"has dimensions of type {kind} in {len(data)} bytes, not whole numbers of 32 bits")
        dimensions = list(struct.unpack(f"{self._order}{len(data) // 4}i", data))
        if min(dimensions) < 0:
            raise ValueError(f"has a dimension of {min(dimensions)}")
        kind, data = self._small_element("name", end, _MAX_NAME_BYTES)
        if kind not in (_INT8, _UTF8):
            raise ValueError(f"has a name of type {kind}, not a string")
        is_complex, is_logical = bool(flags & _IS_COMPLEX), bool(flags & _IS_LOGICAL)
        header = _Header(array_class, dimensions, is_complex, n_logical if is_logical and not is_complex else None)
        return data.decode("latin1"), header

    def _content(self, name: str, header: _Header, end: int, depth: int) -> None:
        array_class, dimensions = header.array_class, header.dimensions
        n = math.prod(dimensions)
        parts = ["real part", "imaginary part"][: 1 + header.is_complex]
        if array_class in _NUMERIC:
            for part in parts:
                self._numbers(part, end, n)
        elif array_class == _CHAR:
            self._characters(end, n)
        elif array_class == _SPARSE:
            if len(dimensions) != 2:
                raise ValueError(f"is sparse with {len(dimensions)} dimensions")
            if dimensions[0] > MAX_SPARSE_ROWS:
                raise ValueError(f"is sparse with {dimensions[0]} rows, more than {MAX_SPARSE_ROWS}")
            self._numbers("rows of entries", end)
            self._numbers("starts of columns", end, dimensions[1] + 1)
            for part in parts:
                self._numbers(part, end, n_bytes_allowed=header.n_logical)
        elif array_class == _CELL:
            self._cells(name, end, n, depth)
        else:
            raise UnreadableError(
                f"{name} must be a cell of texts, got a cell that holds an array of class {_UNREADABLE[array_class]}"
            )

    def _cells(self, name: str, end: int, n: int, depth: int) -> None:
        if depth == _MAX_DEPTH:
            raise ValueError(f"holds cells within cells, more than {_MAX_DEPTH} deep")
        if n > (end - self._source.position) // 8:
            raise ValueError(f"needs {n} cells, and {end - self._source.position} bytes are left for them")
        for _ in range(n):
            kind, n_bytes = self._tag("cell", end)
            if kind != _MATRIX:
                raise ValueError(f"holds an element of type {kind} in a cell, not an array")
            end_of_cell = self._source.position + n_bytes
            if end_of_cell > end:
                raise ValueError(f"holds a cell of {n_bytes} bytes, {end - self._source.position} are left for it")
            if n_bytes == 0:  # an empty array
                continue
            _, header = self._header(end_of_cell)
            self._content(name, header, end_of_cell, depth + 1)
            if self._source.position != end_of_cell:
                raise ValueError(f"holds a cell with {end_of_cell - self._source.position} bytes more than its content")

    def _numbers(self, what: str, end: int, n: int | None = None, n_bytes_allowed: int | None = None) -> None:
        """Go past an element of numbers: n of them, or any number.

        Of `n_bytes_allowed` bytes it may be, whatever its type.
        """
        kind, n_bytes = self._skip_element(what, end)
        each = _NUMBER_BYTES.get(kind)
        if each is None:
            raise ValueError(f"has {what} of type {kind}, which is no type of numbers")
        if n_bytes == n_bytes_allowed:
            return
        if n_bytes % each or (n is not None and n_bytes // each != n):
            wanted = f"multiples of {each}" if n is None else f"{n} numbers of {each}"
            raise ValueError(f"has {what} of {n_bytes} bytes, not of {wanted}")

    def _characters(self, end: int, n: int) -> None:
        kind, n_bytes = self._skip_element("text", end)
        if kind not in _CHARACTER_BYTES:
            raise ValueError(f"has a text of type {kind}, which is no type of characters")
        if n_bytes == 0 and n <= _MAX_BLANKS:
            return
        each = _CHARACTER_BYTES[kind]
        if (each is None and not n <= n_bytes <= 4 * n) or (each is not None and n_bytes != n * each):
            raise ValueError(f"has a text of {n_bytes} bytes, which are not {n} characters of type {kind}")

    def _small_element(self, what: str, end: int, limit: int) -> tuple[int, bytes]:
        """Return the type and the data of an element of at most `limit` bytes."""
        kind, n_bytes, padding = self._open_element(what, end)
        if n_bytes > limit:
            raise ValueError(f"has {what} of {n_bytes} bytes, at most {limit} are possible")
        data = self._source.take(n_bytes)
        self._source.skip(padding)
        return kind, data

    def _skip_element(self, what: str, end: int) -> tuple[int, int]:
        """Go past an element, and return its type and the number of its bytes."""
        kind, n_bytes, padding = self._open_element(what, end)
        self._source.skip(n_bytes + padding)
        return kind, n_bytes

    def _open_element(self, what: str, end: int) -> tuple[int, int, int]:
        """Read a tag; return the type, and how many bytes of data and of padding come next."""
        self._check_room(what, end, 8)
        (word,) = struct.unpack(self._order + "I", self._source.take(4))
        kind, n_small = word & 0xFFFF, word >> 16
        if n_small:  # data within the tag
            if n_small > 4:
                raise ValueError(f"has {what} of {n_small} bytes within a tag, which has room for 4")
            return kind, n_small, 4 - n_small
        (n_bytes,) = struct.unpack(self._order + "I", self._source.take(4))
        padding = -n_bytes % 8
        self._check_room(what, end, n_bytes + padding)
        return kind, n_bytes, padding

    def _tag(self, what: str, end: int) -> tuple[int, int]:
        self._check_room(what, end, 8)
        kind, n_bytes = struct.unpack(self._order + "II", self._source.take(8))
        return kind, n_bytes

    def _check_room(self, what: str, end: int, n_bytes: int) -> None:
        left = end - self._source.position
        if n_bytes > left:
            raise ValueError(f"has {what} of {n_bytes} bytes where {left} are left")
