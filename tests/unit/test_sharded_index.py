"""An index in shards, in this process: it holds and finds what one index does, and commits as one."""

import copy
import json
import os
import shutil
import threading

import numpy as np
import pytest
from killed_writers import die_at_step, fork, was_killed

from pyhash import CodeIndex, IndexChangedError, IndexLockedError, ModelFormatError
from pyhash.distributed import ShardedIndex
from pyhash.distributed.routing import rows_by_shard, shard_of_ids
from pyhash.distributed.shards_directory import ShardsDirectory

N_BITS = 60


def make_codes(rng, n):
    """Few distinct ones, so that there are ties; with equal and opposite ones."""
    rows = rng.integers(0, 256, (n, 8), dtype=np.uint8)[rng.integers(0, max(n // 3, 1), n)]
    rows[:, -1] &= 0x0F
    rows[:1], rows[1:2] = 0, [255] * 7 + [15]
    return rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def pair(rng, path):
    """An index in shards and one index with the same codes; committed, then changed."""
    index, one = ShardedIndex(path, n_bits=N_BITS, n_shards=5), CodeIndex(N_BITS)
    rows = make_codes(rng, 2000)
    for each in (index, one):
        each.add(rows, np.arange(2000) * 3 - 500)
    index.commit()
    more = make_codes(rng, 300)
    for each in (index, one):
        each.remove(np.arange(50) * 3 - 500)
        each.upsert(more[:100], np.arange(100) * 2)
        each.add(more[100:])
    yield index, one
    index.close()


def state(index):
    return len(index), index.fingerprint, index.ids.tolist(), index.codes.tolist()


def assert_same(hits, expected):
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(hits, name), getattr(expected, name))


# --- routing ---


def test_the_shard_of_an_id_never_changes():
    """Files depend on it."""
    ids = np.array([0, 1, 2, -1, 10**9, 2**63 - 1, -(2**63)])
    assert shard_of_ids(ids, 1).tolist() == [0] * 7
    assert shard_of_ids(ids, 8).tolist() == ROUTED
    assert ids.dtype == np.int64


ROUTED = [0, 2, 6, 5, 1, 2, 1]


@pytest.mark.parametrize("step", [1, 8, 1024, 2**40, -3])
def test_ids_spread_evenly(step):
    counts = np.bincount(shard_of_ids(np.arange(80_000) * step, 8), minlength=8)
    assert abs(counts - 10_000).max() < 400
    rows = dict(rows_by_shard(np.arange(100) * step, 8))
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(100))


# --- the same as one index ---


@pytest.mark.parametrize("k", [1, 7, 3000])
@pytest.mark.parametrize("ties", ["id", "all"])
def test_searches_are_those_of_one_index(pair, rng, k, ties):
    index, one = pair
    queries = make_codes(rng, 20)
    projections = np.round(rng.standard_normal((20, N_BITS)), 1)
    mask = rng.random(len(one)) < 0.3
    for allowed in (None, one.ids[::7], mask, [10**15, -(2**63)], np.array([2**63], np.uint64), []):
        options = {"ties": ties, "allowed": allowed}
        assert_same(index.search(queries, k, **options), one.search(queries, k, **options))
        found = index.search_weighted(projections, k, **options)
        assert_same(found, one.search_weighted(projections, k, **options))
        for radius in (0, 20, N_BITS):
            expected = one.search_radius(queries, radius, allowed=allowed)
            assert_same(index.search_radius(queries, radius, allowed=allowed), expected)
        expected = one.search_weighted(projections, k, radius=9.5, **options)
        assert_same(index.search_weighted(projections, k, radius=9.5, **options), expected)


def test_no_queries_and_no_codes(pair, path, rng):
    index, one = pair
    none = np.empty((0, 8), np.uint8)
    assert_same(index.search(none, 3), one.search(none, 3))
    assert_same(index.search_radius(none, 3), one.search_radius(none, 3))
    with ShardedIndex(path.with_name("empty"), n_bits=N_BITS) as empty:
        assert_same(empty.search(make_codes(rng, 2), 3), CodeIndex(N_BITS).search(make_codes(rng, 2), 3))
        assert (len(empty), empty.ids.tolist(), empty.codes.shape, list(empty.blocks())) == (0, [], (0, 8), [])


def test_what_it_holds(pair):
    index, one = pair
    assert state(index) == state(one)
    wanted = one.ids[[5, 3, 900, 3]]
    np.testing.assert_array_equal(index.reconstruct(wanted), one.reconstruct(wanted))
    stats = index.stats()
    assert (stats["n"], stats["n_shards"], stats["hosts"]) == (len(one), 5, {"this process": len(one)})
    assert repr(index).startswith(f"ShardedIndex(n_bits=60) with {len(one)} codes in 5 shards at /")


@pytest.mark.parametrize("size", [1, 7, 500, 10**6])
def test_blocks_are_everything_once_and_ascending(pair, size):
    index, one = pair
    blocks = list(index.blocks(size))
    assert {0 < len(ids) <= size for ids, _ in blocks} == {True}
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in blocks]), one.ids)
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), one.codes)


