"""Exact search against FAISS, usearch and numpy, one thread each; the answers agree in every distance."""

import numpy as np
import pytest

from benchmarks.peers import Worlds, check_top_k, faiss, numpy_distances, word_columns
from benchmarks.timing import Contestant
from pyhash._inputs.threads import resolve_n_threads

_SIZES = [(18_000, 2000), (180_000, 500), (10_000_000, 32), (10_000_000, 1)]
_SHAPES = [(*size, bits, k) for bits, ks in ((64, (10, 100)), (128, (10,))) for size in _SIZES for k in ks]
_SHAPES += [(180_000, 500, bits, 10) for bits in (16, 32, 256, 512)]
# Codes of one world one after another: it is made once.
_SHAPES.sort(key=lambda shape: (shape[2], shape[0]))
_DATA = ["uniform", "clustered"]


@pytest.fixture(scope="module")
def worlds(run):
    return Worlds(run)


@pytest.mark.parametrize(("data", "n", "n_queries", "n_bits", "k"), [(d, *shape) for d in _DATA for shape in _SHAPES])
def test_top_k(compare, worlds, data, n, n_queries, n_bits, k):
    world, queries = worlds.get(n, n_queries, n_bits, data)
    peers = world.peers(queries, k)
    ours = world.ours(queries, k)
    check_top_k(world, queries, ours.run(queries), peers)
    case = {"codes": len(world.database), "queries": len(queries), "bits": n_bits, "k": k, "data": data}
    compare(ours, peers, table="top_k", case=case, notes=world.notes())


@pytest.mark.parametrize("radius", [8, 14])
@pytest.mark.parametrize("data", _DATA)
def test_radius(compare, worlds, data, radius):
    world, queries = worlds.get(180_000, 500, 64, data)
    columns, few = word_columns(world.database), len(queries[:50])

    def ours(given):
        return world.index.search_radius(given, radius, n_threads=1)

    def theirs(given):
        return world.flat.range_search(given, radius + 1)  # theirs is exclusive

    def with_numpy(given):
        distances = (numpy_distances(query, columns) for query in word_columns(given).T)
        return [np.sort(of_query[of_query <= radius]) for of_query in distances]

    mine, (limits, distances, _) = ours(queries), theirs(queries)
    np.testing.assert_array_equal(mine.offsets, limits)
    lists = np.split(distances.astype(np.int32), limits[1:-1].astype(np.int64))
    np.testing.assert_array_equal(mine.distances, np.concatenate([np.sort(part) for part in lists]))
    np.testing.assert_array_equal(mine.distances[: mine.offsets[few]], np.concatenate(with_numpy(queries[:few])))

    compare(
        Contestant(ours, lambda: queries),
        {
            "FAISS range_search": Contestant(theirs, lambda: queries),
            "numpy": Contestant(with_numpy, lambda: queries[:few], few / len(queries)),
        },
        table="radius",
        case={"codes": len(world.database), "queries": len(queries), "bits": 64, "radius": radius, "data": data},
        notes={"hits": int(limits[-1])},
    )


@pytest.mark.skipif(resolve_n_threads(None) < 2, reason="needs two cores")
@pytest.mark.parametrize("data", _DATA)
def test_two_threads(compare, worlds, data):
    world, queries = worlds.get(10_000_000, 32, 64, data)
    one, two = (world.ours(queries, 10, n_threads) for n_threads in (1, 2))
    flat = world.flat.search(queries, 10)[0]
    for contestant in (one, two):
        np.testing.assert_array_equal(contestant.run(queries).distances, flat)
    case = {
        "codes": len(world.database), "queries": len(queries), "bits": 64, "k": 10, "data": data, "threads": 2,
        "distance": "Hamming",
    }  # fmt: skip
    compare(two, {"ours, 1 thread": one}, table="threads", case=case, clock="wall")


def test_faiss_uses_one_thread(worlds):
    """Peers run on one thread, as the figures claim."""
    worlds.get(18_000, 1, 64, "uniform")
    assert faiss.omp_get_max_threads() == 1
