"""Searches while others write, while Python goes on, and in forked children."""

import os
import sys
import threading
import time

import numpy as np
import pytest
from reference import distances as reference

from pyhash import CodeIndex, _core, codes

# Newer Pythons warn of forks where any library has started threads; these children only search.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
N_BITS = 64


@pytest.fixture
def eager_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def life(rng, n_steps):
    """Steps of an index, as a writer takes them, and what it holds after each: a dict of ids and codes."""
    table, steps = {}, []

    def fresh(n):
        return codes.pack(rng.choice([-1, 1], size=(n, N_BITS)))

    def put(step, ids, rows):
        table.update(zip(ids.tolist(), rows, strict=True))
        steps.append((step, ids, rows, dict(table)))

    put("add", np.arange(2500) * 3, fresh(2500))
    for number in range(n_steps):
        ids = np.array(sorted(table))
        if number % 4 == 0:
            free = np.setdiff1d(np.arange(9000), ids)
            put("add", rng.choice(free, 60, replace=False), fresh(60))
        elif number % 4 == 1:
            unwanted = rng.choice(ids, 70, replace=False)
            for one in unwanted.tolist():
                del table[one]
            steps.append(("remove", unwanted, None, dict(table)))
        elif number % 4 == 2:
            put("upsert", rng.choice(9000, 40, replace=False), fresh(40))
        else:
            steps.append(("compact", None, None, dict(table)))
    return steps


def take(index, step):
    name, ids, rows, _ = step
    if name == "add":
        index.add(rows, ids)
    elif name == "upsert":
        index.upsert(rows, ids)
    elif name == "remove":
        index.remove(ids)
    else:
        index.compact()


def answer(table, queries, k):
    """The nearest of a dict, as the bytes of ids and distances."""
    ids = np.array(sorted(table))
    order, distances = reference.top_k(reference.hamming(queries, np.array([table[i] for i in ids]), N_BITS), k)
    return ids[order].tobytes() + distances.astype(np.int32).tobytes()


def test_every_answer_is_of_one_moment(rng, eager_switches):
    """Searchers beside a writer: each answer is what the oracle finds at a step, and steps go forward."""
    steps = life(rng, 40)
    queries, k = codes.pack(rng.choice([-1, 1], size=(17, N_BITS))), 300
    moments = {}
    for number, step in enumerate(steps):
        moments.setdefault(answer(step[3], queries, k), []).append(number)
    assert len(moments) > 25  # compacting, and nothing else, leaves the answer as it was
    index = CodeIndex(N_BITS)
    take(index, steps[0])
    done, failures, seen = threading.Event(), [], []

    def search(n_threads, allowed):
        last = 0
        try:
            while True:
                ended = done.is_set()
                hits = index.search(queries, k, n_threads=n_threads, allowed=allowed)
                found = moments[hits.ids.tobytes() + hits.distances.tobytes()]
                assert found[-1] >= last
                last = max(last, found[0])
                seen.append(last)
                if ended:
                    assert found[-1] == len(steps) - 1
                    return
        except BaseException as error:
            failures.append(repr(error))
            raise

    def look():
        """Everything at once, by blocks: ids and codes belong together, and are of one step."""
        tables = [step[3] for step in steps]
        moments_of_ids = {np.array(sorted(table)).tobytes() for table in tables}
        try:
            while not done.is_set():
                assert index.ids.tobytes() in moments_of_ids
                blocks = list(index.blocks(1000))
                ids, rows = (np.concatenate(part) for part in zip(*blocks, strict=True))
                assert any(
                    table.keys() == set(ids.tolist())
                    and all(np.array_equal(table[i], row) for i, row in zip(ids.tolist(), rows, strict=True))
                    for table in tables
                )
        except BaseException as error:
            failures.append(repr(error))
            raise

    threads = [threading.Thread(target=search, args=limits) for limits in ((1, None), (2, None), (1, np.arange(9000)))]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    for step in steps[1:]:
        take(index, step)
        n_seen, give_up = len(seen), time.monotonic() + 60
        while len(seen) < n_seen + 2 and not failures and time.monotonic() < give_up:
            time.sleep(0)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(seen)) > 10  # they did run beside the writer
    assert index.ids.tolist() == sorted(steps[-1][3])


def test_writers_do_not_lose_each_others_changes(rng, eager_switches):
    rows = codes.pack(rng.choice([-1, 1], size=(4000, N_BITS)))
    index, failures = CodeIndex(N_BITS), []

    def write(first):
        try:
            for begin in range(first * 1000, (first + 1) * 1000, 20):
                index.add(rows[begin : begin + 20], np.arange(begin, begin + 20))
                index.remove(np.arange(begin, begin + 5))
                index.upsert(rows[begin : begin + 2], np.arange(begin, begin + 2))
                if begin % 200 == 0:
                    index.compact()
        except BaseException as error:
            failures.append(repr(error))
            raise

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = [i for i in range(4000) if i % 20 < 2 or i % 20 >= 5]
    assert index.ids.tolist() == expected
    np.testing.assert_array_equal(index.codes, rows[expected])


