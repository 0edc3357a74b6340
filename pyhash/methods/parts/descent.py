"""Discrete cyclic coordinate descent (DCC), the solver behind several methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.checks import check_finite, check_integer
from pyhash._inputs.threads import resolve_n_threads

__all__ = ["cyclic_descent"]

_MAX_SWEEPS = 100_000


def cyclic_descent(
    B: NDArray[np.int8],
    H: NDArray[np.floating[Any]],
    Q: NDArray[np.floating[Any]],
    max_sweeps: int,
    *,
    n_threads: int | None = None,
) -> NDArray[np.int64]:
    """Lower ``tr(B H B') - 2 tr(B Q')`` over signs `B`, in place, bit by bit.

    One sweep sets ``b_l <- sgn(q_l - sum_{l' != l} H[l, l'] b_l')`` for l = 1, ..., n_bits in each row; bits visited
    before have their new value. A row stops when a sweep flips nothing. The objective never rises.

    Parameters
    ----------
    B : ndarray of shape (n, n_bits), int8
        Signs -1 and +1; C-contiguous and writeable, updated in place.
    H : ndarray of shape (n_bits, n_bits), float32 or float64
        Symmetric; the diagonal is ignored.
    Q : ndarray of shape (n, n_bits), of the dtype of `H`
    max_sweeps : int
        Largest number of sweeps, from 1 to 100,000; rows usually stop after a few dozen.
    n_threads : int, optional
        Number of threads; by default PYHASH_NUM_THREADS, else the CPUs that this process may use.

    Returns
    -------
    ndarray of shape (max_sweeps,), int64
        Number of flips in each sweep.

    Raises
    ------
    TypeError
        If B, H or Q is not a numpy array; `B` is unchanged, as for every error.
    TypeError
        If B is not int8, or H and Q are not both float32 or both float64.
    TypeError
        If max_sweeps or n_threads is not an integer.
    ValueError
        If B is not of two dimensions, Q not of the shape of B, or H not of shape (n_bits, n_bits).
    ValueError
        If B is not C-contiguous and writeable, or holds values other than -1 and +1.
    ValueError
        If H or Q has values that are not finite, or H is not symmetric.
    ValueError
        If max_sweeps is not from 1 to 100,000, or n_threads is < 1.

    Notes
    -----
    Values within ``8 eps (|q_l| + sum_l' |H[l, l']|)`` of zero count as zero, and give -1. So ties have the same result
    for every order of summation, number of threads and instruction set.

    Examples
    --------
    >>> import numpy as np
    >>> B = np.array([[1, 1]], dtype=np.int8)
    >>> H = np.array([[0.0, 2.0], [2.0, 0.0]])
    >>> cyclic_descent(B, H, np.array([[1.0, 1.0]]), max_sweeps=3)
    array([1, 0, 0])
    >>> B
    array([[-1,  1]], dtype=int8)
    """
    max_sweeps = check_integer("max_sweeps", max_sweeps, 1, _MAX_SWEEPS)
    for name, array in (("B", B), ("H", H), ("Q", Q)):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    if B.dtype != np.int8:
        raise TypeError(f"B must be signs of dtype int8, got {B.dtype}")
    if H.dtype not in (np.float32, np.float64) or Q.dtype != H.dtype:
        raise TypeError(f"H and Q must both be float32 or both float64, got {H.dtype} and {Q.dtype}")
    if B.ndim != 2 or B.shape[1] == 0:
        raise ValueError(f"B must have shape (n, n_bits), got {B.shape}")
    if not (B.flags.c_contiguous and B.flags.writeable):
        raise ValueError("B must be C-contiguous and writeable: it is updated in place")
    if Q.shape != B.shape:
        raise ValueError(f"Q must have the shape of B, {B.shape}, got {Q.shape}")
    n_bits = B.shape[1]
    if H.shape != (n_bits, n_bits):
        raise ValueError(f"H must have shape ({n_bits}, {n_bits}), got {H.shape}")
    check_finite("H", H)
    check_finite("Q", Q)
    if np.abs(H - H.T).max() > np.sqrt(np.finfo(H.dtype).eps) * np.abs(H).max():
        raise ValueError("H must be symmetric")
    flips = _core.cyclic_descent(
        B, np.ascontiguousarray(H), np.ascontiguousarray(Q), max_sweeps, resolve_n_threads(n_threads)
    )
    return np.array(flips, dtype=np.int64)


def random_signs(rng: np.random.Generator, n: int, r: int) -> NDArray[np.int8]:
    """Return random signs (n, r), the start of a descent."""
    signs: NDArray[np.int8] = rng.integers(0, 2, size=(n, r), dtype=np.int8) * np.int8(2) - np.int8(1)
    return signs
