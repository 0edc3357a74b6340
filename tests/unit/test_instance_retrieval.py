import itertools
import math

import numpy as np
import pytest
from reference import scores as reference

from pyhash import codes
from pyhash.evaluation import Protocol, instance_retrieval, mean_average_precision

TIES = ["id", "expected", "best", "worst"]
# One query (all ones), five items at distances 0, 1, 1, 2, 3; "cat" are items 2 and 4.
QUERY = codes.pack([[1, 1, 1]])
DATABASE = codes.pack([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1], [-1, -1, -1]])
IDS = ["dog", "cow", "cat", "dog", "cat"]


def retrieve(query_ids=("cat",), ids=IDS, **arguments):
    protocol = Protocol(**{name: arguments.pop(name) for name in list(arguments) if name not in ("top_n", "n_threads")})
    queries = np.repeat(QUERY, len(query_ids), axis=0)
    return instance_retrieval(queries, DATABASE, list(query_ids), ids, n_bits=3, protocol=protocol, **arguments)


@pytest.mark.parametrize(
    ("ties", "mrr", "hit_rate", "recall"),
    [
        ("id", 1 / 3, [0, 0, 1, 1], [0, 0, 1 / 2, 1]),
        ("best", 1 / 2, [0, 1, 1, 1], [0, 1 / 2, 1 / 2, 1]),
        ("worst", 1 / 3, [0, 0, 1, 1], [0, 0, 1 / 2, 1]),
        ("expected", (1 / 2 + 1 / 3) / 2, [0, 1 / 2, 1, 1], [0, 1 / 4, 1 / 2, 1]),
    ],
)
def test_by_hand(ties, mrr, hit_rate, recall):
    result = retrieve(ties=ties, top_n=[1, 2, 3, 99])
    assert result.mrr == pytest.approx(mrr, abs=1e-15)
    assert result.hit_rate.tolist() == hit_rate
    assert result.recall.tolist() == recall
    assert result.top_n.tolist() == [1, 2, 3, 99]
    assert (result.n_empty, result.protocol.ties) == (0, ties)


@pytest.mark.parametrize("ties", TIES)
def test_every_small_ranking(ties):
    """All groupings and relevances of five items, from all equal to all distinct, against trying all orders."""
    queries = list(itertools.product(range(2), range(2), range(3), range(2), range(2)))
    top_n = [1, 2, 4, 5]
    for relevance in itertools.product((0, 1), repeat=5):
        for cutoff in (None, 5, 7):
            expected = [
                reference.first_hit_with_ties(d, relevance, top_n=top_n, cutoff=cutoff, ties=ties) for d in queries
            ]
            protocol = Protocol(cutoff=cutoff, ties=ties, empty_queries="zero")
            got = instance_retrieval(
                queries, None, [1] * len(queries), relevance, top_n=top_n, metric="precomputed", protocol=protocol
            )
            found = np.column_stack([got.reciprocal_rank, got.found])
            np.testing.assert_allclose(found, expected, atol=1e-12)
            assert got.n_empty == (0 if any(relevance) else len(queries))
        short = Protocol(cutoff=2, ties=ties, empty_queries="zero")
        expected = [reference.first_hit_with_ties(d, relevance, top_n=[1, 2], cutoff=2, ties=ties) for d in queries]
        got = instance_retrieval(
            queries, None, [1] * len(queries), relevance, top_n=[1, 2], metric="precomputed", protocol=short
        )
        np.testing.assert_allclose(np.column_stack([got.reciprocal_rank, got.found]), expected, atol=1e-12)


@pytest.mark.parametrize("r", [1, 3, 400, 999, 1000])
def test_one_group_of_many_items(r):
    """All distances are equal: the first hit of r among n has the mean rank (n + 1) / (r + 1)."""
    n = 1000
    protocol = Protocol(ties="expected")
    ids = np.arange(n) < r
    result = instance_retrieval(
        np.zeros((1, n)), None, [1], ids.astype(int), top_n=np.arange(1, n + 1), metric="precomputed", protocol=protocol
    )
    found = result.found[0]
    assert np.all(np.diff(found) >= 0)
    assert (found[0], found[-1]) == (pytest.approx(r / n), 1.0)
    assert 1 + np.sum(1 - found) == pytest.approx((n + 1) / (r + 1))
    chances = np.diff(found, prepend=0.0)
    assert result.mrr == pytest.approx(np.sum(chances / np.arange(1, n + 1)))
    np.testing.assert_allclose(result.recall, np.arange(1, n + 1) / n)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("metric", ["hamming", "weighted_hamming"])
def test_average_precision_is_that_of_labels(rng, ties, metric):
    projections, database = rng.standard_normal((40, 6)), codes.pack(rng.standard_normal((90, 6)))
    ids, query_ids = rng.integers(0, 30, 90), rng.integers(0, 35, 40)
    queries = projections if metric == "weighted_hamming" else codes.pack(projections)
    for protocol in (Protocol(ties=ties), Protocol(cutoff=10, denominator="min", empty_queries="zero", ties=ties)):
        sides = queries, database, query_ids, ids
        got = instance_retrieval(*sides, metric=metric, n_bits=6, protocol=protocol)
        expected = mean_average_precision(*sides, metric=metric, n_bits=6, protocol=protocol)
        np.testing.assert_array_equal(got.average_precision, expected.per_query)
        assert got.map == expected.value


