"""Exact search by number of codes, from 10^4 to 10^8: ours by its choice of layout, our scan, and FAISS."""

import os

import numpy as np
import pytest

from benchmarks.layout_pair import LayoutPairs
from benchmarks.peers import faiss

_K = 10
_BYTES_A_CODE = 120  # three copies of the codes, planes, tables, and what is needed to build these


@pytest.fixture(scope="module")
def worlds(run):
    """The codes of one number at a time: our indexes, and FAISS's."""
    pairs, held = LayoutPairs(run), {}

    def get(n):
        if n not in held:
            held.clear()
            # Of 10^8 codes the scans alone, after which an index builds tables by itself, would take minutes.
            layout = "auto" if n <= 10_000_000 else "multi-index"
            pair, flat = pairs.get("clustered", n, 64, layout), faiss.IndexBinaryFlat(64)
            flat.add(pair.codes)
            held[n] = pair, flat
        return held[n]

    return get


@pytest.mark.large
@pytest.mark.parametrize("at_once", [1, 32])
@pytest.mark.parametrize("n", [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000])
def test_growth(compare, run, worlds, n, at_once):
    needed = run.sized(n) * _BYTES_A_CODE
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2:
        pytest.skip(f"{n:,} codes need {needed / 2**30:.0f} GiB, more than half of the memory")
    pair, flat = worlds(n)
    faiss.omp_set_num_threads(1)
    pair.choose()
    pair.check(at_once, _search)
    few = pair.queries[:32]
    np.testing.assert_array_equal(flat.search(few, _K)[0], _search(pair.chosen, few).distances)
    ours, scan = pair.contestants(at_once, _search)
    theirs = pair.contestant(at_once, lambda queries: flat.search(queries, _K), few=n > 100_000)
    case = {"codes": len(pair.codes), "queries": at_once, "bits": 64, "k": _K, "data": "clustered"}
    compare(ours, {"scan": scan, "FAISS flat": theirs}, table="growth", case=case, light=True, notes=pair.notes())


def _search(index, queries):
    return index.search(queries, _K, n_threads=1)
