import numpy as np
import pytest
from reference import shoh as reference

from pyhash.methods.parts.descent import cyclic_descent


def problem(rng, n, r, dtype=np.float64):
    C = rng.choice([-1.0, 1.0], size=(20, r))
    H = (C.T @ C).astype(dtype)
    Q = (r * rng.standard_normal((n, 20)) @ C / 4).astype(dtype)
    return rng.choice([-1, 1], size=(n, r)).astype(np.int8), H, Q


def objective(B, H, Q):
    B, off = B.astype(float), H - np.diag(np.diag(H))
    return np.einsum("il,lm,im->", B, off, B) - 2 * np.sum(B * Q)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_objective_never_rises(rng, cpu_level, dtype):
    B, H, Q = problem(rng, 300, 48, dtype)
    before = objective(B, H, Q)
    while cyclic_descent(B, H, Q, max_sweeps=1)[0]:
        after = objective(B, H, Q)
        assert after <= before
        before = after
    np.testing.assert_array_equal(cyclic_descent(B, H, Q, max_sweeps=5), np.zeros(5))


def test_sweeps_are_those_of_the_oracle(rng, cpu_level):
    B, H, Q = problem(rng, 200, 33)
    expected = B.astype(float)
    for _ in range(3):
        reference.sweep(expected, H, Q)
    cyclic_descent(B, H, Q, max_sweeps=3)
    np.testing.assert_array_equal(B, expected)


def test_flips_are_counted_and_rows_stop(rng):
    B, H, Q = problem(rng, 100, 16)
    counted, total = B.copy(), np.zeros(6, dtype=int)
    for sweep in range(6):
        before = counted.copy()
        cyclic_descent(counted, H, Q, max_sweeps=1)
        total[sweep] = (counted != before).sum()
    np.testing.assert_array_equal(cyclic_descent(B, H, Q, max_sweeps=6), total)
    np.testing.assert_array_equal(B, counted)


def test_the_diagonal_does_not_matter(rng):
    B, H, Q = problem(rng, 50, 24)
    other = B.copy()
    cyclic_descent(B, H, Q, max_sweeps=4)
    cyclic_descent(other, H + np.diag(rng.standard_normal(24) * 1e6), Q, max_sweeps=4)
    np.testing.assert_array_equal(B, other)


def test_threads_do_not_matter(rng, cpu_level):
    B, H, Q = problem(rng, 5000, 64, np.float32)
    results = []
    for n_threads in (1, 2, 7):
        signs = B.copy()
        results.append((cyclic_descent(signs, H, Q, max_sweeps=3, n_threads=n_threads).tolist(), signs.tobytes()))
    assert results[0] == results[1] == results[2]


def test_no_rows(rng):
    _, H, _ = problem(rng, 1, 8)
    assert cyclic_descent(np.empty((0, 8), np.int8), H, np.empty((0, 8)), max_sweeps=2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"B": [[1, -1]]}, TypeError, "B must be a numpy array, got list"),
        ({"B": np.ones((3, 4))}, TypeError, "B must be signs of dtype int8, got float64"),
        ({"B": np.zeros((3, 4), np.int8)}, ValueError, "signs must hold only -1 and \\+1, row 0 holds 0"),
        ({"B": np.ones((4, 3), np.int8).T}, ValueError, "B must be C-contiguous and writeable"),
        ({"B": np.ones(4, np.int8)}, ValueError, r"B must have shape \(n, n_bits\), got \(4,\)"),
        ({"H": np.eye(4, dtype=np.float32)}, TypeError, "H and Q must both be float32 or both float64"),
        ({"H": np.eye(3)}, ValueError, r"H must have shape \(4, 4\), got \(3, 3\)"),
        ({"H": np.triu(np.ones((4, 4)))}, ValueError, "H must be symmetric"),
        ({"H": np.full((4, 4), np.nan)}, ValueError, "H must be finite, got nan"),
        ({"Q": np.full((3, 4), np.inf)}, ValueError, "Q must be finite, got inf"),
        ({"Q": np.ones((3, 5))}, ValueError, r"Q must have the shape of B, \(3, 4\), got \(3, 5\)"),
        ({"max_sweeps": 0}, ValueError, "max_sweeps must be an integer from 1 to 100000, got 0"),
        ({"n_threads": -1}, ValueError, "n_threads must be an integer >= 1, got -1"),
    ],
)
def test_wrong_input_changes_nothing(change, error, message):
    arguments = {"B": np.ones((3, 4), np.int8), "H": np.eye(4), "Q": -np.ones((3, 4)), "max_sweeps": 1} | change
    before = np.array(arguments["B"])
    with pytest.raises(error, match=message):
        cyclic_descent(**arguments)
    np.testing.assert_array_equal(arguments["B"], before)
