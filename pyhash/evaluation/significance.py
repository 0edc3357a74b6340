"""How sure a mean over queries is: bootstrap intervals, and tests of two means over the same queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array, check_integer, check_numeric, check_real
from pyhash.evaluation.mean_score import MeanScore

# Weights of queries in a block of resamples: 32 MiB.
_WEIGHTS_PER_BLOCK = 1 << 22
# Differences that are equal but for rounding, relative to the sum of their terms, count as equal.
_ROUNDING = 1e-9
_MIN_RESAMPLES, _MAX_RESAMPLES = 100, 1_000_000


@dataclass(frozen=True)
class ConfidenceInterval:
    """An interval that covers the mean over all possible queries with a given probability.

    Attributes
    ----------
    low, high : float
    value : float
        The mean over the queries.
    level : float
        Probability that the interval covers the mean, in (0, 1).
    n_queries : int
        Number of queries, without empty ones that are skipped.
    """

    low: float
    high: float
    value: float
    level: float
    n_queries: int

    def __repr__(self) -> str:
        return (
            f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] (level {self.level:g}, bootstrap over "
            f"{self.n_queries} queries)"
        )


@dataclass(frozen=True)
class PairedTest:
    """A test of whether two means over the same queries differ.

    Attributes
    ----------
    difference : float
        Mean of a - b over the queries.
    p_value : float
        Probability of a difference at least as large, in either direction, if a and b had the same distribution.
    n_queries : int
        Number of queries, without empty ones that are skipped.
    exact : bool
        Whether all assignments of signs were tried, or a random sample of them.
    """

    difference: float
    p_value: float
    n_queries: int
    exact: bool

    def __repr__(self) -> str:
        how = "exact" if self.exact else "sampled"
        return f"difference {self.difference:+.4f}, p {self.p_value:.4g} ({how} sign flips of {self.n_queries} queries)"


def confidence_interval(
    scores: ArrayLike | MeanScore, *, level: float = 0.95, n_resamples: int = 10_000, seed: int = 0
) -> ConfidenceInterval:
    """Return a bootstrap interval of the mean of scores over queries.

    Parameters
    ----------
    scores : array_like of shape (n_queries,), or a result
        Score of each query, or a result with ``per_query``, such as that of ``mean_average_precision``. NaN marks an
        empty query, which is left out: its protocol skips it.
    level : float
        Probability that the interval covers the mean, above 0 and at most 1 - 1 / n_resamples.
    n_resamples : int
        Number of resamples of the queries, from 100 to 1,000,000.
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    ConfidenceInterval

    Raises
    ------
    TypeError
        If scores are not numbers, or n_resamples or seed is not an integer.
    ValueError
        If scores have more than one dimension, or hold an infinity, or fewer than 2 queries that are not empty.
    ValueError
        If level, n_resamples or seed is out of range.

    Notes
    -----
    Queries are drawn with replacement; the interval is between two quantiles of the means of such resamples. The
    quantiles are those of the bias-corrected and accelerated bootstrap (BCa; Efron, Better bootstrap confidence
    intervals, JASA 1987). Scores of queries are skewed, as many are 0 or 1, and BCa corrects for this, which the plain
    percentile interval does not. The interval tells how the mean would vary with other queries of the same kind, for
    the codes at hand, and not how codes vary with the seed of a method. If all scores are equal, it is a point.

    Examples
    --------
    >>> confidence_interval([1.0, 0.5, 0.0, 0.75, 1.0, 0.25])
    0.5833 [0.2500, 0.8333] (level 0.95, bootstrap over 6 queries)
    """
    per_query = _check_scores("scores", scores)
    per_query = per_query[~np.isnan(per_query)]
    if len(per_query) < 2:
        raise ValueError(f"scores must have at least 2 queries that are not empty, got {len(per_query)}")
    n_resamples = check_integer("n_resamples", n_resamples, _MIN_RESAMPLES, _MAX_RESAMPLES)
    if check_real("level", level, 0, exclusive=True) > 1 - 1 / n_resamples:
        raise ValueError(f"level must be at most 1 - 1 / n_resamples = {1 - 1 / n_resamples:g}, got {level}")
    low, high = bootstrap_intervals(per_query[:, None], float(level), n_resamples, check_integer("seed", seed, 0))
    return ConfidenceInterval(float(low[0]), float(high[0]), float(per_query.mean()), float(level), len(per_query))


def paired_test(
    a: ArrayLike | MeanScore, b: ArrayLike | MeanScore, *, n_resamples: int = 10_000, seed: int = 0
) -> PairedTest:
    """Test by sign flips whether the means of two scores over the same queries differ.

    Parameters
    ----------
    a, b : array_like of shape (n_queries,), or results
        Scores of the same queries in the same order, or results with ``per_query``. NaN marks an empty query, which
        must be empty in both, and is left out.
    n_resamples : int
        Number of assignments of signs that are tried, from 100 to 1,000,000. With 2 ** n_queries or more the test is
        exact.
    seed : int
        The same seed gives the same p-value.

    Returns
    -------
    PairedTest

    Raises
    ------
    TypeError
        If scores are not numbers, or n_resamples or seed is not an integer.
    TypeError
        If a and b are results of different metrics.
    ValueError
        If scores have more than one dimension, or hold an infinity, or none of a query that is not empty.
    ValueError
        If a and b differ in the number of queries, in their protocols, or in which queries are empty.
    ValueError
        If n_resamples or seed is out of range.

    Notes
    -----
    If it does not matter which of the two methods gave which score, the difference of a query has either sign with the
    same probability. The p-value is the share of all assignments of signs whose mean difference is at least as far from
    0 as the one observed; for a random sample of n assignments ``(1 + number of such) / (1 + n)``, which is never 0. A
    query whose scores are equal tells nothing. Where several pairs are tested, p-values must be corrected for their
    number; ``Comparison.table`` does so.

    Examples
    --------
    >>> paired_test([0.9, 0.7, 0.8, 0.6, 1.0], [0.6, 0.5, 0.7, 0.5, 0.9])
    difference +0.1600, p 0.0625 (exact sign flips of 5 queries)
    """
    if isinstance(a, MeanScore) and isinstance(b, MeanScore):
        if type(a) is not type(b):
            raise TypeError(f"a and b must be of one metric, got {a.symbol} and {b.symbol}")
        if a.choices() != b.choices():
            raise ValueError(f"a and b must have the same protocol, got {a.choices()!r} and {b.choices()!r}")
    first, second = _check_scores("a", a), _check_scores("b", b)
    if len(first) != len(second):
        raise ValueError(f"a and b must have the same queries, got {len(first)} and {len(second)}")
    empty = np.isnan(first)
    differ = np.flatnonzero(empty != np.isnan(second))
    if differ.size:
        one, other = ("a", "b") if empty[differ[0]] else ("b", "a")
        raise ValueError(
            f"a and b must have the same empty queries, got query {differ[0]} empty in {one} and not in {other}; "
            f"empty_queries='zero' scores them"
        )
    if empty.all():
        raise ValueError("a and b must have at least one query that is not empty, got none")
    n_resamples, seed = (
        check_integer("n_resamples", n_resamples, _MIN_RESAMPLES, _MAX_RESAMPLES),
        check_integer("seed", seed, 0),
    )
    pair = np.column_stack([first, second])[~empty]
    p_values = sign_flip_p_values(pair, n_resamples, seed)
    return PairedTest(
        float(np.mean(pair[:, 0] - pair[:, 1])), float(p_values[0, 1]), len(pair), _is_exact(len(pair), n_resamples)
    )


def _check_scores(name: str, scores: ArrayLike | MeanScore) -> NDArray[np.float64]:
    """Return scores (n_queries,) as float64; those of empty queries are NaN."""
    array = as_array(name, scores.per_query if isinstance(scores, MeanScore) else scores)
    check_numeric(name, array)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (n_queries,), got {array.shape}")
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size:
        raise ValueError(f"{name} must hold finite scores, or NaN for empty queries, got {array[infinite[0]]}")
    return array.astype(np.float64)


def bootstrap_intervals(
    scores: NDArray[np.float64], level: float, n_resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both ends (n,) of the intervals of several means, whose scores (n_queries, n) are resampled together."""
    n_queries, rng = len(scores), np.random.default_rng(seed)

    def weights(n: int) -> NDArray[np.float64]:
        """Return how often each query is drawn in n resamples, (n, n_queries)."""
        drawn = rng.integers(0, n_queries, (n, n_queries)) + np.arange(n)[:, None] * n_queries
        return np.bincount(drawn.ravel(), minlength=n * n_queries).reshape(n, n_queries).astype(np.float64)

    sizes = _block_sizes(n_resamples, n_queries)
    means = np.concatenate([weights(n) @ scores for n in sizes]) / n_queries
    ends = [_bca_ends(*columns, level) for columns in zip(means.T, scores.T, strict=True)]
    low, high = np.array(ends).T
    return low, high


