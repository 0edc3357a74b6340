"""Checks of arguments. Every message names the argument, the requirement, and the value."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from pyhash._inputs.frames import frame_rows, is_frame, is_sparse_frame
from pyhash._inputs.tensors import is_tensor, tensor_values, with_tensor_values

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Dense: TypeAlias = NDArray[Any]
    Features: TypeAlias = Any  # an NDArray, or a csr_array where is_sparse says so


# The longest code, in bits: longer than any in use, and short enough that no size computed from it overflows.
MAX_BITS = 1 << 20
# The greatest width of an array or layer that a parameter asks for; no size computed from it overflows.
MAX_WIDTH = 1 << 24


def is_sparse(x: object) -> bool:
    """Return whether `x` is a scipy sparse array or matrix, without importing scipy."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(x))


def check_integer(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int; raise unless it is in [minimum, maximum]."""
    limits = f"an integer >= {minimum}" if maximum is None else f"an integer from {minimum} to {maximum}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be {limits}, got {value!r}") from None
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{name} must be {limits}, got {number}")
    return number


def check_real(name: str, value: object, minimum: float, *, exclusive: bool = False, why: str = "") -> float:
    """Return `value` as a float; raise unless it is finite and >= `minimum` (> with `exclusive`).

    The error for the excluded minimum itself ends with `why`, if given.
    """
    limits = f"a finite number {'>' if exclusive else '>='} {minimum:g}"
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} must be {limits}, got {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {limits}, got {value!r}") from None
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number) or number < minimum or (exclusive and number == minimum):
        raise ValueError(f"{name} must be {limits}, got {number}" + (f": {why}" if why and number == minimum else ""))
    return number


def check_fraction(name: str, value: object) -> float:
    """Return `value` as a float that is at least 0 and below 1."""
    number = check_real(name, value, 0.0)
    if number >= 1:
        raise ValueError(f"{name} must be a number from 0 to below 1, got {number:g}")
    return number


def check_bool(name: str, value: object) -> bool:
    """Return `value` as a bool; raise for anything else, such as 0 and 1."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {value!r}")
    return bool(value)


def is_iterable(values: object) -> TypeGuard[Iterable[Any]]:
    """Return whether a loop can run over `values`; an array without dimensions has ``__iter__`` and raises."""
    return isinstance(values, Iterable) and getattr(values, "ndim", None) != 0


def listed(name: str, values: object, of: str) -> list[Any]:
    """Return a collection as a list; raise for a string and for anything that is no collection."""
    if isinstance(values, (str, bytes)) or not is_iterable(values):
        raise TypeError(f"{name} must be a sequence of {of}, got {values!r}")
    return list(values)


def check_n_bits(n_bits: object) -> int:
    """Return the length of a code in bits; raise unless it is in [1, MAX_BITS]."""
    return check_integer("n_bits", n_bits, 1, MAX_BITS)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return `value`; raise unless it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def as_array(name: str, value: object) -> Dense:
    """Return `value` as a dense array; raise for sparse input, masked values and ragged lists.

    The values of data frames and series of pandas and polars are taken by position (``frames.frame_rows``). Tensors of
    torch may require gradients and be of any floating type (``tensors.tensor_values``).
    """
    if is_sparse(value):
        raise TypeError(f"{name} must be a dense array, got {type(value).__name__}; call .toarray() on it")
    if is_sparse_frame(value):
        raise TypeError(f"{name} must be a dense array, got sparse columns; call .sparse.to_dense() on the DataFrame")
    if is_frame(value):
        return frame_rows(name, value)  # type: ignore[no-any-return]
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(f"{name} must not hold masked values; call .filled() on it")
    if is_tensor(value):
        return tensor_values(name, value)
    if isinstance(value, (list, tuple)):
        value = with_tensor_values(name, value)
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array, got rows of unequal length") from None


def n_bytes_of(n_bits: int) -> int:
    """Return the number of bytes of a packed code of n_bits."""
    return (n_bits + 7) // 8


