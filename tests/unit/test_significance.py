import itertools

import numpy as np
import pytest
from scipy import stats

from pyhash import codes
from pyhash.evaluation import (
    Protocol,
    confidence_interval,
    mean_average_precision,
    mean_reciprocal_rank,
    paired_test,
)
from pyhash.evaluation.significance import bootstrap_intervals, holm, sign_flip_p_values


def skewed(rng, n):
    """Scores as of queries: many at 1, some at 0."""
    return np.clip(rng.normal(0.8, 0.4, n), 0, 1)


def test_the_interval_is_that_of_scipy(rng):
    """Both resample on their own: ends agree within their scatter, which is about 0.02 of the width here."""
    for scores in (skewed(rng, 40), rng.random(40) ** 8):
        ours = confidence_interval(scores, level=0.9, n_resamples=20_000)
        theirs = stats.bootstrap(
            (scores,), np.mean, confidence_level=0.9, n_resamples=20_000, method="BCa", random_state=0
        ).confidence_interval
        width = theirs.high - theirs.low
        assert abs(ours.low - theirs.low) < 0.06 * width
        assert abs(ours.high - theirs.high) < 0.06 * width
        plain = stats.bootstrap((scores,), np.mean, confidence_level=0.9, method="percentile", random_state=0)
        assert abs(ours.low - plain.confidence_interval.low) > 0.005 * width  # the correction is there


def test_intervals_cover_the_mean(rng):
    """Of 300 samples of 50 skewed scores, 90 % intervals cover the true mean about 270 times."""
    population = rng.random(100_000) ** 6
    samples = rng.choice(population, (50, 300))
    low, high = bootstrap_intervals(samples, 0.9, 1000, 0)
    covered = np.count_nonzero((low <= population.mean()) & (population.mean() <= high))
    assert 245 < covered < 290


def test_intervals_depend_on_the_seed_alone(rng):
    scores = skewed(rng, 30)
    a, b, c = (confidence_interval(scores, seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert a != c
    assert a.low < a.value < a.high
    assert (a.level, a.n_queries) == (0.95, 30)
    assert confidence_interval(scores, level=0.5).high - a.value < a.high - a.value


def test_several_means_have_the_intervals_of_each(rng):
    scores = rng.random((70, 3))
    low, high = bootstrap_intervals(scores, 0.95, 2000, 5)
    for j in range(3):
        one = confidence_interval(scores[:, j], n_resamples=2000, seed=5)
        assert (one.low, one.high) == (pytest.approx(low[j], abs=1e-12), pytest.approx(high[j], abs=1e-12))


def test_tiny_scores_have_an_interval():
    interval = confidence_interval([1e-300, 0, 0, 0])
    assert 0 <= interval.low <= interval.high <= 1e-300


def test_equal_scores_and_empty_queries():
    assert confidence_interval([0.3] * 5).low == confidence_interval([0.3] * 5).high == pytest.approx(0.3)
    with_empty = confidence_interval([np.nan, 0.0, 1.0, np.nan, 0.5])
    assert with_empty == confidence_interval([0.0, 1.0, 0.5])
    assert with_empty.n_queries == 3
    two = confidence_interval([0, 1])
    assert (two.low, two.value, two.high) == (0, 0.5, 1)


def every_flip(differences):
    """Return the p-value by trying every assignment of signs."""
    means = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return np.mean(np.array(means) >= abs(sum(differences)) - 1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_few_queries_are_tested_exactly(rng, n):
    a, b = rng.integers(0, 4, n) / 4, rng.integers(0, 4, n) / 4
    result = paired_test(a, b)
    assert result.exact
    assert result.p_value == every_flip(a - b)
    assert result.difference == pytest.approx(np.mean(a - b))
    assert paired_test(b, a).p_value == result.p_value
    same = paired_test(a, a)
    assert (same.difference, same.p_value) == (0, 1)


def test_the_exact_test_is_that_of_scipy(rng):
    a, b = rng.random(9), rng.random(9) + 0.2
    theirs = stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert paired_test(a, b).p_value == pytest.approx(theirs.pvalue)


def test_many_queries_are_sampled(rng):
    a = rng.random(200)
    far, near = paired_test(a, a - 0.1), paired_test(a, a + rng.normal(0, 0.1, 200))
    assert not far.exact
    assert far.p_value == 1 / 10_001  # no flip is as extreme
    assert near.p_value > 0.01
    d = rng.normal(0.02, 0.1, 200)
    assert paired_test(a + d, a).p_value == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    assert paired_test(a, a + d, seed=3) == paired_test(a, a + d, seed=3)


def test_all_pairs_have_the_p_values_of_each(rng):
    for n in (6, 40):
        scores = rng.random((n, 4))
        p_values = sign_flip_p_values(scores, 500, 1)
        for i, j in itertools.product(range(4), repeat=2):
            expected = 1 if i == j else paired_test(scores[:, i], scores[:, j], n_resamples=500, seed=1).p_value
            assert p_values[i, j] == pytest.approx(expected)


def test_holm():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.2])).tolist() == [0.2]
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]


