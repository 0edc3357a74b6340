"""Balanced factors against their definition: feasible, and no feasible one is better."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyhash.methods.parts.orthonormal import balanced_factor


@given(
    r=st.integers(1, 12),
    extra=st.integers(1, 30),
    rank=st.integers(0, 12),
    scale=st.sampled_from([1.0, 1e-6, 1e8]),
    seed=st.integers(0, 2**32),
)
def test_a_balanced_factor_is_the_best_of_all(r, extra, rank, scale, seed):
    n, rng = r + extra, np.random.default_rng(seed)
    Z = scale * (rng.standard_normal((n, rank)) @ rng.standard_normal((rank, r)) + rng.standard_normal(r))
    V = balanced_factor(Z, rng)
    np.testing.assert_allclose(V.T @ V / n, np.eye(r), atol=1e-5)
    np.testing.assert_allclose(V.mean(axis=0), 0, atol=1e-5)
    best, size = np.trace(Z.T @ V), 1e-5 * np.sqrt(n) * np.linalg.norm(Z)
    for _ in range(5):
        columns = rng.standard_normal((n, r))
        other = np.sqrt(n) * np.linalg.qr(columns - columns.mean(axis=0))[0]
        assert np.trace(Z.T @ other) <= best + size
    singular = np.linalg.svd(Z - Z.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(best, np.sqrt(n) * singular.sum(), rtol=1e-4, atol=size)
