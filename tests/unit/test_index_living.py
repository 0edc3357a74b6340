"""An index over its life: what it holds as it changes, and what of it is on disk."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pyhash import CodeIndex, IndexChangedError, IndexLockedError, ModelFormatError, codes


def make_codes(rng, n, n_bits=64):
    return codes.pack(rng.choice([-1, 1], size=(n, n_bits)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def saved(rng, path):
    """Three runs of rows, with removed ones in each; on disk."""
    index = CodeIndex(64)
    index.add(make_codes(rng, 3000), np.arange(3000) * 2)
    index.add(make_codes(rng, 300), np.arange(300) * 2 + 1)
    index.add(make_codes(rng, 30), np.arange(30) * 2 + 1001)
    index.remove([0, 2, 4, 5998, 1, 3, 1001])
    assert index.stats()["n_segments"] == 3
    index.save(path)
    yield index
    index.close()


def state(index):
    return index.n_bits, index.fingerprint, index.ids.tolist(), index.codes.tolist()


def files(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != "lock"}


# --- in memory ---


def test_an_id_that_is_taken_is_named(saved):
    before = state(saved)
    for ids, named in (([10**6, 8], 8), ([7, 10**6], 7), ([1003, 10**6], 1003)):
        with pytest.raises(ValueError, match=f"^ids must be new, {named} is in the index already$"):
            saved.add(saved.codes[:2], ids)
    assert state(saved) == before


def test_a_removed_id_may_come_again(saved, rng):
    row = make_codes(rng, 1)
    saved.add(row, [4])
    np.testing.assert_array_equal(saved.reconstruct([4]), row)
    saved.remove([4])
    assert 4 not in saved.ids


@pytest.mark.parametrize("unknown", [0, -1, 2**62, 1001])
def test_unknown_ids_are_named_and_nothing_changes(saved, unknown):
    before = state(saved)
    for call in (saved.reconstruct, saved.remove):
        with pytest.raises(KeyError, match=f"{unknown} is not in the index"):
            call([6, unknown, 7])
    assert state(saved) == before


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1.5], TypeError, "ids must be integers, got dtype float64"),
        (6, ValueError, r"ids must have shape \(n,\), got \(\)"),
        ([[6]], ValueError, r"ids must have shape \(n,\), got \(1, 1\)"),
        ("6", TypeError, "ids must be integers"),
        (np.array([2**63], np.uint64), ValueError, "ids must fit int64"),
    ],
)
def test_ids_of_other_kinds(saved, ids, error, message):
    before = state(saved)
    for call in (saved.reconstruct, saved.remove):
        with pytest.raises(error, match=message):
            call(ids)
    assert state(saved) == before


def test_remove_takes_an_id_twice_and_none_at_all(saved):
    n = len(saved)
    saved.remove([6, 6])
    saved.remove([])
    assert len(saved) == n - 1


def test_reconstruct_gives_codes_in_the_order_asked_for(saved):
    table = dict(zip(saved.ids.tolist(), saved.codes.tolist(), strict=True))
    wanted = [1003, 6, 599, 6]
    assert saved.reconstruct(wanted).tolist() == [table[number] for number in wanted]
    assert saved.reconstruct([]).shape == (0, 8)


def test_upsert_replaces_and_adds(saved, rng):
    new, before = make_codes(rng, 3), len(saved)
    assert saved.upsert(new, [6, 100_000, 7]).tolist() == [6, 100_000, 7]
    np.testing.assert_array_equal(saved.reconstruct([6, 100_000, 7]), new)
    assert len(saved) == before + 1
    state_before = state(saved)
    with pytest.raises(ValueError, match="ids must be unique, 6 was given 2 times"):
        saved.upsert(new[:2], [6, 6])
    with pytest.raises(ValueError, match=r"ids must have shape \(3,\), one for each code"):
        saved.upsert(new, [6])
    assert state(saved) == state_before


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_blocks_are_everything_once_and_ascending(saved, size):
    blocks = list(saved.blocks(size))
    assert {len(ids) <= size for ids, _ in blocks} == {True}
    assert all(len(ids) for ids, _ in blocks)
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in blocks]), saved.ids)
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), saved.codes)


def test_blocks_are_of_one_moment(saved, rng):
    ids = saved.ids.copy()
    blocks = saved.blocks(100)
    found = [next(blocks)[0]]
    saved.remove(ids[5:2000])
    saved.add(make_codes(rng, 1), [3])
    saved.compact()
    np.testing.assert_array_equal(np.concatenate([*found, *(block for block, _ in blocks)]), ids)


def test_wrong_blocks_are_refused_at_once(saved):
    with pytest.raises(ValueError, match="size must be an integer >= 1, got 0"):
        saved.blocks(0)


def test_compact_leaves_one_run_and_no_trace(saved):
    before = state(saved)
    stats = saved.stats()
    assert (stats["n_segments"], stats["n_removed"]) == (3, 7)
    saved.compact()
    stats = saved.stats()
    assert (stats["n_segments"], stats["n_removed"], stats["n"]) == (1, 0, 3323)
    assert stats["n_bytes"] == 3323 * 16
    assert state(saved) == before
    saved.remove(saved.ids)
    assert (len(saved), saved.stats()["n_segments"]) == (0, 0)


def test_small_additions_make_few_runs(rng):
    index = CodeIndex(64)
    for row in make_codes(rng, 1000):
        index.add(row[None])
        assert index.stats()["n_segments"] <= 1 + np.log2(len(index))
    for number in rng.permutation(1000)[:990]:
        index.remove([number])
        assert index.stats()["n_removed"] <= len(index)


def test_stats_say_that_repeated_codes_are_grouped(rng):
    rows = make_codes(rng, 300)
    index = CodeIndex(64)
    index.add(np.tile(rows, (10, 1)))
    stats = index.stats()
    assert (stats["n"], stats["grouped"], stats["n_scanned"]) == (3000, 0, 3000)
    assert not any(stats["layout_bytes"].values())
    index.search(rows[:20], 1)
    stats = index.stats()
    assert (stats["grouped"], stats["n_scanned"]) == (3000, 300)
    assert stats["layout_bytes"]["groups"] > 0
    index.add(make_codes(rng, 1000))
    assert (index.stats()["grouped"], index.stats()["n_scanned"]) == (3000, 1300)


def test_what_an_index_shows(saved, path):
    assert repr(saved) == f"CodeIndex(n_bits=64) with 3323 codes at {path}"
    saved.close()
    assert repr(saved) == "CodeIndex(n_bits=64) with 3323 codes"


def test_the_index_keeps_nothing_of_the_callers_arrays(rng):
    rows, ids = make_codes(rng, 5), np.arange(5)
    index = CodeIndex(64)
    given = index.add(rows, ids)
    before = state(index)
    rows[:], ids[:], given[:] = 0, 9, 9
    index.blocks()
    index.reconstruct([1])[:] = 0
    assert state(index) == before


def test_to_faiss_finds_the_same(saved, rng):
    faiss = pytest.importorskip("faiss")
    queries = make_codes(rng, 5)
    other, hits = saved.to_faiss(), saved.search(queries, 10)
    assert isinstance(other, faiss.IndexBinaryIDMap)
    distances, ids = other.search(queries, 10)
    np.testing.assert_array_equal(distances, hits.distances)
    assert all(saved.ids.tolist().count(number) == 1 for number in ids.ravel())
    plain = CodeIndex(12)
    plain.add(make_codes(rng, 4, 12))
    assert isinstance(plain.to_faiss(), faiss.IndexBinaryFlat)
    assert (plain.to_faiss().d, plain.to_faiss().ntotal) == (16, 4)


# --- on disk ---


@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_opens_as_it_was(saved, path, mmap):
    saved.close()
    index = CodeIndex.open(path, mmap=mmap)
    assert state(index) == state(saved)
    for stats in (got := index.stats(), want := saved.stats()):
        for of in stats["layouts"]:
            del of["reason"]
    assert got == want
    index.verify()


@pytest.mark.parametrize("mmap", ["no", 1, 0, None])
def test_mmap_is_a_bool(saved, path, mmap):
    with pytest.raises(TypeError, match=f"^mmap must be a bool, got {mmap!r}$"):
        CodeIndex.open(path, mmap=mmap)


@pytest.mark.parametrize("wrong", [b"index", 3, None, ["index"]])
def test_paths_are_str_or_path_like(saved, path, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    for call in (CodeIndex.open, saved.save, CodeIndex(8).save):
        with pytest.raises(TypeError, match=r"^path must be a str or an os\.PathLike of str, got ") as caught:
            call(wrong)
        assert str(caught.value).endswith(repr(wrong))
    assert sorted(os.listdir()) == before
    assert repr(saved).endswith(f"at {path}")


@pytest.mark.parametrize("mmap", [False, True])
def test_commits_are_found_and_nothing_else(saved, path, rng, mmap):
    saved.close()
    with CodeIndex.open(path, mmap=mmap) as index:
        index.add(make_codes(rng, 50))
        index.remove([6, 8])
        index.upsert(make_codes(rng, 2), [10, 7])
        index.commit()
        committed = state(index)
        index.remove([12])
        index.add(make_codes(rng, 9))
        index.compact()
        assert state(index) != committed
        assert state(CodeIndex.open(path)) == committed
    assert state(CodeIndex.open(path, mmap=mmap)) == committed


def test_a_commit_writes_only_what_is_new(saved, path, rng):
    before = {name for name in files(path) if name.endswith("codes.npy")}
    saved.add(make_codes(rng, 3))
    saved.remove([6])
    saved.commit()
    after = {name for name in files(path) if name.endswith("codes.npy")}
    assert len(after & before) == 3
    assert len(after - before) == 1
    saved.compact()
    saved.commit()
    assert len([name for name in files(path) if name.endswith(".npy")]) == 2
    assert state(CodeIndex.open(path)) == state(saved)


def test_save_goes_on_where_it_saved(saved, path, tmp_path, rng):
    saved.remove([8])
    saved.commit()
    first = state(saved)
    saved.save(tmp_path / "second")
    saved.add(make_codes(rng, 1))
    saved.commit()
    assert state(CodeIndex.open(path)) == first
    assert state(CodeIndex.open(tmp_path / "second")) == state(saved)
    CodeIndex.open(path).remove([6])  # its lock is free again


def test_save_knows_its_place_by_any_name(saved, path, tmp_path, rng):
    """The lock there is held by the index itself."""
    (tmp_path / "link").symlink_to(path)
    for target in (tmp_path / "link", path / ".." / "index", path):
        saved.remove(saved.ids[:1])
        saved.save(target)
        assert state(CodeIndex.open(path)) == state(saved)
    with pytest.raises(IndexLockedError):
        CodeIndex.open(path).remove([100])


def test_an_index_outlives_its_directory(saved, path, tmp_path):
    shutil.rmtree(path)
    with pytest.raises(FileNotFoundError):
        saved.remove([6])
    assert 6 in saved.ids
    saved.save(tmp_path / "again")
    assert state(CodeIndex.open(tmp_path / "again")) == state(saved)


def test_save_replaces_the_index_that_is_there(saved, path, rng):
    saved.close()
    other = CodeIndex(64, model="m" * 32)
    other.add(make_codes(rng, 5))
    other.save(path)
    assert state(CodeIndex.open(path)) == state(other)
    assert len([name for name in files(path) if name.endswith(".npy")]) == 2


def test_save_does_not_replace_what_is_something_else(saved, path, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("mine too")
    for target, message in (("mine", "new or empty directory, it holds 'thesis.txt'"), ("file", "it is a file")):
        with pytest.raises(FileExistsError, match=message):
            saved.save(tmp_path / target)
    with pytest.raises(FileNotFoundError):
        saved.save(tmp_path / "no" / "such" / "folder")
    with pytest.raises(ValueError, match="holds an index of 64 bits, this one has 8"):
        CodeIndex(8).save(path)
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    assert saved.stats()["n"] == 3323
    saved.commit()  # still there
    (tmp_path / "empty").mkdir()
    saved.save(tmp_path / "empty")
    assert len(CodeIndex.open(tmp_path / "empty")) == 3323


def test_what_is_not_on_disk_is_neither_committed_nor_verified(rng):
    index = CodeIndex(64)
    for call in (index.commit, index.verify):
        with pytest.raises(ValueError, match="needs an index on disk: save it to a directory first"):
            call()


def test_one_writer_at_a_time(saved, path, rng):
    saved.add(make_codes(rng, 1))
    other = CodeIndex.open(path)
    before = state(other)
    for call in (
        lambda: other.add(other.codes[:1]),
        lambda: other.upsert(other.codes[:1], [6]),
        lambda: other.remove([6]),
        other.compact,
        other.commit,
        lambda: other.save(path),
        lambda: CodeIndex(64).save(path),
    ):
        with pytest.raises(IndexLockedError, match=f"locked by process {os.getpid()} on host"):
            call()
    assert state(other) == before
    assert other.search(other.codes[:1], 1).ids.shape == (1, 1)
    saved.close()
    other.remove([6])
    with pytest.raises(IndexLockedError):
        CodeIndex.open(path).remove([8])


def test_the_lock_names_another_process(saved, path):
    saved.close()
    script = (
        "import sys, pyhash; i = pyhash.CodeIndex.open(sys.argv[1]); i.remove([6]); print('now', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "now\n"
        index = CodeIndex.open(path)
        with pytest.raises(IndexLockedError, match=f"locked by process {other.pid} on host"):
            index.remove([8])
        other.communicate("\n")
    index.remove([8])  # what the other did not commit has not happened
    assert 6 in index.ids
    index.close()


def test_a_writer_of_the_past_is_refused(saved, path, rng):
    old = CodeIndex.open(path)
    saved.remove([6])
    saved.commit()
    saved.close()
    before = state(old)
    for call in (lambda: old.remove([6]), lambda: old.add(old.codes[:1]), old.commit):
        with pytest.raises(IndexChangedError, match="has changed since it was opened, from generation 1 to 2: open it"):
            call()
    assert state(old) == before
    with CodeIndex.open(path) as index:
        index.remove([8])


def test_a_closed_index_stays_in_memory_only(saved, path, rng):
    saved.remove([6])
    saved.close()
    saved.close()
    saved.add(make_codes(rng, 1), [6])
    assert 6 in CodeIndex.open(path).ids
    with pytest.raises(ValueError, match="needs an index on disk"):
        saved.commit()


def test_a_block_that_fails_lets_others_in(saved, path):
    saved.close()

    def fail():
        with CodeIndex.open(path) as index:
            index.remove([6])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with CodeIndex.open(path) as index:
        index.remove([6])
        index.commit()
    assert 6 not in CodeIndex.open(path).ids


# Of a commit that writes one run and one mask: codes, ids, mask, their names, the manifest, its name.
LAST_SYNC = 5


@pytest.mark.parametrize("call", range(LAST_SYNC + 2))
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failed_commit_changes_nothing(saved, path, rng, monkeypatch, name, call):
    saved.add(make_codes(rng, 40))
    saved.remove([6])
    before, on_disk, stats = state(saved), files(path), saved.stats()
    function, n_calls = getattr(os, name), 0

    def failing(*arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls > call:
            raise OSError(28, "No space left on device")
        return function(*arguments)

    monkeypatch.setattr(os, name, failing)
    failed = False
    with suppress(OSError):
        failed = True
        saved.commit()
        failed = False
    assert failed == (n_calls > call)
    # Where but the last sync failed, after which nothing can be undone, all of it is in place.
    happened = CodeIndex.open(path).ids.tolist() == before[2]
    assert happened or files(path) == on_disk
    assert happened == (not failed or (name, call) == ("fsync", LAST_SYNC))
    assert (state(saved), saved.stats()) == (before, stats)
    monkeypatch.undo()
    saved.remove([8])
    saved.commit()
    saved.close()
    assert state(CodeIndex.open(path)) == state(saved)
    CodeIndex.open(path).verify()


def test_a_failed_save_leaves_the_index_where_it_was(saved, path, tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for target in (tmp_path / "other", path):
        with pytest.raises(OSError, match="No space left"):
            saved.save(target)
    monkeypatch.undo()
    assert repr(saved).endswith(f"at {path}")
    saved.remove([6])
    saved.commit()
    assert state(CodeIndex.open(path)) == state(saved)


def test_a_mapped_index_searches_alike_and_makes_no_layouts(saved, path, rng):
    mapped = CodeIndex.open(path, mmap=True)
    queries = make_codes(rng, 40)
    projections = rng.standard_normal((40, 64))
    for _ in range(3):
        np.testing.assert_array_equal(mapped.search(queries, 9).ids, saved.search(queries, 9).ids)
        np.testing.assert_array_equal(
            mapped.search_weighted(projections, 9).ids, saved.search_weighted(projections, 9).ids
        )
        np.testing.assert_array_equal(mapped.search_radius(queries, 25).ids, saved.search_radius(queries, 25).ids)
    assert sum(mapped.stats()["layout_bytes"].values()) == 0
    assert sum(saved.stats()["layout_bytes"].values()) > 0
    assert mapped.stats()["n_bytes"] == saved.stats()["n_bytes"]
    with pytest.raises(ValueError, match="read-only"):
        mapped._segments[0].codes[0] = 0


def test_every_flipped_byte_of_a_file_is_found(saved, path):
    saved.close()
    index = CodeIndex.open(path, mmap=True)
    for file in path.glob("*.npy"):
        whole = file.read_bytes()
        for place in {0, 40, len(whole) // 2, len(whole) - 1}:
            with open(file, "r+b") as target:
                target.seek(place)
                target.write(bytes([whole[place] ^ 8]))
            with pytest.raises(ModelFormatError, match=file.name):
                index.verify()
            with pytest.raises(ModelFormatError, match=file.name):
                CodeIndex.open(path)
            file.write_bytes(whole)
        index.verify()


def test_verify_notices_another_writer(saved, path):
    old = CodeIndex.open(path, mmap=True)
    saved.compact()
    saved.commit()
    ids, distances = old.search(old.codes[:3], 2).ids, old.search(old.codes[:3], 2).distances
    with pytest.raises(IndexChangedError):
        old.verify()
    # What is mapped stays readable.
    assert distances[:, 0].tolist() == [0, 0, 0]
    assert ids[:, 0].tolist() == old.ids[:3].tolist()


def test_a_relative_path_does_not_move(saved, tmp_path, monkeypatch, rng):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    index = CodeIndex(64)
    index.save("mine")
    monkeypatch.chdir("elsewhere")
    index.add(make_codes(rng, 2))
    index.commit()
    assert len(CodeIndex.open(tmp_path / "mine")) == 2
    assert os.listdir() == []


@pytest.mark.parametrize("again", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_are_indexes_of_their_own(rng, tmp_path, again):
    index = CodeIndex(12, model="m")
    index.add(codes.pack(rng.choice([-1, 1], size=(40, 12))), rng.permutation(100)[:40])
    index.save(tmp_path / "index")
    other = again(index)
    np.testing.assert_array_equal(other.codes, index.codes)
    np.testing.assert_array_equal(other.ids, index.ids)
    assert other.fingerprint == "m"
    other.remove(other.ids)
    assert (len(index), len(other)) == (40, 0)
    with pytest.raises(ValueError, match="commit needs an index on disk"):
        other.commit()


# --- a writer whose lock or directory is not its own any more ---


def remove_lock(path):
    """Another writer removes the lock file, commits, and is done."""
    (path / "lock").unlink()
    with CodeIndex.open(path) as other:
        other.add(other.codes[:1])
        other.commit()


def replace_lock(path):
    """Another writer removes the lock file, and holds a new one; it has not committed."""
    (path / "lock").unlink()
    (path / "lock").write_bytes(b"")


def only_remove_lock(path):
    (path / "lock").unlink()


def replace_directory(path):
    path.rename(path.with_name("moved"))
    other = CodeIndex(64)
    other.add(np.zeros((1, 8), np.uint8))
    other.save(path)


def copy_directory(path):
    """Equal in every byte, but another."""
    path.rename(path.with_name("moved"))
    shutil.copytree(path.with_name("moved"), path)


def remove_directory(path):
    shutil.rmtree(path)


def put_file_in_place(path):
    path.rename(path.with_name("moved"))
    path.write_bytes(b"mine")


def rewrite_manifest(path):
    """By a writer that knows no lock; as long, and valid."""
    other = CodeIndex(64)
    other.add(np.zeros((1, 8), np.uint8))
    other.save(path.with_name("other"))
    shutil.copy(path.with_name("other") / "manifest.json", path / "manifest.json")


def damage_manifest(path):
    (path / "manifest.json").write_bytes(b"{}")


def remove_manifest(path):
    (path / "manifest.json").unlink()


LOCK_LOST = [
    *(remove_lock, replace_lock, only_remove_lock),
    *(replace_directory, copy_directory, remove_directory, put_file_in_place),
]
MANIFEST_LOST = [rewrite_manifest, damage_manifest, remove_manifest]


def tree(path):
    if not path.is_dir():
        return path.read_bytes() if path.exists() else None
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("lose", LOCK_LOST + MANIFEST_LOST)
def test_a_writer_that_lost_its_directory_writes_nothing_and_can_save_elsewhere(saved, path, rng, lose, mmap):
    saved.close()
    index = CodeIndex.open(path, mmap=mmap)
    added = index.add(make_codes(rng, 50))
    index.remove([6])
    lose(path)
    held, there = state(index), tree(path)
    calls = [index.commit, lambda: index.save(path)]
    if lose in LOCK_LOST:
        calls += [index.compact, lambda: index.add(make_codes(rng, 1)), lambda: index.remove([8])]
    for call in calls * 2:
        with pytest.raises(IndexChangedError, match=str(path)):
            call()
        assert tree(path) == there
    assert state(index) == held
    assert index.search(index.reconstruct(added[:1]), k=1).distances.tolist() == [[0]]
    index.save(path.with_name("elsewhere"))
    index.remove([8])
    index.commit()
    assert tree(path) == there
    index.close()
    opened = CodeIndex.open(path.with_name("elsewhere"))
    opened.verify()
    assert state(opened) == state(index)


def test_two_writers_of_one_directory_do_not_both_commit(tmp_path, rng):
    """The first holds a lock that was removed; the index stays the second's, and whole."""
    path = tmp_path / "index"
    first = CodeIndex(64)
    first.save(path)
    first.add(make_codes(rng, 10))
    (path / "lock").unlink()
    second = CodeIndex.open(path)
    second.add(make_codes(rng, 20))
    with pytest.raises(IndexChangedError, match="lock file or the directory was removed or replaced"):
        first.commit()
    second.commit()
    with pytest.raises(IndexChangedError):
        first.commit()
    second.remove([0])
    second.commit()
    second.close()
    opened = CodeIndex.open(path)
    opened.verify()
    assert state(opened) == state(second)


