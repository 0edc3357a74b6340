import gc
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

from pyhash import ModelFormatError
from pyhash.errors import IndexChangedError, IndexLockedError
from pyhash.index import npy_file
from pyhash.index.directory import IndexDirectory
from pyhash.index.manifest import StoredSegment
from pyhash.index.segment_files import SegmentContent, Tables

N_BITS = 20
# Newer Pythons warn of forks where any library has started threads; these children only do what is tested.
forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def make(n, seed=0, masked=False):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (n, 3), dtype=np.uint8)
    codes[:, -1] &= 0x0F
    ids = np.cumsum(rng.integers(1, 50, n)) - 100
    alive = np.packbits(rng.integers(0, 2, n), bitorder="little") if masked else None
    return SegmentContent(codes, ids, alive)


def with_tables(content, seed=0, n_tables=3):
    data = np.random.default_rng(seed).integers(0, 256, 10 * len(content.ids) + 8, dtype=np.uint8)
    return replace(content, tables=Tables(n_tables, True, data))


def with_form(content, form, alive="same"):
    return replace(content, alive=content.alive if isinstance(alive, str) else alive, stored=form)


def assert_holds(path, contents, mmap=False):
    """The index of the path has exactly these contents; returns it."""
    directory, loaded = IndexDirectory.read(path, mmap=mmap)
    assert len(loaded) == len(contents)
    for arrays, content in zip(loaded, contents, strict=True):
        tables = None if content.tables is None else content.tables.data
        for got, want in zip(arrays, (content.codes, content.ids, content.alive, tables), strict=True):
            assert (got is None) == (want is None)
            if want is not None:
                assert got.dtype == want.dtype
                assert np.array_equal(got, want)
                assert not got.flags.writeable
    directory.verify()
    return directory


def names(path):
    return sorted(os.listdir(path))


def assert_no_leftovers(path):
    named = {name for segment in IndexDirectory.open(path).segments for name in segment.files}
    assert set(names(path)) == named | {"manifest.json", "lock"}


@pytest.fixture
def contents():
    return [make(100, 1), with_tables(make(77, 2, masked=True))]


@pytest.fixture
def path(tmp_path, contents):
    IndexDirectory.create(tmp_path / "index", N_BITS).commit(contents, "model-a")
    return tmp_path / "index"


# --- round trips ---


@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_committed_is_read(path, contents, mmap):
    directory = assert_holds(path, contents, mmap)
    assert (directory.n_bits, directory.fingerprint, directory.generation) == (N_BITS, "model-a", 1)
    assert [segment.n for segment in directory.segments] == [100, 77]
    assert directory.path == path


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("masked", [False, True])
def test_small_segments(tmp_path, n, masked, mmap):
    content = make(n, masked=masked)
    IndexDirectory.create(tmp_path, N_BITS).commit([content], None)
    assert_holds(tmp_path, [content], mmap)


def test_segments_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_file, "_BLOCK_BYTES", 64)
    contents = [make(n, masked=True) for n in (20, 21, 22, 1000)]
    IndexDirectory.create(tmp_path, N_BITS).commit(contents, None)
    assert_holds(tmp_path, contents)
    assert_holds(tmp_path, contents, mmap=True)


def test_files_are_plain_npy_files(path, contents):
    np.testing.assert_array_equal(np.load(path / "segment-00000001.codes.npy"), contents[0].codes)
    np.testing.assert_array_equal(np.load(path / "segment-00000001.ids.npy", mmap_mode="r"), contents[0].ids)
    np.testing.assert_array_equal(np.load(path / "segment-00000002.alive-00000001.npy"), contents[1].alive)
    form = IndexDirectory.open(path).segments[0]
    assert form.codes_crc == zlib.crc32((path / "segment-00000001.codes.npy").read_bytes())
    assert form.ids_crc == zlib.crc32((path / "segment-00000001.ids.npy").read_bytes())


def test_an_index_without_segments(tmp_path):
    IndexDirectory.create(tmp_path / "index", 8).commit([], None)
    assert_holds(tmp_path / "index", [])


def test_maps_are_maps(path):
    codes, ids, alive, _ = IndexDirectory.open(path).load(IndexDirectory.open(path).segments[1], mmap=True)
    assert isinstance(codes.base, np.memmap)
    assert isinstance(ids.base, np.memmap)
    assert not isinstance(alive.base, np.memmap)


def test_maps_outlive_the_files(path, contents):
    codes, ids, *_ = IndexDirectory.open(path).load(IndexDirectory.open(path).segments[0], mmap=True)
    IndexDirectory.open(path).commit([], None)
    assert not list(path.glob("segment*"))
    assert np.array_equal(codes, contents[0].codes)
    assert np.array_equal(ids, contents[0].ids)


