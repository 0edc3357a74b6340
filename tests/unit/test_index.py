import numpy as np
import pytest
from reference import distances as reference

from pyhash import CodeIndex, ModelFormatError, codes


@pytest.fixture
def index(rng):
    index = CodeIndex(n_bits=12)
    index.add(codes.pack(rng.choice([-1, 1], size=(40, 12))))
    return index


def test_ids_count_on_from_the_greatest():
    index = CodeIndex(8)
    assert index.add(np.zeros((2, 1), np.uint8)).tolist() == [0, 1]
    assert index.add(np.zeros((1, 1), np.uint8), ids=[10]).tolist() == [10]
    assert index.add(np.zeros((2, 1), np.uint8)).tolist() == [11, 12]
    assert len(index) == 5


def test_ties_go_by_id_whatever_the_order_of_adding(rng):
    rows = codes.pack(rng.choice([-1, 1], size=(300, 4)))  # 16 codes at most: ties everywhere
    ids = rng.permutation(1000)[:300] - 500
    whole, parts = CodeIndex(4), CodeIndex(4)
    whole.add(rows[np.argsort(ids)], np.sort(ids))
    for start in range(0, 300, 37):
        parts.add(rows[start : start + 37], ids[start : start + 37])
    np.testing.assert_array_equal(whole.ids, parts.ids)
    np.testing.assert_array_equal(whole.codes, parts.codes)
    queries = codes.pack(rng.choice([-1, 1], size=(5, 4)))
    np.testing.assert_array_equal(whole.search(queries, 50).ids, parts.search(queries, 50).ids)
    distance = reference.hamming(queries, whole.codes, 4)
    expected = np.array([sorted(range(300), key=lambda j: (row[j], whole.ids[j]))[:50] for row in distance])
    np.testing.assert_array_equal(whole.search(queries, 50).ids, whole.ids[expected])


def test_a_search_sees_one_moment(rng):
    """Codes are added before all others while a search runs: positions must not be read as the new ids."""
    import threading

    rows = rng.integers(0, 256, size=(100_000, 8), dtype=np.uint8)
    rows = rows[np.unique(rows, axis=0, return_index=True)[1]]
    index = CodeIndex(64)
    index.add(rows, np.arange(len(rows)) + 1000)
    found = []
    worker = threading.Thread(target=lambda: found.extend(index.search(rows[:300], 1).ids[:, 0] for _ in range(5)))
    worker.start()
    for new in range(999, 900, -1):
        index.add(np.zeros((1, 8), np.uint8), [new])
    worker.join()
    for ids in found:
        np.testing.assert_array_equal(ids, np.arange(300) + 1000)


def test_ids_start_at_zero_again_after_negative_ones():
    index = CodeIndex(8)
    index.add(np.zeros((1, 1), np.uint8), ids=[-5])
    assert index.add(np.zeros((1, 1), np.uint8)).tolist() == [0]


@pytest.mark.parametrize("n_bits", [1, 12, 64, 100, 256, 600, 2100])
def test_many_queries_get_what_each_gets_alone(rng, cpu_level, n_bits):
    """Many queries share a layout of their own; half of the codes repeat, so ties are many."""
    rows = codes.pack(rng.choice([-1, 1], size=(3000, n_bits)))
    rows[1500:] = rows[rng.integers(0, 1500, 1500)]
    index = CodeIndex(n_bits)
    index.add(rows, rng.permutation(10_000)[:3000])
    queries = np.concatenate([rows[:30], codes.pack(rng.choice([-1, 1], size=(11, n_bits)))])
    for k in (1, 10, 300, 3000):
        many = [index.search(queries, k, n_threads=n) for n in (1, 3)]
        order, distances = reference.top_k(reference.hamming(queries, index.codes, n_bits), k)
        for hits in many:
            np.testing.assert_array_equal(hits.ids, index.ids[order])
            np.testing.assert_array_equal(hits.distances, distances)
    index.add(rows[:1], [-1])  # the layout is made anew
    assert (index.search(queries, 1).ids[0], index.search(queries[:1], 1).ids[0]) == (-1, -1)


def test_growing_keeps_everything(rng):
    index = CodeIndex(16)
    rows = rng.integers(0, 256, size=(500, 2), dtype=np.uint8)
    for row in rows:
        index.add(row[None])
    np.testing.assert_array_equal(index.codes, rows)


def test_k_beyond_the_index_gives_fewer_columns(index):
    hits = index.search(index.codes[:3], k=100)
    assert hits.ids.shape == hits.distances.shape == (3, 40)
    assert (hits.ids >= 0).all()
    assert index.search_weighted(np.ones((2, 12)), k=100).ids.shape == (2, 40)


def test_an_empty_index_and_no_queries(index):
    empty = CodeIndex(12)
    assert empty.search(index.codes[:3], k=4).ids.shape == (3, 0)
    assert empty.search_weighted(np.ones((3, 12)), k=4).distances.shape == (3, 0)
    assert empty.search_radius(index.codes[:3], 12).offsets.tolist() == [0, 0, 0, 0]
    nothing = index.codes[:0]
    assert index.search(nothing, k=4).ids.shape == (0, 4)
    assert index.search_weighted(np.ones((0, 12)), k=4).ids.shape == (0, 4)
    assert len(index.search_radius(nothing, 3)) == 0
    assert index.add(nothing).shape == (0,)
    assert index.add(nothing, ids=[]).shape == (0,)


