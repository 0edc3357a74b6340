"""Packed binary codes: the sign rule, packing and unpacking.

Bit l of a code sits in byte ``l // 8`` at position ``l % 8``, least significant first, as in FAISS; 1 means +1; padding
bits are 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import as_array, check_codes, check_finite, check_n_bits, check_numeric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["pack", "sign", "unpack"]


def _check_matrix(name: str, values: ArrayLike) -> NDArray[Any]:
    array = as_array(name, values)
    check_numeric(name, array)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must have shape (n, n_bits), got {array.shape}")
    check_finite(name, array)
    return array


def sign(projections: ArrayLike) -> NDArray[np.int8]:
    """Return the signs of real values; zero counts as -1.

    Parameters
    ----------
    projections : array_like of shape (n, n_bits)
        Real and finite.

    Returns
    -------
    ndarray of shape (n, n_bits), int8
        +1 where the value is above zero, else -1.

    Raises
    ------
    TypeError
        If `projections` does not hold real numbers.
    ValueError
        If `projections` is not a matrix with at least one column, or not finite.

    Examples
    --------
    >>> sign([[0.5, 0.0, -2.0]])
    array([[ 1, -1, -1]], dtype=int8)
    """
    signs: NDArray[np.int8] = np.where(_check_matrix("projections", projections) > 0, np.int8(1), np.int8(-1))
    return signs


def pack(signs: ArrayLike) -> NDArray[np.uint8]:
    """Pack signs, or projections by the same rule, into codes: a bit is 1 where the value is above zero.

    Parameters
    ----------
    signs : array_like of shape (n, n_bits)
        Signs, booleans or projections; real and finite.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8

    Raises
    ------
    TypeError
        If `signs` does not hold real numbers.
    ValueError
        If `signs` is not a matrix with at least one column, or not finite.

    Examples
    --------
    >>> pack([[1, -1, -1, 1]])
    array([[9]], dtype=uint8)
    """
    return np.packbits(_check_matrix("signs", signs) > 0, axis=1, bitorder="little")


def unpack(codes: ArrayLike, n_bits: int) -> NDArray[np.int8]:
    """Return the signs of packed codes.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, n_bits), int8
        -1 and +1.

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
    >>> import numpy as np
    >>> unpack(np.array([[9]], dtype=np.uint8), n_bits=4)
    array([[ 1, -1, -1,  1]], dtype=int8)
    """
    n_bits = check_n_bits(n_bits)
    array = check_codes("codes", codes, n_bits)
    bits = np.unpackbits(array, axis=1, count=n_bits, bitorder="little")
    signs: NDArray[np.int8] = bits.astype(np.int8) * np.int8(2) - np.int8(1)
    return signs
