import itertools
import math

import numpy as np
import pytest
from reference import scores as reference
from scipy.sparse import csr_array

from pyhash import codes
from pyhash.evaluation import Protocol, mean_reciprocal_rank, ndcg, precision_at, recall_at

TIES = ["id", "expected", "best", "worst"]
# One query (all ones), five items at distances 0, 1, 1, 2, 3.
QUERY = codes.pack([[1, 1, 1]])
DATABASE = codes.pack([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1], [-1, -1, -1]])
# By layers the grades of the items are 1, 0, 2, 0, 2.
QUERY_LAYERS = [[0], [0]]
LAYERS = [[0, 1, 0, 1, 0], [1, 0, 0, 0, 0]]


def score(**choices):
    protocol = Protocol(**{name: choices.pop(name) for name in ("cutoff", "ties", "empty_queries") if name in choices})
    return ndcg(QUERY, DATABASE, QUERY_LAYERS, LAYERS, grades="layers", n_bits=3, protocol=protocol, **choices)


def log2(rank):
    return math.log2(rank + 1)


@pytest.mark.parametrize(
    ("choices", "gained", "ideal"),
    [
        ({}, 1 + 2 / log2(3) + 2 / log2(5), 2 + 2 / log2(2) + 1 / log2(3)),
        ({"gain": "exponential"}, 1 + 3 / log2(3) + 3 / log2(5), 3 + 3 / log2(2) + 1 / log2(3)),
        ({"ties": "best"}, 1 + 2 / log2(2) + 2 / log2(5), 2 + 2 / log2(2) + 1 / log2(3)),
        ({"ties": "expected"}, 1 + 1 / log2(2) + 1 / log2(3) + 2 / log2(5), 2 + 2 / log2(2) + 1 / log2(3)),
        ({"cutoff": 2}, 1, 2 + 2 / log2(2)),
        # the cutoff falls between the two at distance 1
        ({"cutoff": 2, "ties": "expected"}, 1 + 1 / log2(2), 2 + 2 / log2(2)),
        ({"cutoff": 2, "ties": "best"}, 1 + 2 / log2(2), 2 + 2 / log2(2)),
        ({"cutoff": 10**30}, 1 + 2 / log2(3) + 2 / log2(5), 2 + 2 / log2(2) + 1 / log2(3)),
    ],
)
def test_by_hand(choices, gained, ideal):
    assert score(**choices).value == pytest.approx(gained / ideal, abs=1e-15)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_small_rankings(ties, gain):
    """Four items of all grades 0, 1, 2, at several cutoffs, against trying all orders."""
    queries = [(0, 1, 2, 3), (0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 0), (0, 0, 0, 1)]
    n = len(queries)
    for grades in itertools.product((0, 1, 2), repeat=4):
        layers = [[int(grade < 1) for grade in grades], [int(grade < 2) for grade in grades]]
        for cutoff in (None, 3):
            expected = [
                reference.ndcg_with_ties(d, grades, cutoff=cutoff, exponential=gain == "exponential", ties=ties)
                for d in queries
            ]
            got = ndcg(
                queries, None, [[0] * n, [0] * n], layers, grades="layers", gain=gain, metric="precomputed",
                protocol=Protocol(cutoff=cutoff, ties=ties),
            )  # fmt: skip
            np.testing.assert_allclose(got.per_query, np.array(expected, dtype=float), atol=1e-12)


def test_a_gap_between_layers_ends_the_grade():
    """An item that shares the finest label alone has grade 0, as has one that shares nothing."""
    result = ndcg([[0.0, 1.0]], None, [[0], [0]], [[1, 0], [0, 1]], grades="layers", metric="precomputed")
    assert result.value == pytest.approx(1 / log2(2))


@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_shared_labels(rng, gain):
    sets, query_sets = rng.random((70, 9)) < 0.4, rng.random((12, 9)) < 0.4
    query_sets[0] = False
    rows = rng.standard_normal((12, 70))
    shared = query_sets.astype(int) @ sets.T.astype(int)
    expected = [
        reference.ndcg_with_ties(d, g, cutoff=20, exponential=gain == "exponential", ties="id")
        for d, g in zip(rows, shared.tolist(), strict=True)
    ]
    for form in (np.asarray, csr_array):
        got = ndcg(
            rows, None, form(query_sets), form(sets), grades="labels", gain=gain, metric="precomputed",
            protocol=Protocol(cutoff=20),
        )  # fmt: skip
        np.testing.assert_allclose(got.per_query, np.array(expected, dtype=float), atol=1e-12)
        assert got.n_empty == (~query_sets.any(axis=1)).sum() > 0


def test_binary_grades_are_one_layer():
    one_layer = ndcg(QUERY, DATABASE, [[1]], [[1, 0, 1, 0, 1]], grades="layers", gain="exponential", n_bits=3)
    binary = ndcg(QUERY, DATABASE, [1], [1, 0, 1, 0, 1], n_bits=3)
    assert one_layer.value == binary.value == pytest.approx((1 + 1 / log2(3) + 1 / log2(5)) / (1.5 + 1 / log2(2)))


