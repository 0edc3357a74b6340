"""Completed sums, against those of all rows mapped by the final anchors: the error of every entry has a bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pyhash import RBFAnchors
from pyhash.methods.parts.growth import complete_gram, complete_rows

pytestmark = pytest.mark.usefixtures("one_blas_thread")


@st.composite
def streams(draw):
    """Chunks of rows, some equal, of some scale; numbers of anchors from 1; labels of the first chunk."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    d = draw(st.integers(1, 6))
    sizes = draw(st.lists(st.sampled_from([1, 2, 7, 30]), min_size=2, max_size=4))
    pool = rng.standard_normal((draw(st.sampled_from([1, 3, 1000])), d)) * draw(st.sampled_from([1e-3, 1.0, 1e3]))
    chunks = [pool[rng.integers(0, len(pool), size)] for size in sizes]
    if draw(st.booleans()):
        chunks = [csr_array(chunk) for chunk in chunks]
    feature_map = RBFAnchors(
        draw(st.sampled_from([1, 2, 20])),
        grow=draw(st.sampled_from([1, 5, 40])),
        max_anchors=draw(st.sampled_from([None, 20, 25])),
        width=draw(st.sampled_from(["half_mean_squared_distance", "mean_distance", 0.5])),
    )
    return chunks, feature_map, np.eye(3)[rng.integers(0, 3, sizes[0])]


def unexplained(feature_map, rows):
    """v (n,): the part of the kernel of rows that anchors do not explain, from 0 to 1."""
    n_first = feature_map._joined[0]
    K_AA = feature_map.transform(feature_map.anchors_) + 1e-6 * n_first * np.eye(feature_map.anchors_.shape[0])
    K = feature_map.transform(rows)
    return np.clip(1 - np.einsum("ij,ji->i", K, np.linalg.solve(K_AA, K.T)), 0, None)


@given(streams())
def test_errors_of_completed_sums_are_within_their_bounds(stream):
    chunks, feature_map, L = stream
    rows = chunks[0]
    fitted = feature_map.fit(rows)
    for i, chunk in enumerate(chunks[1:], 1):
        if not fitted.can_grow:
            break
        K = fitted.transform(rows)
        before, (fitted, C) = fitted, fitted.grown(chunk, i)
        a = len(C)
        new = fitted.transform(rows)
        v_x = unexplained(before, rows)
        e = np.sqrt(np.outer(v_x, unexplained(before, fitted.anchors_[a:])))  # bounds of k(x, b) - k(x, A) C_b
        slack = 1e-5  # rounding, which sums of nearly equal anchors magnify
        assert (np.abs(new[:, a:] - K @ C) <= e + slack).all()

        s, F, G = complete_rows(K.sum(axis=0), C), complete_rows(K.T @ L, C), complete_gram(K.T @ K, C)
        n = rows.shape[0]
        np.testing.assert_allclose(s[:a], K.sum(axis=0))
        assert (np.abs(s - new.sum(axis=0))[a:] <= e.sum(axis=0) + n * slack).all()
        assert (np.abs(F - new.T @ L)[a:] <= e.T @ L + n * slack).all()
        error = np.abs(G - new.T @ new)
        assert (error[:a, a:] <= new[:, :a].T @ e + n * slack).all()
        assert (error[a:, a:] <= new[:, a:].T @ e + e.T @ new[:, a:] + e.T @ e + n * slack).all()
        np.testing.assert_array_equal(G, G.T)
        assert np.linalg.eigvalsh(G)[0] > -1e-6 * max(1, np.trace(G))
