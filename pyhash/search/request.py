"""One request to search, as it is sent to every set of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import MAX_BITS, check_choice, check_codes, check_integer, check_projections, check_real
from pyhash._inputs.threads import resolve_n_threads
from pyhash.search.hits import TIES, HitLists, Hits, as_table
from pyhash.search.merging import join_lists
from pyhash.search.row_mask import RowMask

_MAX_ROWS = 1 << 40  # more than any set of codes holds


@dataclass(frozen=True)
class SearchRequest:
    """Queries and limits of a search, checked.

    Attributes
    ----------
    queries : ndarray of shape (n_queries, n_bytes), uint8, or (n_queries, n_bits), float64
        Packed codes for Hamming, projections for weighted Hamming distance.
    k : int or None
        The number of nearest items; None: all within the radius.
    radius : float or None
        The largest distance; None: any.
    all_ties : bool
        Whether everything at the k-th distance is wanted.
    n_threads : int
    """

    queries: NDArray[np.uint8] | NDArray[np.float64]
    k: int | None
    radius: float | None
    all_ties: bool
    n_threads: int

    @classmethod
    def of(
        cls,
        queries: NDArray[np.uint8] | NDArray[np.float64],
        *,
        k: int | None = None,
        radius: float | None = None,
        ties: object = "id",
        n_threads: int | None = None,
    ) -> SearchRequest:
        """Return a request of checked queries, `k` and `radius`; checks the rest."""
        all_ties = check_choice("ties", ties, TIES) == "all"
        # Beyond all that there can be, the core's integers do not need to reach.
        k = None if k is None else min(k, _MAX_ROWS)
        radius = None if radius is None else min(radius, MAX_BITS)
        return cls(queries, k, radius, all_ties, resolve_n_threads(n_threads))

    @classmethod
    def nearest(cls, codes: ArrayLike, n_bits: int, k: int, ties: object, n_threads: int | None) -> SearchRequest:
        """Return a request for the `k` nearest of query codes, as an index of `n_bits` takes it; checks everything."""
        queries = check_codes("codes", codes, n_bits)
        return cls.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)

    @classmethod
    def within(cls, codes: ArrayLike, n_bits: int, radius: int, n_threads: int | None) -> SearchRequest:
        """Return a request for all within a radius of query codes, likewise."""
        queries = check_codes("codes", codes, n_bits)
        return cls.of(queries, radius=check_integer("radius", radius, 0), n_threads=n_threads)

    @classmethod
    def of_projections(
        cls,
        projections: ArrayLike,
        n_bits: int,
        k: int | None,
        radius: float | None,
        ties: object,
        n_threads: int | None,
    ) -> SearchRequest:
        """Return a request for the nearest of projections, or all within a radius, or both, likewise."""
        queries = check_projections("projections", projections, n_bits)
        if k is not None or radius is None:
            k = check_integer("k", k, 1)
        if radius is not None:
            radius = check_real("radius", radius, 0)
        return cls.of(queries, k=k, radius=radius, ties=ties, n_threads=n_threads)

    @property
    def weighted(self) -> bool:
        """Whether queries are projections."""
        return self.queries.dtype != np.uint8

    def find(self, codes: _core.CodeSet, mask: RowMask | None) -> HitLists:
        """Return the hits among the rows of a set that a mask lets through; ids are row numbers."""
        limits: Any = (self.k, self.radius, self.all_ties, mask, self.n_threads)
        queries: Any = self.queries
        if self.weighted:
            return HitLists(*codes.search_weighted(queries, *limits))
        offsets, rows, distances = codes.search(queries, *limits)
        return HitLists(offsets, rows, distances.view(np.int32))

    def joined(self, found: list[HitLists]) -> HitLists:
        """Return the hits of several sets of codes as those of one."""
        if not found:
            offsets = np.zeros(len(self.queries) + 1, dtype=np.int64)
            distances: Any = np.empty(0, dtype=np.float64 if self.weighted else np.int32)
            return HitLists(offsets, np.empty(0, dtype=np.int64), distances)
        return found[0] if len(found) == 1 else join_lists(found, self.k, self.all_ties)

    def answer(self, lists: HitLists, n_rows: int) -> Hits | HitLists:
        """Return lists as a table where all are of one length: the k nearest of `n_rows` and nothing else."""
        if self.k is None or self.radius is not None or self.all_ties:
            return lists
        return as_table(lists, min(self.k, n_rows))
