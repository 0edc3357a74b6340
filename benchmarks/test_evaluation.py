"""Mean average precision against numpy: the loop of published code, and the fastest known with numpy."""

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash import codes
from pyhash.datasets import make_multilabel
from pyhash.evaluation import mean_average_precision

threadpoolctl = pytest.importorskip("threadpoolctl")


def argsort_loop(data):
    """Score by matrix product and an argsort of each query, as most published code does; here the sort is stable."""
    query_signs, database_signs, query_labels, labels = data
    scores = []
    for signs, sets in zip(query_signs, query_labels, strict=True):
        relevant = sets @ labels.T > 0
        if not relevant.any():
            continue
        distances = 0.5 * (database_signs.shape[1] - signs @ database_signs.T)
        found = np.flatnonzero(relevant[np.argsort(distances, kind="stable")]) + 1.0
        scores.append(np.mean(np.arange(1, len(found) + 1) / found))
    return np.mean(scores)


def radix_loop(data):
    """Score by uint8 distances from bitwise_count, whose stable argsort is a radix sort."""
    query_codes, database_codes, query_labels, labels = data
    relevance = query_labels @ labels.T > 0
    scores = []
    for code, relevant in zip(query_codes, relevance, strict=True):
        if not relevant.any():
            continue
        distances = np.bitwise_count(code ^ database_codes).astype(np.uint8)
        found = np.flatnonzero(relevant[np.argsort(distances, kind="stable")]) + 1.0
        scores.append(np.mean(np.arange(1, len(found) + 1) / found))
    return np.mean(scores)


@pytest.mark.parametrize("n_threads", [1, None])
def test_mean_average_precision(compare, run, n_threads):
    n_queries, n = run.sized(2000), run.sized(18_015)
    data = make_multilabel(n_queries + n, n_classes=24, mean_labels=3.0, seed=0)
    labels = data.labels["classes"]
    directions = np.random.default_rng(0).standard_normal((24, 32))
    noise = np.random.default_rng(1).standard_normal((n_queries + n, 32))
    packed = codes.pack(labels @ directions + noise)
    signs = codes.unpack(packed, 32).astype(np.float32)
    float_labels = labels.astype(np.float32)
    parts = slice(n_queries), slice(n_queries, None)

    def both(*arrays):
        return tuple(array[part] for array in arrays for part in parts)

    def ours(given):
        return mean_average_precision(*given, n_bits=32, n_threads=n_threads).value

    mine = both(packed, labels)
    field = both(signs, float_labels)
    words = both(packed.view(np.uint32)[:, 0], float_labels)
    assert argsort_loop(field) == pytest.approx(ours(mine), abs=1e-12)
    assert radix_loop(words) == pytest.approx(ours(mine), abs=1e-12)

    few = max(1, n_queries // 10)  # its time is the same for each query
    part = (field[0][:few], field[1], field[2][:few], field[3])
    peers = {
        "numpy argsort": Contestant(argsort_loop, lambda: part, few / n_queries),
        "numpy radix sort": Contestant(radix_loop, lambda: words),
    }
    case = {"codes": n, "queries": n_queries, "bits": 32, "threads": n_threads or "all"}
    clock = "cpu" if n_threads == 1 else "wall"
    with threadpoolctl.threadpool_limits(n_threads):
        compare(Contestant(ours, lambda: mine), peers, table="map", case=case, clock=clock)
