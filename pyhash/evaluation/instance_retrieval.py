"""Instance retrieval: whether a ranking finds the same thing, not only one of the same class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_integer, is_iterable
from pyhash.evaluation import _ranks
from pyhash.evaluation.protocol import DENOMINATORS, GROUPED_TIES, Protocol, resolve_protocol
from pyhash.evaluation.rankings import Metric, map_blocks, rank_instances
from pyhash.evaluation.relevance import count_relevant

_MAX_INT64 = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class InstanceRetrieval:
    """Scores of finding items with the same id as the query, by query; the properties are their means.

    Attributes
    ----------
    top_n : ndarray of shape (n,), int64
    average_precision : ndarray of shape (n_queries,), float64
    reciprocal_rank : ndarray of shape (n_queries,), float64
        1 / rank of the first item with the same id.
    found : ndarray of shape (n_queries, n), float64
        1 if the first N items hold at least one with the same id, else 0; with ties "expected" the probability of it.
    found_fraction : ndarray of shape (n_queries, n), float64
        Share of all items with the same id that are among the first N; with ties "expected" its mean.
    n_empty : int
        Number of queries whose id no item of the database has. Their scores are NaN under "skip", 0 under "zero".
    protocol : Protocol
    """

    top_n: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    reciprocal_rank: NDArray[np.float64]
    found: NDArray[np.float64]
    found_fraction: NDArray[np.float64]
    n_empty: int
    protocol: Protocol

    @property
    def map(self) -> float:
        """Mean average precision; NaN if every query was skipped, as all means here."""
        return float(_mean(self.average_precision))

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(_mean(self.reciprocal_rank))

    @property
    def hit_rate(self) -> NDArray[np.float64]:
        """Share of the queries that find at least one same item among the first N (n,): success@N."""
        return _mean(self.found)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Mean share of a query's same items that are among the first N (n,)."""
        return _mean(self.found_fraction)

    def __repr__(self) -> str:
        hits = ", ".join(f"hit@{n} {value:.4f}" for n, value in zip(self.top_n, self.hit_rate, strict=True))
        return (
            f"{hits}, MRR {self.mrr:.4f}, mAP {self.map:.4f} ({self.protocol.describe()}; "
            f"{len(self.found)} queries, {self.n_empty} empty)"
        )


def _mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the queries that were not skipped, whose scores are not NaN."""
    counted = scores[~np.isnan(scores.reshape(len(scores), -1)).any(axis=1)]
    return np.asarray(counted.mean(axis=0) if len(counted) else np.full(scores.shape[1:], np.nan))


def instance_retrieval(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_ids: ArrayLike,
    database_ids: ArrayLike,
    *,
    top_n: int | Sequence[int] = (1, 5, 10),
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> InstanceRetrieval:
    """Compute how well rankings find the items that have the same id as the query.

    Use it where several rows show one thing, such as pictures of one product, and the answer must be that thing.

    Parameters
    ----------
    queries, database, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    query_ids, database_ids : array_like of shape (n,)
        Both integers, or both strings. An item is relevant to the queries that have the same id.
    top_n : int or sequence of int
        Each N of hit rate and recall, at least 1. An N beyond the size of the database means all of it.
    protocol : Protocol or str, optional
        Its ties and empty_queries apply to all scores, its cutoff to mAP and MRR, its denominator to mAP. A query is
        empty if no item has its id. An N above the cutoff is an error.

    Returns
    -------
    InstanceRetrieval

    Raises
    ------
    TypeError, ValueError
        As ``mean_average_precision``.
    TypeError
        If ids are neither integers nor strings, or of different kinds.
    ValueError
        If ids are not one-dimensional, do not fit int64, or differ in number from the codes.
    ValueError
        If top_n holds no number, or one below 1 or above the cutoff.

    Notes
    -----
    "Recall@N" has two meanings. Cross-modal papers report ``hit_rate``: the share of queries with at least one right
    item among the first N. Information retrieval reports ``recall``: the share of the right items that are among the
    first N. They are equal if each query has one right item.

    With ties "expected", every score is the exact mean over all orders of items at equal distance. With r right items
    among the n of a group, of which a ranking shows m, none of them is shown with probability
    C(n - r, m) / C(n, m).

    Examples
    --------
    >>> from pyhash import codes
    >>> from pyhash.evaluation import Protocol
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, 1, 1], [-1, -1, -1]])
    >>> result = instance_retrieval(
    ...     codes.pack([[1, 1, 1]]), database, ["cat"], ["dog", "cat", "dog", "cat"],
    ...     top_n=[1, 2, 4], n_bits=3, protocol=Protocol(ties="expected"),
    ... )
    >>> result.hit_rate, result.recall, round(result.mrr, 4)
    (array([0. , 0.5, 1. ]), array([0.  , 0.25, 1.  ]), 0.4167)
    """
    protocol = resolve_protocol(protocol)
    ranking, relevance = rank_instances(queries, database, query_ids, database_ids, metric, n_bits)
    named = list(top_n) if is_iterable(top_n) else [top_n]
    if not named:
        raise ValueError("top_n must name at least one N, got none")
    limit = min(protocol.cutoff or _MAX_INT64, _MAX_INT64)
    wanted = np.array([check_integer("top_n", n, 1, limit) for n in named], dtype=np.int64)
    numbers = np.minimum(wanted, ranking.n_database)
    # A cutoff beyond the end of the list has no effect.
    cutoff = min(protocol.cutoff or ranking.n_database, ranking.n_database)
    denominator = DENOMINATORS.index(protocol.denominator)

    def score(start: int, stop: int) -> tuple[NDArray[np.float64], ...]:
        block = relevance.block(start, stop)
        precision, inverse = np.empty(stop - start), np.empty(stop - start)
        found = np.empty((stop - start, len(numbers)))
        hits = np.zeros((stop - start, int(numbers.max())))
        if protocol.ties == "id":
            ranked = ranking.ranked(start, stop, block)
            _ranks.average_precision_ranked(*ranked, cutoff, denominator, precision)
            _ranks.first_hit_ranked(*ranked, numbers, cutoff, found, inverse)
            _ranks.hits_ranked(*ranked, hits)
        else:
            counts, ties = ranking.grouped(start, stop, block), GROUPED_TIES.index(protocol.ties)
            _ranks.average_precision_grouped(*counts, cutoff, denominator, ties, precision)
            _ranks.first_hit_grouped(*counts, numbers, cutoff, ties, found, inverse)
            _ranks.hits_grouped(*counts, ties, hits)
        n_relevant = count_relevant(block)
        return precision, inverse, found, hits[:, numbers - 1] / np.maximum(n_relevant, 1)[:, None], n_relevant == 0

    blocks = list(map_blocks(ranking, n_threads, score))
    precision, inverse, found, fraction, empty = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    if protocol.empty_queries == "zero":
        precision[np.isnan(precision)] = 0.0
    else:
        for scores in (inverse, found, fraction):
            scores[empty] = np.nan
    return InstanceRetrieval(wanted, precision, inverse, found, fraction, int(np.count_nonzero(empty)), protocol)