def test_blocks_are_of_one_moment(pair):
    index, one = pair
    blocks = index.blocks(100)
    found = [next(blocks)[0]]
    index.remove(one.ids[5:2000])
    index.commit()
    index.compact()
    index.commit()
    np.testing.assert_array_equal(np.concatenate([*found, *(ids for ids, _ in blocks)]), one.ids)
    assert len(index) == len(one) - 1995


def test_ids_are_checked_over_all_shards(pair, rng):
    index, one = pair
    before = state(index)
    rows = make_codes(rng, 3)
    taken, gone = one.ids[[700, 20]], 10**9
    for ids, named in (([gone, *taken], taken[0]), ([taken[1], gone, taken[0]], taken[1])):
        with pytest.raises(ValueError, match=f"^ids must be new, {named} is in the index already$"):
            index.add(rows, ids)
    for call in (index.remove, index.reconstruct):
        with pytest.raises(KeyError, match=f"{gone} is not in the index"):
            call([taken[0], gone, taken[1]])
    with pytest.raises(ValueError, match="ids must be unique, 5 was given 2 times"):
        index.upsert(rows, [5, 5, 6])
    with pytest.raises(TypeError, match="codes must be packed codes of dtype uint8"):
        index.add(rows.astype(int))
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        index.search(rows, 0)
    with pytest.raises(TypeError, match="partial must be a bool, got 1"):
        index.search(rows, 1, partial=1)
    with pytest.raises(ValueError, match=f"one value for each of the {len(one)} codes, as a mask, got 3"):
        index.search(rows, 1, allowed=[True, False, True])
    assert state(index) == before


def test_new_ids_follow_the_greatest(path, rng):
    with ShardedIndex(path, n_bits=N_BITS) as index:
        assert index.add(make_codes(rng, 3)).tolist() == [0, 1, 2]
        index.add(make_codes(rng, 2), [100, -7])
        assert index.add(make_codes(rng, 2)).tolist() == [101, 102]
        index.remove([101, 102, 100])
        index.commit()
    with ShardedIndex(path) as index:
        assert index.add(make_codes(rng, 2)).tolist() == [3, 4]
        index.add(make_codes(rng, 2), [2**63 - 2, 50])
        with pytest.raises(ValueError, match="ids must be given"):
            index.add(make_codes(rng, 2))


def test_the_model_of_the_codes(path, rng):
    with ShardedIndex(path, n_bits=N_BITS) as index:
        index.add(make_codes(rng, 2), model="m")
        for call in (index.add, lambda rows, model: index.search(rows, 1, model=model)):
            with pytest.raises(ValueError, match="of model m, got other"):
                call(make_codes(rng, 2), model="other")
        index.commit()
    with ShardedIndex(path, model="m") as index:
        assert (index.fingerprint, len(index.add(make_codes(rng, 5), model="m"))) == ("m", 5)
    with pytest.raises(ValueError, match="of model m, got other"):
        ShardedIndex(path, model="other")


def test_the_index_keeps_nothing_of_the_callers_arrays(path, rng):
    rows, ids = make_codes(rng, 5), np.arange(5)
    with ShardedIndex(path, n_bits=N_BITS, n_shards=1) as index:
        given = index.add(rows, ids)
        before = state(index)
        rows[:], ids[:], given[:] = 1, 9, 9
        index._placement.give_up([0])  # opened anew, from what this process keeps of the changes
        assert state(index) == before


# --- on disk ---