def _bca_ends(means: NDArray[np.float64], scores: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return both ends of the interval of one mean by the means of resamples."""
    from scipy.special import ndtr, ndtri

    mean = scores.mean()
    if np.ptp(scores) == 0:
        return np.array([mean, mean])
    below = (np.mean(means < mean) + np.mean(means <= mean)) / 2
    bias = ndtri(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
    # Jackknife means differ from their mean by the centered scores times a constant, which cancels.
    centered = (mean - scores) / np.ptp(scores)  # powers of tiny scores would be 0
    acceleration = -np.sum(centered**3) / (6 * np.sum(centered**2) ** 1.5)
    shifted = bias + ndtri(np.array([1 - level, 1 + level]) / 2)
    ends: NDArray[np.float64] = np.quantile(means, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return ends


def sign_flip_p_values(scores: NDArray[np.float64], n_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the p-values (n, n) of ``paired_test`` of every pair of columns of scores (n_queries, n)."""
    n_queries, n = scores.shape
    exact, rng = _is_exact(n_queries, n_resamples), np.random.default_rng(seed)
    observed = np.abs(_differences(scores.sum(axis=0)[None])[0])
    # The differences of flipped sums are the sums of flipped differences: every pair sees the same flips.
    limit = observed - _ROUNDING * np.abs(scores[:, :, None] - scores[:, None, :]).sum(axis=0)
    n_extreme = np.zeros((n, n))
    total = 2**n_queries if exact else n_resamples
    done = 0
    for size in _block_sizes(total, max(n_queries, n * n)):
        if exact:
            signs = (np.arange(done, done + size)[:, None] >> np.arange(n_queries)) & 1
        else:
            signs = rng.integers(0, 2, (size, n_queries), dtype=np.int8)
        flipped = np.where(signs == 1, 1.0, -1.0) @ scores
        n_extreme += np.count_nonzero(np.abs(_differences(flipped)) >= limit, axis=0)
        done += size
    return n_extreme / total if exact else (1 + n_extreme) / (1 + total)


def _differences(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the differences (n_rows, n, n) of all pairs of columns."""
    differences: NDArray[np.float64] = sums[:, :, None] - sums[:, None, :]
    return differences


def _is_exact(n_queries: int, n_resamples: int) -> bool:
    return n_queries < 63 and 2**n_queries <= n_resamples


def _block_sizes(n: int, width: int) -> Iterator[int]:
    """Yield sizes of blocks of n rows of that width."""
    size = max(1, _WEIGHTS_PER_BLOCK // width)
    for start in range(0, n, size):
        yield min(size, n - start)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (n,) corrected for their number (Holm, Scandinavian Journal of Statistics 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return corrected
