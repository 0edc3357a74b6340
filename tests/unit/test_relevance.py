"""Relevance as bits, against the definition."""

import numpy as np
import pytest

from pyhash.evaluation.relevance import Relevance, count_relevant, unpack_relevance

SIZES = [1, 63, 64, 65, 200]


def agrees(relevance, expected):
    n_queries, n = expected.shape
    assert (relevance.n_queries, relevance.n_database) == expected.shape
    for start, stop in ((0, n_queries), (1, n_queries - 1)):
        block = relevance.block(start, stop)
        assert block.shape == (stop - start, (n + 63) // 64)
        np.testing.assert_array_equal(unpack_relevance(block, n), expected[start:stop])
        np.testing.assert_array_equal(count_relevant(block), expected[start:stop].sum(axis=1))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [1, 3, 40])
@pytest.mark.parametrize("order", ["C", "F"])
def test_label_matrices(n, n_classes, order):
    rng = np.random.default_rng(n)
    query, database = (rng.random((rows, n_classes)) < 0.3 for rows in (9, n))
    query[0], query[1], database[0] = False, True, True
    relevance = Relevance(np.asarray(query, order=order), np.asarray(database, order=order))
    agrees(relevance, (query[:, None] & database).any(axis=2))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("n_classes", [1, 3, 40])
def test_classes_and_ids(n, n_classes):
    rng = np.random.default_rng(n)
    query, database = rng.integers(0, n_classes + 1, 9), rng.integers(0, n_classes, n)
    query[0] = n_classes  # a class that no item has
    expected = query[:, None] == database
    agrees(Relevance(query, database), expected)
    agrees(Relevance.of_ids(query * 7 - 5, database * 7 - 5), expected)
    names = np.array([f"thing {'x' * i}" for i in range(n_classes + 1)])
    agrees(Relevance.of_ids(names[query], names[database]), expected)
