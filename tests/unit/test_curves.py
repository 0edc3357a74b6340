import numpy as np
import pytest
from reference import distances, scores

from pyhash import codes
from pyhash.evaluation import Protocol, precision_at, precision_recall_curve


@pytest.fixture
def data(rng):
    """Few bits, hence many ties; the last query has no relevant item."""
    rows = codes.pack(rng.choice([-1, 1], size=(9, 3)))
    queries = codes.pack(rng.choice([-1, 1], size=(4, 3)))
    return queries, rows, np.array([0, 1, 2, 9]), rng.integers(0, 3, 9)


@pytest.mark.parametrize("ties", ["id", "best", "worst", "expected"])
@pytest.mark.parametrize("empty", ["skip", "zero"])
def test_by_rank(data, ties, empty):
    queries, rows, query_labels, labels = data
    protocol = Protocol(ties=ties, empty_queries=empty)
    curve = precision_recall_curve(*data, n_bits=3, protocol=protocol)
    at = precision_at(*data, n_bits=3, protocol=protocol, top_n=[1, 4, 9])
    # Nine items have too many orders: the reference averages over the orders of six.
    if ties == "expected":
        rows, labels = rows[:6], labels[:6]
        curve = precision_recall_curve(queries, rows, query_labels, labels, n_bits=3, protocol=protocol)
        at = precision_at(queries, rows, query_labels, labels, n_bits=3, protocol=protocol, top_n=[1, 4, 6])
    n = len(rows)
    d = distances.hamming(queries, rows, 3)
    precision, recall = [], []
    for i, label in enumerate(query_labels):
        relevant = (labels == label).astype(int)
        if empty == "skip" and not relevant.any():
            continue
        hits = scores.hits_by_rank(d[i].tolist(), relevant.tolist(), ties)
        precision.append(hits / np.arange(1, n + 1))
        recall.append(hits / max(relevant.sum(), 1))
    np.testing.assert_allclose(curve.precision, np.mean(precision, axis=0), atol=1e-12)
    np.testing.assert_allclose(curve.recall, np.mean(recall, axis=0), atol=1e-12)
    assert curve.thresholds.tolist() == list(range(1, n + 1))
    assert curve.n_empty == at.n_empty == sum(not (labels == label).any() for label in query_labels)
    np.testing.assert_allclose(at.values, np.mean(precision, axis=0)[at.top_n - 1], atol=1e-12)
    assert np.isnan(at.per_query[3]).all() == (empty == "skip")
    one = precision_at(queries, rows, query_labels, labels, n_bits=3, protocol=protocol, top_n=np.array(4))
    assert one.values.tolist() == at.values[1:2].tolist()


def test_by_radius(data):
    queries, rows, query_labels, labels = data
    curve = precision_recall_curve(*data, by="radius", n_bits=3)
    d = distances.hamming(queries, rows, 3)
    for radius in range(4):
        precision, recall = [], []
        for i, label in enumerate(query_labels[:3]):
            near = d[i] <= radius
            precision.append((labels[near] == label).mean() if near.any() else 0.0)
            recall.append((labels[near] == label).sum() / (labels == label).sum())
        assert curve.precision[radius] == pytest.approx(np.mean(precision))
        assert curve.recall[radius] == pytest.approx(np.mean(recall))
    assert curve.thresholds.tolist() == [0, 1, 2, 3]
    assert curve.recall[-1] == 1.0


def test_a_curve_ends_at_the_cutoff(data):
    whole = precision_recall_curve(*data, n_bits=3)
    cut = precision_recall_curve(*data, n_bits=3, protocol=Protocol(cutoff=4))
    np.testing.assert_array_equal(cut.precision, whole.precision[:4])
    np.testing.assert_array_equal(cut.recall, whole.recall[:4])


def test_only_empty_queries_give_nan_under_skip(data):
    queries, rows, _, labels = data
    nobody = [9, 9, 9, 9]
    assert np.isnan(precision_recall_curve(queries, rows, nobody, labels, n_bits=3).precision).all()
    assert np.isnan(precision_at(queries, rows, nobody, labels, n_bits=3, top_n=2).values).all()
    zero = Protocol(empty_queries="zero")
    assert precision_at(queries, rows, nobody, labels, n_bits=3, top_n=2, protocol=zero).values.tolist() == [0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: precision_at(*d, n_bits=3, top_n=0), "top_n must be an integer from 1 to 9, got 0"),
        (lambda d: precision_at(*d, n_bits=3, top_n=10), "top_n must be an integer from 1 to 9, got 10"),
        (lambda d: precision_at(*d, n_bits=3, top_n=[]), "top_n must name at least one N"),
        (
            lambda d: precision_at(*d, n_bits=3, top_n=5, protocol=Protocol(cutoff=4)),
            "top_n must be an integer from 1 to 4",
        ),
        (lambda d: precision_recall_curve(*d, n_bits=3, by="bit"), "by must be one of 'rank', 'radius', got 'bit'"),
        (
            lambda d: precision_recall_curve(*d, n_bits=3, by="radius", protocol=Protocol(cutoff=4)),
            "needs a protocol without a cutoff, got cutoff=4",
        ),
        (
            lambda d: precision_recall_curve(np.ones((4, 3)), *d[1:], by="radius", metric="weighted_hamming"),
            "by='radius' needs metric 'hamming', got 'weighted_hamming'",
        ),
    ],
)
def test_wrong_input(data, call, message):
    with pytest.raises(ValueError, match=message):
        call(data)