def test_commits_are_found_and_nothing_else(pair, path, rng):
    index, one = pair
    index.commit()
    index.verify()
    assert index.generation == 3
    committed = state(index)
    index.remove(one.ids[:10])
    index.add(make_codes(rng, 9))
    assert state(index) != committed
    for mmap in (False, True):
        with ShardedIndex(path, mmap=mmap) as reader:
            assert state(reader) == committed
            reader.verify()
    index.close()
    with ShardedIndex(path) as again:
        assert state(again) == committed
        again.compact()
        again.commit()
        assert state(again) == committed
        assert (again.stats()["n_segments"], again.stats()["n_removed"]) == (5, 0)


def test_a_reader_sees_one_commit(pair, path):
    """The one at which it was opened, in every shard, as long as the shards stay open."""
    index, one = pair
    index.commit()
    reader = ShardedIndex(path)
    index.remove(one.ids[:100])
    index.commit()
    assert state(reader) == state(one)
    reader._placement.give_up(range(5))
    with pytest.raises(IndexChangedError, match="has gone on from generation"):
        reader.search(one.codes[:1], 1)
    index.close()
    with pytest.raises(IndexChangedError, match="from generation 3 to 4: open it again"):
        reader.add(one.codes[:1])


def test_a_reader_is_opened_at_one_commit(pair, path, monkeypatch):
    """Where a writer commits after the manifest was read, and before the shards are open."""
    index, one = pair
    real = ShardsDirectory.open

    def open_late(folders):
        directory = real(folders)
        index.commit()
        return directory

    monkeypatch.setattr(ShardsDirectory, "open", open_late)
    assert state(ShardedIndex(path)) == state(one)


def test_one_writer_at_a_time(pair, path):
    index, one = pair
    other = ShardedIndex(path)
    for call in (lambda: other.add(one.codes[:1]), lambda: other.remove(one.ids[-1:]), other.compact, other.commit):
        with pytest.raises(IndexLockedError, match=f"locked by process {os.getpid()} on host"):
            call()
    index.close()
    other.remove([1000])
    other.commit()
    other.close()
    with pytest.raises(ValueError, match="the index is closed: open it again"):
        other.search(one.codes[:1], 1)
    with pytest.raises(ValueError, match="the index is closed: open it again"):
        other.add(one.codes[:1])


def test_a_shard_that_another_has_locked_changes_nothing(pair, path):
    index, _ = pair
    index.close()
    index = ShardedIndex(path)
    before = state(index)
    shard = CodeIndex.open(index._placement.shards[3].path)
    shard.compact()
    with pytest.raises(IndexLockedError):
        index.remove(index.ids[:50])
    assert state(index) == before
    shard.close()
    index.remove(index.ids[:50])
    assert len(index) == before[0] - 50


def test_folders(tmp_path, rng):
    folders = [tmp_path / name for name in "ab"]
    with ShardedIndex(folders, n_bits=N_BITS, n_shards=5) as index:
        index.add(make_codes(rng, 100))
        index.commit()
        before = state(index)
    assert [len(list(folder.glob("shard-*"))) for folder in folders] == [3, 2]
    moved = next(folders[0].glob("shard-0002-*"))
    shutil.move(moved, folders[1] / moved.name)
    with ShardedIndex(folders) as index:
        assert state(index) == before
    with pytest.raises(FileNotFoundError), ShardedIndex(folders[:1]) as index:
        index.search(make_codes(rng, 2), 1)
    names = sorted(os.listdir(folders[1]))
    with pytest.raises(FileExistsError, match=r"it holds 'shard-0001-.*', a shard of another index"):
        ShardedIndex(folders[1], n_bits=N_BITS)
    assert sorted(os.listdir(folders[1])) == names