def test_a_closed_index_replaces_what_is_there(saved, path):
    """This is the way out if the other writer's content is not wanted."""
    saved.add(np.zeros((1, 8), np.uint8))
    remove_lock(path)
    with pytest.raises(IndexChangedError):
        saved.commit()
    saved.close()
    saved.save(path)
    assert state(CodeIndex.open(path)) == state(saved)


def test_a_directory_that_was_renamed_is_saved_to_by_its_new_name(saved, path, rng):
    saved.add(make_codes(rng, 5))
    path.rename(path.with_name("moved"))
    with pytest.raises(IndexChangedError):
        saved.commit()
    saved.save(path.with_name("moved"))
    assert not path.exists()
    assert state(CodeIndex.open(path.with_name("moved"))) == state(saved)


@pytest.mark.parametrize("at", ["first", "second", "last"])
@pytest.mark.parametrize("lose", [remove_lock, replace_directory, only_remove_lock])
def test_a_lock_that_is_lost_while_a_commit_writes(saved, path, rng, monkeypatch, lose, at):
    """At the first file, at the second, and when only the manifest is to be replaced."""
    saved.add(make_codes(rng, 50))
    saved.remove([6])
    fsync, n_calls, there = os.fsync, [0], []

    def fsync_and_lose(descriptor):
        fsync(descriptor)
        n_calls[0] += 1
        if n_calls[0] == {"first": 1, "second": 2, "last": LAST_SYNC}[at]:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", fsync)
                lose(path)
            there.append((files(path), state(CodeIndex.open(path))))

    monkeypatch.setattr(os, "fsync", fsync_and_lose)
    with pytest.raises(IndexChangedError):
        saved.commit()
    monkeypatch.undo()
    (before, committed), after = there[0], files(path)
    # Nothing of the other writer's is gone or changed; of this one's, no manifest was put in place.
    names = [name for name in before if not name.endswith(".partial")]
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert state(CodeIndex.open(path)) == committed
    CodeIndex.open(path).verify()
    saved.save(path.with_name("elsewhere"))
    assert state(CodeIndex.open(path.with_name("elsewhere"))) == state(saved)


