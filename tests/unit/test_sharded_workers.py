"""An index in shards, on workers that are processes of their own, and that end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from pyhash import ClusterError, CodeIndex, IndexLockedError
from pyhash.distributed import ShardedIndex

# Workers that are killed leave connections open here, and log what they lost.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def make_cluster(n_workers):
    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    )


@pytest.fixture(scope="module", autouse=True)
def patience():
    """A cluster gives up a worker of a name that was killed, unless one of this name runs 15 s later."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}):
        yield


@pytest.fixture(scope="module")
def cluster(patience):
    with make_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


def make_codes(rng, n):
    """Few distinct ones, so that there are ties; with equal and opposite ones."""
    rows = rng.integers(0, 256, (n, 8), dtype=np.uint8)[rng.integers(0, max(n // 3, 1), n)]
    rows[:1], rows[1:2] = 0, 255
    return rows


def make_pair(path, client, rng, n_shards=5):
    """An index in shards and one index with the same codes; committed, then changed."""
    index, one = ShardedIndex(path, client, n_bits=64, n_shards=n_shards), CodeIndex(64)
    rows, more = make_codes(rng, 2000), make_codes(rng, 300)
    for each in (index, one):
        each.add(rows)
    index.commit()
    for each in (index, one):
        each.remove(np.arange(50) * 3)
        each.upsert(more, np.arange(300) * 10)
    return index, one


def assert_same(hits, expected):
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(hits, name), getattr(expected, name))


def assert_same_answers(index, one, rng):
    queries, projections = make_codes(rng, 9), rng.standard_normal((9, 64))
    for options in ({}, {"ties": "all"}, {"allowed": one.ids[::3]}, {"allowed": rng.random(len(one)) < 0.2}):
        assert_same(index.search(queries, 7, **options), one.search(queries, 7, **options))
        assert_same(index.search_weighted(projections, 7, **options), one.search_weighted(projections, 7, **options))
    assert_same(index.search_radius(queries, 20), one.search_radius(queries, 20))


def pids(client):
    return list(client.run(os.getpid).values())


def kill_a_worker(index):
    """Kills one that has shards open."""
    host = next(shard.host for shard in index._placement.shards if shard.host is not None)
    (pid,) = index._hosts._client.run(os.getpid, workers=[host]).values()
    os.kill(pid, signal.SIGKILL)


def test_answers_are_those_of_one_index(client, path, rng):
    """Also after a worker was killed that held changes; and what is committed then has them."""
    index, one = make_pair(path, client, rng)
    with index:
        assert_same_answers(index, one, rng)
        assert len(index.stats()["hosts"]) == 2
        kill_a_worker(index)
        assert_same_answers(index, one, rng)
        np.testing.assert_array_equal(index.ids, one.ids)
        np.testing.assert_array_equal(index.codes, one.codes)
        blocks = list(index.blocks(500))
        np.testing.assert_array_equal(np.concatenate([ids for ids, _ in blocks]), one.ids)
        np.testing.assert_array_equal(index.reconstruct([1, 600]), one.reconstruct([1, 600]))
        with pytest.raises(ValueError, match="1 is in the index already"):
            index.add(one.codes[:1], [1])
        with pytest.raises(KeyError, match="987654 is not in the index"):
            index.remove([987654])
        index.commit()
        index.verify()
        with pytest.raises(IndexLockedError):
            ShardedIndex(path, client).remove([1])
    with ShardedIndex(path) as local:
        np.testing.assert_array_equal(local.ids, one.ids)


@pytest.mark.slow("kills workers and waits for others: half a minute")
@pytest.mark.parametrize("method", ["change", "prepare", "publish", "block"])
def test_a_worker_that_ends_in_the_middle(client, path, rng, method, monkeypatch):
    """It is killed just before one of the calls of a change, a commit, or a reading."""
    index, one = make_pair(path, client, rng)
    real = index._hosts.ask
    killed = []

    def ask(calls):
        if any(call.method == method for call in calls) and not killed:
            killed.append(method)
            kill_a_worker(index)
        return real(calls)

    monkeypatch.setattr(index._hosts, "ask", ask)
    with index:
        more = make_codes(rng, 100)
        for each in (index, one):
            each.add(more)
            each.remove(one.ids[:30])
        index.commit()
        blocks = list(index.blocks(400))
        np.testing.assert_array_equal(np.concatenate([ids for ids, _ in blocks]), one.ids)
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), one.codes)
        assert killed
        assert_same_answers(index, one, rng)
        for each in (index, one):
            each.upsert(more[:10], np.arange(10) + 50)
        index.commit()
        index.verify()
    with ShardedIndex(path) as local:
        local.verify()
        np.testing.assert_array_equal(local.codes, one.codes)