def test_queries_without_a_same_item():
    skip, zero = (retrieve(["cat", "fox"], empty_queries=empty) for empty in ("skip", "zero"))
    assert (skip.n_empty, zero.n_empty) == (1, 1)
    assert (skip.mrr, zero.mrr) == (pytest.approx(1 / 3), pytest.approx(1 / 6))
    assert (skip.map, zero.map) == (pytest.approx((1 / 3 + 2 / 5) / 2), pytest.approx((1 / 3 + 2 / 5) / 4))
    assert skip.hit_rate.tolist() == [0, 1, 1]
    assert zero.hit_rate.tolist() == [0, 1 / 2, 1 / 2]
    assert skip.recall.tolist() == [0, 1, 1]
    assert np.isnan(skip.found).tolist() == [[False] * 3, [True] * 3]
    nobody = retrieve(["fox"])
    assert nobody.n_empty == 1
    assert math.isnan(nobody.map)
    assert math.isnan(nobody.mrr)
    assert np.isnan(nobody.hit_rate).all()
    assert np.isnan(nobody.recall).all()
    assert retrieve(["fox"], empty_queries="zero").mrr == 0


def test_a_cutoff_hides_later_items():
    result = retrieve(cutoff=2, top_n=[1, 2])
    assert (result.mrr, result.n_empty) == (0, 0)
    assert math.isnan(result.map)  # no hit to divide by
    assert retrieve(cutoff=2, top_n=2, denominator="relevant").map == 0


def test_one_item():
    for ties in TIES:
        result = instance_retrieval(QUERY, DATABASE[:1], [3], [3], n_bits=3, protocol=Protocol(ties=ties))
        assert (result.map, result.mrr, result.hit_rate.tolist()) == (1, 1, [1, 1, 1])


@pytest.mark.parametrize(
    ("query_id", "ids"),
    [
        (-5, [7, 2**62, -5, 7, -5]),
        (2**63 - 1, [-(2**63), 0, 2**63 - 1, 0, 2**63 - 1]),
        ("", ["a", "b", "", "a", ""]),
        ("katze \U0001f431", ["hund", "kuh", "katze \U0001f431", "hund", "katze \U0001f431"]),
    ],
)
def test_any_ids(query_id, ids):
    import pandas as pd

    for form in (list, np.array, pd.Series):
        result = retrieve([query_id], form(ids), top_n=[1, 3])
        assert result.hit_rate.tolist() == [0, 1]
        assert result.map == retrieve().map


@pytest.mark.parametrize("ties", TIES)
def test_threads_do_not_matter(rng, cpu_level, ties):
    rows, ids = codes.pack(rng.choice([-1, 1], size=(3000, 12))), rng.integers(0, 900, 3000)
    results = [
        instance_retrieval(
            rows[:400], rows[400:], ids[:400], ids[400:], n_bits=12, protocol=Protocol(ties=ties), n_threads=n
        )
        for n in (1, 4)
    ]
    np.testing.assert_array_equal(results[0].found, results[1].found)
    np.testing.assert_array_equal(results[0].reciprocal_rank, results[1].reciprocal_rank)


def test_describes_itself():
    assert repr(retrieve(["cat", "fox"], top_n=[1, 3])) == (
        "hit@1 0.0000, hit@3 1.0000, MRR 0.3333, mAP 0.3667 "
        "(full list, denominator hits, empty queries skip, ties id; 2 queries, 1 empty)"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"query_ids": [1.5]}, TypeError, "query_ids must be integers or strings, got float64"),
        ({"ids": [True] * 5}, TypeError, "database_ids must be integers or strings, got bool"),
        ({"ids": [None] * 5}, TypeError, "database_ids must be integers or strings, got object"),
        ({"query_ids": [1]}, TypeError, "must both be integers or both be strings, got int64 and <U3"),
        ({"query_ids": [["cat"]]}, ValueError, r"query_ids must have shape \(n,\), got \(1, 1\)"),
        ({"query_ids": [2**63]}, ValueError, "query_ids must fit int64, got 9223372036854775808"),
        ({"ids": IDS[:4]}, ValueError, "database_ids must have 5 rows, as many as there are codes, got 4"),
        ({"top_n": []}, ValueError, "top_n must name at least one N, got none"),
        ({"top_n": [3, 0]}, ValueError, "top_n must be an integer from 1 to 9223372036854775807, got 0"),
        ({"top_n": 5, "cutoff": 4}, ValueError, "top_n must be an integer from 1 to 4, got 5"),
        ({"top_n": 1.5}, TypeError, "top_n must be an integer"),
    ],
)
def test_wrong_input(arguments, error, message):
    with pytest.raises(error, match=message):
        retrieve(**arguments)
