"""Mean reciprocal rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash.evaluation import _ranks
from pyhash.evaluation.mean_score import MeanScore
from pyhash.evaluation.protocol import GROUPED_TIES, Protocol, resolve_protocol
from pyhash.evaluation.rankings import Metric, map_blocks, rank_labelled


@dataclass(frozen=True, repr=False)
class MeanReciprocalRank(MeanScore):
    """A mean reciprocal rank, with its protocol and the score of each query; ``float()`` returns the mean.

    Attributes
    ----------
    value : float
        The mean, in [0, 1]; NaN if every query was skipped.
    per_query : ndarray of shape (n_queries,), float64
        Reciprocal rank of each query. Empty queries: NaN under "skip", 0 under "zero".
    n_empty : int
        Number of queries without a relevant item in the database.
    protocol : Protocol
        Its denominator does not apply.
    """

    symbol: ClassVar[str] = "MRR"


def mean_reciprocal_rank(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> MeanReciprocalRank:
    """Compute the mean of 1 / rank of the first relevant item of each ranking.

    Parameters
    ----------
    queries, database, query_labels, database_labels, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    protocol : Protocol or str, optional
        Its cutoff, ties and empty_queries apply. A query whose first relevant item is beyond the cutoff scores 0.

    Returns
    -------
    MeanReciprocalRank

    Raises
    ------
    TypeError, ValueError
        As ``mean_average_precision``.

    Notes
    -----
    With ties "expected", the score of a query is the exact mean over all orders of items at equal distance. The nearest
    group with a relevant item holds the first one in every order. With r relevant items among the n of this group and b
    items before it, the first relevant item has rank b + i with probability C(n - i, r - 1) / C(n, r).

    Examples
    --------
    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [1, -1, 1]])
    >>> mean_reciprocal_rank(codes.pack([[1, 1, 1]]), database, [7], [3, 3, 7], n_bits=3)
    MRR 0.3333 (full list, empty queries skip, ties id; 1 queries, 0 empty)
    """
    protocol = resolve_protocol(protocol)
    ranking, relevance = rank_labelled(queries, database, query_labels, database_labels, metric, n_bits)
    # A cutoff beyond the end of the list has no effect.
    cutoff = min(protocol.cutoff or ranking.n_database, ranking.n_database)
    no_top_n = np.empty(0, dtype=np.int64)

    def score(start: int, stop: int) -> NDArray[np.float64]:
        inverse, found = np.empty(stop - start), np.empty((stop - start, 0))
        block = relevance.block(start, stop)
        if protocol.ties == "id":
            _ranks.first_hit_ranked(*ranking.ranked(start, stop, block), no_top_n, cutoff, found, inverse)
        else:
            ties = GROUPED_TIES.index(protocol.ties)
            _ranks.first_hit_grouped(*ranking.grouped(start, stop, block), no_top_n, cutoff, ties, found, inverse)
        inverse[~block.any(axis=1)] = np.nan
        return inverse

    return MeanReciprocalRank.of_queries(np.concatenate(list(map_blocks(ranking, n_threads, score))), protocol)
