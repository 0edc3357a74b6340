"""Scores against the mean over every order of ties, on rankings that hypothesis chooses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from reference import distances, scores

from pyhash import codes
from pyhash.evaluation import (
    Protocol,
    instance_retrieval,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg,
    precision_at,
    precision_recall_curve,
    recall_at,
)

protocols = st.builds(
    Protocol,
    cutoff=st.one_of(st.none(), st.integers(1, 9)),
    denominator=st.sampled_from(["hits", "relevant", "min"]),
    empty_queries=st.sampled_from(["skip", "zero"]),
    ties=st.sampled_from(["id", "expected", "best", "worst"]),
)


@given(
    protocol=protocols,
    n=st.integers(1, 7),
    n_queries=st.integers(1, 4),
    n_bits=st.integers(1, 10),
    n_classes=st.integers(1, 40),
    density=st.floats(0.02, 0.9),
    seed=st.integers(0, 2**32),
)
def test_mean_average_precision(cpu_level, protocol, n, n_queries, n_bits, n_classes, density, seed):
    rng = np.random.default_rng(seed)
    projections = rng.standard_normal((n_queries, n_bits))
    queries, database = codes.pack(projections), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    query_sets, sets = rng.random((n_queries, n_classes)) < density, rng.random((n, n_classes)) < density
    relevance = (query_sets[:, None] & sets[None]).any(axis=2).astype(int)
    for metric, given_queries, all_distances in (
        ("hamming", queries, distances.hamming(queries, database, n_bits)),
        ("weighted_hamming", projections, distances.weighted(projections, database)),
    ):
        expected = [
            scores.average_precision_with_ties(
                d.tolist(), r.tolist(), cutoff=protocol.cutoff, denominator=protocol.denominator, ties=protocol.ties
            )
            for d, r in zip(all_distances, relevance, strict=True)
        ]
        got = mean_average_precision(
            given_queries, database, query_sets, sets, metric=metric, n_bits=n_bits, protocol=protocol
        )
        empty = 0.0 if protocol.empty_queries == "zero" else np.nan
        expected = [empty if score is None else score for score in expected]
        np.testing.assert_allclose(got.per_query, expected, atol=1e-12)
        assert got.n_empty == sum(not np.isfinite(s) for s in expected) or protocol.empty_queries == "zero"


@given(
    ties=st.sampled_from(["id", "expected", "best", "worst"]),
    n=st.integers(1, 6),
    n_bits=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_precision_and_recall_by_rank(ties, n, n_bits, seed):
    rng = np.random.default_rng(seed)
    query, database = codes.pack([[1] * n_bits]), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    labels = rng.integers(0, 2, n)
    hits = scores.hits_by_rank(distances.hamming(query, database, n_bits)[0].tolist(), labels.tolist(), ties)
    protocol = Protocol(ties=ties, empty_queries="zero")
    curve = precision_recall_curve(query, database, [1], labels, n_bits=n_bits, protocol=protocol)
    np.testing.assert_allclose(curve.precision, hits / np.arange(1, n + 1), atol=1e-12)
    np.testing.assert_allclose(curve.recall, hits / max(labels.sum(), 1), atol=1e-12)
    at = precision_at(query, database, [1], labels, n_bits=n_bits, protocol=protocol, top_n=range(1, n + 1))
    np.testing.assert_allclose(at.values, curve.precision, atol=1e-12)
    recall = recall_at(query, database, [1], labels, n_bits=n_bits, protocol=protocol, top_n=range(1, n + 1))
    np.testing.assert_allclose(recall.values, curve.recall, atol=1e-12)


@given(
    protocol=protocols,
    exponential=st.booleans(),
    n=st.integers(1, 6),
    n_bits=st.integers(1, 4),
    n_layers=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_ndcg_and_reciprocal_rank(protocol, exponential, n, n_bits, n_layers, seed):
    rng = np.random.default_rng(seed)
    projections = rng.choice([-1.0, 1.0, 2.0], size=(2, n_bits))
    queries, database = codes.pack(projections), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    layers = [(rng.random((2, 3)) < 0.5, rng.random((n, 3)) < 0.5) for _ in range(n_layers)]
    query_layers, database_layers = ([layer[side] for layer in layers] for side in (0, 1))
    empty = 0.0 if protocol.empty_queries == "zero" else np.nan
    choices = {"n_bits": n_bits, "protocol": protocol}
    for metric, given_queries, all_distances in (
        ("hamming", queries, distances.hamming(queries, database, n_bits)),
        ("weighted_hamming", projections, distances.weighted(projections, database)),
    ):
        got = ndcg(
            given_queries, database, query_layers, database_layers, grades="layers", metric=metric,
            gain="exponential" if exponential else "linear", **choices,
        ).per_query  # fmt: skip
        inverse = mean_reciprocal_rank(
            given_queries, database, query_layers[0], database_layers[0], metric=metric, **choices
        ).per_query
        for i, row in enumerate(all_distances.tolist()):
            of_query = [np.flatnonzero(layer[i]) for layer in query_layers]
            grades = [
                scores.grade_by_layers(of_query, [np.flatnonzero(layer[j]) for layer in database_layers])
                for j in range(n)
            ]
            expected = scores.ndcg_with_ties(
                row, grades, cutoff=protocol.cutoff, exponential=exponential, ties=protocol.ties
            )
            np.testing.assert_allclose(got[i], empty if expected is None else expected, atol=1e-12)
            relevance = [int(grade > 0) for grade in grades]
            first = scores.first_hit_with_ties(row, relevance, top_n=[], cutoff=protocol.cutoff, ties=protocol.ties)
            np.testing.assert_allclose(inverse[i], first[0] if any(relevance) else empty, atol=1e-12)


@given(n=st.integers(30, 400), n_bits=st.integers(1, 6), cutoff=st.integers(1, 400), seed=st.integers(0, 2**32))
def test_expected_ties_lie_between_worst_and_best(n, n_bits, cutoff, seed):
    """On rankings with too many orders to try."""
    rng = np.random.default_rng(seed)
    query, database = codes.pack([[1] * n_bits]), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    labels = rng.integers(0, 3, n)

    def score(function, ties):
        protocol = Protocol(cutoff=cutoff, denominator="relevant", empty_queries="zero", ties=ties)
        return function(query, database, [1], labels, n_bits=n_bits, protocol=protocol).value

    for function in (mean_average_precision, mean_reciprocal_rank, ndcg):
        worst, best = score(function, "worst") - 1e-12, score(function, "best") + 1e-12
        assert worst <= score(function, "expected") <= best
        assert worst <= score(function, "id") <= best


@given(
    ties=st.sampled_from(["id", "expected", "best", "worst"]),
    n=st.integers(1, 6),
    n_bits=st.integers(1, 3),
    n_ids=st.integers(1, 4),
    cutoff=st.one_of(st.none(), st.integers(6, 8)),
    seed=st.integers(0, 2**32),
)
def test_instance_retrieval(cpu_level, ties, n, n_bits, n_ids, cutoff, seed):
    rng = np.random.default_rng(seed)
    projections = rng.choice([-1.0, 1.0, 2.0], size=(3, n_bits))
    queries, database = codes.pack(projections), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    query_ids, ids = rng.integers(0, n_ids, 3), rng.integers(0, n_ids, n)
    top_n = range(1, n + 1)
    protocol = Protocol(cutoff=cutoff, empty_queries="zero", ties=ties)
    for metric, given_queries, all_distances in (
        ("hamming", queries, distances.hamming(queries, database, n_bits)),
        ("weighted_hamming", projections, distances.weighted(projections, database)),
    ):
        got = instance_retrieval(
            given_queries, database, query_ids, ids, top_n=top_n, metric=metric, n_bits=n_bits, protocol=protocol
        )
        for i, row in enumerate(all_distances.tolist()):
            relevance = (ids == query_ids[i]).astype(int).tolist()
            first = scores.first_hit_with_ties(row, relevance, top_n=top_n, cutoff=cutoff, ties=ties)
            np.testing.assert_allclose([got.reciprocal_rank[i], *got.found[i]], first, atol=1e-12)
            fraction = scores.hits_by_rank(row, relevance, ties) / max(sum(relevance), 1)
            np.testing.assert_allclose(got.found_fraction[i], fraction, atol=1e-12)


@given(n=st.integers(30, 400), n_bits=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_expected_instances_lie_between_worst_and_best(n, n_bits, seed):
    """On rankings with too many orders to try; a hit rate grows with N and bounds the recall."""
    rng = np.random.default_rng(seed)
    query, database = codes.pack([[1] * n_bits]), codes.pack(rng.choice([-1, 1], size=(n, n_bits)))
    ids = rng.integers(0, 3, n)
    worst, *middle, best = (
        instance_retrieval(
            query, database, [1], ids, top_n=range(1, n + 1), n_bits=n_bits,
            protocol=Protocol(empty_queries="zero", ties=ties),
        )
        for ties in ("worst", "id", "expected", "best")
    )  # fmt: skip
    for result in middle:
        for score in ("mrr", "hit_rate", "recall", "map"):
            low, value, high = (np.asarray(getattr(each, score)) for each in (worst, result, best))
            assert np.all(low - 1e-12 <= value)
            assert np.all(value <= high + 1e-12)
        assert np.all(np.diff(result.hit_rate) >= -1e-12)
        assert np.all(result.recall <= result.hit_rate + 1e-12)