def test_radius_is_inclusive(index):
    hits = index.search_radius(index.codes[:4], radius=5)
    distance = reference.hamming(index.codes[:4], index.codes, 12)
    for i in range(4):
        mine = slice(hits.offsets[i], hits.offsets[i + 1])
        expected = sorted((d, j) for j, d in enumerate(distance[i]) if d <= 5)
        assert list(zip(hits.distances[mine].tolist(), hits.ids[mine].tolist(), strict=True)) == expected
    assert (hits.distances == 5).any()
    assert len(index.search_radius(index.codes[:1], 10**30).ids) == 40


def test_save_and_open(index, tmp_path):
    index.save(tmp_path / "index")
    again = CodeIndex.open(tmp_path / "index")
    assert again.n_bits == 12
    np.testing.assert_array_equal(again.codes, index.codes)
    np.testing.assert_array_equal(again.ids, index.ids)
    assert again.add(index.codes[:1]).tolist() == [40]
    CodeIndex(3).save(tmp_path / "empty")
    assert len(CodeIndex.open(tmp_path / "empty")) == 0


def test_arrays_of_the_index_are_read_only(index):
    with pytest.raises(ValueError, match="read-only"):
        index.codes[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        index.ids[0] = 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda i: CodeIndex(0), ValueError, "n_bits must be an integer from 1 to 1048576, got 0"),
        (lambda i: CodeIndex("8"), TypeError, "n_bits must be an integer from 1 to 1048576, got '8'"),
        (
            lambda i: i.add(np.zeros((2, 3), np.uint8)),
            ValueError,
            r"codes must have shape \(n, 2\) for n_bits=12, got \(2, 3\)",
        ),
        (lambda i: i.add(np.zeros(2, np.uint8)), ValueError, r"one code is codes\[None, :\]"),
        (lambda i: i.add(np.zeros((2, 2))), TypeError, "codes must be packed codes of dtype uint8, got float64"),
        (lambda i: i.add(np.full((2, 2), 255, np.uint8)), ValueError, "zero padding bits"),
        (lambda i: i.add(i.codes[:2], ids=[7, 100]), ValueError, "ids must be new, 7 is in the index already"),
        (lambda i: i.add(i.codes[:2], ids=[99, 99]), ValueError, "ids must be unique, 99 was given 2 times"),
        (lambda i: i.add(i.codes[:2], ids=[99]), ValueError, r"ids must have shape \(2,\)"),
        (lambda i: i.add(i.codes[:2], ids=[1.5, 2.5]), TypeError, "ids must be integers, got dtype float64"),
        (lambda i: i.add(i.codes[:1], ids=np.array([2**63], np.uint64)), ValueError, "ids must fit int64"),
        (lambda i: i.search(i.codes, k=0), ValueError, "k must be an integer >= 1, got 0"),
        (lambda i: i.search(i.codes, k=-3), ValueError, "k must be an integer >= 1, got -3"),
        (lambda i: CodeIndex(2**70), ValueError, "n_bits must be an integer from 1 to 1048576"),
        (lambda i: i.search(i.codes, k=2.0), TypeError, "k must be an integer >= 1, got 2.0"),
        (lambda i: i.search(i.codes[:, :1], k=1), ValueError, r"codes must have shape \(n, 2\) for n_bits=12"),
        (lambda i: i.search(i.codes, k=1, n_threads=0), ValueError, "n_threads must be an integer >= 1"),
        (
            lambda i: i.search_weighted(np.ones((2, 16)), k=1),
            ValueError,
            r"projections must have shape \(n, 12\), got \(2, 16\)",
        ),
        (
            lambda i: i.search_weighted(np.full((2, 12), np.nan), k=1),
            ValueError,
            "projections must be finite, got nan in row 0",
        ),
        (
            lambda i: i.search_weighted(np.full((2, 12), np.inf), k=1),
            ValueError,
            "projections must be finite, got inf in row 0",
        ),
        (lambda i: i.search_weighted(np.ones((2, 12)), k=0), ValueError, "k must be an integer >= 1"),
        (lambda i: i.search_radius(i.codes, radius=-1), ValueError, "radius must be an integer >= 0, got -1"),
    ],
)
def test_wrong_input_changes_nothing(index, call, error, message):
    ids, rows = index.ids.copy(), index.codes.copy()
    with pytest.raises(error, match=message):
        call(index)
    np.testing.assert_array_equal(index.ids, ids)
    np.testing.assert_array_equal(index.codes, rows)


def test_automatic_ids_do_not_run_over():
    index = CodeIndex(8)
    index.add(np.zeros((1, 1), np.uint8), ids=[np.iinfo(np.int64).max])
    with pytest.raises(ValueError, match="ids must be given"):
        index.add(np.zeros((1, 1), np.uint8))


def test_a_model_is_not_an_index(tmp_path):
    from pyhash import SHOH

    SHOH(8).partial_fit({"x": np.eye(2)}, [0, 1]).save(tmp_path / "model")
    with pytest.raises(ModelFormatError, match="holds a SHOH, not a CodeIndex"):
        CodeIndex.open(tmp_path / "model")


def test_n_bits_is_read_only():
    index = CodeIndex(16)
    with pytest.raises(AttributeError):
        index.n_bits = 64
    assert index.n_bits == 16
