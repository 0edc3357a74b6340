"""Search by the layout that an index chooses against our own scan of the same codes, one thread; all answers are equal.

The index has chosen its layout before it is timed.
"""

import numpy as np
import pytest

from benchmarks.layout_pair import LayoutPairs

_CLUSTERED = ("mixture", "itq", "clustered")
# (data, codes, bits, k)
_TOP_K = [
    *((data, 10_000_000, 64, k) for data in _CLUSTERED for k in (10, 100)),
    ("uniform", 10_000_000, 64, 10),
    *((data, 1_000_000, 64, k) for data in (*_CLUSTERED, "uniform") for k in (10, 100)),
    *((data, 100_000, 64, 10) for data in ("mixture", "uniform")),
    ("mixture", 10_000_000, 128, 10),
    ("uniform", 10_000_000, 128, 10),
]
_WEIGHTED = [(data, n, 64, 10) for n in (1_000_000, 10_000_000) for data in ("mixture", "itq", "uniform")]
_RADIUS = [(data, 10_000_000, 64, radius) for data in ("mixture", "uniform") for radius in (4, 8)]


@pytest.fixture(scope="module")
def pairs(run):
    return LayoutPairs(run)


def measure(compare, pair, at_once, search, table, case):
    pair.choose()
    pair.check(at_once, search)
    ours, scan = pair.contestants(at_once, search)
    case = {"codes": len(pair.codes), "queries": at_once, **case}
    compare(ours, {"scan": scan}, table=table, case=case, light=True, notes=pair.notes())
    return pair.layout


@pytest.mark.parametrize("at_once", [1, 32])
@pytest.mark.parametrize(("data", "n", "n_bits", "k"), _TOP_K)
def test_multi_index(compare, pairs, data, n, n_bits, k, at_once):
    case = {"bits": n_bits, "k": k, "data": data}
    pair = pairs.get(data, n, n_bits)
    layout = measure(compare, pair, at_once, lambda index, q: index.search(q, k, n_threads=1), "multi_index", case)
    if data == "uniform" and n_bits == 128:
        assert layout == "scan"


@pytest.mark.parametrize("at_once", [1, 32])
@pytest.mark.parametrize(("data", "n", "n_bits", "radius"), _RADIUS)
def test_multi_index_radius(compare, pairs, data, n, n_bits, radius, at_once):
    case = {"bits": n_bits, "radius": radius, "data": data}
    pair = pairs.get(data, n, n_bits)
    search = lambda index, q: index.search_radius(q, radius, n_threads=1)  # noqa: E731
    measure(compare, pair, at_once, search, "multi_index_radius", case)


@pytest.mark.parametrize("at_once", [1, 32])
@pytest.mark.parametrize(("data", "n", "n_bits", "k"), _WEIGHTED)
def test_multi_index_weighted(compare, pairs, data, n, n_bits, k, at_once):
    case = {"bits": n_bits, "k": k, "data": data}
    pair = pairs.get(data, n, n_bits)
    magnitudes = np.abs(np.random.default_rng(5).standard_normal(n_bits))

    def search(index, queries):
        signs = np.unpackbits(queries, axis=1, bitorder="little") * 2.0 - 1
        return index.search_weighted(signs * magnitudes, k, n_threads=1)

    measure(compare, pair, at_once, search, "multi_index_weighted", case)