def test_equal_content_gives_equal_bytes(tmp_path, contents):
    for name in ("a", "b"):
        IndexDirectory.create(tmp_path / name, N_BITS).commit(contents, "f")
    assert names(tmp_path / "a") == names(tmp_path / "b")
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_stored_segments_are_not_written_again(path, contents):
    directory = IndexDirectory.open(path)
    before = {name: os.stat(path / name).st_ino for name in names(path) if name != "manifest.json"}
    more = make(5, 3)
    forms = directory.commit([with_form(c, s) for c, s in zip(contents, directory.segments, strict=True)] + [more], "b")
    assert forms == list(directory.segments)
    assert [form.name for form in forms] == ["segment-00000001", "segment-00000002", "segment-00000003"]
    assert before.items() <= {name: os.stat(path / name).st_ino for name in names(path)}.items()
    assert_holds(path, [*contents, more])
    assert (directory.generation, directory.fingerprint) == (2, "b")


def test_a_new_mask_is_all_that_is_written(path, contents):
    directory = IndexDirectory.open(path)
    before = {name: os.stat(path / name).st_ino for name in path.glob("*.codes.npy")}
    masks = [make(100, 8, masked=True).alive, make(77, 9, masked=True).alive]
    changed = [with_form(c, s, a) for c, s, a in zip(contents, directory.segments, masks, strict=True)]
    forms = directory.commit(changed, None)
    assert [form.alive for form in forms] == [f"segment-0000000{i}.alive-00000002.npy" for i in (1, 2)]
    assert before == {name: os.stat(path / name).st_ino for name in path.glob("*.codes.npy")}
    assert_holds(path, changed)
    assert_no_leftovers(path)
    bare = [with_form(c, s, None) for c, s in zip(contents, forms, strict=True)]
    directory.commit(bare, None)
    assert_holds(path, bare)
    assert_no_leftovers(path)


def test_a_mask_of_equal_crc_is_another_mask(path, contents, monkeypatch):
    directory = IndexDirectory.open(path)
    monkeypatch.setattr(zlib, "crc32", lambda data, crc=0: 5)
    directory = IndexDirectory.create(path.parent / "other", N_BITS)
    forms = directory.commit(contents, None)
    changed = [contents[0], with_form(contents[1], forms[1], contents[1].alive ^ np.uint8(1))]
    directory.commit(changed, None)
    assert_holds(path.parent / "other", changed)


def test_a_damaged_mask_is_written_anew(path, contents):
    directory = IndexDirectory.open(path)
    (path / directory.segments[1].alive).write_bytes(b"")
    directory.commit([with_form(c, s) for c, s in zip(contents, directory.segments, strict=True)], None)
    assert_holds(path, contents)


def test_a_form_that_the_directory_does_not_have_is_written(path, contents, tmp_path):
    forms = IndexDirectory.open(path).segments
    other = [make(100, 5), make(77, 6)]
    directory = IndexDirectory.create(tmp_path / "other", N_BITS)
    directory.commit(other, None)
    directory.commit([with_form(c, s) for c, s in zip(contents, forms, strict=True)], None)
    assert_holds(tmp_path / "other", contents)


def test_names_are_never_given_twice(path, contents):
    directory = IndexDirectory.open(path)
    seen = {name for form in directory.segments for name in form.files}
    for _ in range(3):
        directory.commit([], None)
        directory = IndexDirectory.open(path)
        new = {name for form in directory.commit(contents, None) for name in form.files}
        assert not new & seen
        seen |= new


def test_writing_and_verifying_take_little_memory(tmp_path):
    n = 4_000_000
    codes = np.lib.format.open_memmap(tmp_path / "codes.npy", mode="w+", dtype=np.uint8, shape=(n, 16))
    content = SegmentContent(codes, np.arange(n))
    directory = IndexDirectory.create(tmp_path / "index", 128)
    tracemalloc.start()
    try:
        directory.commit([content], None)
        directory.verify()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16e6  # of 96e6


# --- what may be committed ---


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"codes": np.zeros((2, 3), np.int8)}, TypeError, "codes of a segment must be an array of uint8, got int8"),
        ({"codes": [[0, 0, 0]] * 2}, TypeError, "codes of a segment must be an array of uint8, got list"),
        ({"codes": np.zeros((2, 4), np.uint8)}, ValueError, r"codes of a segment must have shape \(2, 3\) .* \(2, 4\)"),
        ({"codes": np.zeros((3, 3), np.uint8)}, ValueError, r"codes of a segment must have shape \(2, 3\) .* \(3, 3\)"),
        ({"codes": np.zeros((3, 2), np.uint8).T}, ValueError, "and be contiguous, got .*, not contiguous"),
        ({"codes": np.full((2, 3), 255, np.uint8)}, ValueError, "codes must have zero padding bits for n_bits=20"),
        ({"ids": np.arange(2, dtype=np.int32)}, TypeError, "ids of a segment must be an array of int64, got int32"),
        ({"ids": np.arange(4)[::2]}, ValueError, "ids of a segment must .*, not contiguous"),
        ({"ids": np.array([3, 3])}, ValueError, "ids must be strictly ascending"),
        ({"alive": np.zeros(2, np.uint8)}, ValueError, r"alive of a segment must have shape \(1,\)"),
        ({"alive": np.ones(1, bool)}, TypeError, "alive of a segment must be an array of uint8, got bool"),
        ({"alive": np.full(1, 4, np.uint8)}, ValueError, "alive must have zero padding bits for 2 rows"),
    ],
)
def test_content_is_checked(path, contents, arrays, error, message):
    content = SegmentContent(**{"codes": np.zeros((2, 3), np.uint8), "ids": np.arange(2)} | arrays)
    directory, before = IndexDirectory.open(path), names(path)
    with pytest.raises(error, match=message):
        directory.commit([make(5), content], None)
    assert names(path) == before
    assert_holds(path, contents)
    assert not directory.locked


