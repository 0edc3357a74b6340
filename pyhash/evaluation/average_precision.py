"""Mean average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash.evaluation import _ranks
from pyhash.evaluation.mean_score import MeanScore
from pyhash.evaluation.protocol import DENOMINATORS, GROUPED_TIES, Protocol, resolve_protocol
from pyhash.evaluation.rankings import Metric, map_blocks, rank_labelled


@dataclass(frozen=True, repr=False)
class MeanAveragePrecision(MeanScore):
    """A mean average precision, with its protocol and the score of each query; ``float()`` returns the mean.

    Attributes
    ----------
    value : float
        The mean, in [0, 1]; NaN if every query was skipped.
    per_query : ndarray of shape (n_queries,), float64
        Average precision of each query. Empty queries: NaN under "skip", 0 under "zero".
    n_empty : int
        Number of queries whose divisor was zero.
    protocol : Protocol
    """

    symbol: ClassVar[str] = "mAP"
    has_denominator: ClassVar[bool] = True


def mean_average_precision(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> MeanAveragePrecision:
    """Compute the mean average precision of the rankings of a database.

    The average precision of a query is the mean, over its relevant items, of the precision at their ranks:
    ``AP = 1 / divisor * sum over hits h = 1, 2, ... of h / rank(h)``. The protocol defines the divisor.

    Parameters
    ----------
    queries : array_like
        Metric "hamming": packed codes (n_queries, ceil(n_bits / 8)) uint8. "weighted_hamming": projections
        (n_queries, n_bits). "precomputed": distances (n_queries, n_database). A function: any array with rows.
    database : array_like or None
        Packed codes (n_database, ceil(n_bits / 8)) uint8. A function: any array with rows. "precomputed": None.
    query_labels, database_labels : array_like
        Both class indices (n,), or both 0/1 matrices (n, n_classes), dense or sparse. Two samples are relevant to each
        other if they share a label.
    metric : {"hamming", "weighted_hamming", "precomputed"} or function
        A function such as ``scipy.spatial.distance.cdist`` takes a block of queries and the whole database, and
        returns their distances (n_queries, n_database) as a dense array. Sparse input is passed on as csr_array.
    n_bits : int, optional
        Length of the codes in bits. By default the whole bytes of the codes, or the width of the projections.
    protocol : Protocol or str, optional
        A protocol or the name of a preset. By default ``Protocol()``.
    n_threads : int, optional
        By default the environment variable PYHASH_NUM_THREADS, else the number of CPUs that this process may use.

    Returns
    -------
    MeanAveragePrecision

    Raises
    ------
    TypeError
        If codes are not uint8.
    TypeError
        If labels are neither integers nor 0/1 matrices.
    ValueError
        If the shapes of codes, labels and n_bits do not fit together.
    ValueError
        If a projection, distance or label is not finite or out of range.
    ValueError
        If there is no query or no item.
    ValueError
        If metric or protocol is unknown.
    ValueError
        If n_threads < 1.

    Notes
    -----
    Queries are processed in blocks, so that memory does not grow with their number. Weighted distances are those of
    SHOH, Eq. 32 and 33.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> query = codes.pack([[1, 1, 1]])
    >>> mean_average_precision(query, database, [7], [7, 3, 7], n_bits=3)
    mAP 0.8333 (full list, denominator hits, empty queries skip, ties id; 1 queries, 0 empty)
    """
    protocol = resolve_protocol(protocol)
    ranking, relevance = rank_labelled(queries, database, query_labels, database_labels, metric, n_bits)
    # A cutoff beyond the end of the list has no effect.
    cutoff = min(protocol.cutoff or ranking.n_database, ranking.n_database)
    denominator = DENOMINATORS.index(protocol.denominator)

    def score(start: int, stop: int) -> NDArray[np.float64]:
        out = np.empty(stop - start)
        block = relevance.block(start, stop)
        if protocol.ties == "id":
            _ranks.average_precision_ranked(*ranking.ranked(start, stop, block), cutoff, denominator, out)
        else:
            ties = GROUPED_TIES.index(protocol.ties)
            _ranks.average_precision_grouped(*ranking.grouped(start, stop, block), cutoff, denominator, ties, out)
        return out

    return MeanAveragePrecision.of_queries(np.concatenate(list(map_blocks(ranking, n_threads, score))), protocol)
