"""Exact nearest neighbours against FAISS, one thread each; the answers must agree in every distance."""

import numpy as np
import pytest

from pyhash import CodeIndex

faiss = pytest.importorskip("faiss")


def clustered(rng, n, n_bytes, centers):
    """Codes around 64 centers, each bit flipped with probability 1/8."""
    flips = [rng.integers(0, 256, (n, n_bytes), dtype=np.uint8) for _ in range(3)]
    return centers[rng.integers(0, 64, n)] ^ flips[0] & flips[1] & flips[2]


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize(
    ("n", "n_queries", "n_bits"), [(18_000, 2000, 64), (180_000, 500, 32), (180_000, 500, 64), (180_000, 500, 128)]
)
def test_top_k(compare, n, n_queries, n_bits, k):
    rng = np.random.default_rng(0)
    centers = rng.integers(0, 256, (64, n_bits // 8), dtype=np.uint8)
    database, queries = (clustered(rng, size, n_bits // 8, centers) for size in (n, n_queries))
    faiss.omp_set_num_threads(1)

    mine = CodeIndex(n_bits)
    mine.add(database)
    hits = mine.search(queries, k, n_threads=1)  # also makes the layout that later searches use
    flat = {}
    for use_heap in (True, False):
        flat[use_heap] = faiss.IndexBinaryFlat(n_bits)
        flat[use_heap].add(database)
        flat[use_heap].use_heap = use_heap
    np.testing.assert_array_equal(hits.distances, flat[True].search(queries, k)[0])

    ratios = compare(
        (lambda: queries, lambda given: mine.search(given, k, n_threads=1)),
        {
            "FAISS flat, heap": (lambda: queries, lambda given: flat[True].search(given, k)),
            "FAISS flat, counting": (lambda: queries, lambda given: flat[False].search(given, k)),
            "FAISS knn_hamming": (lambda: queries, lambda given: faiss.knn_hamming(given, database, k, variant="hc")),
            "ours, without the layout": (
                lambda: queries,
                lambda given: [mine.search(given[i : i + 3], k, n_threads=1) for i in range(0, len(given), 3)],
            ),
        },
        rounds=5,
    )
    assert min(ratio for peer, ratio in ratios.items() if peer.startswith("FAISS")) > 1