def test_ids_are_compared_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_file, "_BLOCK_BYTES", 16)
    ids = np.array([1, 2, 2, 3])
    with pytest.raises(ValueError, match="ids must be strictly ascending"):
        IndexDirectory.create(tmp_path / "index", 8).commit([SegmentContent(np.zeros((4, 1), np.uint8), ids)], None)


def test_a_form_serves_one_segment(path, contents):
    directory = IndexDirectory.open(path)
    with pytest.raises(ValueError, match="segments must have different names"):
        directory.commit([with_form(contents[0], directory.segments[0])] * 2, None)
    assert_holds(path, contents)


def test_fingerprints_are_strings(path, contents):
    with pytest.raises(TypeError, match="fingerprint must be a string or None, got 5"):
        IndexDirectory.open(path).commit([make(3)], 5)
    assert_holds(path, contents)
    assert_no_leftovers(path)


# --- where an index may be, and where none is ---


def test_a_missing_directory_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        IndexDirectory.open(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        IndexDirectory.create(tmp_path / "nothing" / "index", 8)


def test_a_directory_without_a_manifest_is_no_index(tmp_path):
    with pytest.raises(ModelFormatError, match=r"is not an index: it has no manifest\.json"):
        IndexDirectory.open(tmp_path)
    directory = IndexDirectory.create(tmp_path / "index", 8)
    directory.lock()
    with pytest.raises(ModelFormatError, match=r"is not an index: it has no manifest\.json"):
        IndexDirectory.open(tmp_path / "index")


def test_create_spares_what_is_there(path, tmp_path):
    with pytest.raises(FileExistsError, match="must be a new directory, it is an index already"):
        IndexDirectory.create(path, 8)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").touch()
    with pytest.raises(FileExistsError, match="must be a new or empty directory, it holds 'letter'"):
        IndexDirectory.create(tmp_path / "home", 8)
    with pytest.raises(ValueError, match="n_bits must be"):
        IndexDirectory.create(tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()


def test_of_two_who_create_one_wins(tmp_path):
    first, second = (IndexDirectory.create(tmp_path / "index", N_BITS) for _ in range(2))
    first.commit([make(3)], None)
    with pytest.raises(IndexChangedError, match="from generation 0 to 1: open it again"):
        second.commit([], None)
    assert_holds(tmp_path / "index", [make(3)])


def test_a_read_only_directory_can_be_read(path, contents):
    modes = {file: os.stat(file).st_mode for file in [path, *path.iterdir()]}
    for file, mode in modes.items():
        os.chmod(file, mode & ~0o222)
    try:
        assert_holds(path, contents)
        assert_holds(path, contents, mmap=True)
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                IndexDirectory.open(path).lock()
    finally:
        for file, mode in modes.items():
            os.chmod(file, mode)


# --- damage ---

FILES = [
    "manifest.json",
    "segment-00000001.codes.npy",
    "segment-00000001.ids.npy",
    "segment-00000002.codes.npy",
    "segment-00000002.ids.npy",
    "segment-00000002.alive-00000001.npy",
    "segment-00000002.tables-00000001.npy",
]


def refused(path, name, mmap=False, match=None):
    with pytest.raises(ModelFormatError, match=match) as caught:
        IndexDirectory.read(path, mmap=mmap)
    assert str(path / name) in str(caught.value)


def places(whole):
    """Every byte of an .npy header and of a manifest's end, and of the rest some."""
    return sorted({*range(130), *range(130, len(whole), 13), *range(len(whole) - 10, len(whole))})


@pytest.mark.parametrize("name", FILES)
def test_every_damaged_byte_is_noticed(path, name):
    whole = (path / name).read_bytes()
    for place in places(whole):
        (path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        refused(path, name)
        if name != "manifest.json":
            with pytest.raises(ModelFormatError, match=name):
                IndexDirectory.open(path).verify()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_noticed(path, name, mmap):
    whole = (path / name).read_bytes()
    for length in places(whole):
        (path / name).write_bytes(whole[:length])
        refused(path, name, mmap)
    (path / name).write_bytes(whole + b"\0")
    refused(path, name, mmap)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "content", [b"hello", b"PK\x03\x04" + bytes(200), b"\x80\x04N.", b"\x93NUMPY\x02\x00" + bytes(99), b"[" * 99999]
)
@pytest.mark.parametrize("name", FILES)
def test_foreign_files(path, name, content, mmap):
    (path / name).write_bytes(content)
    refused(path, name, mmap)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_directories_in_place_of_files(path, name, mmap):
    (path / name).unlink()
    (path / name).mkdir()
    refused(path, name, mmap, match="it is a directory")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", FILES[1:])
def test_missing_files(path, name, mmap):
    (path / name).unlink()
    refused(path, name, mmap, match=r"is missing, .*manifest.json names it")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.zeros((99, 3), np.uint8),
        np.zeros((100, 3), np.int8),
        np.zeros((3, 100), np.uint8).T,
        np.zeros(300, np.uint8),
        np.array([{}], dtype=object),
    ],
)
def test_other_arrays_in_place_of_codes(path, array, mmap):
    name = "segment-00000001.codes.npy"
    np.save(path / name, array, allow_pickle=True)
    refused(path, name, mmap, match=r"must hold uint8 of shape \(100, 3\) in C order")


