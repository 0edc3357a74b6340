"""Exact search over plain arrays of packed codes."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import as_array, check_codes, check_integer, check_projections, check_real
from pyhash.search.allowed import allowed_rows
from pyhash.search.hits import HitLists, Hits, Ties
from pyhash.search.request import SearchRequest
from pyhash.search.row_mask import mask_of_rows


@overload
def hamming_top_k(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["id"] = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits: ...
@overload
def hamming_top_k(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["all"],
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists: ...
def hamming_top_k(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Ties = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits | HitLists:
    """Return the `k` nearest database codes of each query by Hamming distance.

    Parameters
    ----------
    query_codes : array_like of shape (n_queries, n_bytes), uint8
        Packed codes.
    database_codes : array_like of shape (n, n_bytes), uint8
        Packed codes.
    k : int
        At least 1. Where the database holds fewer codes, there are fewer columns.
    ties : {"id", "all"}
        "id": of those at the k-th distance, the ones with the least ids. "all": every one of them.
    allowed : array_like of shape (n,), bool, or (m,), integer, optional
        Restricts the search to these rows of `database_codes`: a mask, or row numbers.
    n_threads : int, optional
        By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

    Returns
    -------
    Hits
        Or HitLists, where `ties` is "all".

    Raises
    ------
    TypeError
        If codes are not of dtype uint8.
        If `k` or `n_threads` is not an integer.
        If `allowed` holds neither booleans nor integers.
    ValueError
        If codes are not matrices of the same number of columns.
        If ``k < 1`` or ``n_threads < 1``.
        If `ties` is not one of the choices.
        If `allowed` is a mask of another length, or holds a row number that there is not.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, 1, 1]])
    >>> search.hamming_top_k(codes.pack([[1, 1, 1]]), database, k=2)
    Hits(ids=array([[0, 1]]), distances=array([[0, 1]], dtype=int32))
    >>> search.hamming_top_k(codes.pack([[1, 1, 1]]), database, k=2, ties="all").ids
    array([0, 1, 2])
    """
    queries, database = _check_pair(query_codes, database_codes)
    request = SearchRequest.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
    return request.answer(_search_once(request, database, allowed), len(database))


def hamming_radius(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    radius: int,
    *,
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists:
    """Return all database codes within a Hamming distance of each query.

    Parameters
    ----------
    query_codes, database_codes, allowed, n_threads
        As for ``hamming_top_k``.
    radius : int
        At least 0; inclusive: hits have distance <= radius.

    Returns
    -------
    HitLists

    Raises
    ------
    TypeError
        If codes are not of dtype uint8.
        If `radius` or `n_threads` is not an integer.
        If `allowed` holds neither booleans nor integers.
    ValueError
        If codes are not matrices of the same number of columns.
        If ``radius < 0`` or ``n_threads < 1``.
        If `allowed` is a mask of another length, or holds a row number that there is not.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, 1]])
    >>> search.hamming_radius(codes.pack([[1, 1, 1]]), database, radius=1).ids
    array([0, 1])
    """
    queries, database = _check_pair(query_codes, database_codes)
    request = SearchRequest.of(queries, radius=check_integer("radius", radius, 0), n_threads=n_threads)
    return _search_once(request, database, allowed)


@overload
def weighted_top_k(
    projections: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["id"] = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits: ...
@overload
def weighted_top_k(
    projections: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["all"],
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists: ...
def weighted_top_k(
    projections: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Ties = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits | HitLists:
    """Return the `k` nearest database codes of each query by weighted Hamming distance, exact in float64.

    Parameters
    ----------
    projections : array_like of shape (n_queries, n_bits), real
        Of the queries: signs are their bits, magnitudes up to 1 the weights of the bits; a larger magnitude counts
        as 1.
    database_codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    k, ties, allowed, n_threads
        As for ``hamming_top_k``.

    Returns
    -------
    Hits
        Or HitLists, where `ties` is "all".

    Raises
    ------
    TypeError
        If projections are not real numbers, or codes not of dtype uint8.
        If `k` or `n_threads` is not an integer.
        If `allowed` holds neither booleans nor integers.
    ValueError
        If projections are not a matrix of finite numbers.
        If codes do not have the shape for that many bits, or set padding bits.
        If ``k < 1`` or ``n_threads < 1``.
        If `ties` is not one of the choices.
        If `allowed` is a mask of another length, or holds a row number that there is not.

    Notes
    -----
    The distance is the sum of ``min(|p_l|, 1)`` over the bits l where the code differs from the query's sign (Han et
    al. 2024, Eq. 32 and 33), as in ``CodeIndex.search_weighted``.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, -1], [-1, 1]])
    >>> search.weighted_top_k([[0.25, 3.0]], database, k=2).distances
    array([[0.25, 1.  ]])
    """
    queries = check_projections("projections", projections)
    database = check_codes("database_codes", database_codes, queries.shape[1])
    request = SearchRequest.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
    return request.answer(_search_once(request, database, allowed), len(database))


def weighted_radius(
    projections: ArrayLike,
    database_codes: ArrayLike,
    radius: float,
    *,
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists:
    """Return all database codes within a weighted Hamming distance of each query.

    Parameters
    ----------
    projections, database_codes
        As for ``weighted_top_k``.
    radius : float
        At least 0; inclusive: hits have distance <= radius.
    allowed, n_threads
        As for ``hamming_top_k``.

    Returns
    -------
    HitLists

    Raises
    ------
    TypeError
        If projections or `radius` are not real numbers, or codes not of dtype uint8.
        If `n_threads` is not an integer.
        If `allowed` holds neither booleans nor integers.
    ValueError
        If projections are not a matrix of finite numbers.
        If codes do not have the shape for that many bits, or set padding bits.
        If `radius` is negative or not finite, or ``n_threads < 1``.
        If `allowed` is a mask of another length, or holds a row number that there is not.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, -1], [-1, 1]])
    >>> search.weighted_radius([[0.25, 3.0]], database, radius=0.5)
    HitLists(offsets=array([0, 1]), ids=array([1]), distances=array([0.25]))
    """
    queries = check_projections("projections", projections)
    database = check_codes("database_codes", database_codes, queries.shape[1])
    request = SearchRequest.of(queries, radius=check_real("radius", radius, 0), n_threads=n_threads)
    return _search_once(request, database, allowed)


def _check_pair(query_codes: ArrayLike, database_codes: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    # The database says how long a code is, so what is wrong with it is said first.
    shape = as_array("database_codes", database_codes).shape
    n_bits = 8 * shape[1] if len(shape) == 2 and shape[1] > 0 else 8
    database = check_codes("database_codes", database_codes, n_bits)
    return check_codes("query_codes", query_codes, n_bits), database


def _search_once(request: SearchRequest, database: NDArray[np.uint8], allowed: ArrayLike | None) -> HitLists:
    n = len(database)
    mask = None if allowed is None else mask_of_rows(allowed_rows(allowed, n), n)
    return request.find(_core.CodeSet(database, False, "scan", 0), mask)
