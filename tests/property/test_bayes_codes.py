"""Bayes codes of any small problem: finite, the same at every level, and at least as good as the code they start at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from reference import bayes_codes as reference

from pyhash import _core


@given(
    n=st.integers(0, 20),
    u=st.integers(1, 12),
    r=st.one_of(st.integers(1, 20), st.sampled_from([33, 64])),
    kind=st.sampled_from(["signs", "means", "equal", "opposite"]),
    n_labels=st.sampled_from([0, 1, 5]),
    sharpness=st.sampled_from([0.0, 3.0, 200.0]),
    seed=st.integers(0, 2**32),
)
def test_codes_are_no_worse_than_their_starts(n, u, r, kind, n_labels, sharpness, seed):
    rng = np.random.default_rng(seed)
    M = rng.choice([-1.0, 1.0], (u, r))
    if kind == "means":
        M *= rng.random((u, r))
    if kind in ("equal", "opposite"):
        M[:] = M[0] * (1 if kind == "equal" else rng.choice([-1, 1], (u, 1)))
    M = M.astype(np.float32)
    P = np.exp(sharpness * -rng.random((n, u))).astype(np.float32)
    counts = rng.integers(0, 3, u) * rng.uniform(0.5, 400, u)
    counts[0], P[:, 0] = 7, P[:, 0] + np.float32(1e-3)
    sets = np.packbits(rng.random((u, n_labels)) < 0.4, axis=1, bitorder="little") if n_labels else None

    got = [_core.bayes_codes(P, M, counts, sets, n_threads) for n_threads in (1, 4)]
    np.testing.assert_array_equal(*got)
    assert np.isfinite(got[0]).all()
    assert (got[0] != 0).all()
    for projection, p in zip(got[0], P, strict=True):
        arguments = reference.only_sets_with_rows(p, M, counts, sets)
        P_kept, M_kept = arguments[:2]
        value = reference.expected_precision(projection, *arguments)
        start = np.where(P_kept @ M_kept > 1e-5, 1, -1)
        if (np.abs(P_kept @ M_kept) > 1e-5).all():
            assert value >= reference.expected_precision(start, *arguments) * (1 - 1e-5) - 1e-6
