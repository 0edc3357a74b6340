import itertools
import math

import numpy as np
import pytest
from reference import scores as reference
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from pyhash import codes
from pyhash.evaluation import Protocol, mean_average_precision, precision_at, precision_recall_curve

# One query (all ones), five items at distances 0, 1, 1, 2, 3; relevant are items 0, 2 and 4.
QUERY = codes.pack([[1, 1, 1]])
DATABASE = codes.pack([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1], [-1, -1, -1]])
RELEVANT = [1, 0, 1, 0, 1]


def score(**protocol):
    return float(mean_average_precision(QUERY, DATABASE, [1], RELEVANT, n_bits=3, protocol=Protocol(**protocol)))


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        # hits at ranks 1, 3, 5
        ({}, (1 / 1 + 2 / 3 + 3 / 5) / 3),
        ({"ties": "best"}, (1 / 1 + 2 / 2 + 3 / 5) / 3),
        ({"ties": "worst"}, (1 / 1 + 2 / 3 + 3 / 5) / 3),
        ({"ties": "expected"}, (1 / 1 + (2 / 2 + 2 / 3) / 2 + 3 / 5) / 3),
        # the cutoff falls between the two at distance 1
        ({"cutoff": 2}, 1.0),
        ({"cutoff": 2, "denominator": "relevant"}, 1 / 3),
        ({"cutoff": 2, "denominator": "min"}, 1 / 2),
        ({"cutoff": 2, "ties": "best", "denominator": "min"}, (1 + 2 / 2) / 2),
        ({"cutoff": 2, "ties": "worst", "denominator": "min"}, 1 / 2),
        # one order has hits at ranks 1 and 2, the other at rank 1 alone: each divided by its own hits
        ({"cutoff": 2, "ties": "expected"}, ((1 + 2 / 2) / 2 + 1 / 1) / 2),
        ({"cutoff": 2, "ties": "expected", "denominator": "relevant"}, ((1 + 2 / 2) / 3 + 1 / 3) / 2),
        ({"cutoff": 100, "denominator": "min"}, (1 / 1 + 2 / 3 + 3 / 5) / 3),
    ],
)
def test_by_hand(protocol, expected):
    assert score(**protocol) == pytest.approx(expected, abs=1e-15)


def test_empty_queries():
    queries = np.repeat(QUERY, 3, axis=0)
    for ties in ("id", "expected", "best", "worst"):
        skip = mean_average_precision(
            queries, DATABASE, [1, 7, 1], RELEVANT, n_bits=3, protocol=Protocol(cutoff=1, ties=ties)
        )
        zero = mean_average_precision(
            queries,
            DATABASE,
            [1, 7, 1],
            RELEVANT,
            n_bits=3,
            protocol=Protocol(cutoff=1, ties=ties, empty_queries="zero"),
        )
        assert (skip.n_empty, zero.n_empty) == (1, 1)
        assert skip.value == 1.0
        assert zero.value == pytest.approx(2 / 3)
        assert np.isnan(skip.per_query).tolist() == [False, True, False]
        assert zero.per_query.tolist() == [1, 0, 1]


def test_only_empty_queries_score_nan_or_zero():
    assert math.isnan(mean_average_precision(QUERY, DATABASE, [9], RELEVANT, n_bits=3).value)
    assert mean_average_precision(QUERY, DATABASE, [9], RELEVANT, n_bits=3, protocol="shoh").value == 0.0


@pytest.mark.parametrize("ties", ["id", "expected", "best", "worst"])
@pytest.mark.parametrize("denominator", ["hits", "relevant", "min"])
def test_every_small_ranking(ties, denominator):
    """All groupings and relevances of five items, at every cutoff, against trying all orders."""
    queries = list(itertools.product(range(2), range(2), range(3), range(2), range(2)))
    for relevance in itertools.product((0, 1), repeat=5):
        for cutoff in (None, 1, 2, 4):
            protocol = Protocol(cutoff=cutoff, denominator=denominator, ties=ties)
            expected = [
                reference.average_precision_with_ties(d, relevance, cutoff=cutoff, denominator=denominator, ties=ties)
                for d in queries
            ]
            got = mean_average_precision(
                queries, None, [1] * len(queries), relevance, metric="precomputed", protocol=protocol
            )
            np.testing.assert_allclose(got.per_query, np.array(expected, dtype=float), atol=1e-12)


