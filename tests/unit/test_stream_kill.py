"""A stream that is killed at any moment goes on from its last commit, and ends as if it had never stopped."""

import os
import random
import signal
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from killed_writers import count_lines, fork, was_killed

from pyhash import BOCH, LEMON, SHOH, CodeIndex, RBFAnchors, StreamChunk, StreamFolder
from pyhash.datasets import make_hierarchical

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread"),
    # Newer Pythons warn of forks where any library has started threads; these children use none of them.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

DATA = make_hierarchical(3000, n_classes=(3, 6), n_features={"image": 10, "text": 8}, seed=4)
SIZE = 30
MAKE = {
    "lemon": lambda: LEMON(16, seed=1),
    "boch": lambda: BOCH(16, feature_maps={"image": RBFAnchors(12, grow=4)}, seed=1),
    "shoh": lambda: SHOH(16, hierarchy=DATA.hierarchy, encoder="auto", seed=1),
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """A process that is killed loses nothing that it wrote."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def until(end):
    def source(offset):
        for number in range(offset or 0, end):
            rows = slice(number * SIZE, (number + 1) * SIZE)
            views = {name: x[rows] for name, x in DATA.views.items()}
            yield StreamChunk(views, DATA.labels["level2"][rows], offset=number + 1)

    return source


def content(model, index):
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        stored = Path(f"{folder}/model").read_bytes()
    return stored, index.codes.tolist(), index.ids.tolist(), index.fingerprint


@cache
def contents(name, end):
    """What a model and an index without a folder hold after each number of chunks, from 1 on."""
    model, index, found = MAKE[name](), CodeIndex(16), [None]
    for chunk in until(end)(None):
        model.partial_fit(chunk.views, chunk.labels)
        index.add(model.codes_, model=model)
        found.append(content(model, index))
    return found


def n_committed(path, name, end):
    """Check that all in the folder is of one commit; return its number of chunks."""
    if not (path / "stream.json").exists():
        return 0
    reader = StreamFolder(path, read_only=True)
    assert reader.offset == reader.n_chunks
    assert content(reader.model, reader.index) == contents(name, end)[reader.n_chunks]
    return reader.n_chunks


def assert_goes_on(path, name, end):
    """The next process takes the stream to its end, with the model, codes, answers and files of one that never died."""
    with StreamFolder(path, MAKE[name]()) as stream:
        stream.run(until(end))
        assert (stream.n_chunks, stream.offset) == (end, end)
        assert content(stream.model, stream.index) == contents(name, end)[end]
    alone, codes, ids, _ = contents(name, end)[end]
    manifest_model = f"model-{end:08d}.npz"
    assert (path / manifest_model).read_bytes() == alone
    assert set(os.listdir(path)) == {"stream.json", "index", manifest_model}
    assert "prepared.json" not in os.listdir(path / "index")
    index = CodeIndex(16)
    index.add(np.array(codes, np.uint8), ids)
    queries = index.codes[::7]
    found, wanted = (each.search(queries, k=10) for each in (StreamFolder(path, read_only=True).index, index))
    assert np.array_equal(found.ids, wanted.ids)
    assert np.array_equal(found.distances, wanted.distances)


# --- at every kind of moment ---

WRITERS = ("/pyhash/_files/", "/pyhash/index/", "/pyhash/stream/", "/zipfile", "/numpy/lib/")


def run_traced(path, name, end, stop=None):
    """Run a stream; at its `stop`-th line of code that has to do with files, the process kills itself."""

    def run():
        with StreamFolder(path, MAKE[name]()) as stream:
            stream.run(until(end))

    return count_lines(run, WRITERS, stop)


SLOW = pytest.mark.slow("starts and kills many processes")


@pytest.mark.parametrize(
    ("name", "n_moments"),
    [("lemon", 6), *(pytest.param(name, n, marks=SLOW) for name, n in (("lemon", 80), ("boch", 40), ("shoh", 40)))],
)
def test_kills_spread_over_the_code_that_writes(tmp_path, name, n_moments):
    """Between any two lines: while arrays of a file are written, before and after a rename, while files are deleted."""
    end, found = 3, []
    run_traced(tmp_path / "first", name, end)  # modules load
    n_lines = run_traced(tmp_path / "whole", name, end)
    assert n_lines > 1000
    for number in range(n_moments):
        path = tmp_path / str(number)
        # Evenly, and not at the same lines of each chunk.
        stop = (2 * number + 1) * n_lines // (2 * n_moments)
        assert was_killed(fork(lambda path=path, stop=stop: run_traced(path, name, end, stop)))
        found.append(n_committed(path, name, end))
        assert_goes_on(path, name, end)
    assert found == sorted(found)
    assert {0, 1, 2} <= set(found)


@SLOW
def test_kills_spread_over_time(tmp_path):
    """One stream, killed again and again, by time and while a file grows."""
    end, last, delay = 60, 0, random.Random(20260103)
    path, longest, n_kills, n_partial, n_prepared = tmp_path / "stream", 0.2, 0, 0, 0
    while n_kills < 40:

        def run():
            with StreamFolder(path, MAKE["lemon"]()) as stream:
                stream.run(until(end))
            signal.pause()

        pid = fork(run)
        deadline, watched = time.monotonic() + delay.uniform(0, longest), n_kills % 2
        while time.monotonic() < deadline or watched:
            # Every other time, at the first look, after a part of the delay, that finds a file being written.
            if watched and time.monotonic() > deadline - longest / 2 and list(path.glob(".*.partial")):
                break
            if time.monotonic() > deadline + 1:
                break
        os.kill(pid, signal.SIGKILL)
        assert was_killed(pid)
        n_kills += 1
        n_partial += bool(list(path.glob(".*.partial")))
        n_prepared += (path / "index" / "prepared.json").exists()
        found = n_committed(path, "lemon", end)
        assert found >= last
        longest = min(longest * (1.2 if found == last else 0.9), 2.0)
        last = found
    assert last > 2
    assert n_partial > 0
    assert_goes_on(path, "lemon", end)
