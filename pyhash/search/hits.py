"""The results of searches: a table of hits, or lists of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ties: TypeAlias = Literal["id", "all"]
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
    missing_shards : tuple of int
        Shards that were not searched; only a partial answer of ``pyhash.distributed.ShardedIndex`` has any.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.int32] | NDArray[np.float64]
    missing_shards: tuple[int, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def _repr_html_(self) -> str:
        return _hits_html("Hits", as_lists(self), self.missing_shards)


@dataclass(frozen=True)
class HitLists:
    """The items found for each query, as many as there are, one query after another.

    Attributes
    ----------
    offsets : ndarray of shape (n_queries + 1,), int64
        Query i's hits are ``ids[offsets[i]:offsets[i + 1]]``.
    ids : ndarray of shape (n_hits,), int64
        For each query by ascending distance, then ascending id.
    distances : ndarray of shape (n_hits,)
        int32 bits for Hamming, float64 for weighted Hamming distance.
    missing_shards : tuple of int
        Shards that were not searched; only a partial answer of ``pyhash.distributed.ShardedIndex`` has any.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.int32] | NDArray[np.float64]
    missing_shards: tuple[int, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def _repr_html_(self) -> str:
        return _hits_html("HitLists", self, self.missing_shards)


def as_table(lists: HitLists, n_columns: int) -> Hits:
    """Return equally long lists as a table; `n_columns` is its width where there are no lists."""
    n = len(lists)
    columns = int(lists.offsets[-1]) // n if n else n_columns
    if n > 1 and np.any(np.diff(lists.offsets) != columns):  # of one query there is nothing to compare
        raise RuntimeError(
            "internal error in pyhash: a search of the k nearest gave its queries unequal numbers of hits"
        )
    return Hits(lists.ids.reshape(n, columns), lists.distances.reshape(n, columns))


def as_lists(hits: Hits) -> HitLists:
    """Return the rows of a table as lists."""
    n, columns = hits.ids.shape
    return HitLists(np.arange(n + 1, dtype=np.int64) * columns, hits.ids.ravel(), hits.distances.ravel())


def _hits_html(title: str, lists: HitLists, missing_shards: tuple[int, ...]) -> str:
    """Return the first hits of the first queries as a table: ids, each with its distance."""
    from pyhash import _html

    lengths = np.diff(lists.offsets)
    n_columns = min(int(lengths.max(initial=0)), _html.N_ROWS)
    rows = []
    for query in range(min(len(lists), _html.N_ROWS)):
        shown = slice(int(lists.offsets[query]), int(lists.offsets[query]) + min(int(lengths[query]), n_columns))
        hits = zip(lists.ids[shown].tolist(), lists.distances[shown].tolist(), strict=True)
        cells = [f"{number} ({distance:.4g})" for number, distance in hits]
        rows.append([query, f"{lengths[query]:,}", *cells, *[""] * (n_columns - len(cells))])
    header = ["query", "hits", *range(1, n_columns + 1)]
    parts = [_html.table(header, rows, "by rank: id (distance)"), _html.more(len(lists))]
    if missing_shards:
        parts.append(_html.note(f"not searched: shards {', '.join(map(str, missing_shards))}"))
    return _html.section(f"{title} of {len(lists):,} queries", *parts)