@pytest.mark.parametrize("ties", TIES)
def test_one_item_and_equal_codes(ties):
    protocol = Protocol(ties=ties)
    one, code = {"n_bits": 1, "protocol": protocol}, codes.pack([[1]])
    for function in (ndcg, mean_reciprocal_rank):
        assert function(code, code, [0], [0], **one).value == 1
        assert math.isnan(function(code, code, [0], [1], **one).value)
    for function in (recall_at, precision_at):
        assert function(code, code, [0], [0], top_n=1, **one).values.tolist() == [1]
    n, r = 1000, 400
    labels = (np.arange(n) < n - r).astype(int)  # the last are relevant
    equal = np.zeros((1, n)), None, [0], labels
    hits = {"id": 0, "expected": 100 * r / n, "best": 100, "worst": 0}[ties]
    kept = {"metric": "precomputed", "protocol": protocol}
    assert recall_at(*equal, top_n=[100, n], **kept).values.tolist() == pytest.approx([hits / r, 1])
    assert precision_at(*equal, top_n=[100, n], **kept).values.tolist() == pytest.approx([hits / 100, r / n])
    discounts = 1 / np.log2(np.arange(2, n + 2))
    gained = {"best": discounts[:r].sum(), "expected": r / n * discounts.sum()}.get(ties, discounts[-r:].sum())
    assert ndcg(*equal, **kept).value == pytest.approx(gained / discounts[:r].sum(), abs=1e-12)
    first = {"best": 1, "expected": None}.get(ties, 1 / (n - r + 1))
    if first is not None:
        assert mean_reciprocal_rank(*equal, **kept).value == pytest.approx(first, abs=1e-15)


def test_empty_queries():
    for function in (ndcg, mean_reciprocal_rank):
        for ties in TIES:
            skip, zero = (
                function(
                    np.repeat(QUERY, 2, axis=0), DATABASE, [1, 7], [1, 0, 1, 0, 1], n_bits=3,
                    protocol=Protocol(cutoff=1, ties=ties, empty_queries=empty),
                )
                for empty in ("skip", "zero")
            )  # fmt: skip
            assert (skip.n_empty, zero.n_empty) == (1, 1)
            assert (skip.value, zero.value) == (1, 0.5)
            assert np.isnan(skip.per_query).tolist() == [False, True]
            assert zero.per_query.tolist() == [1, 0]
    recall = recall_at(np.repeat(QUERY, 2, axis=0), DATABASE, [1, 7], [1, 0, 1, 0, 1], top_n=[1, 3], n_bits=3)
    np.testing.assert_allclose(recall.per_query, [[1 / 3, 2 / 3], [np.nan, np.nan]])
    assert recall.values.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_a_first_hit_beyond_the_cutoff_scores_zero():
    far = mean_reciprocal_rank(QUERY, DATABASE, [1], [0, 0, 0, 0, 1], n_bits=3, protocol=Protocol(cutoff=4))
    assert (far.value, far.n_empty) == (0, 0)
    assert ndcg(QUERY, DATABASE, [1], [0, 0, 0, 0, 1], n_bits=3, protocol=Protocol(cutoff=4)).value == 0


@pytest.mark.parametrize("ties", TIES)
def test_blocks_and_threads_do_not_matter(rng, ties):
    rows, sets = codes.pack(rng.choice([-1, 1], size=(1200, 12))), rng.random((1200, 8)) < 0.2
    results = [
        ndcg(
            rows[:400], rows[400:], sets[:400], sets[400:], grades="labels", n_bits=12, protocol=Protocol(ties=ties),
            n_threads=n,
        ).per_query
        for n in (1, 4)
    ]  # fmt: skip
    np.testing.assert_array_equal(*results)
    few = ndcg(rows[:3], rows[400:], sets[:3], sets[400:], grades="labels", n_bits=12, protocol=Protocol(ties=ties))
    np.testing.assert_array_equal(few.per_query, results[0][:3])


def test_descriptions():
    assert repr(score(cutoff=3, gain="exponential")) == (
        "nDCG 0.4636 (grades layers, gain exponential, cutoff 3, empty queries skip, ties id; 1 queries, 0 empty)"
    )
    assert float(score()) == score().value
    mrr = mean_reciprocal_rank(QUERY, DATABASE, [1], [0, 1, 1, 1, 1], n_bits=3)
    assert repr(mrr) == "MRR 0.5000 (full list, empty queries skip, ties id; 1 queries, 0 empty)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"grades": "hierarchy"}, ValueError, "grades must be one of 'binary', 'layers', 'labels', got 'hierarchy'"),
        ({"gain": "log"}, ValueError, "gain must be one of 'linear', 'exponential', got 'log'"),
        ({"query_labels": np.zeros((2, 1))}, TypeError, "query_labels must be a list of labels, one for each layer"),
        ({"query_labels": []}, ValueError, "must have equally many layers, at least one, got 0 and 2"),
        ({"query_labels": [[0]]}, ValueError, "must have equally many layers, at least one, got 1 and 2"),
        ({"query_labels": [[0], [0, 1]]}, ValueError, r"query_labels must have equally many rows .* got \[1, 2\]"),
        ({"query_labels": [[0], [-1]]}, ValueError, r"query_labels\[1\] must be class indices from 0"),
        ({"query_labels": [[0, 1], [0, 1]]}, ValueError, "query_labels must have 1 rows, as many as there are codes"),
        ({"grades": "labels"}, ValueError, "database_labels must have shape"),
        ({"grades": "labels", "query_labels": [1]}, ValueError, "query_labels must be a 0/1 matrix"),
        (
            {
                "grades": "labels",
                "gain": "exponential",
                "query_labels": np.ones((1, 1001)),
                "database_labels": np.ones((5, 1001)),
            },
            ValueError,
            "gain must be 'linear' for grades above 1000, got 'exponential'",
        ),
    ],
)
def test_wrong_input(arguments, error, message):
    given = {"query_labels": QUERY_LAYERS, "database_labels": LAYERS, "grades": "layers", "n_bits": 3} | arguments
    with pytest.raises(error, match=message):
        ndcg(QUERY, DATABASE, **given)
