"""Exact ranking of candidates that another search found."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import as_array, check_codes, check_integer, check_projections
from pyhash.search.hits import Hits
from pyhash.search.request import SearchRequest


def weighted_rerank(
    projections: ArrayLike, database_codes: ArrayLike, candidates: ArrayLike, k: int | None = None
) -> Hits:
    """Return the `k` nearest of each query's candidates by weighted Hamming distance, exact in float64.

    The second of two stages: a search by short codes finds candidates, which are ranked by longer codes.

    Parameters
    ----------
    projections : array_like of shape (n_queries, n_bits), real
        Of the queries, as for ``weighted_top_k``.
    database_codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes. Only those of candidates are read, so the array may be memory-mapped.
    candidates : array_like of shape (n_queries, m), integer
        Row numbers of `database_codes`, distinct for each query, in any order: ``ids`` of a search.
    k : int, optional
        At least 1; by default m. Where there are fewer candidates, there are fewer columns.

    Returns
    -------
    Hits
        Distances are those of ``weighted_top_k``; ties go by ascending id.

    Raises
    ------
    TypeError
        If projections are not real numbers, or codes not of dtype uint8.
        If `candidates` does not hold integers, or `k` is not one.
    ValueError
        If projections are not a matrix of finite numbers.
        If codes do not have the shape for that many bits, or a candidate's code sets padding bits.
        If `candidates` does not have one row for each query.
        If a candidate is no row number, or is repeated in a row.
        If ``k < 1``.

    Examples
    --------
    The first 8 bits find the candidates, all 16 rank them:

    >>> import numpy as np
    >>> from pyhash import codes, search
    >>> rng = np.random.default_rng(0)
    >>> projections, database = rng.uniform(-1, 1, (2, 16)), codes.pack(rng.standard_normal((1000, 16)))
    >>> found = search.weighted_top_k(projections[:, :8], database[:, :1], k=200)
    >>> search.weighted_rerank(projections, database, found.ids, k=3).ids.shape
    (2, 3)
    """
    queries = check_projections("projections", projections)
    n_queries, n_bits = queries.shape
    database = as_array("database_codes", database_codes)
    check_codes("database_codes", database[:0] if database.ndim else database, n_bits)  # dtype and shape
    chosen = _check_candidates(candidates, n_queries, len(database))
    m = chosen.shape[1]
    k = m if k is None else min(check_integer("k", k, 1), m)
    hits = Hits(np.empty((n_queries, k), dtype=np.int64), np.empty((n_queries, k)))
    for i in range(n_queries if k else 0):
        rows = np.sort(chosen[i])  # ties go by row number
        codes = check_codes("database_codes", database[rows], n_bits)
        code_set = _core.CodeSet(codes, False, "scan", 0)
        found = SearchRequest.of(queries[i : i + 1], k=k, n_threads=1).find(code_set, None)
        hits.ids[i], hits.distances[i] = rows[found.ids], found.distances
    return hits


def _check_candidates(candidates: ArrayLike, n_queries: int, n: int) -> NDArray[np.int64]:
    array = as_array("candidates", candidates)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"candidates must be row numbers of an integer dtype, got {array.dtype}")
    if array.ndim != 2 or len(array) != n_queries:
        raise ValueError(f"candidates must have shape ({n_queries}, m), one row for each query, got {array.shape}")
    wrong = (array < 0) | (array >= n)
    if wrong.any():
        wanted = f"from 0 to {n - 1}" if n else "of 0 rows"
        raise ValueError(f"candidates must hold row numbers {wanted}, got {array[wrong][0]}")
    ordered = np.sort(array, axis=1)
    repeated = ordered[:, 1:] == ordered[:, :-1]
    if repeated.any():
        query = int(np.flatnonzero(repeated.any(axis=1))[0])
        raise ValueError(
            f"candidates must be distinct for each query, got {ordered[:, 1:][repeated][0]} twice in row {query}"
        )
    return array.astype(np.int64)
