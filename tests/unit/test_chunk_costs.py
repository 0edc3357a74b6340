"""The cost of a chunk does not depend on the chunks before it; the cost of many label sets."""

import copy
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from pyhash import LEMON, SHOH
from pyhash.methods.parts.label_sets import LabelSets

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N_CLASSES = 81


def label_rows(rng, n):
    """Labels of which nearly every row is a set of its own."""
    L = (rng.random((n, N_CLASSES)) < np.linspace(0.0, 0.12, N_CLASSES)).astype(np.uint8)
    L[~L.any(axis=1), 0] = 1
    return L


@pytest.mark.parametrize("make", [lambda: SHOH(16, n_threads=1), lambda: LEMON(16, n_iter=2)], ids=["SHOH", "LEMON"])
def test_the_last_chunk_of_many_label_sets_costs_what_the_third_did(rng, make):
    mix = rng.standard_normal((N_CLASSES, 8))
    labels = [label_rows(rng, 1000) for _ in range(30)]
    assert len(np.unique(np.concatenate(labels), axis=0)) > 25_000
    model, stages = make(), {}
    for number, L in enumerate(labels[:-1], start=1):
        model.partial_fit({"x": L @ mix}, L)
        if number in (2, 29):
            stages[number] = copy.copy(model)
    last, seconds = {"x": labels[-1] @ mix}, {2: [], 29: []}
    for _ in range(8):  # by turns, so that other processes slow down both; the fastest of each counts
        for number, stage in stages.items():
            again = copy.copy(stage)
            start = time.process_time()
            again.partial_fit(last, labels[-1])
            seconds[number].append(time.process_time() - start)
    assert min(seconds[29]) <= 1.15 * min(seconds[2]), seconds
    assert model._state.label_sets is None


def test_similar_samples_are_summed_up_without_a_matrix_of_all_pairs(rng):
    sets = LabelSets.empty(N_CLASSES, 32)
    for _ in range(5):
        sets = sets.add(label_rows(rng, 9_000), rng.choice([-1, 1], size=(9_000, 32)).astype(np.int8))
    assert len(sets.counts) > 35_000
    L = label_rows(rng, 5000)
    tracemalloc.start()
    try:
        summed = sets.codes_of_similar(L)
        assert tracemalloc.get_traced_memory()[1] < 5e6  # all pairs of them are 190e6
    finally:
        tracemalloc.stop()
    some = slice(0, 40)
    np.testing.assert_array_equal(summed[some], (L[some].astype(float) @ sets.matrix.T > 0) @ sets.code_sums)


def test_label_sets_are_appended(rng):
    """A table shares the memory of its sets with the one before, unless their buffer was full."""
    tables = [LabelSets.empty(N_CLASSES, 8)]
    for _ in range(20):
        tables.append(tables[-1].add(label_rows(rng, 200), np.ones((200, 8), np.int8)))
    n_shared = sum(np.shares_memory(a.sets, b.sets) for a, b in pairwise(tables))
    assert n_shared >= 15
    np.testing.assert_array_equal(tables[-1].sets[: len(tables[3].sets)], tables[3].sets)
