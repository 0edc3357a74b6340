"""Discrete cyclic descent against numpy sweeps that keep each bit in one row of memory, their fastest layout."""

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash.methods.parts.descent import cyclic_descent

SWEEPS = 7


def numpy_sweeps(problem):
    B, H, Q = problem
    for _ in range(SWEEPS):
        for bit in range(B.shape[1]):
            B[:, bit] = np.where(Q[:, bit] - B @ H[:, bit] > 0, 1, -1)
    return B


def make(n, n_bits):
    """Return a problem like those of SHOH: centers of 87 classes, random codes."""
    rng = np.random.default_rng(0)
    C = rng.choice([-1.0, 1.0], size=(87, n_bits))
    Q = n_bits * (2 * C[rng.integers(0, 87, n)] + 0.1 * rng.standard_normal((n, n_bits)))
    H = C.T @ C
    return rng.choice([-1, 1], size=(n, n_bits)).astype(np.int8), H, Q


@pytest.mark.parametrize(
    ("n", "n_bits"), [(18_000, 16), (18_000, 32), (18_000, 64), (18_000, 128), (200_000, 64), (200_000, 128)]
)
def test_descent(compare, run, n, n_bits):
    n = run.sized(n)
    B, H, Q = make(n, n_bits)

    def peer(dtype):
        without_diagonal = (H - np.diag(np.diag(H))).astype(dtype)
        columns = np.asfortranarray(Q, dtype=dtype)
        return lambda: (np.asfortranarray(B, dtype=dtype), without_diagonal, columns)

    mine, mine32 = B.copy(), B.copy()
    cyclic_descent(mine, H, Q, SWEEPS)
    np.testing.assert_array_equal(mine, numpy_sweeps(peer(np.float64)()))
    cyclic_descent(mine32, H.astype(np.float32), Q.astype(np.float32), SWEEPS)
    assert np.mean(mine32 == mine) > 0.9999  # they part where a sum is nearly zero

    H32, Q32 = H.astype(np.float32), Q.astype(np.float32)
    compare(
        Contestant(lambda signs: cyclic_descent(signs, H32, Q32, SWEEPS), B.copy),
        {
            "numpy float32": Contestant(numpy_sweeps, peer(np.float32)),
            "numpy float64": Contestant(numpy_sweeps, peer(np.float64)),
            "ours in float64": Contestant(lambda signs: cyclic_descent(signs, H, Q, SWEEPS), B.copy),
        },
        table="descent",
        case={"codes": n, "bits": n_bits, "sweeps": SWEEPS, "threads": "all"},
        clock="wall",
    )