def test_labels_in_every_form(rng):
    sets = rng.random((60, 70)) < 0.05  # three words of labels
    rows = codes.pack(rng.choice([-1, 1], size=(60, 16)))
    dense = mean_average_precision(rows[:20], rows[20:], sets[:20], sets[20:])
    for form in (lambda x: x.astype(int), lambda x: x.astype(float), csr_array):
        other = mean_average_precision(rows[:20], rows[20:], form(sets[:20]), form(sets[20:]))
        np.testing.assert_array_equal(dense.per_query, other.per_query)
    share = sets[:20].astype(int) @ sets[20:].T.astype(int) > 0
    distance = (codes.unpack(rows[:20], 16)[:, None] != codes.unpack(rows[20:], 16)[None]).sum(axis=2)
    expected = [
        reference.average_precision_with_ties(d, s, cutoff=None, denominator="hits", ties="id")
        for d, s in zip(distance, share, strict=True)
    ]
    np.testing.assert_allclose(dense.per_query, np.array(expected, dtype=float))

    classes = rng.integers(0, 5, 60)
    by_class = mean_average_precision(rows[:20], rows[20:], classes[:20], classes[20:])
    by_set = mean_average_precision(rows[:20], rows[20:], np.eye(5)[classes[:20]], np.eye(5)[classes[20:]])
    np.testing.assert_array_equal(by_class.per_query, by_set.per_query)


def test_metrics_agree_where_they_must(rng):
    projections = rng.standard_normal((30, 24))
    database = codes.pack(rng.standard_normal((200, 24)))
    labels = rng.integers(0, 4, 230)
    split = labels[:30], labels[30:]
    hamming = mean_average_precision(codes.pack(projections), database, *split)
    signs = np.where(projections > 0, 1.0, -1.0)
    weighted = mean_average_precision(signs, database, *split, metric="weighted_hamming")
    function = mean_average_precision(
        signs, codes.unpack(database, 24), *split, metric=lambda q, d: cdist(q, d, "hamming") * 24
    )
    ready = mean_average_precision(
        cdist(signs, codes.unpack(database, 24), "hamming") * 24, None, *split, metric="precomputed"
    )
    for other in (weighted, function, ready):
        np.testing.assert_allclose(other.per_query, hamming.per_query, rtol=1e-12)


@pytest.mark.parametrize("ties", ["id", "expected", "best", "worst"])
def test_threads_and_levels_do_not_matter(rng, cpu_level, ties):
    rows = codes.pack(rng.choice([-1, 1], size=(3000, 20)))
    labels = rng.integers(0, 7, 3000)
    scores = {
        mean_average_precision(
            rows[:400], rows[400:], labels[:400], labels[400:], n_bits=20, protocol=Protocol(ties=ties), n_threads=n
        ).value
        for n in (1, 2, 5)
    }
    assert len(scores) == 1


