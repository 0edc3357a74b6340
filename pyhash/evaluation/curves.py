"""Precision and recall by rank, by Hamming radius, and among the first N."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_choice, check_integer, is_iterable
from pyhash.evaluation import _ranks
from pyhash.evaluation.protocol import GROUPED_TIES, Protocol, resolve_protocol
from pyhash.evaluation.rankings import HammingRanking, Metric, Ranking, map_blocks, rank_labelled
from pyhash.evaluation.relevance import Relevance, count_relevant

Threshold = Literal["rank", "radius"]


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall at each threshold, averaged over queries.

    Attributes
    ----------
    precision, recall : ndarray of shape (n_thresholds,), float64
    thresholds : ndarray of shape (n_thresholds,), int64
        Ranks 1, 2, ... or radii 0, 1, ...
    by : {"rank", "radius"}
    n_empty : int
        Number of queries without a relevant item in the database.
    protocol : Protocol
        A curve uses its cutoff, ties and empty_queries, and not its denominator.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    thresholds: NDArray[np.int64]
    by: Threshold
    n_empty: int
    protocol: Protocol

    def __repr__(self) -> str:
        return (
            f"PrecisionRecallCurve(by {self.by}, {len(self.thresholds)} thresholds; {self.protocol.describe()}; "
            f"{self.n_empty} empty)"
        )


@dataclass(frozen=True)
class _ScoreAt:
    """A score of the first N items of each query, and its means over queries."""

    top_n: NDArray[np.int64]
    values: NDArray[np.float64]
    per_query: NDArray[np.float64]
    n_empty: int
    protocol: Protocol

    symbol: ClassVar[str]

    def __repr__(self) -> str:
        scores = ", ".join(f"{self.symbol}@{n} {value:.4f}" for n, value in zip(self.top_n, self.values, strict=True))
        return (
            f"{scores} (empty queries {self.protocol.empty_queries}, ties {self.protocol.ties}; "
            f"{len(self.per_query)} queries, {self.n_empty} empty)"
        )


@dataclass(frozen=True, repr=False)
class PrecisionAt(_ScoreAt):
    """Precision among the first N items, averaged over queries.

    Attributes
    ----------
    top_n : ndarray of shape (n,), int64
    values : ndarray of shape (n,), float64
    per_query : ndarray of shape (n_queries, n), float64
        Empty queries: NaN under "skip", 0 under "zero".
    n_empty : int
        Number of queries without a relevant item in the database.
    protocol : Protocol
        Precision at N uses its ties and empty_queries, and not its denominator.
    """

    symbol: ClassVar[str] = "P"


@dataclass(frozen=True, repr=False)
class RecallAt(_ScoreAt):
    """Recall among the first N items, averaged over queries.

    Attributes
    ----------
    top_n : ndarray of shape (n,), int64
    values : ndarray of shape (n,), float64
    per_query : ndarray of shape (n_queries, n), float64
        Empty queries: NaN under "skip", 0 under "zero".
    n_empty : int
        Number of queries without a relevant item in the database.
    protocol : Protocol
        Recall at N uses its ties and empty_queries, and not its denominator.
    """

    symbol: ClassVar[str] = "recall"


def _hits(
    ranking: Ranking, start: int, stop: int, relevance: NDArray[np.uint64], ties: str, n_ranks: int
) -> NDArray[np.float64]:
    """Count the relevant items among the first 1, ..., n_ranks of each query; for expected ties their mean."""
    hits = np.zeros((stop - start, n_ranks))
    if ties == "id":
        _ranks.hits_ranked(*ranking.ranked(start, stop, relevance), hits)
    else:
        n_all, n_relevant = ranking.grouped(start, stop, relevance)
        _ranks.hits_grouped(n_all, n_relevant, GROUPED_TIES.index(ties), hits)
    return hits


def _counts_by_radius(
    ranking: HammingRanking, start: int, stop: int, relevance: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the items and the relevant items within each radius 0, ..., n_bits of each query."""
    n_all, n_relevant = ranking.grouped(start, stop, relevance)
    last = ranking.n_bits + 1  # counts of distances above n_bits are padding
    return np.cumsum(n_all[:, :last], axis=1), np.cumsum(n_relevant[:, :last], axis=1)