def check_codes(name: str, codes: object, n_bits: int) -> NDArray[np.uint8]:
    """Return packed codes (n, ceil(n_bits / 8)) uint8, contiguous; raise if padding bits are set."""
    array = as_array(name, codes)
    n_bytes = n_bytes_of(n_bits)
    if array.dtype != np.uint8:
        raise TypeError(
            f"{name} must be packed codes of dtype uint8, got {array.dtype}; pack signs with pyhash.codes.pack"
        )
    if array.ndim != 2 or array.shape[1] != n_bytes:
        hint = "; one code is codes[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {n_bytes}) for n_bits={n_bits}, got {array.shape}{hint}")
    array = np.ascontiguousarray(array)
    padding = n_bytes * 8 - n_bits
    if padding:
        wrong = np.flatnonzero(array[:, -1] >> (8 - padding))
        if wrong.size:
            raise ValueError(f"{name} must have zero padding bits for n_bits={n_bits}, row {wrong[0]} has set ones")
    return array


def check_finite(name: str, array: Dense, first_row: int = 0) -> None:
    """Raise if values are NaN or infinite; `first_row` is the row number of the first row in the user's data."""
    if array.dtype.kind not in "fc":
        return
    # A finite sum has finite terms. An infinite one may have overflowed: then each value is checked.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(array)
    if not np.isfinite(total):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"{name} must be finite, got {array[tuple(bad[0])]} in row {first_row + int(bad[0][0])}"
                + (f", column {int(bad[0][1])}" if array.ndim > 1 else "")
            )


def as_float64(name: str, array: Dense, first_row: int = 0) -> NDArray[np.float64]:
    """Return `array` as contiguous float64; raise if values are NaN, infinite or too large for float64."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float64)
    check_finite(name, values, first_row)
    return values


def check_numeric(name: str, array: Dense) -> None:
    """Raise unless the dtype is boolean, integer or real floating."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")


def check_projections(name: str, projections: object, n_bits: int | None = None) -> NDArray[np.float64]:
    """Return projections (n, n_bits) as contiguous float64; raise unless they are real and finite."""
    array = as_array(name, projections)
    check_numeric(name, array)
    if array.ndim != 2 or array.shape[1] == 0 or (n_bits is not None and array.shape[1] != n_bits):
        hint = "; one query is projections[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {n_bits or 'n_bits'}), got {array.shape}{hint}")
    return as_float64(name, array)


def as_rows(name: str, features: object) -> Features:
    """Return features as a dense array or a csr_array, whose rows can be sliced.

    The values of data frames and series of pandas and polars are taken by position: an index is ignored, and rows are
    not aligned by it.
    """
    if is_sparse(features):
        from scipy.sparse import csr_array

        return csr_array(features)
    if is_frame(features):
        return frame_rows(name, features)
    array = as_array(name, features)
    if array.ndim == 0 and array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must be an array of rows, got {type(features).__name__}")
    return array


def shape_of_features(name: str, features: Features, n_features: int | None = None) -> tuple[int, int]:
    """Return the numbers of rows and columns of features; their values are not checked."""
    shape = features.shape
    if len(shape) != 2 or shape[1] == 0 or (n_features is not None and shape[1] != n_features):
        hint = "; one sample is x[None, :]" if len(shape) == 1 else ""
        raise ValueError(f"{name} must have shape (n, {n_features or 'n_features'}), got {shape}{hint}")
    return shape[0], shape[1]


def check_features(name: str, features: Features, first_row: int = 0, *, keep_float32: bool = False) -> Features:
    """Return rows of features as float64; raise unless they are real and finite.

    `first_row` is the row number of the first row in the user's data. With `keep_float32`, dense float32 is not
    converted.
    """
    if is_sparse(features):
        check_numeric(name, features.data)
        values = features.astype(np.float64)
        check_finite_sparse(name, values, first_row)
        return values
    check_numeric(name, features)
    if keep_float32 and features.dtype == np.float32:
        check_finite(name, features, first_row)
        return features
    return as_float64(name, features, first_row)


def check_finite_sparse(name: str, sparse: csr_array, first_row: int) -> None:
    """Raise if stored values are NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(sparse.data))
    if bad.size:
        row = int(np.searchsorted(sparse.indptr, bad[0], side="right")) - 1
        raise ValueError(f"{name} must be finite, got {sparse.data[bad[0]]} in row {first_row + row}")
