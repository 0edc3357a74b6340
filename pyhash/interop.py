"""Codes in the forms that other search engines take, and back.

Bit l of a code is always bit l of what the engine holds, and padding bits are 0, so Hamming distances there are those
here. Which engine takes which form: docs/howto/vector-databases.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import as_array, check_codes, check_n_bits, n_bytes_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "from_bit_strings",
    "from_faiss_index",
    "from_milvus_bytes",
    "from_msb_bytes",
    "from_pgvector_bytes",
    "to_bit_strings",
    "to_faiss_index",
    "to_milvus_bytes",
    "to_msb_bytes",
    "to_pgvector_bytes",
]

# How PostgreSQL sends bit(n): the number of bits, big-endian, before the bytes.
_BIT_COUNT = struct.Struct(">i")


def to_msb_bytes(codes: ArrayLike, n_bits: int) -> NDArray[np.uint8]:
    """Codes with the first bit of a byte in its most significant place, as ``np.packbits`` has it by default.

    usearch, Elasticsearch, Vespa and LanceDB take codes so. Where an engine wants signed bytes, ``.view(np.int8)`` of
    the result are the same bytes; where it wants hexadecimal digits, ``row.tobytes().hex()`` of each row.

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
        If `codes` is not of dtype uint8, or `n_bits` not an integer.
    ValueError
        If the shape does not fit `n_bits`, or padding bits are set.

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
    return _with_bits_reversed(check_codes("codes", codes, check_n_bits(n_bits)))


def from_msb_bytes(msb_bytes: ArrayLike, n_bits: int) -> NDArray[np.uint8]:
    """Codes of bytes whose first bit is the most significant: undoes ``to_msb_bytes``.

    Parameters
    ----------
    msb_bytes : array_like of shape (n, ceil(n_bits / 8)), uint8 or int8
        Such as ``np.packbits`` makes by default.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.

    Raises
    ------
    TypeError
        If `msb_bytes` is not of dtype uint8 or int8, or `n_bits` not an integer.
    ValueError
        If the shape does not fit `n_bits`, or padding bits are set.

    Examples
    --------
    >>> from_msb_bytes(np.packbits([[1, 1, 0, 0, 0, 0, 0, 0, 1]], axis=1), n_bits=9)
    array([[3, 1]], dtype=uint8)
    """
    n_bits = check_n_bits(n_bits)
    array = as_array("msb_bytes", msb_bytes)
    if array.dtype not in (np.uint8, np.int8):
        raise TypeError(f"msb_bytes must be of dtype uint8 or int8, got {array.dtype}")
    return check_codes("msb_bytes", _with_bits_reversed(np.ascontiguousarray(array).view(np.uint8)), n_bits)


def to_bit_strings(codes: ArrayLike, n_bits: int) -> list[str]:
    """Codes as strings of 0 and 1, the text form of PostgreSQL's ``bit(n)``, which pgvector searches.

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
        If `codes` is not of dtype uint8, or `n_bits` not an integer.
    ValueError
        If the shape does not fit `n_bits`, or padding bits are set.

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
    """Codes of strings of 0 and 1: undoes ``to_bit_strings``.

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
        If a string is not a str, or `n_bits` not an integer.
    ValueError
        If a string is not of `n_bits` characters, or has others than 0 and 1; if there are no strings and no `n_bits`.

    Examples
    --------
    >>> from_bit_strings(["1001", "0001"])
    array([[9],
           [8]], dtype=uint8)
    """
    if isinstance(strings, (str, bytes)) or not isinstance(strings, Iterable):
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
    r"""Codes in the binary form of PostgreSQL's ``bit(n)``, for binary parameters and ``COPY ... (FORMAT BINARY)``.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    n_bits : int
        Length of a code in bits, of any number: n of ``bit(n)``.

    Returns
    -------
    list of n bytes
        `n_bits` as a big-endian int32, then the bytes of ``to_msb_bytes``.

    Raises
    ------
    TypeError
        If `codes` is not of dtype uint8, or `n_bits` not an integer.
    ValueError
        If the shape does not fit `n_bits`, or padding bits are set.

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
    r"""Codes of values in the binary form of PostgreSQL's ``bit(n)``: undoes ``to_pgvector_bytes``.

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
        If a value is not bytes, or `n_bits` not an integer.
    ValueError
        If a value does not say that it has `n_bits` bits, is not of their length, or has padding bits set.

    Examples
    --------
    >>> from_pgvector_bytes([b"\x00\x00\x00\x04\x90"], n_bits=4)
    array([[9]], dtype=uint8)
    """
    n_bits = check_n_bits(n_bits)
    rows = _check_values(values)
    count = _BIT_COUNT.pack(n_bits)
    for i, row in enumerate(rows):
        if not row.startswith(count):
            raise ValueError(f"values must begin with {count!r} for n_bits={n_bits}, row {i} begins with {row[:4]!r}")
    return check_codes("values", _with_bits_reversed(_joined(rows, n_bits, len(count))), n_bits)


