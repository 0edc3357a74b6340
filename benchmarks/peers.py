"""The libraries that search codes exactly, beside ours."""

import numpy as np
import pytest

from benchmarks.code_sets import make_codes
from benchmarks.timing import Contestant
from pyhash import CodeIndex

faiss = pytest.importorskip("faiss")

# Most pairs of code and query for a slow peer in one round.
_NUMPY_PAIRS, _USEARCH_PAIRS = 6_000_000, 2_000_000


class World:
    """The same codes in each library; ours scans them."""

    def __init__(self, database, n_bits):
        faiss.omp_set_num_threads(1)
        self.database, self.n_bits = database, n_bits
        self.index = CodeIndex(n_bits, layout="scan")
        self.index.add(database)
        self.flat = faiss.IndexBinaryFlat(n_bits)
        self.flat.add(database)

    def ours(self, queries, k, n_threads=1):
        return Contestant(lambda given: self.index.search(given, k, n_threads=n_threads), lambda: queries)

    def peers(self, queries, k, *, usearch=True):
        """Return the peers; each returns the sorted distances of its hits."""
        n_all, n = len(queries), len(self.database)
        few, fewer = (max(1, min(n_all, pairs // n)) for pairs in (_NUMPY_PAIRS, _USEARCH_PAIRS))
        columns = word_columns(self.database)
        peers = {
            "FAISS flat, heap": Contestant(lambda given: self._flat(given, k, True), lambda: queries),
            "FAISS flat, counting": Contestant(lambda given: self._flat(given, k, False), lambda: queries),
            "FAISS knn_hamming": Contestant(
                lambda given: faiss.knn_hamming(given, self.database, k, variant="hc")[0], lambda: queries
            ),
            "numpy": Contestant(lambda given: numpy_top_k(given, columns, k), lambda: queries[:few], few / n_all),
        }
        if usearch:
            run = usearch_top_k(self.database, k)
            peers["usearch exact"] = Contestant(run, lambda: queries[:fewer], fewer / n_all)
        return peers

    def _flat(self, queries, k, use_heap):
        self.flat.use_heap = use_heap
        return self.flat.search(queries, k)[0]

    def notes(self):
        """Return how the index searches the codes; known after the first search."""
        stats = self.index.stats()
        return {"distinct": stats["n_scanned"]} if stats["grouped"] else {}


class Worlds:
    """Worlds by their sizes, one in memory at a time: with its layouts, one of ten million codes takes a GiB."""

    def __init__(self, run):
        self._run, self._key, self._held = run, None, None

    def get(self, n, n_queries, n_bits, data):
        """Return a world and the queries, both smaller in a quick run."""
        key = (self._run.sized(n), n_bits, data)
        n_queries = self._run.sized(n_queries)
        if key != self._key:
            self._held = None  # free it before the next is made
            database, pool = make_codes(data, key[0], 2000, n_bits)
            self._key, self._held = key, (World(database, n_bits), pool)
        world, pool = self._held
        return world, pool[:n_queries]


def word_columns(codes):
    """Return codes as contiguous columns of the widest words that divide them, which numpy counts fastest."""
    width = max(size for size in (1, 2, 4, 8) if codes.shape[1] % size == 0)
    return np.ascontiguousarray(codes.view(f"u{width}").T)


def numpy_distances(query, columns):
    """Return the distances of a query, given as one word of each column: uint8, or uint16 for more than 255 bits."""
    total = np.bitwise_count(columns[0] ^ query[0])
    if len(columns) * columns.itemsize * 8 > 255:
        total = total.astype(np.uint16)
    for word, column in zip(query[1:], columns[1:], strict=True):
        total += np.bitwise_count(column ^ word)
    return total


def numpy_top_k(queries, columns, k):
    found = np.empty((len(queries), k), dtype=np.int32)
    for row, query in zip(found, word_columns(queries).T, strict=True):
        distances = numpy_distances(query, columns)
        row[:] = np.sort(distances[np.argpartition(distances, k - 1)[:k]])
    return found


def usearch_top_k(database, k):
    index = pytest.importorskip("usearch.index")

    def run(queries):
        found = index.search(database, queries, k, index.MetricKind.Hamming, exact=True, threads=1)
        return found.distances.reshape(len(queries), k)

    return run


def check_top_k(world, queries, hits, peers):
    """Check that our distances equal those of each peer, and that the codes of our ids have these distances."""
    found = np.bitwise_count(world.database[hits.ids] ^ queries[:, None]).sum(axis=2)
    np.testing.assert_array_equal(found, hits.distances)
    for name, peer in peers.items():
        given = peer.prepare()
        distances = np.sort(peer.run(given), axis=1)
        np.testing.assert_array_equal(distances, hits.distances[: len(given)], err_msg=name)