def test_results_of_metrics(rng):
    queries, database = (codes.pack(rng.standard_normal((n, 8))) for n in (20, 90))
    sides = queries, database, rng.integers(0, 3, 20), rng.integers(0, 3, 90)
    a, b = (mean_average_precision(queries, rows, *sides[2:], n_bits=8) for rows in (database, database[::-1]))
    assert confidence_interval(a).value == a.value
    assert confidence_interval(a) == confidence_interval(a.per_query)
    assert paired_test(a, b) == paired_test(a.per_query, b.per_query)
    with pytest.raises(TypeError, match="a and b must be of one metric, got mAP and MRR"):
        paired_test(a, mean_reciprocal_rank(*sides, n_bits=8))
    with pytest.raises(ValueError, match=r"a and b must have the same protocol, got 'full list, .* 'cutoff 5"):
        paired_test(a, mean_average_precision(*sides, n_bits=8, protocol=Protocol(cutoff=5)))


def test_descriptions():
    assert repr(confidence_interval([0.0, 1.0])) == "0.5000 [0.0000, 1.0000] (level 0.95, bootstrap over 2 queries)"
    assert repr(paired_test([1.0, 1.0], [0.0, 0.5])) == ("difference +0.7500, p 0.5 (exact sign flips of 2 queries)")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: confidence_interval(["a"]), TypeError, "scores"),
        (lambda: confidence_interval([[0.5]]), ValueError, r"scores must have shape \(n_queries,\), got \(1, 1\)"),
        (lambda: confidence_interval([0.5, np.inf]), ValueError, "scores must hold finite scores, or NaN .* got inf"),
        (lambda: confidence_interval([0.5, np.nan]), ValueError, "at least 2 queries that are not empty, got 1"),
        (lambda: confidence_interval([0, 1], level=1.0), ValueError, "level must be at most .* = 0.9999, got 1.0"),
        (lambda: confidence_interval([0, 1], level=0), ValueError, "level must be"),
        (
            lambda: confidence_interval([0, 1], n_resamples=1),
            ValueError,
            "n_resamples must be an integer from 100 to 1000000, got 1",
        ),
        (lambda: confidence_interval([0, 1], seed=-1), ValueError, "seed must be an integer >= 0, got -1"),
        (lambda: paired_test([0, 1], [0]), ValueError, "a and b must have the same queries, got 2 and 1"),
        (
            lambda: paired_test([0, 1], [0, np.nan]),
            ValueError,
            "a and b must have the same empty queries, got query 1 empty in b and not in a; empty_queries='zero'",
        ),
        (lambda: paired_test([np.nan], [np.nan]), ValueError, "at least one query that is not empty, got none"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