def to_milvus_bytes(codes: ArrayLike, n_bits: int) -> list[bytes]:
    r"""Codes as Milvus takes a BINARY_VECTOR: bytes, the first bit of each in its least significant place.

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
        If `codes` is not of dtype uint8, or `n_bits` not an integer.
    ValueError
        If `n_bits` is not a multiple of 8, or the shape does not fit it. Codes of another length are codes of the next
        multiple of 8 as well, since padding bits are 0, and no distance changes: give that as `n_bits`.

    Examples
    --------
    >>> from pyhash import codes
    >>> to_milvus_bytes(codes.pack([[1, -1, -1, -1, -1, -1, -1, -1]]), n_bits=8)
    [b'\x01']
    """
    return [row.tobytes() for row in check_codes("codes", codes, _check_whole_bytes(n_bits))]


def from_milvus_bytes(values: Iterable[bytes], n_bits: int) -> NDArray[np.uint8]:
    r"""Codes of BINARY_VECTOR values of Milvus: undoes ``to_milvus_bytes``.

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
        If a value is not bytes, or `n_bits` not an integer.
    ValueError
        If `n_bits` is not a multiple of 8, or a value is not of that many bits.

    Examples
    --------
    >>> from_milvus_bytes([b"\x01", b"\xff"], n_bits=8)
    array([[  1],
           [255]], dtype=uint8)
    """
    n_bits = _check_whole_bytes(n_bits)
    return np.array(_joined(_check_values(values), n_bits))


def to_faiss_index(codes: ArrayLike, ids: ArrayLike | None, n_bits: int) -> Any:
    """A FAISS index over codes, which searches all of them; needs faiss (extra ``[bench]``).

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes; FAISS keeps them in the same form.
    ids : array_like of shape (n,), integer, or None
        None stands for 0 to n - 1. FAISS answers -1 where it has no more items, so that is better not an id.
    n_bits : int
        Length of a code in bits.

    Returns
    -------
    faiss.IndexBinaryFlat or faiss.IndexBinaryIDMap
        The second, over the first, where `ids` are other than 0 to n - 1. Its ``d`` is `n_bits` or the next multiple
        of 8, as FAISS wants it: padding bits are 0, so distances are those of `n_bits` bits.

    Raises
    ------
    ImportError
        If faiss is missing.
    TypeError
        If `codes` is not of dtype uint8, `ids` are not integers, or `n_bits` is not an integer.
    ValueError
        If shapes do not fit, padding bits are set, or an id does not fit int64.

    Examples
    --------
    >>> from pyhash import codes
    >>> packed = codes.pack([[1, 1, 1], [-1, -1, -1]])
    >>> index = to_faiss_index(packed, [10, 20], n_bits=3)  # doctest: +SKIP
    >>> index.search(packed[:1], 2)  # doctest: +SKIP
    (array([[0, 3]], dtype=int32), array([[10, 20]]))
    """
    n_bits = check_n_bits(n_bits)
    array = check_codes("codes", codes, n_bits)
    new_ids = None if ids is None else _check_ids(ids, len(array))
    faiss = _require_faiss()
    flat = faiss.IndexBinaryFlat(8 * n_bytes_of(n_bits))
    if new_ids is None or np.array_equal(new_ids, np.arange(len(array))):
        flat.add(array)
        return flat
    index = faiss.IndexBinaryIDMap(flat)
    # The map shall free what it stands on, and Python shall not.
    flat.this.disown()
    index.own_fields = True
    index.add_with_ids(array, new_ids)
    return index


