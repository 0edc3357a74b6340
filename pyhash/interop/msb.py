"""Codes with the most significant bit first: usearch, Elasticsearch, Vespa, LanceDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import as_array, check_codes, check_n_bits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


# Entry b is the byte b with its bits in the opposite order.
_REVERSED: NDArray[np.uint8] = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1), axis=1, bitorder="little"
)[:, 0]


def to_msb_bytes(codes: ArrayLike, n_bits: int) -> NDArray[np.uint8]:
    """Return codes with the first bit of a byte in its most significant place, as ``np.packbits`` does by default.

    For usearch, Elasticsearch, Vespa and LanceDB. For signed bytes take ``.view(np.int8)`` of the result; for
    hexadecimal digits ``row.tobytes().hex()`` of each row.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Bit l in byte ``l // 8`` at place ``7 - l % 8``; padding bits, the least significant of the last byte, are 0.

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
    >>> packed = codes.pack([[1, 1, -1, -1, -1, -1, -1, -1, 1]])
    >>> packed
    array([[3, 1]], dtype=uint8)
    >>> to_msb_bytes(packed, n_bits=9)
    array([[192, 128]], dtype=uint8)
    >>> to_msb_bytes(packed, n_bits=9).view(np.int8)
    array([[ -64, -128]], dtype=int8)
    """
    return with_bits_reversed(check_codes("codes", codes, check_n_bits(n_bits)))


def from_msb_bytes(msb_bytes: ArrayLike, n_bits: int) -> NDArray[np.uint8]:
    """Return codes of bytes whose first bit is the most significant: the inverse of ``to_msb_bytes``.

    Parameters
    ----------
    msb_bytes : array_like of shape (n, ceil(n_bits / 8)), uint8 or int8
        As ``np.packbits`` returns by default.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `msb_bytes` is not of dtype uint8 or int8.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If `msb_bytes` does not have the shape for `n_bits`, or sets padding bits.

    Examples
    --------
    >>> from_msb_bytes(np.packbits([[1, 1, 0, 0, 0, 0, 0, 0, 1]], axis=1), n_bits=9)
    array([[3, 1]], dtype=uint8)
    """
    n_bits = check_n_bits(n_bits)
    array = as_array("msb_bytes", msb_bytes)
    if array.dtype not in (np.uint8, np.int8):
        raise TypeError(f"msb_bytes must be of dtype uint8 or int8, got {array.dtype}")
    return check_codes("msb_bytes", with_bits_reversed(np.ascontiguousarray(array).view(np.uint8)), n_bits)


def with_bits_reversed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each byte with its bits in the opposite order, as a new array."""
    reversed_bytes: NDArray[np.uint8] = _REVERSED[array]
    return reversed_bytes
