"""The objective never rises from one iteration to the next where every step of a method is exact."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyhash.methods import BATCH, BOCH, CCAITQ, DCH, LEMON, PCAITQ

pytestmark = pytest.mark.usefixtures("one_blas_thread")

D = 12
# Directions of an embedding that its terms outweigh by 1e5 are rounding, and random ones take their place.
OUTWEIGHED = 1e-5


def data(n, c, seed, *, several=True, equal=False):
    rng = np.random.default_rng(seed)
    L = np.eye(c)[rng.integers(0, c, n)]
    if several:
        L = np.maximum(L, rng.random((n, c)) < 0.3)
    views = {name: L @ rng.standard_normal((c, D)) + rng.standard_normal((n, D)) for name in ("image", "text")}
    return {name: x * 0 + 1 if equal else x for name, x in views.items()}, L


def assert_no_rise(model, tolerance):
    for before, after in itertools.pairwise(model.history_):
        if before["chunk"] == after["chunk"]:
            assert after["objective"] <= before["objective"] * (1 + tolerance)


@given(
    r=st.integers(1, 16),
    more=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    c=st.integers(1, 20),
    weights=st.sampled_from([({}, OUTWEIGHED), ({"alpha": 1e-3, "beta": 0.5}, 1e-9), ({"alpha": 0}, OUTWEIGHED)]),
    several=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(r=1, more=[1], c=1, weights=({}, OUTWEIGHED), several=False, seed=0)
def test_lemon_in_chunks_of_more_rows_than_bits(r, more, c, weights, several, seed):
    parameters, tolerance = weights
    model = LEMON(r, record=True, n_classes=c, seed=seed, **parameters)
    for k, n in enumerate(more):
        model.partial_fit(*data(r + n, c, seed + k, several=several))
    assert_no_rise(model, tolerance)


@given(r=st.integers(1, 16), more=st.integers(1, 40), c=st.integers(2, 20), seed=st.integers(0, 2**32))
def test_boch_with_several_labels(r, more, c, seed):
    views, L = data(r + more, c, seed)
    L[0] = 1
    assert_no_rise(BOCH(r, record=True, encoder="bits", seed=seed).fit(views, L), OUTWEIGHED)


@given(
    r=st.integers(1, 16),
    more=st.integers(1, 40),
    c=st.integers(1, 20),
    weights=st.sampled_from([{}, {"eta": 40.0, "omega": 50.0}, {"eta": 0, "eta_0": 0, "omega": 0}]),
    equal=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(r=1, more=1, c=1, weights={}, equal=True, seed=0)
def test_batch_with_more_rows_than_bits(r, more, c, weights, equal, seed):
    views, L = data(r + more, c, seed, equal=equal)
    model = BATCH(r, record=True, seed=seed, feature_maps=dict.fromkeys(views), **weights).fit(views, L)
    assert_no_rise(model, OUTWEIGHED)


@given(
    r=st.integers(1, 16),
    n=st.integers(1, 40),
    c=st.integers(1, 20),
    weights=st.sampled_from([{}, {"mu": 1.0}, {"ridge": 20.0, "mu": 0.7, "xi": 3.0}, {"mu": 0}]),
    equal=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(r=16, n=1, c=1, weights={}, equal=True, seed=0)
def test_dch_always(r, n, c, weights, equal, seed):
    views, L = data(n, c, seed, equal=equal)
    assert_no_rise(DCH(r, record=True, seed=seed, feature_maps=dict.fromkeys(views), **weights).fit(views, L), 1e-9)


@pytest.mark.parametrize("method", [CCAITQ, PCAITQ])
@given(r=st.integers(1, D), n=st.integers(1, 40), equal=st.booleans(), seed=st.integers(0, 2**32))
@example(r=D, n=1, equal=True, seed=0)
def test_rotations_always(method, r, n, equal, seed):
    views, _ = data(n, 3, seed, equal=equal)
    model = method(r, n_iter=8, record=True, seed=seed).fit(views)
    assert_no_rise(model, 1e-12)
    for term in model.history_[0]["terms"]:
        values = [entry["terms"][term] for entry in model.history_]
        assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(values))


def test_an_embedding_of_fewer_rows_than_bits_may_raise_it():
    """As the classes' notes say: its columns cannot be orthogonal, and the step is not exact."""
    rises = 0
    for seed in range(20):
        model = LEMON(8, record=True, seed=seed).fit(*data(5, 3, seed))
        values = [entry["objective"] for entry in model.history_]
        rises += any(after > before * (1 + 1e-3) for before, after in itertools.pairwise(values))
    assert rises > 0
