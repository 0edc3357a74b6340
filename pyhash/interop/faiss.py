"""Codes as indexes of FAISS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._extras import require
from pyhash._inputs.checks import check_codes, check_n_bits, n_bytes_of
from pyhash._inputs.ids import check_ids

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def to_faiss_index(codes: ArrayLike, ids: ArrayLike | None, n_bits: int) -> Any:
    """Return a FAISS index over codes, which searches all of them; needs faiss (extra ``[bench]``).

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes; FAISS keeps them in the same form.
    ids : array_like of shape (n,), integer, or None
        Unique; None stands for 0 to n - 1. Avoid -1, which FAISS returns where it has no more items.
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
        If faiss is not installed.
    TypeError
        If `codes` is not of dtype uint8.
        If `ids` are not integers.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If `codes` does not have the shape for `n_bits`, or sets padding bits.
        If `ids` are not one for each code, or not unique, or do not fit int64.

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
    new_ids = None if ids is None else check_ids(ids, len(array), unique=True)
    faiss = require("faiss", "FAISS indexes", "bench")
    flat = faiss.IndexBinaryFlat(8 * n_bytes_of(n_bits))
    if new_ids is None or np.array_equal(new_ids, np.arange(len(array))):
        flat.add(array)
        return flat
    index = faiss.IndexBinaryIDMap(flat)
    # The map owns the flat index; Python must not free it.
    flat.this.disown()
    index.own_fields = True
    index.add_with_ids(array, new_ids)
    return index


def from_faiss_index(index: Any, n_bits: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return codes and ids of a FAISS index: the inverse of ``to_faiss_index``; needs faiss (extra ``[bench]``).

    Parameters
    ----------
    index : faiss.IndexBinaryFlat or faiss.IndexBinaryIDMap over one
        As ``faiss.read_index_binary`` returns.
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
        If faiss is not installed.
    TypeError
        If `index` is of another kind.
        If `n_bits` is not an integer.
    ValueError
        If ``n_bits < 1``.
        If ``index.d`` is not `n_bits`, rounded up to a multiple of 8.
        If padding bits are set.

    Examples
    --------
    >>> from pyhash import CodeIndex
    >>> codes, ids = from_faiss_index(faiss.read_index_binary("codes.faiss"), n_bits=64)  # doctest: +SKIP
    >>> CodeIndex(n_bits=64).add(codes, ids)  # doctest: +SKIP
    """
    n_bits = check_n_bits(n_bits)
    faiss = require("faiss", "FAISS indexes", "bench")
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