def rewrite(path, change):
    """Changes the manifest, and makes its crc right."""
    content = json.loads((path / "manifest.json").read_bytes())
    change(content)
    content.pop("crc32")
    body = json.dumps(content, indent=1).removesuffix("\n}").encode()
    (path / "manifest.json").write_bytes(body + b',\n "crc32": %d\n}\n' % zlib.crc32(body))


def test_rewriting_without_a_change_is_valid(path, contents):
    before = (path / "manifest.json").read_bytes()
    rewrite(path, lambda m: None)
    assert (path / "manifest.json").read_bytes() == before
    assert_holds(path, contents)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("codes", np.full((100, 3), 255, np.uint8), "codes must have zero padding bits"),
        ("ids", np.zeros(100, np.int64), "ids must be strictly ascending"),
        ("alive", np.full(10, 255, np.uint8), "alive must have zero padding bits for 77 rows"),
    ],
)
def test_content_is_checked_though_the_crc_is_right(path, name, array, message):
    segment = 1 if name == "alive" else 0
    file = next(f for f in FILES if name in f and f"0{segment + 1}." in f)
    np.save(path / file, array)
    crc = zlib.crc32((path / file).read_bytes())
    rewrite(path, lambda m: m["segments"][segment].update({f"{name}_crc": crc}))
    refused(path, file, match=message)
    with pytest.raises(ModelFormatError, match=message):
        IndexDirectory.open(path).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=3), "format version 3, this pyhash reads up to 2: install a newer pyhash"),
        (lambda m: m.update(version="1"), "no valid format version, got '1'"),
        (lambda m: m.update(version=True), "no valid format version, got True"),
        (lambda m: m.update(format="other"), "it names another format"),
        (lambda m: m.update(n_bits=0), "n_bits must be an integer from 1"),
        (lambda m: m.update(n_bits=20.0), "n_bits must be an integer from 1"),
        (lambda m: m.pop("n_bits"), "n_bits"),
        (lambda m: m.update(fingerprint=5), "fingerprint must be a string or None, got 5"),
        (lambda m: m.update(generation=0), "generation must be an integer >= 1, got 0"),
        (lambda m: m.update(generation=10**40), "generation must be an integer from 0"),
        (lambda m: m.pop("generation"), "generation must be an integer >= 1, got None"),
        (lambda m: m.update(next_segment=2), "next_segment must be above segment-00000002, got 2"),
        (lambda m: m.update(next_segment=None), "next_segment must be an integer"),
        (lambda m: m.pop("next_segment"), "next_segment"),
        (lambda m: m.update(more=1), "more"),
        (lambda m: m.update(segments={}), "segments must be a list of objects"),
        (lambda m: m.update(segments=[5]), "segments must be a list of objects"),
        (lambda m: m.pop("segments"), "segments must be a list of objects"),
        (lambda m: m["segments"].append(m["segments"][0]), "segments must have different names"),
        (lambda m: m["segments"][0].update(more=1), "more"),
        (lambda m: m["segments"][0].pop("n"), "'n'"),
        (lambda m: m["segments"][0].update(n=-1), "n must be an integer from 0 to"),
        (lambda m: m["segments"][0].update(n=True), "n must be an integer from 0 to"),
        (lambda m: m["segments"][0].update(n=10**30), "n must be an integer from 0 to"),
        (lambda m: m["segments"][0].update(codes_crc=-1), "codes_crc must be an integer from 0 to"),
        (lambda m: m["segments"][0].update(ids_crc=1 << 32), "ids_crc must be an integer from 0 to"),
        (lambda m: m["segments"][1].update(alive_crc=None), "alive_crc must be an integer from 0 to"),
        (lambda m: m["segments"][1].update(alive=None), "alive must be like segment-00000002.alive-0.*got None"),
        (lambda m: m["segments"][1].update(alive=["x"]), "alive must be like segment-00000002.alive-00000001.npy"),
        (lambda m: m["segments"][1].update(tables=5), "tables must be an object, got 5"),
        (lambda m: m["segments"][1]["tables"].update(more=1), "more"),
        (lambda m: m["segments"][1]["tables"].pop("crc"), "'crc'"),
        (lambda m: m["segments"][1]["tables"].update(crc=-1), "crc must be an integer from 0 to"),
        (lambda m: m["segments"][1]["tables"].update(size=0), "size must be an integer from 1 to"),
        (lambda m: m["segments"][1]["tables"].update(n_tables=0), "n_tables must be an integer from 1 to"),
        (lambda m: m["segments"][1]["tables"].update(with_codes=1), "with_codes must be a bool, got 1"),
        (lambda m: m["segments"][1]["tables"].update(name=5), "tables must be like segment-00000002.tables-0.*got 5"),
        (lambda m: m["segments"][0].update(name=7), "name of a segment must be like segment-00000001, got 7"),
    ],
)
def test_manifests_are_checked(path, change, message):
    rewrite(path, change)
    for mmap in (False, True):
        refused(path, "manifest.json", mmap, match=message)


