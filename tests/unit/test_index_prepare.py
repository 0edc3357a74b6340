"""Commits in two phases: prepared, then published; with another file between that is the moment of the commit."""

import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
from killed_writers import STEPS, die_at_step, fork, was_killed

from pyhash import CodeIndex, ModelFormatError
from pyhash._files.atomic import atomic_file
from pyhash.errors import IndexChangedError, IndexLockedError

# Newer Pythons warn of forks where any library has started threads; these children only commit.
forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

N_BITS = 60


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """No test here cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def codes_of(ids):
    """The codes of these ids: each id has one, so that mixed contents are noticed."""
    codes = np.random.default_rng(7).integers(0, 256, (4000, 8), dtype=np.uint8)[np.asarray(ids, dtype=np.int64)]
    codes[:, -1] &= 0x0F
    return codes


def add(index, *ids):
    index.add(codes_of(ids), ids)


@pytest.fixture
def path(tmp_path):
    with CodeIndex(N_BITS) as index:
        add(index, *range(8))
        index.save(tmp_path / "index")
    return tmp_path / "index"


def ids_at(path, generation=None, mmap=False):
    index = CodeIndex.open(path, generation=generation, mmap=mmap)
    index.verify()
    assert np.array_equal(index.codes, codes_of(index.ids))
    return index.ids.tolist()


def assert_no_leftovers(path):
    index = CodeIndex.open(path)
    named = {name for segment in index._segments for name in segment.stored.files}
    assert set(os.listdir(path)) == named | {"manifest.json", "lock"}


# --- what is seen when ---


@pytest.mark.parametrize("mmap", [False, True])
def test_both_contents_are_there_between_the_phases(path, mmap):
    with CodeIndex.open(path, mmap=mmap) as index:
        assert index.generation == 1
        add(index, 100)
        index.remove([0])
        assert index.prepare() == 2
        assert index.generation == 1
        for _ in range(2):
            assert ids_at(path, mmap=mmap) == ids_at(path, 1, mmap) == list(range(8))
            assert ids_at(path, 2, mmap) == [*range(1, 8), 100]
        index.commit()
        assert index.generation == 2
        assert ids_at(path, mmap=mmap) == ids_at(path, 2, mmap) == [*range(1, 8), 100]
        assert_no_leftovers(path)
        add(index, 101)
        index.commit()
    assert ids_at(path, 3) == [*range(1, 8), 100, 101]
    assert_no_leftovers(path)


def test_changes_after_prepare_are_left_to_the_next_commit(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
        add(index, 101)
        index.remove([100])
        index.commit()
        assert ids_at(path) == [*range(8), 100]
        assert index.ids.tolist() == [*range(8), 101]
        index.commit()
    assert ids_at(path, 3) == [*range(8), 101]
    assert_no_leftovers(path)


def test_prepared_again_is_another_generation(path):
    with CodeIndex.open(path) as index:
        add(index, *range(100, 110))
        assert index.prepare() == 2
        written = {name: os.stat(path / name).st_ino for name in os.listdir(path) if "codes" in name}
        index.remove([7])
        assert index.prepare() == 3
        # Rows that are prepared already are not written again.
        again = {name: os.stat(path / name).st_ino for name in os.listdir(path) if "codes" in name}
        assert again == written
        with pytest.raises(ModelFormatError, match="has no generation 2: it is at 1, 3 is prepared"):
            CodeIndex.open(path, generation=2)
        index.commit()
    assert index.ids.tolist() == ids_at(path, 3) == [*range(7), *range(100, 110)]
    assert_no_leftovers(path)


def test_files_of_what_is_given_up_do_not_pile_up(path):
    with CodeIndex.open(path) as index:
        numbers = []
        for new in range(100, 130):
            add(index, new)
            index.compact()
            index.prepare()
            numbers.append(len(os.listdir(path)))
        assert max(numbers) <= 7  # two segments of two files, two manifests, the lock


def test_a_plain_commit_replaces_what_a_dead_writer_prepared(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        assert index.prepare() == 2
        names = set(os.listdir(path))
    with CodeIndex.open(path) as index:
        assert len(index) == 8
        add(index, 200)
        index.commit()
        # Its number is not given again: who was promised generation 2 learns that it is gone.
        assert index.generation == 3
        assert not {name for name in names if "segment-00000002" in name} & set(os.listdir(path))
    assert_no_leftovers(path)
    with pytest.raises(IndexChangedError, match="has gone on from generation 2, it is at 3"):
        CodeIndex.open(path, generation=2)


def test_save_replaces_what_was_prepared(path, tmp_path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
        add(index, 101)
        index.save(path)
        assert ids_at(path, 3) == [*range(8), 100, 101]
        index.prepare()
        index.save(tmp_path / "other")
    assert ids_at(tmp_path / "other", 1) == [*range(8), 100, 101]
    assert ids_at(path) == [*range(8), 100, 101]


@pytest.mark.parametrize("mmap", [False, True])
def test_the_first_change_publishes_what_was_opened_as_prepared(path, mmap):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
    index = CodeIndex.open(path, generation=2, mmap=mmap)
    assert index.generation == 2
    assert ids_at(path) == list(range(8))  # readers publish nothing
    with index:
        add(index, 101)
        assert ids_at(path) == [*range(8), 100]
        assert "prepared.json" not in os.listdir(path)
        index.commit()
        assert index.generation == 3
    assert ids_at(path) == [*range(8), 100, 101]
    assert_no_leftovers(path)


def test_a_commit_alone_publishes_what_was_opened_as_prepared(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
    with CodeIndex.open(path, generation=2) as index:
        index.commit()
        assert index.generation == 2
    assert ids_at(path) == [*range(8), 100]
    assert_no_leftovers(path)


def test_the_lock_publishes_what_was_opened_as_prepared_and_nothing_else(path):
    with CodeIndex.open(path, generation=1) as index:
        index.lock()
        index.lock()
        assert index.generation == 1
        with pytest.raises(IndexLockedError):
            CodeIndex.open(path).lock()
        add(index, 100)
        index.prepare()
        index.lock()
        assert index.generation == 1
    with CodeIndex.open(path, generation=2) as index:
        index.lock()
        assert ids_at(path) == [*range(8), 100]
    assert_no_leftovers(path)
    with pytest.raises(ValueError, match="lock needs an index on disk"):
        CodeIndex(N_BITS).lock()


def test_a_reader_of_what_is_prepared_stays_valid_when_it_is_published(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
        reader = CodeIndex.open(path, generation=2)
        reader.verify()
        index.commit()
        reader.verify()
    with reader:
        add(reader, 101)
        reader.commit()
    assert ids_at(path, 3) == [*range(8), 100, 101]


def test_an_index_of_the_past_publishes_nothing(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
    late = CodeIndex.open(path, generation=2)
    with CodeIndex.open(path) as index:
        add(index, 200)
        index.commit()
    for call in (late.commit, lambda: add(late, 101), late.prepare):
        with pytest.raises(IndexChangedError, match="has changed since it was opened, from generation 2 to 3"):
            call()
    assert ids_at(path) == [*range(8), 200]


def test_what_is_not_prepared_any_more_is_not_published(path):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
        os.unlink(path / "prepared.json")
        with pytest.raises(IndexChangedError, match="generation 2 is not prepared any more"):
            index.commit()
    assert ids_at(path) == list(range(8))


def test_the_lock_is_kept_between_the_phases(path):
    with CodeIndex.open(path) as index:
        index.prepare()
        other = CodeIndex.open(path, generation=2)
        for call in (other.commit, other.prepare, lambda: add(other, 1)):
            with pytest.raises(IndexLockedError):
                call()
        index.commit()


# --- wrong input and damage ---


def test_generations_are_checked(path):
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="generation must be an integer >= 1"):
            CodeIndex.open(path, generation=wrong)
    for wrong in (True, 1.5, "1"):
        with pytest.raises(TypeError, match="generation must be an integer"):
            CodeIndex.open(path, generation=wrong)
    with pytest.raises(ModelFormatError, match=r"has no generation 2: it is at 1$"):
        CodeIndex.open(path, generation=2)


def test_an_index_in_memory_has_nothing_to_prepare():
    index = CodeIndex(N_BITS)
    assert index.generation == 0
    with pytest.raises(ValueError, match="prepare needs an index on disk: save it to a directory first"):
        index.prepare()


@pytest.mark.parametrize("damage", [b"", b"{}", b"hello", None])
def test_a_damaged_prepared_manifest_concerns_only_who_opens_it(path, damage):
    with CodeIndex.open(path) as index:
        add(index, 100)
        index.prepare()
    whole = (path / "prepared.json").read_bytes()
    (path / "prepared.json").write_bytes(whole[:-20] if damage is None else damage)
    assert ids_at(path) == ids_at(path, 1) == list(range(8))
    with pytest.raises(ModelFormatError, match=r"prepared\.json"):
        CodeIndex.open(path, generation=2)
    with CodeIndex.open(path) as index:
        add(index, 200)
        index.commit()
    assert ids_at(path) == [*range(8), 200]
    assert_no_leftovers(path)


def test_a_missing_file_of_what_is_prepared_is_named(path):
    with CodeIndex.open(path) as index:
        add(index, *range(100, 108))
        index.prepare()
    (path / "segment-00000002.ids.npy").unlink()
    with pytest.raises(ModelFormatError, match=r"segment-00000002.ids.npy is missing"):
        CodeIndex.open(path, generation=2)


# --- phases that fail ---


def failing(patch, fail_at, error, late):
    """Let one call of os.fsync or os.replace raise, before or after its work; return the names of all calls."""
    calls = []

    def step_of(name, function):
        def step(*args):
            calls.append(name)
            fails = len(calls) - 1 == fail_at
            if fails and not late:
                raise error
            function(*args)
            if fails:
                raise error

        return step

    for name in ("fsync", "replace"):
        patch.setattr(os, name, step_of(name, getattr(os, name)))
    return calls


ERRORS = [OSError(28, "No space left on device"), KeyboardInterrupt()]
# fsync of a mask, of a segment's codes and ids, of the directory, of the manifest; its rename; fsync of the directory.
PREPARE = ["fsync"] * 5 + ["replace", "fsync"]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=["full", "stop"])
@pytest.mark.parametrize("fail_at", range(len(PREPARE)))
def test_a_prepare_that_fails_leaves_the_last_commit(path, monkeypatch, fail_at, error, late):
    with CodeIndex.open(path) as index:
        before = {*os.listdir(path), "lock"}
        index.remove([0])
        add(index, 100)
        with monkeypatch.context() as patch:
            calls = failing(patch, fail_at, error, late)
            with pytest.raises(type(error)):
                index.prepare()
        assert calls == PREPARE[: fail_at + 1]
        assert index.generation == 1
        assert ids_at(path) == list(range(8))
        # After the rename it is prepared, whole.
        stands = fail_at > 5 or (fail_at == 5 and late)
        if stands:
            assert ids_at(path, 2) == [*range(1, 8), 100]
        else:
            assert set(os.listdir(path)) == before
        add(index, 101)
        assert index.prepare() == (3 if stands else 2)
        index.commit()
    assert ids_at(path) == [*range(1, 8), 100, 101]
    assert_no_leftovers(path)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=["full", "stop"])
@pytest.mark.parametrize("fail_at", range(2))
@pytest.mark.parametrize("opened", [False, True], ids=["own", "another's"])
def test_a_publication_that_fails_can_be_repeated(path, monkeypatch, fail_at, error, late, opened):
    with CodeIndex.open(path) as index:
        index.remove([0])
        add(index, 100)
        index.prepare()
        if opened:
            index.close()
            index = CodeIndex.open(path, generation=2)
        with monkeypatch.context() as patch:
            failing(patch, fail_at, error, late)
            with pytest.raises(type(error)):
                index.commit()
        published = fail_at > 0 or late
        assert ids_at(path) == ([*range(1, 8), 100] if published else list(range(8)))
        assert ids_at(path, 2) == [*range(1, 8), 100]
        assert index.generation == (2 if published or opened else 1)
        index.commit()
        assert index.generation == (3 if published else 2)
        index.close()
    assert ids_at(path) == [*range(1, 8), 100]
    assert_no_leftovers(path)


# --- writers that are killed ---


def change(indexes, n_steps):
    """Add rows, and remove one at every third step, so that segments merge and get masks."""
    for index, sign in zip(indexes, (1, -1), strict=True):
        first = 1000 + sign * 900 + n_steps * 3
        add(index, *range(first, first + 3))
        if n_steps % 3 == 2:
            index.remove(index.ids[:1])


class Pair:
    """Two indexes that commit as one, by a file that names their generations."""

    def __init__(self, path):
        self.path = path
        if not (path / "both").exists():
            for name in ("a", "b"):
                with CodeIndex(N_BITS) as index:
                    index.save(path / name)
            self._write(0, (1, 1))
        self.n_steps, generations = self.read(path)
        self.indexes = [
            CodeIndex.open(path / name, generation=generation)
            for name, generation in zip(("a", "b"), generations, strict=True)
        ]

    @staticmethod
    def read(path):
        n_steps, *generations = map(int, (path / "both").read_bytes().split())
        return n_steps, generations

    def _write(self, n_steps, generations):
        with atomic_file(self.path / "both") as file:
            file.write(b" ".join(b"%d" % number for number in (n_steps, *generations)))

    def step(self):
        change(self.indexes, self.n_steps)
        self._write(self.n_steps + 1, [index.prepare() for index in self.indexes])
        for index in self.indexes:
            index.commit()
        self.n_steps += 1

    def close(self):
        for index in self.indexes:
            index.close()


@pytest.fixture(scope="module")
def states():
    """The ids of both indexes after each number of steps."""
    indexes, found = [CodeIndex(N_BITS), CodeIndex(N_BITS)], []
    for n_steps in range(120):
        found.append([index.ids.tolist() for index in indexes])
        change(indexes, n_steps)
    return found


def assert_whole(path, states):
    """Both indexes are of the step that the file names; returns its number."""
    n_steps, generations = Pair.read(path)
    assert [ids_at(path / name, g) for name, g in zip("ab", generations, strict=True)] == states[n_steps]
    return n_steps


@forks
@pytest.mark.parametrize(
    ("before", "every"),
    [(2, 5), *(pytest.param(n, 1, marks=pytest.mark.slow("starts and kills many writers")) for n in (0, 2, 5))],
)
def test_kills_at_every_step_of_a_commit_of_two(tmp_path, states, before, every):
    pair = Pair(tmp_path)
    for _ in range(before):
        pair.step()
    pair.close()
    found = []
    for call in range(0, 200, every):
        path = tmp_path / str(call)
        path.mkdir()
        for name in ("a", "b"):
            shutil.copytree(tmp_path / name, path / name)
        shutil.copy(tmp_path / "both", path)

        def step_until_killed(path=path, call=call):
            pair = Pair(path)
            die_at_step(call, (*STEPS, "open"))
            pair.step()

        killed = was_killed(fork(step_until_killed))
        found.append(assert_whole(path, states))
        pair = Pair(path)
        pair.step()
        pair.close()
        assert assert_whole(path, states) == found[-1] + 1
        for name in ("a", "b"):
            assert_no_leftovers(path / name)
        if not killed:
            break
    assert found == sorted(found)
    assert set(found) == {before, before + 1}
    assert found.count(before) > 10 // every
    assert found.count(before + 1) > 4 // every


@forks
@pytest.mark.slow("starts and kills many writers")
def test_kills_at_random_moments_of_commits_of_two(tmp_path, states):
    delay = random.Random(20260102)
    longest, last, n_prepared = 0.1, 0, 0

    def step_on():
        pair = Pair(tmp_path)
        while pair.n_steps < len(states) - 1:
            pair.step()
        signal.pause()

    Pair(tmp_path).close()
    for _ in range(60):
        pid = fork(step_on)
        time.sleep(delay.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        assert was_killed(pid)
        found = assert_whole(tmp_path, states)
        assert found >= last
        n_prepared += any("prepared.json" in os.listdir(tmp_path / name) for name in "ab")
        # Delays spread over a few commits, however fast the disk is just now.
        longest = min(longest * (1.2 if found < last + 2 else 0.9), 0.5)
        last = found
        if last > 100:
            break
    assert last > 5
    assert n_prepared > 0  # some were killed between the phases