def test_automatic_ids_are_given_once(rng):
    index, given = CodeIndex(8), []
    threads = [
        threading.Thread(target=lambda: given.extend(index.add(np.zeros((3, 1), np.uint8)) for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(np.concatenate(given).tolist()) == list(range(600))


def test_threads_that_come_first_together_agree(rng):
    """All find no layout yet."""
    rows = codes.pack(rng.choice([-1, 1], size=(20_000, N_BITS)))
    projections = rng.standard_normal((20, N_BITS))
    queries = codes.pack(projections)
    right = CodeIndex(N_BITS)
    right.add(rows)
    right_ids = right.search(queries, 10).ids, right.search_weighted(projections, 10).ids
    for _ in range(5):
        index, barrier, found = CodeIndex(N_BITS), threading.Barrier(4), []
        index.add(rows)

        def search(index=index, barrier=barrier, found=found):
            barrier.wait()
            found.append((index.search(queries, 10).ids, index.search_weighted(projections, 10).ids))

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        for ids in found:
            np.testing.assert_array_equal(ids, right_ids)


@pytest.mark.parametrize("metric", ["hamming", "weighted"])
def test_python_goes_on_while_a_search_runs(rng, metric):
    """Between the first and the last quarter of one long call, another thread is seen at work."""
    before = _core.cpu_level()
    _core.set_cpu_level("scalar")
    try:
        index = CodeIndex(512)
        index.add(rng.integers(0, 256, size=(20_000, 64), dtype=np.uint8))
        n_queries, taken, seen = 4, 0.0, False
        while taken < 0.4 or (not seen and taken < 5.0):  # on a busy machine, a short call may end unseen
            n_queries *= 2
            projections = rng.standard_normal((n_queries, 512))
            queries = codes.pack(projections)
            span, moments = [], []

            def search(projections=projections, queries=queries, span=span):
                span.append(time.perf_counter())
                if metric == "hamming":
                    index.search(queries, 10, n_threads=1)
                else:
                    index.search_weighted(projections, 10, n_threads=1)
                span.append(time.perf_counter())

            worker = threading.Thread(target=search)
            worker.start()
            while len(span) < 2:
                moments.append(time.perf_counter())
                time.sleep(0.001)
            worker.join()
            taken = span[1] - span[0]
            seen = any(span[0] + taken / 4 < moment < span[1] - taken / 4 for moment in moments)
    finally:
        _core.set_cpu_level(before)
    assert seen


def in_child(function):
    """The exit code of a forked child that runs the function; 0 where it raises nothing."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    for _ in range(12_000):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "it hung"


@forks
def test_a_forked_child_searches_alike(rng):
    """Layouts are made before, and others in the child; both with threads."""
    rows = codes.pack(rng.choice([-1, 1], size=(40_000, N_BITS)))
    projections = rng.standard_normal((40, N_BITS))
    queries = codes.pack(projections)
    index = CodeIndex(N_BITS)
    index.add(rows)
    right = [index.search(queries, 10, n_threads=3).ids, index.search_radius(queries, 20, n_threads=3).ids]
    twin = CodeIndex(N_BITS)
    twin.add(rows)
    right.append(twin.search_weighted(projections, 10, n_threads=3).ids)

    def child():
        for _ in range(2):
            for n_threads in (3, 1):
                np.testing.assert_array_equal(index.search(queries, 10, n_threads=n_threads).ids, right[0])
                np.testing.assert_array_equal(index.search_radius(queries, 20, n_threads=n_threads).ids, right[1])
                np.testing.assert_array_equal(index.search_weighted(projections, 10, n_threads=n_threads).ids, right[2])
        index.add(rows[:1], [-1])
        assert index.search(rows[:1], 1).ids.tolist() == [[-1]]

    assert in_child(child) == 0
    assert len(index) == 40_000


@forks
def test_a_fork_while_another_thread_adds(rng):
    """The child has no thread that would ever release what is locked just then."""
    rows = codes.pack(rng.choice([-1, 1], size=(2000, N_BITS)))
    index, done = CodeIndex(N_BITS), threading.Event()
    index.add(rows)

    def add():
        while not done.is_set():
            index.add(rows[:50])
            index.remove(index.ids[-50:])

    def child():
        ids = index.add(rows[:3])
        np.testing.assert_array_equal(index.reconstruct(ids), rows[:3])
        assert index.search(rows[:20], 1).distances.tolist() == [[0]] * 20
        index.compact()

    writer = threading.Thread(target=add)
    writer.start()
    try:
        for _ in range(15):
            assert in_child(child) == 0
    finally:
        done.set()
        writer.join()


@forks
def test_a_child_that_is_forked_while_locked_adds(rng):
    """As above, but certainly within the lock."""
    index = CodeIndex(N_BITS)
    with index._changing():
        assert in_child(lambda: index.add(np.zeros((1, 8), np.uint8))) == 0
    index.add(np.zeros((1, 8), np.uint8))
    assert len(index) == 1
