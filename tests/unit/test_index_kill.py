"""A writer that is killed, at any moment, leaves its last commit or the one in flight, and nothing between."""

import os
import random
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from killed_writers import die_at_step, fork, was_killed

from pyhash.index.directory import IndexDirectory
from pyhash.index.segment_files import SegmentContent, Tables

# Newer Pythons warn of forks where any library has started threads; these children only commit.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

N_BITS = 60
N_CHILDREN = 200
ROWS_PER_STEP = 50
CYCLE = 64
_rng = np.random.default_rng(5)
CODES = _rng.integers(0, 256, (20_000, 8), dtype=np.uint8)
CODES[:, -1] &= 0x0F
IDS = np.cumsum(_rng.integers(1, 9, len(CODES)))
MASKS = _rng.integers(0, 256, len(CODES), dtype=np.uint8)


def spans(generation):
    """The segments of a generation, in steps: the ones of its binary form, so that small segments merge into larger."""
    start, found = 0, []
    for power in (32, 16, 8, 4, 2, 1):
        if generation % CYCLE & power:
            found.append((start, start + power))
            start += power
    return found


def state(generation):
    """The content after commit `generation`. Each has new rows, or none at all; masks change at every third."""
    first = generation // CYCLE * 97 % 10_000
    segments = []
    for begin, end in spans(generation):
        rows = slice(first + begin * ROWS_PER_STEP, first + end * ROWS_PER_STEP)
        n = rows.stop - rows.start
        alive = tables = None
        age = generation // 3 - begin
        if end - begin >= 4 and age >= 1:  # later than its rows
            tables = Tables(4, False, MASKS[begin : begin + 4 * n])
        if age % 4:
            alive = MASKS[age % 1000 :][: (n + 7) // 8].copy()
            if n % 8:
                alive[-1] &= (1 << n % 8) - 1
        segments.append(SegmentContent(CODES[rows], IDS[rows], alive, tables=tables))
    return segments


def commit_next(directory):
    """Commits the next generation; what the last has of it already is not written again."""
    generation = directory.generation
    stored = {}
    if (generation + 1) // CYCLE == generation // CYCLE:
        stored = dict(zip(spans(generation), directory.segments, strict=True))
    contents = [
        replace(content, stored=stored.get(span))
        for span, content in zip(spans(generation + 1), state(generation + 1), strict=True)
    ]
    directory.commit(contents, str(generation + 1))


def opened(path):
    """The index of the path; a new one where no commit was ever finished."""
    if (path / "manifest.json").exists():
        return IndexDirectory.open(path)
    return IndexDirectory.create(path, N_BITS)


def assert_whole(path):
    """Check that all content on disk is of one generation; return its number."""
    directory, loaded = IndexDirectory.read(path, mmap=False)
    expected = state(directory.generation)
    assert directory.fingerprint == str(directory.generation)
    assert len(loaded) == len(expected)
    for (codes, ids, alive, tables), content in zip(loaded, expected, strict=True):
        assert np.array_equal(codes, content.codes)
        assert np.array_equal(ids, content.ids)
        assert (alive is None) == (content.alive is None)
        assert alive is None or np.array_equal(alive, content.alive)
        assert (tables is None) == (content.tables is None)
        assert tables is None or np.array_equal(tables, content.tables.data)
    return directory.generation


def generation_on_disk(path):
    return assert_whole(path) if (path / "manifest.json").exists() else 0


def assert_goes_on(path):
    """The next commit finds no lock, and leaves no leftover."""
    directory = opened(path)
    commit_next(directory)
    assert assert_whole(path) == directory.generation
    named = {name for segment in directory.segments for name in segment.files}
    assert set(os.listdir(path)) == named | {"manifest.json", "lock"}


def test_states_differ_and_reuse_segments(tmp_path):
    """The tests below rely on it: each state differs from the last, and commits keep, merge, mask and drop."""
    directory = IndexDirectory.create(tmp_path / "index", N_BITS)
    kept = masked = with_tables = 0
    for _ in range(2 * CYCLE):
        before = {segment.name: segment.alive for segment in directory.segments}
        commit_next(directory)
        after = {segment.name: segment.alive for segment in directory.segments}
        assert after != before
        kept += len(before.keys() & after.keys())
        masked += sum(before[name] != after[name] for name in before.keys() & after.keys())
        with_tables += sum(segment.tables is not None for segment in directory.segments)
    assert assert_whole(tmp_path / "index") == 2 * CYCLE
    assert kept > CYCLE
    assert masked > CYCLE // 2
    assert with_tables > CYCLE // 2


def commit_and_tell(path, pipe):
    directory = opened(path)
    while True:
        commit_next(directory)
        os.write(pipe, directory.generation.to_bytes(8, "little"))


def kill_after(pid, delay):
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), f"the writer ended by itself with {os.waitstatus_to_exitcode(status)}"


@pytest.mark.slow("starts and kills many writers")
def test_kills_at_random_moments(tmp_path):
    random_delay = random.Random(20260101)
    longest = 0.03
    path = tmp_path / "index"
    last = without = 0
    for _ in range(N_CHILDREN):
        read_end, write_end = os.pipe()
        pid = fork(lambda pipe=write_end: commit_and_tell(path, pipe))
        os.close(write_end)
        kill_after(pid, random_delay.uniform(0, longest))
        with open(read_end, "rb") as pipe:
            told = pipe.read()
        acknowledged = int.from_bytes(told[-8:], "little") if told else last
        found = generation_on_disk(path)
        assert found in (acknowledged, acknowledged + 1)
        # Delays spread over a few commits, however fast the disk is just now, and end the test in good time.
        longest = min(longest * (1.1 if found < last + 2 else 0.9), 0.2)
        without += found == last
        last = found
    # Some were killed before their first commit was in place, others after it; even on a slow disk.
    assert last > 10
    assert 0 < without < N_CHILDREN
    assert_goes_on(path)


@pytest.mark.parametrize(
    "before", [0, 1, 6, 7, *(pytest.param(n, marks=pytest.mark.slow("many steps")) for n in (15, 63))]
)
def test_kills_at_every_step(tmp_path, before):
    """The commit after `before` others, ended at each of its steps in turn; the next writer goes on from there."""
    directory = IndexDirectory.create(tmp_path / "before", N_BITS)
    for _ in range(before):
        commit_next(directory)
    found = []
    for call in range(100):
        path = tmp_path / str(call)
        shutil.copytree(tmp_path / "before", path)
        directory = opened(path)

        def commit_until_killed(directory=directory, call=call):
            die_at_step(call)
            commit_next(directory)

        killed = was_killed(fork(commit_until_killed))
        found.append(generation_on_disk(path))
        assert_goes_on(path)
        if not killed:
            break
    # First the last commit, and from one step on the new one.
    assert found == sorted(found)
    assert set(found) == {before, before + 1}
    assert len(found) > 4
