"""Descent against exact arithmetic: integer problems scaled by fractions that floating point cannot hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.shoh import sweep

from pyhash.methods.parts.descent import cyclic_descent


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    n=st.integers(0, 40),
    n_bits=st.one_of(st.integers(1, 70), st.sampled_from([128, 131])),
    scale=st.sampled_from([1.0, 0.1, 0.2 / 3, 1e-7, 3e8]),
    sweeps=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_real_ties_fall_the_same_way(cpu_level, dtype, n, n_bits, scale, sweeps, seed):
    """Sums are often exactly zero in integers; rounded at another scale they must still count as zero."""
    rng = np.random.default_rng(seed)
    H = rng.integers(-3, 4, size=(n_bits, n_bits))
    H = np.triu(H) + np.triu(H, 1).T
    Q = rng.integers(-4, 5, size=(n, n_bits))
    signs = rng.choice([-1, 1], size=(n, n_bits)).astype(np.int8)
    expected = signs.astype(np.int64)
    for _ in range(sweeps):
        sweep(expected, H, Q)
    cyclic_descent(signs, (H * scale).astype(dtype), (Q * scale).astype(dtype), sweeps)
    np.testing.assert_array_equal(signs, expected)
