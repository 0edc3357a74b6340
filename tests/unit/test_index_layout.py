"""The parameter `layout` of an index: the same answers, tables on disk, and what `stats` tells of them."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from pyhash import CodeIndex, ModelFormatError
from pyhash.distributed import ShardedIndex
from pyhash.index.segment import Segment

N_BITS = 60
N = 20_000


def clustered(n, seed, n_centers=40):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).integers(0, 256, (n_centers, 8), dtype=np.uint8)
    noise = np.packbits(rng.random((n, 64)) < 0.06, axis=1, bitorder="little")
    codes = centers[rng.integers(0, n_centers, n)] ^ noise
    codes[:, -1] &= 0x0F
    return codes


CODES = clustered(N, 1)
# Equal and opposite codes, and one that is far from all.
QUERIES = np.concatenate([clustered(6, 2), CODES[:2], CODES[:1] ^ np.array([255] * 7 + [15], np.uint8), 0 * CODES[:1]])


def filled(**parameters):
    index = CodeIndex(N_BITS, **parameters)
    index.add(CODES)
    return index


@pytest.fixture(scope="module")
def scan():
    return filled(layout="scan")


@pytest.fixture
def saved(tmp_path):
    with filled(layout="multi-index") as index:
        index.save(tmp_path / "index")
    return tmp_path / "index"


def assert_same(got, want):
    for name in ("offsets", "ids", "distances"):
        if hasattr(want, name):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def assert_same_answers(index, other):
    """By every kind of search."""
    half = np.arange(len(other)) % 2 == 0
    weights = np.where(np.unpackbits(QUERIES, axis=1, bitorder="little")[:, :N_BITS], 1.0, -1.0)
    weights *= np.random.default_rng(4).random(N_BITS)
    for searched in (
        lambda i: i.search(QUERIES, k=10),
        lambda i: i.search(QUERIES, k=10, ties="all"),
        lambda i: i.search(QUERIES[:2], k=len(other)),
        lambda i: i.search(QUERIES[:1], k=3, allowed=half),
        lambda i: i.search(QUERIES, k=3, allowed=other.ids[[5, 7, 11, 13]]),
        lambda i: i.search_radius(QUERIES, radius=5),
        lambda i: i.search_radius(QUERIES[:2], radius=30, allowed=half),
        lambda i: i.search_weighted(weights, k=7),
    ):
        assert_same(searched(index), searched(other))


def n_tables_of(index):
    return [of["n_tables"] for of in index.stats()["layouts"]]


def all_have_tables(index):
    return all(n > 1 for n in n_tables_of(index))


def test_answers_are_those_of_a_scan(scan):
    index = filled(layout="multi-index")
    assert n_tables_of(index) == [0]
    index.search(CODES[:1], k=10)  # builds them
    (of,) = index.stats()["layouts"]
    assert of["n"] == N
    assert of["n_tables"] > 1
    assert f"us through {of['n_tables']} tables" in of["reason"]
    assert_same_answers(index, scan)
    assert all_have_tables(index)
    assert index.stats()["layout_bytes"]["tables"] <= 64 * N
    assert scan.stats()["layouts"] == [{"n": N, "layout": "scan", "n_tables": 0, "reason": "Scans were asked for."}]
    assert scan.stats()["layout_bytes"]["tables"] == 0


def test_changes(scan):
    index, other = filled(layout="multi-index"), filled(layout="scan")
    assert_same_answers(index, other)
    for seed in (5, 6):
        more = clustered(N, seed)
        for each in (index, other):
            each.add(more)
            each.remove(np.arange(seed * 10, seed * 10 + 9))
        assert_same_answers(index, other)
        assert all_have_tables(index)
        assert len(index.segments) == 1  # joined
    for each in (index, other):
        each.compact()
    assert_same_answers(index, other)
    assert all_have_tables(index)


def test_few_bytes_leave_the_copies_out():
    wide = filled(layout="multi-index", layout_bytes_per_code=90)
    narrow = filled(layout="multi-index", layout_bytes_per_code=32)
    none = filled(layout="multi-index", layout_bytes_per_code=1)
    assert_same_answers(narrow, wide)
    assert_same_answers(none, wide)
    sizes = [index.stats()["layout_bytes"]["tables"] for index in (wide, narrow, none)]
    assert sizes[0] > sizes[1] > sizes[2] == 0
    assert sizes[1] <= 32 * N
    assert n_tables_of(none) == [0]


@pytest.mark.parametrize("mmap", [False, True])
def test_tables_on_disk(saved, scan, mmap):
    assert list(saved.glob("*.tables-*.npy"))
    index = CodeIndex.open(saved, mmap=mmap)
    assert all_have_tables(index)
    before = index.stats()["layout_bytes"]
    assert before["tables"] > 0
    assert_same_answers(index, scan)
    if mmap:
        assert index.stats()["layout_bytes"] == before  # nothing was built in memory
    index.verify()


def test_scan_leaves_tables_on_disk(saved, scan):
    for mmap in (False, True):
        with CodeIndex.open(saved, mmap=mmap, layout="scan") as index:
            assert not any(n_tables_of(index))
            assert_same_answers(index, scan)
            index.remove([0])
            index.add(CODES[:1], [0])
            index.commit()
            assert len(index.segments) == 2
        assert len(list(saved.glob("*.tables-*.npy"))) == 1
        assert any(n_tables_of(CodeIndex.open(saved, mmap=mmap)))


def test_a_commit_builds_what_is_missing(tmp_path, scan):
    with filled() as index:
        index.save(tmp_path / "index")
    assert not list(tmp_path.glob("index/*.tables-*.npy"))
    for mmap in (True, False):
        with CodeIndex.open(tmp_path / "index", mmap=mmap, layout="multi-index") as index:
            index.add(clustered(N // 4, 9 + mmap))
            index.commit()
            names = [path.name for path in (tmp_path / "index").glob("*.tables-*.npy")]
            assert len(names) == len(index.segments)
            assert_same_answers(index, CodeIndex.open(tmp_path / "index", layout="scan"))


def test_prepared_tables(tmp_path):
    with filled(layout="multi-index") as index:
        index.save(tmp_path / "index")
        index.add(clustered(N, 8))
        generation = index.prepare()
        for number, n in ((None, N), (generation, 2 * N)):
            opened = CodeIndex.open(tmp_path / "index", mmap=True, generation=number)
            assert len(opened) == n
            assert all_have_tables(opened)
        index.commit()
        index.verify()


def test_damaged_tables_that_are_mapped(saved):
    (file,) = saved.glob("*.tables-*.npy")
    whole = file.read_bytes()
    for begin, end in pairwise(np.linspace(128, len(whole), 12).astype(int)):
        file.write_bytes(whole[:begin] + b"\xff" * (end - begin) + whole[end:])
        index = CodeIndex.open(saved, mmap=True)
        try:
            index.search(QUERIES, k=10)
            index.search_radius(QUERIES, radius=4)
        except ModelFormatError as error:
            assert file.name in str(error)  # noqa: PT017 - damage that no search meets is no error
        with pytest.raises(ModelFormatError, match=file.name):
            index.verify()
        with pytest.raises(ModelFormatError, match=file.name):
            CodeIndex.open(saved)
    file.write_bytes(whole[:128] + b"\xff" * (len(whole) - 128))
    with pytest.raises(ModelFormatError, match=rf"{file.name} cannot be searched: the tables of the codes are damaged"):
        CodeIndex.open(saved, mmap=True).search(QUERIES, k=10)


def test_tables_of_other_codes(saved, tmp_path):
    index = CodeIndex.open(saved)
    (segment,) = index.segments
    arrays = segment.content()
    with pytest.raises(ModelFormatError, match=r"does not hold tables of segment-00000001\.codes\.npy"):
        Segment.of_stored(
            type("Arrays", (), {"codes": CODES[:9], "ids": np.arange(9), "alive": None, "tables": arrays.tables.data}),
            segment.stored,
            segment.layout,
            lean=True,
        )


def test_copies_keep_the_layout():
    index = filled(layout="multi-index", layout_bytes_per_code=32)
    again = pickle.loads(pickle.dumps(index))
    assert_same_answers(again, index)
    assert again.stats()["layout_bytes"]["tables"] == index.stats()["layout_bytes"]["tables"] > 0


def test_shards_search_their_tables(tmp_path, scan):
    """A shard whose tables came by a commit of its own is opened with them."""
    with ShardedIndex(tmp_path / "index", n_bits=N_BITS, n_shards=2) as index:
        index.add(CODES)
        index.commit()
    with ShardedIndex(tmp_path / "index", mmap=True) as index:
        assert_same(index.search(QUERIES, k=10), scan.search(QUERIES, k=10))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"layout": "tree"}, ValueError, "layout must be one of 'auto', 'scan', 'multi-index', got 'tree'"),
        ({"layout": None}, ValueError, "layout must be one of 'auto', 'scan', 'multi-index', got None"),
        ({"layout_bytes_per_code": -1}, ValueError, "layout_bytes_per_code must be a finite number >= 0"),
        ({"layout_bytes_per_code": float("nan")}, ValueError, "layout_bytes_per_code must be a finite number >= 0"),
        ({"layout_bytes_per_code": "64"}, TypeError, "layout_bytes_per_code must be a finite number >= 0"),
    ],
)
def test_parameters(saved, parameters, error, message):
    with pytest.raises(error, match=message):
        CodeIndex(N_BITS, **parameters)
    with pytest.raises(error, match=message):
        CodeIndex.open(saved, **parameters)


def test_ties_in_long_buckets():
    """Three tight clusters: a table has all codes of one in a few buckets, and many tie at the k-th distance."""
    rng = np.random.default_rng(2)
    centers = rng.integers(0, 256, (3, 8), dtype=np.uint8)
    codes = centers[rng.integers(0, 3, 300_000)] ^ np.packbits(rng.random((300_000, 64), np.float32) < 0.02, axis=1)
    queries = codes[:1500] ^ np.packbits(rng.random((1500, 64)) < 0.05, axis=1)
    index, scan = CodeIndex(64, layout="multi-index"), CodeIndex(64, layout="scan")
    for each in (index, scan):
        each.add(codes)
    for k in (1, 10):
        assert_same(index.search(queries, k), scan.search(queries, k))
    assert index.stats()["layouts"][0]["layout"] == "multi-index"
