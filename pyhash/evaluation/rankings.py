"""Rankings of a database for queries, computed in blocks, in the two forms that ``_ranks`` scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import (
    as_array,
    as_float64,
    as_rows,
    check_codes,
    check_n_bits,
    check_numeric,
    check_projections,
)
from pyhash._inputs.threads import resolve_n_threads
from pyhash.evaluation import _ranks
from pyhash.evaluation.grades import GradeBy, Grades, grade_labels
from pyhash.evaluation.relevance import Relevance, unpack_relevance

# The ranks of relevant items, from 1: those of query i are ranks[offsets[i]:offsets[i + 1]], ascending.
Ranked = tuple[NDArray[np.int64], NDArray[np.uint32]]
Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
DistanceFunction = Callable[[NDArray[np.generic], NDArray[np.generic]], ArrayLike]
Metric = Literal["hamming", "weighted_hamming", "precomputed"] | DistanceFunction
Result = TypeVar("Result")
Judged = TypeVar("Judged", Relevance, Grades)

# Most pairs of query and item in a block: 256 KiB of relevance, a few MiB of real distances.
_PAIRS_PER_BLOCK = 1 << 18


class Ranking(ABC):
    """The order of a database for each query: by distance, then by position."""

    n_queries: int
    n_database: int

    @abstractmethod
    def ranked(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Ranked:
        """Return offsets and ranks of the items that are relevant to queries [start, stop)."""

    @abstractmethod
    def grouped(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Counts:
        """Count items and relevant items in each group of equal distance, nearest first: two (n_queries, n_groups)."""


class HammingRanking(Ranking):
    """Ranking by the Hamming distance of packed codes; groups are the distances 0, 1, 2, ..."""

    def __init__(self, queries: ArrayLike, database: ArrayLike, n_bits: int | None) -> None:
        if n_bits is None:
            shape = as_array("database", database).shape
            n_bits = 8 * shape[1] if len(shape) == 2 and shape[1] > 0 else 8
        n_bits = check_n_bits(n_bits)
        # The database says how long a code is, so errors in it are reported first.
        self._database = check_codes("database", database, n_bits)
        self._queries = check_codes("queries", queries, n_bits)
        self.n_bits = n_bits
        self.n_queries = len(self._queries)
        self.n_database = len(self._database)

    def ranked(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Ranked:  # noqa: D102
        return _core.rank_relevant(self._queries[start:stop], self._database, relevance, 1)

    def grouped(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Counts:  # noqa: D102
        return _core.count_by_distance(self._queries[start:stop], self._database, relevance, 1)


class DistanceRanking(Ranking):
    """Ranking by real distances, which a function returns for a range of queries."""

    def __init__(self, distances: Callable[[int, int], NDArray[np.float64]], n_queries: int, n_database: int) -> None:
        self._distances = distances
        self.n_queries = n_queries
        self.n_database = n_database

    def _sorted(
        self, start: int, stop: int, relevance: NDArray[np.uint64]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        distances = self._distances(start, stop)
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(
            unpack_relevance(relevance, self.n_database), order, axis=1
        )

    def ranked(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Ranked:  # noqa: D102
        rows, places = np.nonzero(self._sorted(start, stop, relevance)[1])
        offsets = np.searchsorted(rows, np.arange(stop - start + 1)).astype(np.int64, copy=False)
        return offsets, (places + 1).astype(np.uint32)

    def grouped(self, start: int, stop: int, relevance: NDArray[np.uint64]) -> Counts:  # noqa: D102
        distances, in_order = self._sorted(start, stop, relevance)
        n_all = np.zeros(in_order.shape, dtype=np.int64)
        n_relevant = np.zeros(in_order.shape, dtype=np.int64)
        _ranks.group_equal(distances, in_order, n_all, n_relevant)
        return n_all, n_relevant


def make_ranking(queries: ArrayLike, database: ArrayLike | None, metric: Metric, n_bits: int | None) -> Ranking:
    """Return the ranking by `metric`; ``mean_average_precision`` documents the arguments."""
    if not isinstance(metric, str) and not callable(metric):
        raise TypeError(f"metric must be a string or a function, got {type(metric).__name__}")
    if metric == "hamming":
        return HammingRanking(queries, _required(database, metric), n_bits)
    if metric == "weighted_hamming":
        projections = check_projections("queries", queries, n_bits)
        codes = check_codes("database", _required(database, metric), projections.shape[1])
        return DistanceRanking(
            lambda start, stop: _core.weighted_distances(projections[start:stop], codes, 1),
            len(projections),
            len(codes),
        )
    if metric != "precomputed" and not callable(metric):
        raise ValueError(f"metric must be 'hamming', 'weighted_hamming', 'precomputed' or a function, got {metric!r}")
    if n_bits is not None:
        raise ValueError(f"n_bits goes with metric 'hamming' or 'weighted_hamming', got n_bits={n_bits}")
    if isinstance(metric, str):
        if database is not None:
            raise ValueError("database must be None with metric='precomputed': queries are the distances")
        matrix = as_array("queries", queries)
        if matrix.ndim != 2:
            raise ValueError(f"queries must be distances of shape (n_queries, n_database), got {matrix.shape}")
        return DistanceRanking(
            lambda start, stop: _check_distances("queries", matrix[start:stop], start), *matrix.shape
        )
    query_rows = as_rows("queries", queries)
    database_rows = as_rows("database", _required(database, "a function"))
    if query_rows.ndim == 0 or database_rows.ndim == 0:
        raise ValueError("queries and database must have rows")
    n_queries, n_database = query_rows.shape[0], database_rows.shape[0]  # a sparse array has no len()
    return DistanceRanking(
        lambda start, stop: _check_distances(
            "distances", metric(query_rows[start:stop], database_rows), start, (stop - start, n_database)
        ),
        n_queries,
        n_database,
    )


def _required(database: ArrayLike | None, metric: str) -> ArrayLike:
    if database is None:
        raise ValueError(f"database must be given with metric {metric}")
    return database


def _check_distances(
    name: str, distances: ArrayLike, first_row: int, shape: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """Return distances as float64; `first_row` is the query of the first, and `shape` is required if given."""
    array = as_array(name, distances)
    check_numeric(name, array)
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return as_float64(name, array, first_row)


def rank_labelled(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    metric: Metric,
    n_bits: int | None,
) -> tuple[Ranking, Relevance]:
    """Return the ranking and the relevance; raise if rows and labels differ in number, or a side has no row."""
    ranking = make_ranking(queries, database, metric, n_bits)
    return ranking, _checked("labels", Relevance(query_labels, database_labels), ranking)


def rank_instances(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_ids: ArrayLike,
    database_ids: ArrayLike,
    metric: Metric,
    n_bits: int | None,
) -> tuple[Ranking, Relevance]:
    """Return the ranking and the relevance by equal ids; raise as ``rank_labelled``."""
    ranking = make_ranking(queries, database, metric, n_bits)
    return ranking, _checked("ids", Relevance.of_ids(query_ids, database_ids), ranking)


def rank_graded(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: Any,
    database_labels: Any,
    grades: GradeBy,
    metric: Metric,
    n_bits: int | None,
) -> tuple[Ranking, Grades]:
    """Return the ranking and the grades by labels; raise as ``rank_labelled``."""
    ranking = make_ranking(queries, database, metric, n_bits)
    return ranking, _checked("labels", grade_labels(query_labels, database_labels, grades), ranking)


def _checked(kind: str, relevance: Judged, ranking: Ranking) -> Judged:
    """Return the judgements; raise unless their labels or ids are as many as the rows of each side, at least one."""
    for side, n_ranked, n_given in (
        ("query", ranking.n_queries, relevance.n_queries),
        ("database", ranking.n_database, relevance.n_database),
    ):
        if n_ranked != n_given:
            raise ValueError(f"{side}_{kind} must have {n_ranked} rows, as many as there are codes, got {n_given}")
        if n_ranked == 0:
            raise ValueError(f"{side} codes must have at least one row, got none")
    return relevance


def map_blocks(ranking: Ranking, n_threads: int | None, score: Callable[[int, int], Result]) -> Iterator[Result]:
    """Yield ``score(start, stop)`` of every block of queries, in order, computed on several threads.

    The core releases the GIL. At most 2 * n_threads results wait to be taken, which bounds the memory.
    """
    size = max(1, _PAIRS_PER_BLOCK // ranking.n_database)
    starts = range(0, ranking.n_queries, size)

    def score_block(start: int) -> Result:
        return score(start, min(start + size, ranking.n_queries))

    n_threads = min(resolve_n_threads(n_threads), len(starts))
    if n_threads == 1:
        yield from map(score_block, starts)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for start in starts:
                waiting.append(pool.submit(score_block, start))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # after an error: do not start the blocks that have not begun
                future.cancel()
