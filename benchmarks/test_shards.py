"""An index in shards against one index: what a call costs more, in this process and on workers; the answers agree.

Two processes with one thread each are the workers; the one index, and the shards in this process, use two threads.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.code_sets import make_codes
from benchmarks.timing import Contestant
from pyhash import CodeIndex

distributed = pytest.importorskip("distributed")
_SIZES = [(20_000, 1), (10_000_000, 1), (10_000_000, 32)]
_SHARDS = [1, 2, 8]
_N_WORKERS = 2


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=_N_WORKERS,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def held(run):
    """The codes of one size at a time, and one index of them."""
    content = {}

    def get(n):
        if n not in content:
            content.clear()
            codes, queries = make_codes("uniform", run.sized(n), 32, 64)
            index = CodeIndex(64)
            index.add(codes)
            content[n] = codes, queries, index
        return content[n]

    return get


@pytest.mark.large
@pytest.mark.parametrize("where", ["here", "workers"])
@pytest.mark.parametrize("n_shards", _SHARDS)
@pytest.mark.parametrize(("n", "n_queries"), _SIZES)
def test_shards(compare, held, client, n, n_queries, n_shards, where):
    from pyhash.distributed import ShardedIndex

    codes, queries, one = held(n)
    with (
        tempfile.TemporaryDirectory() as folder,
        ShardedIndex(
            Path(folder) / "index", client if where == "workers" else None, n_bits=64, n_shards=n_shards
        ) as index,
    ):
        index.add(codes)
        index.commit()
        asked = queries[:n_queries]
        # One shard is in one worker, which has one thread.
        n_threads = min(n_shards, _N_WORKERS) if where == "workers" else None
        expected = one.search(asked, 10, n_threads=n_threads)
        np.testing.assert_array_equal(index.search(asked, 10).ids, expected.ids)
        compare(
            Contestant(lambda given: index.search(given, 10), lambda: asked),
            {"one index": Contestant(lambda given: one.search(given, 10, n_threads=n_threads), lambda: asked)},
            table="shards",
            case={
                "codes": len(codes), "queries": n_queries, "bits": 64, "k": 10, "shards": n_shards, "where": where,
            },
            clock="wall",
        )  # fmt: skip
