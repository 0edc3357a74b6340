"""Bayes codes of the core against the definitions."""

import numpy as np
import pytest
from reference import bayes_codes as reference

from pyhash import _core


def problem(rng, n, u, r, *, real=False, labels=0):
    """Return posterior, mean codes, counts and label sets (None for no `labels`)."""
    logits = rng.standard_normal((n, u)) * rng.uniform(0, 6, (n, 1))
    P = np.exp(logits)
    P /= P.sum(axis=1, keepdims=True)
    M = rng.choice([-1.0, 1.0], (u, r))
    if real:
        M *= rng.uniform(0.2, 1, (u, r))
    sets = np.packbits(rng.random((u, labels)) < 0.3, axis=1, bitorder="little") if labels else None
    return P.astype(np.float32), M.astype(np.float32), rng.integers(1, 60, u).astype(float), sets


def check(P, M, counts, sets):
    """Compare with the reference: the weights, and the expected precision of the code where it is another one."""
    got = _core.bayes_codes(P, M, counts, sets, 1)
    assert got.dtype == np.float32
    assert got.shape == (len(P), M.shape[1])
    for projection, p in zip(got, P, strict=True):
        arguments = reference.only_sets_with_rows(p, M, counts, sets)
        q, f = reference.bayes_code(*arguments)
        code = np.where(projection > 0, 1, -1)
        if not np.array_equal(code, q):  # equally good
            mine, theirs = (reference.expected_precision(c, *arguments) for c in (code, q))
            assert mine == pytest.approx(theirs, rel=2e-5)
        expected = reference.bayes_projection(code, f)
        np.testing.assert_allclose(projection, expected, rtol=1e-3, atol=2e-4 * np.abs(expected).max())
    return got


@pytest.mark.parametrize("labels", [0, 9])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(("u", "r"), [(1, 1), (2, 5), (6, 16), (30, 32), (41, 33)])
def test_codes_and_weights_are_those_of_the_definitions(rng, cpu_level, u, r, real, labels):
    check(*problem(rng, 4, u, r, real=real, labels=labels))


@pytest.mark.parametrize("labels", [0, 6])
def test_sets_without_rows_are_left_out_of_everything(rng, labels):
    P, M, counts, sets = problem(rng, 5, 20, 24, labels=labels)
    counts[[0, 7, 19]] = 0
    has_rows = counts > 0
    expected = _core.bayes_codes(
        np.ascontiguousarray(P[:, has_rows]), M[has_rows], counts[has_rows], sets if sets is None else sets[has_rows], 1
    )
    np.testing.assert_array_equal(_core.bayes_codes(P, M, counts, sets, 1), expected)
    check(P, M, counts, sets)


def test_equal_and_opposite_codes(rng):
    P, M, counts, _ = problem(rng, 6, 12, 16)
    M[1], M[2], M[3] = M[0], -M[0], M[0]
    P[0] = [0.5, 0, 0.5, *[0] * 9]
    P[1] = [0, 0, 1, *[0] * 9]
    got = check(P, M, counts, None)
    np.testing.assert_array_equal(np.sign(got[1]), M[2])


def test_a_single_set_has_its_code_and_equal_weights():
    M = np.array([[1, -1, -1, 1, 1]], dtype=np.float32)
    for sets in (None, np.array([[1]], dtype=np.uint8), np.array([[0]], dtype=np.uint8)):
        got = _core.bayes_codes(np.full((3, 1), 0.25, np.float32), M, np.array([4.0]), sets, 1)
        np.testing.assert_array_equal(got, np.repeat(M, 3, axis=0))


def test_sets_that_share_no_label_have_graded_relevance_of_their_own(rng):
    """Then only the likeliest set matters for a certain query, with and without label sets."""
    P, M, counts, _ = problem(rng, 5, 8, 16)
    P[:] = np.eye(8, dtype=np.float32)[:5]
    own = np.packbits(np.eye(8, dtype=bool), axis=1, bitorder="little")
    with_sets, without = (_core.bayes_codes(P, M, counts, sets, 1) for sets in (own, None))
    np.testing.assert_allclose(with_sets, without, rtol=1e-5)


def test_threads_and_levels_give_the_same_bits(rng, cpu_level):
    for labels in (0, 12):
        for real in (False, True):
            P, M, counts, sets = problem(rng, 150, 50, 40, real=real, labels=labels)
            before = _core.cpu_level()
            _core.set_cpu_level("scalar")
            expected = _core.bayes_codes(P, M, counts, sets, 1)
            _core.set_cpu_level(before)
            for n_threads in (1, 5):
                np.testing.assert_array_equal(_core.bayes_codes(P, M, counts, sets, n_threads), expected)


def test_no_queries():
    assert _core.bayes_codes(*problem(np.random.default_rng(0), 0, 3, 7), 1).shape == (0, 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1])
def test_bad_probabilities_are_refused(rng, bad):
    P, M, counts, sets = problem(rng, 3, 4, 8)
    P[1, 2] = bad
    with pytest.raises(ValueError, match=r"posterior must be finite and not negative, row 1 holds"):
        _core.bayes_codes(P, M, counts, sets, 1)


def test_queries_that_no_row_can_answer_are_refused(rng):
    P, M, _, sets = problem(rng, 3, 2, 8)
    P[2] = [1, 0]
    with pytest.raises(ValueError, match=r"row 2 is 0 for all"):
        _core.bayes_codes(P, M, np.array([0.0, 5.0]), sets, 1)
    with pytest.raises(ValueError, match="counts must be above 0"):
        _core.bayes_codes(P, M, np.zeros(2), sets, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("posterior", np.ones(3, np.float32), "two dimensions"),
        ("mean_codes", np.ones((4, 8), np.float32), "one row for each column"),
        ("mean_codes", np.ones((3, 0), np.float32), "must have a column"),
        ("counts", np.ones((3, 1)), "one dimension"),
        ("sets", np.ones((2, 1), np.uint8), "sets must have one row"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, value, message):
    arguments = {
        "posterior": np.ones((2, 3), np.float32),
        "mean_codes": np.ones((3, 8), np.float32),
        "counts": np.ones(3),
        "sets": None,
    }
    with pytest.raises(ValueError, match=message):
        _core.bayes_codes(**arguments | {name: value}, n_threads=1)
