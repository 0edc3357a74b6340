"""The joining of what several searches found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from pyhash._inputs.checks import check_choice, check_integer, is_iterable
from pyhash.search.hits import TIES, HitLists, Hits, Ties, as_lists, as_table


@overload
def merge_hits(hits: Sequence[Hits], k: int, *, ties: Literal["id"] = "id") -> Hits: ...
@overload
def merge_hits(hits: Sequence[HitLists], k: int | None = None, *, ties: Ties = "id") -> HitLists: ...
def merge_hits(
    hits: Sequence[Hits] | Sequence[HitLists], k: int | None = None, *, ties: Ties = "id"
) -> Hits | HitLists:
    """Join the hits of several shards as one index over all of them would give them.

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
        If `hits` is not a sequence of Hits, or of HitLists.
        If `k` is not an integer.
    ValueError
        If `hits` is empty.
        If `hits` are for different numbers of queries, or of different distances.
        If `hits` are Hits, and `k` is not given or `ties` is "all".
        If ``k < 1``.
        If `ties` is not one of the choices.

    Examples
    --------
    >>> from pyhash import CodeIndex, codes, search
    >>> rows = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1], [1, -1, 1]])
    >>> left, right = CodeIndex(3), CodeIndex(3)
    >>> _ = left.add(rows[:2], ids=[0, 1]), right.add(rows[2:], ids=[2, 3])
    >>> search.merge_hits([shard.search(rows[:1], k=3) for shard in (left, right)], k=3)
    Hits(ids=array([[0, 1, 3]]), distances=array([[0, 1, 1]], dtype=int32))
    """
    if not is_iterable(hits):
        raise TypeError(f"hits must be a sequence of Hits or of HitLists, got {type(hits).__name__}")
    shards: list[Any] = list(hits)
    if not shards:
        raise ValueError("hits must hold those of at least one shard, got none")
    kind = type(shards[0])
    if kind not in (Hits, HitLists) or any(type(shard) is not kind for shard in shards):
        names = ", ".join(sorted({type(shard).__name__ for shard in shards}))
        raise TypeError(f"hits must be all Hits or all HitLists, got {names}")
    if len({len(shard) for shard in shards}) > 1:
        numbers = ", ".join(str(len(shard)) for shard in shards)
        raise ValueError(f"hits must be for the same queries, got {numbers} queries")
    if len({shard.distances.dtype for shard in shards}) > 1:
        raise ValueError("hits must be of one distance, got Hamming and weighted Hamming")
    all_ties = check_choice("ties", ties, TIES) == "all"
    if k is not None:
        k = check_integer("k", k, 1)
    if kind is HitLists:
        return join_lists(shards, k, all_ties)
    if k is None or all_ties:
        raise ValueError("k must be given for Hits, and ties be 'id': searches with all ties give HitLists")
    n_rows = sum(shard.ids.shape[1] for shard in shards)
    return as_table(join_lists([as_lists(shard) for shard in shards], k, False), min(k, n_rows))


def join_lists(shards: list[HitLists], k: int | None, all_ties: bool) -> HitLists:
    """Return the lists of all shards as one, sorted by distance and id, and cut at `k`."""
    if len(shards) == 1 and k is None:
        return shards[0]
    n_queries = len(shards[0])
    query = np.concatenate([np.repeat(np.arange(n_queries), np.diff(shard.offsets)) for shard in shards])
    ids = np.concatenate([shard.ids for shard in shards])
    distances = np.concatenate([shard.distances for shard in shards])
    order = np.lexsort((ids, distances, query))
    query, ids, distances = query[order], ids[order], distances[order]
    first = np.searchsorted(query, np.arange(n_queries + 1))
    if k is not None:
        rank = np.arange(len(query)) - first[query]
        keep = rank < k
        if all_ties:
            kth = np.minimum(first[query] + k, first[query + 1]) - 1
            keep |= distances == distances[kth]
        query, ids, distances = query[keep], ids[keep], distances[keep]
        first = np.searchsorted(query, np.arange(n_queries + 1))
    return HitLists(first.astype(np.int64), ids, distances)
