"""Normalized discounted cumulative gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_choice
from pyhash.evaluation.grades import GradeBy
from pyhash.evaluation.mean_score import MeanScore
from pyhash.evaluation.protocol import Protocol, resolve_protocol
from pyhash.evaluation.rankings import Metric, map_blocks, rank_graded
from pyhash.evaluation.relevance import count_relevant

Gain = Literal["linear", "exponential"]

# Exponential gains of higher grades exceed float64.
_MAX_EXPONENT = 1000


@dataclass(frozen=True, repr=False)
class NDCG(MeanScore):
    """A mean nDCG, with its protocol and the score of each query; ``float()`` returns the mean.

    Attributes
    ----------
    value : float
        The mean, in [0, 1]; NaN if every query was skipped.
    per_query : ndarray of shape (n_queries,), float64
        nDCG of each query. Empty queries: NaN under "skip", 0 under "zero".
    n_empty : int
        Number of queries without a relevant item in the database.
    protocol : Protocol
        Its denominator does not apply.
    grades : {"binary", "layers", "labels"}
    gain : {"linear", "exponential"}
    """

    grades: GradeBy
    gain: Gain

    symbol: ClassVar[str] = "nDCG"

    def choices(self) -> str:  # noqa: D102
        return f"grades {self.grades}, gain {self.gain}, {super().choices()}"


def ndcg(
    queries: ArrayLike,
    database: ArrayLike | None,
    query_labels: ArrayLike | Sequence[ArrayLike],
    database_labels: ArrayLike | Sequence[ArrayLike],
    *,
    grades: GradeBy = "binary",
    gain: Gain = "linear",
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int | None = None,
) -> NDCG:
    """Compute the mean normalized discounted cumulative gain of the rankings of a database.

    The gain of a query is ``DCG = sum over ranks r = 1, ..., cutoff of gain(grade at r) / log2(r + 1)``. It is divided
    by the DCG of the whole database in descending order of grade: ``nDCG = DCG / ideal DCG``.

    Parameters
    ----------
    queries, database, metric, n_bits, n_threads
        As for ``mean_average_precision``.
    query_labels, database_labels : array_like, or list of array_like
        As for ``mean_average_precision``; with grades "layers" a list of such labels, one for each layer, the coarsest
        first.
    grades : {"binary", "layers", "labels"}
        Grade of an item for a query. "binary": 1 if they share a label, else 0. "layers": the number of layers in which
        they share a label, counted from the first layer up to the first in which they share none. "labels": the number
        of labels that they share; labels must be 0/1 matrices.
    gain : {"linear", "exponential"}
        Gain of an item of grade g: g, as trec_eval has it, or ``2 ** g - 1``. For binary grades they are equal.
    protocol : Protocol or str, optional
        Its cutoff, ties and empty_queries apply. A query is empty if the database has no item relevant to it.

    Returns
    -------
    NDCG

    Raises
    ------
    TypeError, ValueError
        As ``mean_average_precision``.
    TypeError
        If grades is "layers" and labels are not lists.
    ValueError
        If grades or gain is none of the choices listed.
    ValueError
        If the layers of queries and database differ in number, or the rows of layers do, or there is no layer.
    ValueError
        If grades is "labels" and labels are class indices.
    ValueError
        If gain is "exponential" and a query shares more than 1000 labels with an item.

    Notes
    -----
    With ties "expected", the score is the exact mean over all orders of items at equal distance: each item of a group
    has the mean gain of the group (McSherry and Najork, ECIR 2008). "best" and "worst" order each group by descending
    and ascending grade, and bound the score of every order. The ideal order does not depend on ties.

    Examples
    --------
    The query is a cat, of the animals. In the order of their distances the items are a car, a cat and a dog:

    >>> from pyhash import codes
    >>> database = codes.pack([[1, 1, -1], [1, 1, 1], [1, -1, 1]])
    >>> query_labels, database_labels = [[0], [0]], [[0, 1, 0], [0, 2, 1]]
    >>> ndcg(codes.pack([[1, 1, 1]]), database, query_labels, database_labels, grades="layers", n_bits=3)
    nDCG 0.6697 (grades layers, gain linear, full list, empty queries skip, ties id; 1 queries, 0 empty)
    """
    protocol = resolve_protocol(protocol)
    check_choice("gain", gain, get_args(Gain))
    ranking, graded = rank_graded(queries, database, query_labels, database_labels, grades, metric, n_bits)
    cutoff = min(protocol.cutoff or ranking.n_database, ranking.n_database)
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))  # of the ranks 1, 2, ...
    sums = np.concatenate([[0.0], np.cumsum(discounts)])  # of the first 0, 1, ... ranks

    def score(start: int, stop: int) -> NDArray[np.float64]:
        # An item of grade g is relevant at the levels 1, ..., g, whose gains add up to its own.
        gained, ideal = np.zeros(stop - start), np.zeros(stop - start)
        for level, block in enumerate(graded.levels(start, stop), start=1):
            weight = 1.0 if gain == "linear" else _added_gain(level)
            if protocol.ties == "id":
                gained += weight * _gain_ranked(*ranking.ranked(start, stop, block), discounts)
            else:
                gained += weight * _gain_grouped(*ranking.grouped(start, stop, block), sums, protocol.ties)
            ideal += weight * _of_first(count_relevant(block), sums)
        scores = np.full(stop - start, np.nan)
        np.divide(gained, ideal, out=scores, where=ideal > 0)
        return scores

    per_query = np.concatenate(list(map_blocks(ranking, n_threads, score)))
    return NDCG.of_queries(per_query, protocol, grades=grades, gain=gain)


def _added_gain(level: int) -> float:
    """Return the difference between the exponential gains of a grade and of the one below it."""
    if level > _MAX_EXPONENT:
        raise ValueError(f"gain must be 'linear' for grades above {_MAX_EXPONENT}, got 'exponential'")
    return 2.0 ** (level - 1)


def _gain_ranked(
    offsets: NDArray[np.int64], ranks: NDArray[np.uint32], discounts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of the discounts at the ranks of the relevant items of each query."""
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counted = ranks <= len(discounts)
    gained = np.bincount(query[counted], weights=discounts[ranks[counted] - 1], minlength=len(offsets) - 1)
    return gained.astype(np.float64, copy=False)


def _gain_grouped(
    n_all: NDArray[np.int64], n_relevant: NDArray[np.int64], sums: NDArray[np.float64], ties: str
) -> NDArray[np.float64]:
    """Return the sum as ``_gain_ranked``, by groups: the mean over all orders, the best or the worst."""
    ends = np.cumsum(n_all, axis=1)
    starts = ends - n_all
    if ties == "best":
        gains = _of_first(starts + n_relevant, sums) - _of_first(starts, sums)
    elif ties == "worst":
        gains = _of_first(ends, sums) - _of_first(ends - n_relevant, sums)
    else:
        gains = n_relevant / np.maximum(n_all, 1) * (_of_first(ends, sums) - _of_first(starts, sums))
    gained: NDArray[np.float64] = gains.sum(axis=1)
    return gained


def _of_first(n: NDArray[np.int64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the discounts of the first n ranks; those beyond the cutoff count 0."""
    of_first: NDArray[np.float64] = sums[np.minimum(n, len(sums) - 1)]
    return of_first
