"""Codes for pgvector: PostgreSQL's ``bit(n)`` as text and in its binary form."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import check_codes, check_n_bits, is_iterable
from pyhash.interop.msb import to_msb_bytes, with_bits_reversed
from pyhash.interop.values import check_values, joined_values

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# How PostgreSQL sends bit(n): the number of bits, big-endian, before the bytes.
_BIT_COUNT = struct.Struct(">i")


def to_bit_strings(codes: ArrayLike, n_bits: int) -> list[str]:
    """Return codes as strings of 0 and 1, the text form of PostgreSQL's ``bit(n)``, which pgvector searches.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    list of n str
        Each of `n_bits` characters; character l is bit l.

    Raises
    ------
    TypeError
        If `codes` is not of dtype uint8.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If `codes` does not have the shape for `n_bits`, or sets padding bits.

    Examples
    --------
    >>> from pyhash import codes
    >>> to_bit_strings(codes.pack([[1, -1, -1, 1], [-1, -1, -1, 1]]), n_bits=4)
    ['1001', '0001']
    """
    n_bits = check_n_bits(n_bits)
    bits = np.unpackbits(check_codes("codes", codes, n_bits), axis=1, count=n_bits, bitorder="little")
    return [row.tobytes().decode("ascii") for row in bits + np.uint8(ord("0"))]


def from_bit_strings(strings: Iterable[str], n_bits: int | None = None) -> NDArray[np.uint8]:
    """Return codes of strings of 0 and 1: the inverse of ``to_bit_strings``.

    Parameters
    ----------
    strings : iterable of str
        All of `n_bits` characters.
    n_bits : int, optional
        Length of a code in bits; by default that of the first string, so it must be given where there may be none.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `strings` is not an iterable of str.
        If `n_bits` is not an integer.
    ValueError
        If a string is not of `n_bits` characters, or has others than 0 and 1.
        If `strings` is empty and `n_bits` is not given.

    Examples
    --------
    >>> from_bit_strings(["1001", "0001"])
    array([[9],
           [8]], dtype=uint8)
    """
    if isinstance(strings, (str, bytes)) or not is_iterable(strings):
        raise TypeError(f"strings must be an iterable of str, one for each code, got {type(strings).__name__}")
    rows = list(strings)
    for i, row in enumerate(rows):
        if not isinstance(row, str):
            raise TypeError(f"strings must be an iterable of str, row {i} is of type {type(row).__name__}")
    if n_bits is None:
        if not rows:
            raise ValueError("n_bits must be given where strings is empty")
        n_bits = len(rows[0])
    n_bits = check_n_bits(n_bits)
    for i, row in enumerate(rows):
        if len(row) != n_bits:
            raise ValueError(f"strings must be of {n_bits} characters for n_bits={n_bits}, row {i} is of {len(row)}")
        if row.strip("01"):
            raise ValueError(f"strings must hold 0 and 1 only, row {i} holds {row.strip('01')[0]!r}")
    bits = np.frombuffer("".join(rows).encode("ascii"), dtype=np.uint8).reshape(len(rows), n_bits) - np.uint8(ord("0"))
    return np.packbits(bits, axis=1, bitorder="little")


def to_pgvector_bytes(codes: ArrayLike, n_bits: int) -> list[bytes]:
    r"""Return codes in the binary form of ``bit(n)``, for binary parameters and ``COPY ... (FORMAT BINARY)``.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits: n of ``bit(n)``.

    Returns
    -------
    list of n bytes
        `n_bits` as a big-endian int32, then the bytes of ``to_msb_bytes``.

    Raises
    ------
    TypeError
        If `codes` is not of dtype uint8.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If `codes` does not have the shape for `n_bits`, or sets padding bits.

    Examples
    --------
    >>> from pyhash import codes
    >>> to_pgvector_bytes(codes.pack([[1, -1, -1, 1]]), n_bits=4)
    [b'\x00\x00\x00\x04\x90']
    """
    rows = to_msb_bytes(codes, n_bits)
    count = _BIT_COUNT.pack(n_bits)
    return [count + row.tobytes() for row in rows]


def from_pgvector_bytes(values: Iterable[bytes], n_bits: int) -> NDArray[np.uint8]:
    r"""Return codes of values in the binary form of ``bit(n)``: the inverse of ``to_pgvector_bytes``.

    Parameters
    ----------
    values : iterable of bytes
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `values` is not an iterable of bytes.
        If `n_bits` is not an integer.
    ValueError
        If a value does not begin with `n_bits`, is not of that length, or sets padding bits.

    Examples
    --------
    >>> from_pgvector_bytes([b"\x00\x00\x00\x04\x90"], n_bits=4)
    array([[9]], dtype=uint8)
    """
    n_bits = check_n_bits(n_bits)
    rows = check_values(values)
    count = _BIT_COUNT.pack(n_bits)
    for i, row in enumerate(rows):
        if not row.startswith(count):
            raise ValueError(f"values must begin with {count!r} for n_bits={n_bits}, row {i} begins with {row[:4]!r}")
    return check_codes("values", with_bits_reversed(joined_values(rows, n_bits, len(count))), n_bits)