@pytest.mark.parametrize("n", [99, 101, 10**12])
def test_sizes_of_the_manifest_are_checked(path, n):
    rewrite(path, lambda m: m["segments"][0].update(n=n))
    for mmap in (False, True):
        refused(path, FILES[1], mmap, match=rf"must hold uint8 of shape \({n}, 3\)")


PATHS = [
    "../segment-00000001",
    "/tmp/segment-00000001",
    "x/segment-00000001",
    "segment-00000001/",
    "segment-00000001\n",
    "segment-00000001\0",
    "segment-1",
    "segment-000000001",
    "segment-٠٠٠٠٠٠٠١",
    "segment-99999999999999999999999",
    "",
    ".",
    "..",
]


@pytest.mark.parametrize("name", PATHS)
def test_names_that_are_paths(path, name):
    rewrite(path, lambda m: m["segments"][0].update(name=name))
    refused(path, "manifest.json", match="name of a segment must be like segment-00000001, got")
    with pytest.raises(ValueError, match="name of a segment must be like"):
        StoredSegment(name, 1, 2, 3)


@pytest.mark.parametrize(
    "name",
    [
        "../segment-00000002.alive-00000001.npy",
        "segment-00000002.alive-../../x.npy",
        "segment-00000002.alive-00000001.npy\n",
        "segment-00000001.alive-00000001.npy",
        "segment-00000002.codes.npy",
        "manifest.json",
    ],
)
def test_masks_that_are_paths(path, name):
    rewrite(path, lambda m: m["segments"][1].update(alive=name))
    refused(path, "manifest.json", match="alive must be like segment-00000002.alive-00000001.npy, got")


@pytest.mark.parametrize("name", ["../segment-00000002.tables-00000001.npy", "segment-00000001.tables-00000001.npy"])
def test_tables_that_are_paths(path, name):
    rewrite(path, lambda m: m["segments"][1]["tables"].update(name=name))
    refused(path, "manifest.json", match="tables must be like segment-00000002.tables-00000001.npy, got")


# --- tables ---


def test_tables_come_and_stay(path, contents):
    directory = IndexDirectory.open(path)
    first = directory.segments[1].tables
    assert (first.name, first.n_tables, first.with_codes) == ("segment-00000002.tables-00000001.npy", 3, True)
    kept = [replace(with_form(c, s), tables=None) for c, s in zip(contents, directory.segments, strict=True)]
    directory.commit(kept, None)
    assert_holds(path, contents)  # without being given, they stay
    added = [with_tables(kept[0], 5), with_tables(kept[1], 6, n_tables=4)]
    assert [form.tables.name for form in directory.commit(added, None)] == [
        f"segment-0000000{i}.tables-00000003.npy" for i in (1, 2)
    ]
    assert_holds(path, added)
    assert_no_leftovers(path)


def test_tables_are_left_out(path):
    for mmap in (False, True):
        _, loaded = IndexDirectory.read(path, mmap=mmap, with_tables=False)
        assert [arrays.tables for arrays in loaded] == [None, None]


def test_an_index_without_tables_is_of_version_1(tmp_path):
    """Older releases read it."""
    directory = IndexDirectory.create(tmp_path / "index", N_BITS)
    directory.commit([make(9)], None)
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["version"] == 1
    assert "tables" not in (tmp_path / "index" / "manifest.json").read_text()
    directory.commit([with_tables(make(9))], None)
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["version"] == 2


# --- writes that fail ---