def from_faiss_index(index: Any, n_bits: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes and ids of a FAISS index: undoes ``to_faiss_index``; needs faiss (extra ``[bench]``).

    Parameters
    ----------
    index : faiss.IndexBinaryFlat or faiss.IndexBinaryIDMap over one
        Such as ``faiss.read_index_binary`` gives.
    n_bits : int
        Length of a code in bits, which FAISS does not keep.

    Returns
    -------
    codes : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    ids : ndarray of shape (n,), int64
        0 to n - 1 where the index has no ids of its own.

    Raises
    ------
    ImportError
        If faiss is missing.
    TypeError
        If `index` is of another kind, or `n_bits` is not an integer.
    ValueError
        If ``index.d`` does not fit `n_bits`, or padding bits are set.

    Examples
    --------
    >>> from pyhash import CodeIndex
    >>> codes, ids = from_faiss_index(faiss.read_index_binary("codes.faiss"), n_bits=64)  # doctest: +SKIP
    >>> CodeIndex(n_bits=64).add(codes, ids)  # doctest: +SKIP
    """
    n_bits = check_n_bits(n_bits)
    faiss = _require_faiss()
    flat = top = faiss.downcast_IndexBinary(index) if isinstance(index, faiss.IndexBinary) else index
    if isinstance(top, faiss.IndexBinaryIDMap):
        flat = faiss.downcast_IndexBinary(top.index)
    if not isinstance(flat, faiss.IndexBinaryFlat):
        got = type(top).__name__ + ("" if flat is top else f" over {type(flat).__name__}")
        raise TypeError(f"index must be an IndexBinaryFlat, or an IndexBinaryIDMap over one, got {got}")
    if flat.d != 8 * n_bytes_of(n_bits):
        raise ValueError(f"index must have d={8 * n_bytes_of(n_bits)} for n_bits={n_bits}, got d={flat.d}")
    codes = faiss.vector_to_array(flat.xb).reshape(flat.ntotal, n_bytes_of(n_bits))
    ids = np.arange(flat.ntotal) if flat is top else faiss.vector_to_array(top.id_map)
    return check_codes("index", codes, n_bits), ids.astype(np.int64)


# Entry b is the byte b with its bits in the opposite order.
_REVERSED: NDArray[np.uint8] = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1), axis=1, bitorder="little"
)[:, 0]


def _with_bits_reversed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each byte with its bits in the opposite order; a new array."""
    reversed_bytes: NDArray[np.uint8] = _REVERSED[array]
    return reversed_bytes


def _check_whole_bytes(n_bits: object) -> int:
    """The length of a code in bits for those who only know bytes."""
    number = check_n_bits(n_bits)
    if number % 8:
        whole = 8 * n_bytes_of(number)
        raise ValueError(
            f"n_bits must be a multiple of 8 for Milvus, got {number}; "
            f"give n_bits={whole} and dim={whole}: padding bits are 0, so distances stay the same"
        )
    return number


def _check_values(values: object) -> list[bytes]:
    """Values that are bytes, one for each code."""
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not isinstance(values, Iterable):
        raise TypeError(f"values must be an iterable of bytes, one for each code, got {type(values).__name__}")
    rows = list(values)
    for i, row in enumerate(rows):
        if not isinstance(row, (bytes, bytearray, memoryview)):
            raise TypeError(f"values must be an iterable of bytes, row {i} is of type {type(row).__name__}")
    return [bytes(row) for row in rows]


def _joined(rows: list[bytes], n_bits: int, n_before: int = 0) -> NDArray[np.uint8]:
    """The bytes of values from `n_before` on, as a matrix; read only."""
    n_bytes = n_before + n_bytes_of(n_bits)
    for i, row in enumerate(rows):
        if len(row) != n_bytes:
            raise ValueError(f"values must be of {n_bytes} bytes for n_bits={n_bits}, row {i} is of {len(row)}")
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), n_bytes)[:, n_before:]


def _check_ids(ids: ArrayLike, n: int) -> NDArray[np.int64]:
    array = as_array("ids", ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"ids must have shape ({n},), one for each code, got {array.shape}")
    if n and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids must fit int64, got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def _require_faiss() -> Any:
    """The module, or an ImportError that names the extra."""
    try:
        return import_module("faiss")
    except ImportError:
        raise ImportError("FAISS indexes need faiss: pip install 'pyhash-crossmodal[bench]'") from None
