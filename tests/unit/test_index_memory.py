"""The memory of an index: next to nothing beyond its codes and ids before it is searched, and never much more."""

import gc
import tracemalloc

import numpy as np
import pytest

from pyhash import CodeIndex, codes

N = 20_000


def make(rng, n_bits, repeated):
    rows = rng.integers(0, 256, size=(N, n_bits // 8), dtype=np.uint8)
    return rows[rng.integers(0, N // 8, N)] if repeated else rows


def ask_everything(index, rng):
    projections = rng.standard_normal((20, index.n_bits))
    for _ in range(2):
        index.search(codes.pack(projections), 5)
        index.search_radius(codes.pack(projections), 1)
        index.search_weighted(projections, 5)


def used_by(make_index):
    """An index and its memory, made again and again, the least of three.

    What the first use of anything loads is there by then, and so are the lists of freed objects that Python keeps for
    the next ones; a collection would empty them. Other threads, such as those of progress bars, seldom allocate every
    time.
    """
    make_index()
    least = None
    gc.disable()
    try:
        for _ in range(3):
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            index = make_index()
            used = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            least = used if least is None else min(least, used)
    finally:
        tracemalloc.stop()
        gc.enable()
    return index, least


CASES = [(16, False), (64, False), (128, False), (1024, False), (64, True), (1024, True)]


@pytest.mark.parametrize(("n_bits", "repeated"), CASES)
@pytest.mark.parametrize("pieces", [1, 30])
def test_without_layouts_there_are_codes_and_ids(rng, n_bits, repeated, pieces):
    rows, ids = make(rng, n_bits, repeated), rng.permutation(N)

    def build():
        index = CodeIndex(n_bits)
        for part in np.array_split(np.arange(N), pieces):
            index.add(rows[part], ids[part])
        return index

    index, used = used_by(build)
    least = N * (n_bits // 8 + 8)
    assert least <= used < 1.1 * least
    assert index.stats()["n_bytes"] == least
    assert sum(index.stats()["layout_bytes"].values()) == 0


@pytest.mark.parametrize("n_removed", [10, 9000, 15_000])
def test_removed_rows_do_not_take_more_than_those_left(rng, n_removed):
    rows, removed = make(rng, 64, False), rng.permutation(N)[:n_removed]

    def build():
        index = CodeIndex(64)
        index.add(rows)
        for part in np.array_split(removed, 5):
            index.remove(part)
        return index

    index, used = used_by(build)
    assert len(index) == N - n_removed
    assert used < 2.1 * (N - n_removed) * 16


@pytest.mark.parametrize(("n_bits", "repeated"), CASES)
def test_with_all_layouts_it_is_a_small_multiple(rng, n_bits, repeated):
    index = CodeIndex(n_bits)
    index.add(make(rng, n_bits, repeated))
    ask_everything(index, rng)
    stats = index.stats()
    layouts = stats["layout_bytes"]
    assert layouts["bit_planes"] > 0
    assert (layouts["nibble_planes"] > 0) == (n_bits <= 512)
    # There are but 65536 codes of 16 bits, and 20,000 rows: no case of many repeats.
    assert (layouts["groups"] > 0, stats["grouped"] > 0) == (repeated, repeated)
    assert stats["n_bytes"] + sum(layouts.values()) < 3.2 * stats["n_bytes"]


def test_mapped_codes_take_no_memory(rng, tmp_path):
    index = CodeIndex(1024)
    index.add(make(rng, 1024, False))
    index.save(tmp_path / "index")

    def build():
        mapped = CodeIndex.open(tmp_path / "index", mmap=True)
        ask_everything(mapped, rng)
        return mapped

    mapped, used = used_by(build)
    assert used < 0.1 * index.stats()["n_bytes"]
    assert sum(mapped.stats()["layout_bytes"].values()) == 0


def test_layouts_stay_as_long_as_their_rows(rng, tmp_path):
    index = CodeIndex(64)
    index.add(make(rng, 64, False))
    ask_everything(index, rng)
    made = index.stats()["layout_bytes"]
    assert min(made["bit_planes"], made["nibble_planes"]) > 0
    sets = [index._segments[0].code_set]
    for change in (
        lambda: index.add(make(rng, 64, False)[:100]),
        lambda: index.remove([5, 6, 19_000]),
        lambda: index.upsert(make(rng, 64, False)[:10], np.arange(10) * 50),
        lambda: index.save(tmp_path / "index"),
        lambda: index.remove([7]),
        index.commit,
        index.close,
    ):
        change()
        assert index.stats()["layout_bytes"] == made  # and no search in between has made them anew
        assert index._segments[0].code_set is sets[0]
    index.compact()
    assert sum(index.stats()["layout_bytes"].values()) == 0


@pytest.mark.parametrize(("n", "n_queries", "made"), [(3000, 1, [0, 1]), (3000, 16, [1, 1]), (2047, 40, [0, 0])])
def test_layouts_are_made_when_they_pay(rng, n, n_queries, made):
    """For many queries at once, or for a second call; never for few rows."""
    index = CodeIndex(64)
    index.add(make(rng, 64, False)[:n])
    for wanted in made:
        index.search(index.codes[:n_queries], 1)
        assert (index.stats()["layout_bytes"]["bit_planes"] > 0) == bool(wanted)
