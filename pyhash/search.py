"""Exact search over plain arrays of packed codes, and the joining of what several searches found.

An index (``pyhash.CodeIndex``) keeps what makes a search fast from one call to the next; these functions are for codes
that are searched once. Ids are row numbers here. Results do not depend on the number of threads or the CPU: ties go by
ascending id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import (
    MAX_BITS,
    as_array,
    check_choice,
    check_codes,
    check_integer,
    check_projections,
    check_real,
)
from pyhash._inputs.threads import resolve_n_threads

__all__ = [
    "HitLists",
    "Hits",
    "hamming_radius",
    "hamming_top_k",
    "merge_hits",
    "weighted_radius",
    "weighted_top_k",
]

TIES = ("id", "all")


@dataclass(frozen=True)
class Hits:
    """The nearest items of each query, equally many for each.

    Attributes
    ----------
    ids : ndarray of shape (n_queries, min(k, n)), int64
        By ascending distance, then ascending id.
    distances : ndarray of the same shape
        int32 bits for Hamming, float64 for weighted Hamming distance.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.int32] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class HitLists:
    """Items found for each query, as many as there are, one query after another.

    Attributes
    ----------
    offsets : ndarray of shape (n_queries + 1,), int64
        Query i's hits are ``ids[offsets[i]:offsets[i + 1]]``.
    ids : ndarray of shape (n_hits,), int64
        For each query by ascending distance, then ascending id.
    distances : ndarray of shape (n_hits,)
        int32 bits for Hamming, float64 for weighted Hamming distance.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.int32] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Request:
    """What a search asks of every set of codes that it looks at: queries and limits, checked."""

    queries: NDArray[Any]  # packed codes, or projections where weighted
    weighted: bool
    k: int | None
    radius: float | None
    ties: str
    n_threads: int

    @classmethod
    def of(
        cls,
        queries: NDArray[Any],
        *,
        k: int | None = None,
        radius: float | None = None,
        ties: object = "id",
        n_threads: int | None = None,
    ) -> Request:
        """`queries` are uint8 codes or float64 projections, checked as `k` and `radius` are."""
        # Beyond all that there can be, the core's integers do not need to reach.
        k = None if k is None else min(k, MAX_ROWS)
        radius = None if radius is None else min(radius, MAX_BITS)
        weighted = queries.dtype != np.uint8
        return cls(queries, weighted, k, radius, check_choice("ties", ties, TIES), resolve_n_threads(n_threads))

    @property
    def all_ties(self) -> bool:
        """Whether everything at the k-th distance is wanted."""
        return self.ties == "all"

    def run(self, codes: _core.CodeSet, mask: NDArray[np.uint8] | None) -> HitLists:
        """Hits among the rows of a set that the mask lets through; ids are its row numbers."""
        limits: Any = (self.k, self.radius, self.all_ties, mask, self.n_threads)
        if self.weighted:
            return HitLists(*codes.search_weighted(self.queries, *limits))
        offsets, rows, distances = codes.search(self.queries, *limits)
        return HitLists(offsets, rows, distances.view(np.int32))

    def answer(self, lists: HitLists, n_rows: int) -> Hits | HitLists:
        """Lists as a table where all are equally long by nature: the k nearest of n_rows and nothing else."""
        if self.k is None or self.radius is not None or self.all_ties:
            return lists
        return as_table(lists, min(self.k, n_rows))

    def none_found(self) -> HitLists:
        """The answer of a search that had nothing to look at."""
        offsets = np.zeros(len(self.queries) + 1, dtype=np.int64)
        distances: Any = np.empty(0, dtype=np.float64 if self.weighted else np.int32)
        return HitLists(offsets, np.empty(0, dtype=np.int64), distances)


# More than any set of codes holds.
MAX_ROWS = 1 << 40


def as_table(lists: HitLists, n_columns: int) -> Hits:
    """Equally long lists as a table; where there are no lists to tell, of so many columns."""
    n = len(lists)
    columns = int(lists.offsets[-1]) // n if n else n_columns
    if np.any(np.diff(lists.offsets) != columns):
        raise RuntimeError(
            "internal error in pyhash: a search of the k nearest gave its queries unequal numbers of hits"
        )
    return Hits(lists.ids.reshape(n, columns), lists.distances.reshape(n, columns))


def hamming_top_k(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["id", "all"] = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits | HitLists:
    """The `k` nearest database codes of each query by Hamming distance.

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
        Restricts the search to these rows: a mask, or row numbers.
    n_threads : int, optional
        By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

    Returns
    -------
    Hits
        Or HitLists, where `ties` is "all".

    Raises
    ------
    TypeError, ValueError
        If an argument is not as it must be.

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
    request = Request.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
    return request.answer(_search_once(request, database, allowed), len(database))


