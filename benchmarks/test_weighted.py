"""Weighted Hamming search, exact in float64, against approximations: FAISS's quantizer, and a float32 product."""

import numpy as np
import pytest

from benchmarks.code_sets import make_codes
from benchmarks.peers import faiss
from benchmarks.timing import Contestant
from pyhash import CodeIndex
from pyhash._inputs.threads import resolve_n_threads

threadpoolctl = pytest.importorskip("threadpoolctl")

_SIZES = [(18_000, 500), (180_000, 100), (1_000_000, 32), (1_000_000, 1)]
_K, _N_CHECKED = 10, 8


def signs_of(codes):
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.float32) * 2 - 1


def nibble_quantizer(signs):
    """Return a product quantizer without loss: each nibble of a code is one of the 16 sign patterns."""
    n_bits = signs.shape[1]
    index = faiss.IndexPQFastScan(n_bits, n_bits // 4, 4, faiss.METRIC_INNER_PRODUCT)
    patterns = np.array([[1 if value >> bit & 1 else -1 for bit in range(4)] for value in range(16)], np.float32)
    faiss.copy_array_to_vector(np.tile(patterns, (n_bits // 4, 1, 1)).ravel(), index.pq.centroids)
    index.is_trained = True
    index.add(signs)
    return index


def product_top_k(weights, transposed, k):
    """Search by one product for all weighted distances: t_l [q_l != d_l] = (t_l - t_l q_l d_l) / 2."""
    distances = 0.5 * (np.abs(weights).sum(axis=1)[:, None] - weights @ transposed)
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def distances_of(projections, signs, ids):
    """Return the float64 distances of the given codes of each query, by the definition."""
    weights = np.minimum(np.abs(projections), 1)
    differs = signs[ids] != np.where(projections > 0, 1, -1)[:, None]
    return (weights[:, None] * differs).sum(axis=2)


def check_against_oracle(projections, signs, hits, k):
    """Search a sample of the queries by the float64 distances of all codes and a sort."""
    sample = np.unique(np.linspace(0, len(projections) - 1, _N_CHECKED).astype(int))
    weights = np.minimum(np.abs(projections[sample]), 1)
    signed = weights * np.sign(projections[sample])
    blocks = [signs[i : i + 65_536].astype(np.float64) @ signed.T for i in range(0, len(signs), 65_536)]
    distances = (weights.sum(axis=1) - np.concatenate(blocks)).T / 2
    nearest = np.sort(np.partition(distances, k - 1, axis=1)[:, :k], axis=1)
    np.testing.assert_allclose(hits.distances[sample], nearest, atol=1e-10)
    np.testing.assert_allclose(distances_of(projections, signs, hits.ids), hits.distances, atol=1e-10)


def recall(projections, signs, hits, ids):
    """Return the share of the peer's hits within the distance of our k-th hit; by distance, since codes may repeat."""
    within = distances_of(projections, signs, ids) <= hits.distances[:, -1:] + 1e-10
    return float(within.mean())


@pytest.mark.parametrize("data", ["uniform", "clustered"])
@pytest.mark.parametrize("n_bits", [64, 128])
@pytest.mark.parametrize(("n", "n_queries"), _SIZES)
def test_weighted_top_k(compare, run, n, n_queries, n_bits, data):
    database, codes = make_codes(data, run.sized(n), run.sized(n_queries), n_bits)
    signs, query_signs = signs_of(database), signs_of(codes)
    magnitudes = np.abs(np.random.default_rng(5).standard_normal(query_signs.shape))
    projections = query_signs.astype(np.float64) * magnitudes
    weights = (query_signs * np.minimum(magnitudes, 1)).astype(np.float32)

    faiss.omp_set_num_threads(1)
    index, quantizer = CodeIndex(n_bits, layout="scan"), nibble_quantizer(signs)
    index.add(database)
    hits = index.search_weighted(projections, _K, n_threads=1)
    check_against_oracle(projections, signs, hits, _K)
    notes = {"recall of FAISS": recall(projections, signs, hits, quantizer.search(weights, _K)[1])}
    with threadpoolctl.threadpool_limits(1):
        notes["recall of numpy"] = recall(projections, signs, hits, product_top_k(weights, signs.T, _K))
        assert min(notes.values()) >= 0.8  # else they do not do the same task; one query misses a tenth at once
        compare(
            Contestant(lambda given: index.search_weighted(given, _K, n_threads=1), lambda: projections),
            {
                "FAISS PQFastScan": Contestant(lambda given: quantizer.search(given, _K), lambda: weights),
                "numpy float32": Contestant(lambda given: product_top_k(given, signs.T, _K), lambda: weights),
            },
            table="weighted",
            case={"codes": len(database), "queries": len(codes), "bits": n_bits, "k": _K, "data": data},
            notes=notes,
        )


@pytest.mark.skipif(resolve_n_threads(None) < 2, reason="needs two cores")
def test_one_weighted_query_with_two_threads(compare, run):
    database, codes = make_codes("uniform", run.sized(1_000_000), 1, 64)
    projections = signs_of(codes) * np.abs(np.random.default_rng(5).standard_normal((1, 64)))
    index = CodeIndex(64, layout="scan")
    index.add(database)
    searches = {n: lambda given, n=n: index.search_weighted(given, _K, n_threads=n) for n in (1, 2)}
    np.testing.assert_array_equal(searches[1](projections).ids, searches[2](projections).ids)
    compare(
        Contestant(searches[2], lambda: projections),
        {"ours, 1 thread": Contestant(searches[1], lambda: projections)},
        table="threads",
        case={
            "codes": len(database), "queries": 1, "bits": 64, "k": _K, "data": "uniform", "threads": 2,
            "distance": "weighted",
        },
        clock="wall",
    )  # fmt: skip