@pytest.mark.parametrize(
    ("folders", "options", "error", "message"),
    [
        (3, {}, TypeError, r"folders must be a str or an os\.PathLike of str, got 3"),
        ([], {}, ValueError, "folders must name at least one folder"),
        (["a", "a"], {}, ValueError, "folders must be different"),
        ("a", {"n_bits": 0}, ValueError, "n_bits must be an integer from 1"),
        ("a", {"n_bits": 8, "n_shards": 0}, ValueError, "n_shards must be an integer from 1"),
        ("a", {"n_bits": 8, "mmap": 1}, TypeError, "mmap must be a bool"),
        ("a", {"n_bits": 8, "client": "tcp://"}, TypeError, r"client must be a dask.distributed.Client or None"),
        ("a", {"n_bits": 8, "model": 3}, TypeError, "model must be a fitted model or its fingerprint"),
        ("a", {}, FileNotFoundError, "holds no sharded index, there is no shards.json: give n_bits to make one"),
    ],
)
def test_wrong_arguments(tmp_path, monkeypatch, folders, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        ShardedIndex(folders, **options)
    assert os.listdir() == []


def test_an_index_is_not_made_over_something_else(pair, path, tmp_path):
    index, _ = pair
    for options in ({"n_bits": 8}, {"n_shards": 4}):
        with pytest.raises(ValueError, match="must be that of the index at"):
            ShardedIndex(path, **options)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(FileExistsError, match=r"new or empty folder, it holds 'thesis.txt'"):
        ShardedIndex(tmp_path / "mine", n_bits=8)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(index)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-30], "not a whole manifest"),
        (lambda text: text.replace('"n": ', '"n": 1'), "is damaged"),
        (lambda text: text.replace("pyhash-shards", "pyhash-index"), "names another format"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "format version 2"),
    ],
)
def test_a_damaged_manifest(pair, path, change, message):
    file = path / "shards.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ModelFormatError, match=message):
        ShardedIndex(path)


def test_a_manifest_names_no_other_paths(pair, path):
    from pyhash._files.checked_json import checked_json

    content = json.loads((path / "shards.json").read_text())
    fields = {name: value for name, value in content.items() if name not in ("format", "version", "crc32")}
    for name, value in (("name", "../mine"), ("n", -1), ("generation", 0), ("greatest_id", None)):
        shards = copy.deepcopy(fields["shards"])
        shards[1][name] = value
        (path / "shards.json").write_bytes(checked_json("pyhash-shards", 1, {**fields, "shards": shards}))
        with pytest.raises(ModelFormatError, match="is not a valid manifest: .*" + name):
            ShardedIndex(path)
    (path / "shards.json").write_bytes(checked_json("pyhash-shards", 1, {**fields, "routing": "crc"}))
    with pytest.raises(ModelFormatError, match="routing must be 'splitmix64', got 'crc'"):
        ShardedIndex(path)


# --- shards that cannot be opened ---


def test_a_missing_shard_is_an_error_or_is_named(pair, path, rng):
    index, one = pair
    index.commit()
    index.close()
    shutil.move(next(path.glob("shard-0002-*")), path.with_name("away"))
    damaged = next(path.glob("shard-0004-*")) / "manifest.json"
    damaged.write_bytes(damaged.read_bytes()[:50])
    queries = make_codes(rng, 4)
    with ShardedIndex(path) as reader:
        assert len(reader) == len(one)
        with pytest.raises(FileNotFoundError, match="shard-0002"):
            reader.search(queries, 5)
        there = one.ids[~np.isin(shard_of_ids(one.ids, 5), [2, 4])]
        for hits, expected in (
            (reader.search(queries, 5, partial=True), one.search(queries, 5, allowed=there)),
            (reader.search(queries, 3000, partial=True), one.search(queries, 3000, allowed=there)),
            (reader.search_radius(queries, 20, partial=True), one.search_radius(queries, 20, allowed=there)),
        ):
            assert hits.missing_shards == (2, 4)
            np.testing.assert_array_equal(hits.ids, expected.ids)
            np.testing.assert_array_equal(hits.distances, expected.distances)
        with pytest.raises((FileNotFoundError, ModelFormatError)):
            reader.search(queries, 5)
        for call in (lambda: reader.ids, lambda: reader.reconstruct(one.ids), reader.verify):
            with pytest.raises((FileNotFoundError, ModelFormatError)):
                call()


def test_a_whole_answer_misses_no_shard(pair, rng):
    index, _ = pair
    assert index.search(make_codes(rng, 2), 3, partial=True).missing_shards == ()
    assert index.search_radius(make_codes(rng, 2), 3).missing_shards == ()


# --- a writer that dies while it commits ---


forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def commits_at_every_step(tmp_path, rng, steps):
    """Commits changes in three shards, ended at steps of it: what is there is all of the commit, or nothing of it."""
    rows = make_codes(rng, 30)
    with ShardedIndex(tmp_path / "before", n_bits=N_BITS, n_shards=3) as index:
        index.add(rows[:20])
        index.commit()
        before = state(index)
    found = []
    for call in steps:
        path = tmp_path / str(call)
        shutil.copytree(tmp_path / "before", path)

        def work(path=path, call=call):
            die_at_step(call)
            index = ShardedIndex(path)
            index.remove([3, 4, 5])
            index.add(rows[20:])
            index.commit()

        killed = was_killed(fork(work))
        with ShardedIndex(path) as index:
            index.verify()
            whole = state(index)
            found.append(whole != before)
            assert whole == before or (len(whole[2]) == 27 and whole[2][-1] == 29)
            # The next writer goes on from there, and publishes what was only prepared.
            index.upsert(rows[:9], np.arange(9) + 70)
            index.commit()
            expected = state(index)
        with ShardedIndex(path) as index:
            index.verify()
            assert state(index) == expected
            for shard in index._placement.shards:
                own = index.ids[shard_of_ids(index.ids, 3) == shard.number]
                np.testing.assert_array_equal(CodeIndex.open(shard.path).ids, own)
        shutil.rmtree(path)
        if not killed:
            break
    assert found == sorted(found)
    return found


@forks
def test_kills_at_some_steps_of_a_commit(tmp_path, rng):
    found = commits_at_every_step(tmp_path, rng, [0, 11, 12, 13, 26, 28, 30, 34, 1000])
    assert set(found) == {False, True}


@forks
@pytest.mark.slow("kills a writer at every step of a commit")
def test_kills_at_every_step_of_a_commit(tmp_path, rng):
    found = commits_at_every_step(tmp_path, rng, range(1000))
    assert len(found) > 20
    assert set(found) == {False, True}


def test_a_commit_that_fails_leaves_the_last_one(pair, path, monkeypatch):
    index, one = pair
    before = state(ShardedIndex(path))
    calls = []
    real = CodeIndex.prepare

    def prepare(self):
        calls.append(self)
        if len(calls) == 3:
            raise OSError("disk full")
        return real(self)

    monkeypatch.setattr(CodeIndex, "prepare", prepare)
    with pytest.raises(OSError, match="disk full"):
        index.commit()
    assert state(ShardedIndex(path)) == before
    assert state(index) == state(one)
    index.commit()
    assert state(ShardedIndex(path)) == state(one)


def test_a_lost_lock_commits_nothing(pair, path):
    index, _ = pair
    before = (path / "shards.json").read_bytes()
    (path / "lock").unlink()
    with pytest.raises(IndexChangedError, match="is not locked any more"):
        index.commit()
    assert (path / "shards.json").read_bytes() == before


def test_what_was_made_halfway_is_no_reason_to_refuse(path, monkeypatch):
    real = CodeIndex.save
    monkeypatch.setattr(CodeIndex, "save", lambda self, at: real(self, at) if "0002" not in str(at) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ShardedIndex(path, n_bits=8)
    monkeypatch.undo()
    with ShardedIndex(path, n_bits=8) as index:
        index.verify()


# --- memory and threads ---


def test_indexes_of_the_same_files_share_their_memory(pair, path, rng):
    index, _ = pair
    index.commit()

    def arrays(each):
        host = each._hosts._host
        return {id(segment.codes) for shard in host._open.values() for segment in shard._segments}

    with ShardedIndex(path) as reader, ShardedIndex(path, mmap=True) as mapped:
        reader.search(make_codes(rng, 1), 1)
        mapped.search(make_codes(rng, 1), 1)
        assert arrays(reader) == arrays(index)
        assert not arrays(mapped) & arrays(index)
        index.remove(index.ids[:1])
        index.commit()
        with ShardedIndex(path) as later:
            assert len(later.ids) == len(index)
            assert arrays(later) == arrays(index)


def test_searches_and_changes_in_threads(path, rng):
    """Each search sees all shards at one moment: after all of a change, or before it."""
    rows = make_codes(rng, 40)
    with ShardedIndex(path, n_bits=N_BITS, n_shards=4) as index:
        index.add(rows)
        stop, seen, errors = threading.Event(), set(), []

        def search():
            try:
                while not stop.is_set():
                    seen.add(len(index.search_radius(rows[:1], N_BITS).ids))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(30):
            index.upsert(rows[:20], np.arange(20) + 100)
            if i % 10 == 0:
                index.commit()
            index.remove(np.arange(20) + 100)
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert seen <= {40, 60}


def test_folders_of_an_index_are_absolute(tmp_path, monkeypatch, rng):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with ShardedIndex("mine", n_bits=N_BITS) as index:
        monkeypatch.chdir("elsewhere")
        index.add(make_codes(rng, 3))
        index.commit()
    assert len(ShardedIndex(tmp_path / "mine")) == 3