@pytest.mark.slow("20 workers start anew: some minutes")
def test_a_hundred_searches_with_twenty_kills(client, path, rng):
    index, one = make_pair(path, client, rng)
    queries = make_codes(rng, 9)
    expected = [one.search(queries, k) for k in (1, 10, 100)]
    moment = random.Random(20260101)
    with index:
        timers = []
        for i in range(100):
            if i % 5 == 0:
                client.wait_for_workers(2, timeout=120)
                pid = moment.choice(pids(client))
                timers.append(threading.Timer(moment.uniform(0, 0.02), os.kill, (pid, signal.SIGKILL)))
                timers[-1].start()
            assert_same(index.search(queries, (1, 10, 100)[i % 3]), expected[i % 3])
            time.sleep(moment.uniform(0, 0.02))
        for timer in timers:
            timer.join()
        assert len(timers) == 20
        index.commit()
        index.verify()


# Commits again and again: ids of commit i are 1000 i to 1000 i + 99, in all shards.
_WRITER = """
import sys
import numpy as np
from distributed import Client
from pyhash.distributed import ShardedIndex
index = ShardedIndex(sys.argv[1], Client(sys.argv[2]))
while True:
    first = 1000 * index.generation
    index.add(np.random.default_rng(first).integers(0, 256, (100, 8), dtype=np.uint8), np.arange(first, first + 100))
    index.commit()
    print(index.generation, flush=True)
"""


@pytest.mark.slow("starts and kills many writers: a minute")
def test_a_writer_that_is_killed_while_it_commits(cluster, client, path):
    """All of a commit is there or nothing of it, in every shard; the next writer goes on at once."""
    ShardedIndex(path, n_bits=64, n_shards=4).close()
    moment = random.Random(20260101)
    last = 1
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, path, cluster.scheduler_address], stdout=subprocess.PIPE, text=True
        ) as writer:
            said = int(writer.stdout.readline())
            time.sleep(moment.uniform(0, 0.3))
            writer.kill()
            said = max([said, *map(int, writer.stdout.read().split())])
        with ShardedIndex(path) as local:
            local.verify()
            assert local.generation in (said, said + 1)
            expected = np.concatenate([np.arange(100) + 1000 * i for i in range(1, local.generation)])
            np.testing.assert_array_equal(local.ids, expected)
            last = local.generation
        with ShardedIndex(path, client) as index:
            assert index.generation == last
            np.testing.assert_array_equal(index.ids, expected)
    assert last > 12


def test_a_client_of_another_kind(path, client):
    with pytest.raises(TypeError, match=r"client must be a dask.distributed.Client or None, got LocalCluster"):
        ShardedIndex(path, client.cluster, n_bits=8)
    assert not path.exists()


@pytest.mark.slow("starts another cluster")
def test_a_cluster_that_is_gone(path, rng):
    with make_cluster(1) as cluster:
        client = Client(cluster.scheduler_address, set_as_default=False)
        index, one = make_pair(path, client, rng)
        cluster.close()
    with pytest.raises(ClusterError):
        index.search(one.codes[:1], 1)
    client.close()
    with pytest.raises(ClusterError, match="the client of the index is closed, or its scheduler has gone"):
        index.add(one.codes[:1])
    index.close()
    with ShardedIndex(path) as local:
        assert len(local) == 2000