@pytest.mark.parametrize("lose", [remove_lock, remove_directory])
def test_a_lock_that_is_lost_just_before_a_file_is_made(saved, path, rng, monkeypatch, lose):
    """The file is there already, or its directory is not there any more."""
    saved.add(make_codes(rng, 50))
    unlink = Path.unlink

    def unlink_and_lose(file, **others):
        monkeypatch.setattr(Path, "unlink", unlink)
        unlink(file, **others)
        lose(path)

    monkeypatch.setattr(Path, "unlink", unlink_and_lose)
    with pytest.raises(IndexChangedError, match="is not locked any more"):
        saved.commit()
    if path.exists():
        CodeIndex.open(path).verify()
    saved.save(path.with_name("elsewhere"))
    assert state(CodeIndex.open(path.with_name("elsewhere"))) == state(saved)


def test_nothing_is_deleted_where_the_lock_is_lost_after_the_rename(saved, path, rng, monkeypatch):
    """Files that the finished commit would delete may belong to another writer."""
    saved.compact()
    replace = os.replace

    def replace_and_lose(source, target):
        replace(source, target)
        (path / "lock").unlink()
        (path / "segment-00000009.codes.npy").write_bytes(b"another's")

    monkeypatch.setattr(os, "replace", replace_and_lose)
    saved.commit()
    monkeypatch.undo()
    assert (path / "segment-00000009.codes.npy").exists()
    assert state(CodeIndex.open(path)) == state(saved)
