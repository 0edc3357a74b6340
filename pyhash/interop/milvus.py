"""Codes for Milvus: a BINARY_VECTOR."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pyhash._inputs.checks import check_codes, check_n_bits, n_bytes_of
from pyhash.interop.values import check_values, joined_values

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def to_milvus_bytes(codes: ArrayLike, n_bits: int) -> list[bytes]:
    r"""Return codes as BINARY_VECTOR values of Milvus: bytes with the first bit in the least significant place.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits: ``dim`` of the field. Milvus has multiples of 8 only.

    Returns
    -------
    list of n bytes
        Each of ``n_bits // 8`` bytes, the same as in `codes`.

    Raises
    ------
    TypeError
        If `codes` is not of dtype uint8.
        If `n_bits` is not an integer.
    ValueError
        If `n_bits` is not a multiple of 8. Give the next multiple: padding bits are 0, so no distance changes.
        If `codes` does not have the shape for `n_bits`.

    Examples
    --------
    >>> from pyhash import codes
    >>> to_milvus_bytes(codes.pack([[1, -1, -1, -1, -1, -1, -1, -1]]), n_bits=8)
    [b'\x01']
    """
    return [row.tobytes() for row in check_codes("codes", codes, _check_whole_bytes(n_bits))]


def from_milvus_bytes(values: Iterable[bytes], n_bits: int) -> NDArray[np.uint8]:
    r"""Return codes of BINARY_VECTOR values of Milvus: the inverse of ``to_milvus_bytes``.

    Parameters
    ----------
    values : iterable of bytes
    n_bits : int
        Length of a code in bits: ``dim`` of the field, a multiple of 8.

    Returns
    -------
    ndarray of shape (n, n_bits // 8), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `values` is not an iterable of bytes.
        If `n_bits` is not an integer.
    ValueError
        If `n_bits` is not a multiple of 8.
        If a value is not of `n_bits` bits.

    Examples
    --------
    >>> from_milvus_bytes([b"\x01", b"\xff"], n_bits=8)
    array([[  1],
           [255]], dtype=uint8)
    """
    n_bits = _check_whole_bytes(n_bits)
    return np.array(joined_values(check_values(values), n_bits))


def _check_whole_bytes(n_bits: object) -> int:
    """Return `n_bits`; raise if it is not a multiple of 8."""
    number = check_n_bits(n_bits)
    if number % 8:
        whole = 8 * n_bytes_of(number)
        raise ValueError(
            f"n_bits must be a multiple of 8 for Milvus, got {number}; "
            f"give n_bits={whole} and dim={whole}: padding bits are 0, so distances stay the same"
        )
    return number