class Calls:
    """The calls of os.fsync and os.replace with the inode of their file; one of them may fail."""

    def __init__(self, patch, fail_at=None, error=None, late=False):
        self.log, self.fail_at, self.error, self.late = [], fail_at, error, late
        for name in ("fsync", "replace"):
            patch.setattr(os, name, self._logged(name, getattr(os, name)))

    def _logged(self, name, function):
        def logged(file, *others):
            self.log.append((name, os.stat(file).st_ino))
            failing = len(self.log) - 1 == self.fail_at
            if failing and not self.late:
                raise self.error
            function(file, *others)
            if failing:
                raise self.error

        return logged


def changes_of(directory, contents):
    """All that a commit can do: a segment stays and gets tables and a mask, one goes, one comes."""
    return [
        with_tables(with_form(contents[0], directory.segments[0], make(100, 4, masked=True).alive)),
        make(50, 5, masked=True),
    ]


# The calls of that commit: fsync of tables, of a mask, and of a new segment's codes, ids and mask, of the directory, of
# the manifest; its rename; fsync of the directory.
N_CALLS, RENAME = 9, 7


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
@pytest.mark.parametrize("fail_at", range(N_CALLS))
def test_a_commit_that_fails_leaves_the_last_one(path, contents, monkeypatch, fail_at, error, late):
    """At every fsync and rename in turn, before and after the call did its work."""
    directory, before = IndexDirectory.open(path), names(path)
    changed = changes_of(directory, contents)
    with monkeypatch.context() as patch:
        calls = Calls(patch, fail_at, error, late)
        with pytest.raises(type(error)):
            directory.commit(changed, "model-b")
    assert calls.log[fail_at][0] == ("replace" if fail_at == RENAME else "fsync")
    assert not directory.locked
    # After the rename there is no way back: the new commit is what everybody sees.
    stands = fail_at > RENAME or (fail_at == RENAME and late)
    assert directory.generation == (2 if stands else 1)
    assert directory.fingerprint == ("model-b" if stands else "model-a")
    assert_holds(path, changed if stands else contents)
    if not stands:
        assert names(path) == before
    # The object goes on from there, whichever it is; forms that are gone are written again.
    directory.commit(changed, "model-b")
    assert_holds(path, changed)
    assert_no_leftovers(path)