def precision_recall_curve(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    by: Threshold = "rank",
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> PrecisionRecallCurve:
    """Compute precision and recall at every rank or every Hamming radius, averaged over queries.

    Parameters
    ----------
    queries, database, query_labels, database_labels, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    by : {"rank", "radius"}
        "rank": thresholds are the ranks 1, 2, ... up to the protocol's cutoff. "radius": thresholds are the Hamming
        distances 0, 1, ..., n_bits, inclusive; only for metric "hamming".
    protocol : Protocol or str, optional
        Its cutoff, ties and empty_queries apply. With by="radius", ties have no effect and a cutoff is an error.

    Returns
    -------
    PrecisionRecallCurve

    Raises
    ------
    TypeError, ValueError
        As ``mean_average_precision``.
    ValueError
        If by is neither "rank" nor "radius".
    ValueError
        If by="radius" and metric is not "hamming".
    ValueError
        If by="radius" and the protocol has a cutoff.

    Notes
    -----
    Precision and recall are computed for each query and then averaged. If no item lies within a radius, the precision
    of the query is 0 there. Queries without a relevant item in the database are empty queries of the protocol.

    Examples
    --------
    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> curve = precision_recall_curve(codes.pack([[1, 1, 1]]), database, [7], [7, 3, 7], n_bits=3)
    >>> curve.precision.round(2), curve.recall
    (array([1.  , 0.5 , 0.67]), array([0.5, 0.5, 1. ]))
    """
    protocol = resolve_protocol(protocol)
    check_choice("by", by, ("rank", "radius"))
    ranking, relevance = rank_labelled(queries, database, query_labels, database_labels, metric, n_bits)
    if by == "radius":
        if not isinstance(ranking, HammingRanking):
            raise ValueError(f"by='radius' needs metric 'hamming', got {metric!r}")
        if protocol.cutoff is not None:
            raise ValueError(f"by='radius' needs a protocol without a cutoff, got cutoff={protocol.cutoff}")
        thresholds = np.arange(ranking.n_bits + 1)
    else:
        thresholds = np.arange(1, min(protocol.cutoff or ranking.n_database, ranking.n_database) + 1)

    def add_up(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        block = relevance.block(start, stop)
        n_relevant = count_relevant(block)
        hits: NDArray[np.float64] | NDArray[np.int64]
        if isinstance(ranking, HammingRanking) and by == "radius":
            found, hits = _counts_by_radius(ranking, start, stop, block)
            found = np.maximum(found, 1)
        else:
            found = thresholds[None, :]
            hits = _hits(ranking, start, stop, block, protocol.ties, len(thresholds))
        precision = hits / found
        recall = hits / np.maximum(n_relevant, 1)[:, None]
        return precision.sum(axis=0), recall.sum(axis=0), int(np.count_nonzero(n_relevant == 0))

    precision, recall, n_empty = np.zeros(len(thresholds)), np.zeros(len(thresholds)), 0
    for of_block in map_blocks(ranking, n_threads, add_up):
        precision += of_block[0]
        recall += of_block[1]
        n_empty += of_block[2]
    n_counted = ranking.n_queries - (n_empty if protocol.empty_queries == "skip" else 0)
    # An empty query adds 0 to both sums: leaving it out changes only the divisor.
    divisor = n_counted if n_counted else float("nan")
    return PrecisionRecallCurve(precision / divisor, recall / divisor, thresholds, by, n_empty, protocol)


def precision_at(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    top_n: int | Sequence[int],
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> PrecisionAt:
    """Compute the precision among the first N items of each ranking, averaged over queries.

    Parameters
    ----------
    queries, database, query_labels, database_labels, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    top_n : int or sequence of int
        Each N from 1 to the size of the database.
    protocol : Protocol or str, optional
        Its ties and empty_queries apply. A cutoff below N is an error.

    Returns
    -------
    PrecisionAt

    Raises
    ------
    TypeError, ValueError
        As ``mean_average_precision``.
    ValueError
        If top_n holds no number.
    ValueError
        If an N is below 1, or above the size of the database or the cutoff.

    Examples
    --------
    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> precision_at(codes.pack([[1, 1, 1]]), database, [7], [7, 3, 7], top_n=[1, 2], n_bits=3)
    P@1 1.0000, P@2 0.5000 (empty queries skip, ties id; 1 queries, 0 empty)
    """
    ranking, relevance = rank_labelled(queries, database, query_labels, database_labels, metric, n_bits)

    def divide(hits: NDArray[np.float64], numbers: NDArray[np.int64], block: NDArray[np.uint64]) -> NDArray[np.float64]:
        return hits / numbers

    return PrecisionAt(*_score_at(ranking, relevance, top_n, protocol, n_threads, divide))


def recall_at(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    top_n: int | Sequence[int],
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> RecallAt:
    """Compute the share of the relevant items that are among the first N of each ranking, averaged over queries.

    Parameters
    ----------
    queries, database, query_labels, database_labels, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    top_n : int or sequence of int
        Each N from 1 to the size of the database.
    protocol : Protocol or str, optional
        Its ties and empty_queries apply. A cutoff below N is an error.

    Returns
    -------
    RecallAt

    Raises
    ------
    TypeError, ValueError
        As ``precision_at``.

    Notes
    -----
    The recall of a query at N is the number of relevant items among the first N divided by the number of relevant
    items in the database. With ties "expected" it is the exact mean over all orders of items at equal distance.
    ``instance_retrieval`` measures the share of queries that find at least one item, which papers also call recall.

    Examples
    --------
    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> recall_at(codes.pack([[1, 1, 1]]), database, [7], [7, 3, 7], top_n=[1, 3], n_bits=3)
    recall@1 0.5000, recall@3 1.0000 (empty queries skip, ties id; 1 queries, 0 empty)
    """
    ranking, relevance = rank_labelled(queries, database, query_labels, database_labels, metric, n_bits)

    def divide(hits: NDArray[np.float64], numbers: NDArray[np.int64], block: NDArray[np.uint64]) -> NDArray[np.float64]:
        return hits / np.maximum(count_relevant(block), 1)[:, None]

    return RecallAt(*_score_at(ranking, relevance, top_n, protocol, n_threads, divide))


def _score_at(
    ranking: Ranking,
    relevance: Relevance,
    top_n: int | Sequence[int],
    protocol: Protocol | str | None,
    n_threads: int | None,
    divide: Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint64]], NDArray[np.float64]],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], int, Protocol]:
    """Return the fields of a score of the first N; `divide` makes it of hits (n_queries, n), each N and relevance."""
    protocol = resolve_protocol(protocol)
    wanted = list(top_n) if is_iterable(top_n) else [top_n]
    if not wanted:
        raise ValueError("top_n must name at least one N, got none")
    limit = min(protocol.cutoff or ranking.n_database, ranking.n_database)
    numbers = np.array([check_integer("top_n", n, 1, limit) for n in wanted], dtype=np.int64)

    def score(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        block = relevance.block(start, stop)
        hits = _hits(ranking, start, stop, block, protocol.ties, int(numbers.max()))
        return divide(hits[:, numbers - 1], numbers, block), np.asarray(~block.any(axis=1))

    blocks = list(map_blocks(ranking, n_threads, score))
    per_query = np.concatenate([scores for scores, _ in blocks])
    empty = np.concatenate([of_block for _, of_block in blocks])
    counted = per_query if protocol.empty_queries == "zero" else per_query[~empty]
    values = counted.mean(axis=0) if len(counted) else np.full(len(numbers), np.nan)
    if protocol.empty_queries == "skip":
        per_query[empty] = np.nan
    return numbers, values, per_query, int(np.count_nonzero(empty)), protocol