def hamming_radius(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    radius: int,
    *,
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists:
    """All database codes within a Hamming distance of each query.

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
    TypeError, ValueError
        If an argument is not as it must be.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, 1]])
    >>> search.hamming_radius(codes.pack([[1, 1, 1]]), database, radius=1).ids
    array([0, 1])
    """
    queries, database = _check_pair(query_codes, database_codes)
    request = Request.of(queries, radius=check_integer("radius", radius, 0), n_threads=n_threads)
    return _search_once(request, database, allowed)


def weighted_top_k(
    projections: ArrayLike,
    database_codes: ArrayLike,
    k: int,
    *,
    ties: Literal["id", "all"] = "id",
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> Hits | HitLists:
    """The `k` nearest database codes of each query by weighted Hamming distance, exact in float64.

    Parameters
    ----------
    projections : array_like of shape (n_queries, n_bits), real
        Of the queries: signs are their bits, magnitudes how sure they are.
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
    TypeError, ValueError
        If an argument is not as it must be.

    Notes
    -----
    The distance is that of ``CodeIndex.search_weighted`` (Han et al. 2024, Eq. 32 and 33).

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, -1], [-1, 1]])
    >>> search.weighted_top_k([[0.25, 3.0]], database, k=2).distances
    array([[0.25, 1.  ]])
    """
    queries = check_projections("projections", projections)
    database = check_codes("database_codes", database_codes, queries.shape[1])
    request = Request.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
    return request.answer(_search_once(request, database, allowed), len(database))


def weighted_radius(
    projections: ArrayLike,
    database_codes: ArrayLike,
    radius: float,
    *,
    allowed: ArrayLike | None = None,
    n_threads: int | None = None,
) -> HitLists:
    """All database codes within a weighted Hamming distance of each query.

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
    TypeError, ValueError
        If an argument is not as it must be.

    Examples
    --------
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, -1], [-1, 1]])
    >>> search.weighted_radius([[0.25, 3.0]], database, radius=0.5)
    HitLists(offsets=array([0, 1]), ids=array([1]), distances=array([0.25]))
    """
    queries = check_projections("projections", projections)
    database = check_codes("database_codes", database_codes, queries.shape[1])
    request = Request.of(queries, radius=check_real("radius", radius, 0), n_threads=n_threads)
    return _search_once(request, database, allowed)


@overload
def merge_hits(hits: Sequence[Hits], k: int, *, ties: Literal["id"] = "id") -> Hits: ...
@overload
def merge_hits(hits: Sequence[HitLists], k: int | None = None, *, ties: Literal["id", "all"] = "id") -> HitLists: ...
def merge_hits(
    hits: Sequence[Hits] | Sequence[HitLists], k: int | None = None, *, ties: Literal["id", "all"] = "id"
) -> Hits | HitLists:
    """Joins the hits of several shards as one index over all of them would give them.

    Parameters
    ----------
    hits : sequence of Hits or of HitLists
        One for each shard: the same queries, searched with the same limits. Ids are unique over all shards.
    k : int, optional
        The `k` that the shards were searched with. Needed for Hits; for HitLists of a radius there is none.
    ties : {"id", "all"}
        As the shards were searched.

    Returns
    -------
    Hits or HitLists
        As the shards' own.

    Raises
    ------
    TypeError
        If `hits` are not all of one kind.
    ValueError
        If there are none, if they are for different numbers of queries, or `k` is missing.

    Examples
    --------
    >>> from pyhash import CodeIndex, codes, search
    >>> rows = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1], [1, -1, 1]])
    >>> left, right = CodeIndex(3), CodeIndex(3)
    >>> _ = left.add(rows[:2], ids=[0, 1]), right.add(rows[2:], ids=[2, 3])
    >>> search.merge_hits([shard.search(rows[:1], k=3) for shard in (left, right)], k=3)
    Hits(ids=array([[0, 1, 3]]), distances=array([[0, 1, 1]], dtype=int32))
    """
    parts: list[Any] = list(hits)
    if not parts:
        raise ValueError("hits must hold those of at least one shard, got none")
    kind = type(parts[0])
    if kind not in (Hits, HitLists) or any(type(part) is not kind for part in parts):
        names = ", ".join(sorted({type(part).__name__ for part in parts}))
        raise TypeError(f"hits must be all Hits or all HitLists, got {names}")
    if len({len(part) for part in parts}) > 1:
        raise ValueError(
            f"hits must be for the same queries, got {', '.join(str(len(part)) for part in parts)} queries"
        )
    if len({part.distances.dtype for part in parts}) > 1:
        raise ValueError("hits must be of one distance, got Hamming and weighted Hamming")
    all_ties = check_choice("ties", ties, TIES) == "all"
    if k is not None:
        k = check_integer("k", k, 1)
    if kind is HitLists:
        return merged(parts, k, all_ties)
    if k is None or all_ties:
        raise ValueError("k must be given for Hits, and ties be 'id': searches with all ties give HitLists")
    n_rows = sum(part.ids.shape[1] for part in parts)
    return as_table(merged([_as_lists(part) for part in parts], k, False), min(k, n_rows))


def merged(parts: list[HitLists], k: int | None, all_ties: bool) -> HitLists:
    """``merge_hits`` of checked lists."""
    if len(parts) == 1 and k is None:
        return parts[0]
    query = np.concatenate([np.repeat(np.arange(len(part)), np.diff(part.offsets)) for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    order = np.lexsort((ids, distances, query))
    query, ids, distances = query[order], ids[order], distances[order]
    first = np.searchsorted(query, np.arange(len(parts[0]) + 1))
    if k is not None:
        rank = np.arange(len(query)) - first[query]
        keep = rank < k
        if all_ties:
            kth = np.minimum(first[query] + k, first[query + 1]) - 1
            keep |= distances == distances[kth]
        query, ids, distances = query[keep], ids[keep], distances[keep]
        first = np.searchsorted(query, np.arange(len(parts[0]) + 1))
    return HitLists(first.astype(np.int64), ids, distances)


def _as_lists(hits: Hits) -> HitLists:
    n, columns = hits.ids.shape
    return HitLists(np.arange(n + 1, dtype=np.int64) * columns, hits.ids.ravel(), hits.distances.ravel())


def _check_pair(query_codes: ArrayLike, database_codes: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    shape = as_array("database_codes", database_codes).shape
    n_bits = 8 * shape[1] if len(shape) == 2 and shape[1] > 0 else 8
    return check_codes("query_codes", query_codes, n_bits), check_codes("database_codes", database_codes, n_bits)


def _search_once(request: Request, database: NDArray[np.uint8], allowed: ArrayLike | None) -> HitLists:
    mask = None if allowed is None else row_mask(_allowed_rows(allowed, len(database)), len(database))
    return request.run(_core.CodeSet(database, False), mask)


def _allowed_rows(allowed: ArrayLike, n: int) -> NDArray[Any]:
    array = check_allowed(allowed, n)
    if array.dtype == np.bool_:
        return np.flatnonzero(array)
    return array[(array >= 0) & (array < n)]


def check_allowed(allowed: ArrayLike, n: int) -> NDArray[Any]:
    """A boolean mask (n,) or int64 ids of any number."""
    array = as_array("allowed", allowed)
    if array.size == 0 and array.dtype != np.bool_:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise TypeError(
            f"allowed must be a boolean mask of shape ({n},) or a list of ids, got {array.dtype} of shape {array.shape}"
        )
    if array.dtype == np.bool_ and len(array) != n:
        raise ValueError(f"allowed must have one value for each of the {n} codes, as a mask, got {len(array)}")
    if array.dtype == np.bool_:
        return array
    return array[array <= np.iinfo(np.int64).max].astype(np.int64)  # beyond it there are no ids


def row_mask(rows: NDArray[Any], n: int) -> NDArray[np.uint8]:
    """The core's mask of n rows (64 bytes for each 512 begun) that lets these rows through."""
    bits = np.zeros((n + 511) // 512 * 512, dtype=np.bool_)
    bits[rows] = True
    return np.packbits(bits, bitorder="little")


def rows_of_mask(mask: NDArray[np.uint8], n: int) -> NDArray[np.intp]:
    """The rows that a mask lets through, ascending."""
    return np.flatnonzero(np.unpackbits(mask, count=n, bitorder="little"))
