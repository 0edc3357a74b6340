"""Memory of learning whole data: kernels in float32, everything else a block at a time, nothing of size n x n."""

import tracemalloc

import numpy as np
import pytest

from pyhash import BATCH, DSFH, RBFAnchors
from pyhash.methods.parts import feature_rows

N, N_ANCHORS, N_BITS = 20_000, 300, 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = (rng.random((N, 10)) < 0.2).astype(np.uint8)
    labels[~labels.any(axis=1), 0] = 1
    views = {name: rng.standard_normal((N, d), dtype=np.float32) for name, d in (("image", 40), ("text", 60))}
    return views, labels


@pytest.mark.parametrize("method", [DSFH, BATCH])
def test_whole_data_take_little_more_than_their_kernels(data, method, monkeypatch):
    monkeypatch.setattr(feature_rows, "MAX_FLOAT64_BYTES", 8 * N * N_ANCHORS - 1)  # as kernels of more rows exceed it
    views, labels = data
    maps = {name: RBFAnchors(N_ANCHORS) for name in views}
    tracemalloc.start()
    try:
        method(N_BITS, feature_maps=maps, n_iter=2).fit(views, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kernels = 2 * 4 * N * N_ANCHORS
    # Beside them: some blocks of 8,192 mapped rows in float64, and arrays of the size of labels and codes.
    assert peak < kernels + 3 * 8 * 8192 * N_ANCHORS + 20 * 8 * N * N_BITS
