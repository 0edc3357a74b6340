"""Codes as 64-bit integers, for databases that count the bits of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import as_array, check_codes, check_n_bits, n_bytes_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

WORD_BITS = 64


def n_words_of(n_bits: int) -> int:
    """Return how many words a code takes."""
    return -(-n_bits // WORD_BITS)


def to_words(codes: ArrayLike, n_bits: int) -> NDArray[np.uint64]:
    """Return codes as unsigned 64-bit integers, for SQL such as ``bit_count(xor(code0, ?))``.

    For DuckDB, and for other databases that have XOR and a count of bits for integers. Where these are signed, take
    ``.view(np.int64)`` of the result.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 64)), uint64
        Bit l has the value ``2 ** (l % 64)`` in word ``l // 64``; bits from `n_bits` on are 0.

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
    >>> to_words(codes.pack([[1, -1, 1], [-1, -1, 1]]), n_bits=3)
    array([[5],
           [4]], dtype=uint64)
    """
    n_bits = check_n_bits(n_bits)
    array = check_codes("codes", codes, n_bits)
    padded = np.zeros((len(array), 8 * n_words_of(n_bits)), dtype=np.uint8)
    padded[:, : array.shape[1]] = array
    return padded.view("<u8").astype(np.uint64, copy=False)


def from_words(words: ArrayLike, n_bits: int) -> NDArray[np.uint8]:
    """Return codes of 64-bit integers: the inverse of ``to_words``.

    Parameters
    ----------
    words : array_like of shape (n, ceil(n_bits / 64)), uint64 or int64
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `words` is not of dtype uint64 or int64.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If `words` does not have the shape for `n_bits`, or sets bits from `n_bits` on.

    Examples
    --------
    >>> from pyhash import codes
    >>> codes.unpack(from_words([[5], [4]], n_bits=3), n_bits=3)
    array([[ 1, -1,  1],
           [-1, -1,  1]], dtype=int8)
    """
    n_bits = check_n_bits(n_bits)
    array = as_array("words", words)
    if array.dtype not in (np.uint64, np.int64):
        raise TypeError(f"words must be of dtype uint64 or int64, got {array.dtype}")
    n_words = n_words_of(n_bits)
    if array.ndim != 2 or array.shape[1] != n_words:
        raise ValueError(f"words must have shape (n, {n_words}) for n_bits={n_bits}, got {array.shape}")
    padded = np.ascontiguousarray(array.astype("<i8" if array.dtype == np.int64 else "<u8")).view(np.uint8)
    n_bytes = n_bytes_of(n_bits)
    if padded[:, n_bytes:].any():
        row = int(np.flatnonzero(padded[:, n_bytes:].any(axis=1))[0])
        raise ValueError(f"words must have zero padding bits for n_bits={n_bits}, row {row} has set ones")
    return check_codes("words", np.ascontiguousarray(padded[:, :n_bytes]), n_bits)