def test_memory_holds_a_block_not_a_matrix(rng):
    import tracemalloc

    rows = rng.integers(0, 256, size=(20_000, 8), dtype=np.uint8)
    labels = rng.integers(0, 7, 20_000)
    for metric, queries in (("hamming", rows[:2000]), ("weighted_hamming", rng.standard_normal((500, 64)))):
        tracemalloc.start()
        mean_average_precision(queries, rows, labels[: len(queries)], labels, metric=metric, n_threads=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6  # bytes; a matrix of floats would take 320 and 80 MB


def test_curves_hold_a_block_not_a_matrix(rng):
    import tracemalloc

    rows = rng.integers(0, 256, size=(300_000, 1), dtype=np.uint8)
    labels = rng.integers(0, 7, 300_000)
    tracemalloc.start()
    precision_recall_curve(rows[:60], rows, labels[:60], labels, n_threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 8 * 60 * 300_000


def test_a_bad_distance_is_named_by_its_row_in_the_data():
    distances = np.zeros((2000, 1000))
    distances[1500, 7] = np.nan
    for matrix, database, metric, name in (
        (distances, None, "precomputed", "queries"),
        (distances, np.zeros((1000, 1)), lambda q, d: q, "distances"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite, got nan in row 1500, column 7"):
            mean_average_precision(matrix, database, np.zeros(2000, int), np.zeros(1000, int), metric=metric)


def test_huge_numbers_are_as_good_as_large_ones():
    plain = mean_average_precision(QUERY, DATABASE, [1], RELEVANT, n_bits=3)
    for denominator in ("hits", "relevant", "min"):
        protocol = Protocol(cutoff=2**70, denominator=denominator)
        huge = mean_average_precision(QUERY, DATABASE, [1], RELEVANT, n_bits=3, protocol=protocol, n_threads=2**70)
        assert huge.value == plain.value


def test_describes_itself():
    result = mean_average_precision(QUERY, DATABASE, [1], RELEVANT, n_bits=3, protocol=Protocol(cutoff=3))
    assert repr(result) == "mAP 0.8333 (cutoff 3, denominator hits, empty queries skip, ties id; 1 queries, 0 empty)"
    assert float(result) == result.value


@pytest.mark.parametrize("function", [mean_average_precision, precision_recall_curve, precision_at])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"queries": QUERY.astype(float)}, TypeError, "queries must be packed codes of dtype uint8, got float64"),
        ({"n_bits": 12}, ValueError, r"database must have shape \(n, 2\) for n_bits=12, got \(5, 1\)"),
        ({"database": DATABASE[0]}, ValueError, "database must have shape"),
        ({"database": 5, "n_bits": None}, TypeError, "database must be packed codes of dtype uint8, got int64"),
        ({"database": [np.nan] * 5, "n_bits": None}, TypeError, "database must be packed codes of dtype uint8"),
        (
            {"database": np.zeros(5, np.uint8), "queries": np.zeros((1, 2), np.uint8), "n_bits": None},
            ValueError,
            r"database must have shape \(n, 1\)",
        ),
        ({"database": None}, ValueError, "database must be given with metric hamming"),
        ({"query_labels": [1, 2]}, ValueError, "query_labels must have 1 rows, as many as there are codes, got 2"),
        (
            {"database_labels": [1, 2]},
            ValueError,
            "database_labels must have 5 rows, as many as there are codes, got 2",
        ),
        ({"query_labels": [[1, 0]]}, ValueError, "must both be class indices"),
        ({"query_labels": [1.5]}, TypeError, "query_labels must be class indices of an integer dtype, got float64"),
        ({"query_labels": [-1]}, ValueError, "query_labels must be class indices from 0 to 16777215, got -1 in row 0"),
        (
            {"query_labels": [[1, 2]], "database_labels": np.eye(5, 2)},
            ValueError,
            "query_labels must hold only 0 and 1",
        ),
        (
            {"query_labels": [[1, 0]], "database_labels": np.eye(5)},
            ValueError,
            r"database_labels must have shape \(n,\) or \(n, 2\)",
        ),
        (
            {"queries": QUERY[:0], "query_labels": np.zeros(0, int)},
            ValueError,
            "query codes must have at least one row",
        ),
        ({"query_labels": [[1, 0], [1]]}, ValueError, "query_labels must be an array, got rows of unequal length"),
        ({"database": [[1], [1, 2]], "n_bits": None}, ValueError, "database must be an array, got rows of unequal"),
        ({"metric": "euclid"}, ValueError, "metric must be 'hamming', 'weighted_hamming', 'precomputed' or a function"),
        (
            {"metric": "weighted_hamming", "queries": [[1.0, np.nan, 2.0]]},
            ValueError,
            "queries must be finite, got nan",
        ),
        ({"metric": "precomputed", "n_bits": None}, ValueError, "database must be None with metric='precomputed'"),
        ({"metric": lambda q, d: np.zeros((1, 2)), "n_bits": None}, ValueError, r"distances must have shape \(1, 5\)"),
        ({"metric": lambda q, d: np.zeros((1, 5))}, ValueError, "n_bits goes with metric 'hamming'"),
        ({"protocol": "map"}, ValueError, "protocol must be one of 'shoh', got 'map'"),
        ({"protocol": 5}, TypeError, "protocol must be a Protocol or the name of a preset, got int"),
    ],
)
def test_wrong_input(function, arguments, error, message):
    given = {"queries": QUERY, "database": DATABASE, "query_labels": [1], "database_labels": RELEVANT, "n_bits": 3}
    given |= arguments
    extra = {"top_n": 1} if function is precision_at else {}
    with pytest.raises(error, match=message):
        function(
            given.pop("queries"),
            given.pop("database"),
            given.pop("query_labels"),
            given.pop("database_labels"),
            **given,
            **extra,
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cutoff": 0}, ValueError, "cutoff must be an integer >= 1, got 0"),
        ({"cutoff": 1.5}, TypeError, "cutoff must be an integer >= 1, got 1.5"),
        ({"denominator": "all"}, ValueError, "denominator must be one of 'hits', 'relevant', 'min', got 'all'"),
        ({"ties": "random"}, ValueError, "ties must be one of 'id', 'expected', 'best', 'worst', got 'random'"),
        ({"empty_queries": 0}, ValueError, "empty_queries must be one of 'skip', 'zero', got 0"),
    ],
)
def test_protocols_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        Protocol(**arguments)


def test_an_unknown_preset_names_the_argument():
    with pytest.raises(ValueError, match="name must be one of 'shoh', got 'zz'"):
        Protocol.preset("zz")