@pytest.mark.parametrize("fail_at", range(RENAME + 1))
def test_a_first_commit_that_fails_leaves_no_index(tmp_path, contents, monkeypatch, fail_at):
    directory = IndexDirectory.create(tmp_path / "index", N_BITS)
    with monkeypatch.context() as patch:
        calls = Calls(patch, fail_at, OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            directory.commit([make(3), with_tables(make(4))], None)
    assert len(calls.log) == fail_at + 1
    assert names(tmp_path / "index") == ["lock"]
    assert directory.generation == 0
    with pytest.raises(ModelFormatError, match="is not an index"):
        IndexDirectory.open(tmp_path / "index")
    IndexDirectory.create(tmp_path / "index", N_BITS).commit(contents, None)
    assert_holds(tmp_path / "index", contents)


def test_a_disk_that_fills_while_a_segment_is_written(path, contents, monkeypatch):
    before = names(path)
    crc32, n_calls = zlib.crc32, [0]

    def full(data, crc=0):
        n_calls[0] += 1
        if n_calls[0] == 4:
            raise OSError(28, "No space left on device")
        return crc32(data, crc)

    directory = IndexDirectory.open(path)
    monkeypatch.setattr(zlib, "crc32", full)
    monkeypatch.setattr(npy_file, "_BLOCK_BYTES", 512)
    directory.lock()
    n_calls[0] = 0
    with pytest.raises(OSError, match="No space left"):
        directory.commit([make(10_000)], None)
    monkeypatch.undo()
    assert names(path) == before
    assert_holds(path, contents)


def test_every_file_is_on_disk_before_the_manifest_names_it(path, contents, monkeypatch):
    directory, old = IndexDirectory.open(path), set(names(path))
    calls = Calls(monkeypatch)
    directory.commit(changes_of(directory, contents), None)
    kinds = [kind for kind, _ in calls.log]
    assert kinds == ["fsync"] * RENAME + ["replace", "fsync"]
    new = {os.stat(path / name).st_ino for name in set(names(path)) - old}
    here = os.stat(path).st_ino
    inodes = [inode for _, inode in calls.log]
    assert set(inodes[:5]) == new
    assert inodes[5] == inodes[8] == here
    assert inodes[6] == inodes[RENAME] == os.stat(path / "manifest.json").st_ino


def test_nothing_is_deleted_before_the_new_manifest_is_in_place(path, monkeypatch):
    directory, fsync, gone_at_syncs = IndexDirectory.open(path), os.fsync, []
    old = {name for form in directory.segments for name in form.files}

    def look(descriptor):
        gone_at_syncs.append(bool(old - set(names(path))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    directory.commit([make(3)], None)
    assert gone_at_syncs == [False] * 5  # codes, ids, the directory, the manifest, the directory
    assert not old & set(names(path))


def test_leftovers_of_dead_writers_are_deleted_and_nothing_else(path, contents):
    leftovers = [
        "segment-00000003.codes.npy",
        "segment-00000003.ids.npy",
        "segment-00000001.alive-00000002.npy",
        ".manifest.json.0123abcd.partial",
    ]
    foreign = ["notes.txt", "segment-3.codes.npy", "segment-00000003.codes.npy.bak", ".other.0123abcd.partial"]
    for name in leftovers + foreign:
        (path / name).write_bytes(b"left")
    (path / "segment-00000009.ids.npy").mkdir()
    assert_holds(path, contents)
    directory = IndexDirectory.open(path)
    more = make(9, 3)
    # Its first new name is that of a leftover.
    directory.commit([with_form(c, s) for c, s in zip(contents, directory.segments, strict=True)] + [more], None)
    assert_holds(path, [*contents, more])
    named = {name for segment in directory.segments for name in segment.files}
    # What cannot be deleted stays.
    assert set(names(path)) == named | {*foreign, "manifest.json", "lock", "segment-00000009.ids.npy"}


def test_a_link_in_place_of_a_leftover_is_not_followed(path, contents, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (path / "segment-00000003.codes.npy").symlink_to(tmp_path / "precious")
    IndexDirectory.open(path).commit([make(5)], None)
    assert_holds(path, [make(5)])
    assert (tmp_path / "precious").read_bytes() == b"precious"


# --- readers beside a writer ---


def variants():
    """Contents of commits, of which nothing can be mistaken for that of another: ids say the commit."""
    return [[make(200 + g, 1000 + g, masked=True), make(20, 2000 + g)] for g in range(10)]


@pytest.mark.parametrize("mmap", [False, True])
def test_reading_while_a_writer_commits(tmp_path, mmap):
    states = variants()
    writer = IndexDirectory.create(tmp_path, N_BITS)
    writer.commit(states[1], "1")
    stop, failures = threading.Event(), []

    def write():
        try:
            for g in range(2, 52):
                writer.commit(states[g % 10], str(g))
        except BaseException as error:
            failures.append(error)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not stop.is_set():
        directory, loaded = IndexDirectory.read(tmp_path, mmap=mmap)
        assert directory.fingerprint == str(directory.generation)
        for arrays, content in zip(loaded, states[directory.generation % 10], strict=True):
            assert np.array_equal(arrays[0], content.codes)
            assert np.array_equal(arrays[1], content.ids)
            assert arrays[2] is content.alive is None or np.array_equal(arrays[2], content.alive)
        seen.add(directory.generation)
    thread.join()
    assert not failures
    assert len(seen) > 3
    assert_holds(tmp_path, states[51 % 10])


@pytest.mark.parametrize("n_times", [1, 2])
def test_a_reader_tries_again_when_files_are_gone(path, contents, monkeypatch, n_times):
    """A writer commits between the reader's look at the manifest and the load of its second segment."""
    load, states = IndexDirectory.load, variants()
    loads = []

    def load_late(self, segment, **options):
        loads.append(segment.name)
        if len(loads) in (2, 3)[:n_times]:
            writer = IndexDirectory.open(path)
            writer.commit([with_form(contents[0], writer.segments[0]), *states[len(loads)]], None)
        return load(self, segment, **options)

    monkeypatch.setattr(IndexDirectory, "load", load_late)
    directory, loaded = IndexDirectory.read(path, mmap=False)
    assert directory.generation == 1 + n_times
    assert [len(arrays[1]) for arrays in loaded] == [100, *(len(c.ids) for c in states[1 + n_times])]
    # What the reader has, it does not read again.
    assert loads.count("segment-00000001") == 1


def test_a_stale_object_says_that_it_is_stale(path, contents):
    directory, segments = IndexDirectory.open(path), IndexDirectory.open(path).segments
    IndexDirectory.open(path).commit([make(3)], None)
    message = "index has changed since it was opened, from generation 1 to 2: open it again"
    for mmap in (False, True):
        with pytest.raises(IndexChangedError, match=message):
            directory.load(segments[0], mmap=mmap)
    for call in (directory.verify, directory.lock, lambda: directory.commit([], None)):
        with pytest.raises(IndexChangedError, match=message):
            call()
    assert not directory.locked
    IndexDirectory.open(path).lock()  # is free
    assert_holds(path, [make(3)])


# --- the lock ---


def spawn_holder(path):
    """Another process that holds the lock; it says so, and then waits for its end."""
    code = (
        "import sys; from pyhash.index.directory import IndexDirectory; "
        "d = IndexDirectory.open(sys.argv[1]); d.lock(); print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    return process


def test_the_lock_between_processes(path, contents):
    directory = IndexDirectory.open(path)
    with spawn_holder(path) as process:
        for call in (directory.lock, lambda: directory.commit([], None)):
            with pytest.raises(
                IndexLockedError, match=f"locked by process {process.pid} on host {os.uname().nodename}$"
            ) as e:
                call()
            assert str(path) in str(e.value)
        assert not directory.locked
        assert_holds(path, contents)  # readers need no lock
        process.send_signal(signal.SIGKILL)
        process.wait()
        directory.lock()
        assert directory.locked
        assert json.loads((path / "lock").read_bytes()) == {"pid": os.getpid(), "host": os.uname().nodename}


def test_the_lock_between_objects(path):
    first, second = IndexDirectory.open(path), IndexDirectory.open(path)
    first.lock()
    first.lock()
    assert first.locked
    with pytest.raises(
        IndexLockedError, match=f"must have one writer at a time, it is locked by process {os.getpid()}"
    ):
        second.lock()
    assert not second.locked
    second.unlock()  # it has none, and takes none
    with pytest.raises(IndexLockedError):
        second.lock()
    first.unlock()
    first.unlock()
    assert not first.locked
    second.lock()


@pytest.mark.parametrize("note", [b"", b"{", b"5", b"[]", b'{"pid": "x", "host": 5}', b"\xff\xfe", b"[" * 1000])
def test_the_lock_file_is_not_believed(path, note):
    first, second = IndexDirectory.open(path), IndexDirectory.open(path)
    first.lock()
    (path / "lock").write_bytes(note)
    with pytest.raises(IndexLockedError, match="locked by another process"):
        second.lock()


def test_a_lock_file_that_is_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (path / "lock").unlink()
    (path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        IndexDirectory.open(path).lock()
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_commits_keep_a_lock_that_was_held(path):
    directory = IndexDirectory.open(path)
    directory.commit([], None)
    assert not directory.locked
    directory.lock()
    directory.commit([], None)
    assert directory.locked
    with pytest.raises(TypeError):
        directory.commit([], 5)
    assert directory.locked


def test_an_object_that_is_gone_holds_no_lock(path):
    directory = IndexDirectory.open(path)
    directory.lock()
    gc.collect()  # what others left
    n_open = len(os.listdir("/dev/fd"))
    del directory
    gc.collect()
    assert len(os.listdir("/dev/fd")) == n_open - 1
    IndexDirectory.open(path).lock()


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
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@forks
def test_a_forked_child_does_not_hold_the_lock(path, contents):
    directory = IndexDirectory.open(path)
    directory.lock()
    pid = os.getpid()

    def child():
        assert not directory.locked
        for call in (directory.lock, lambda: directory.commit([], None)):
            with pytest.raises(IndexLockedError, match=f"process {pid} "):
                call()
        directory.unlock()
        with pytest.raises(IndexLockedError, match=f"process {pid} "):
            directory.lock()

    assert in_child(child) == 0
    assert directory.locked
    with pytest.raises(IndexLockedError):
        IndexDirectory.open(path).lock()
    assert_holds(path, contents)


@forks
@pytest.mark.parametrize("way", ["unlock", "collect"])
def test_a_forked_child_does_not_close_what_is_not_its_own(path, way):
    """In the child the number of the lock's descriptor is free, and may be that of another file."""
    held = [IndexDirectory.open(path)]
    held[0].lock()

    def child():
        mine = [os.open(path / "manifest.json", os.O_RDONLY) for _ in range(20)]
        if way == "unlock":
            held[0].unlock()
        held.clear()
        gc.collect()
        for descriptor in mine:
            os.fstat(descriptor)

    assert in_child(child) == 0
    with pytest.raises(IndexLockedError):
        IndexDirectory.open(path).lock()


@forks
def test_a_forked_child_takes_the_lock_when_it_is_free(path):
    directory = IndexDirectory.open(path)
    directory.lock()
    directory.unlock()

    def child():
        directory.lock()
        assert directory.locked
        with pytest.raises(IndexLockedError, match=f"process {os.getpid()} "):
            IndexDirectory.open(path).lock()

    assert in_child(child) == 0
    directory.lock()


@forks
def test_a_child_that_outlives_the_holder_keeps_no_lock(path):
    read_end, write_end = os.pipe()
    holder = os.fork()
    if holder == 0:
        directory = IndexDirectory.open(path)
        directory.lock()
        if os.fork() == 0:
            os.write(write_end, b"%d\n" % os.getpid())
        while True:
            signal.pause()
    grandchild = int(os.read(read_end, 20))
    try:
        with pytest.raises(IndexLockedError, match=f"process {holder} "):
            IndexDirectory.open(path).lock()
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        IndexDirectory.open(path).lock()
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)


@forks
def test_a_lock_taken_after_a_change_is_refused_in_the_parent_too(path, contents):
    """The child commits: the parent's object is then one of the past."""
    directory = IndexDirectory.open(path)
    assert in_child(lambda: directory.commit([make(3)], None)) == 0
    with pytest.raises(IndexChangedError, match="open it again"):
        directory.commit(contents, None)
    assert_holds(path, [make(3)])


def test_what_an_object_shows(path):
    assert repr(IndexDirectory.open(path)) == f"IndexDirectory({str(path)!r}) at generation 1"
