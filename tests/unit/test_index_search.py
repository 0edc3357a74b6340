"""Every way to ask an index against the slow oracle: layouts, masks, ties, threads, segments, CPU levels."""

from functools import cache

import numpy as np
import pytest
from reference import distances as reference

from pyhash import CodeIndex, codes
from pyhash.search import Hits

# Bits, rows, kind of rows. Blocks are 512 rows, layouts begin at 2048 rows, and end at 512 bits (weighted) and 4096.
PROBLEMS = [
    (1, 3000, "uniform"),
    (7, 2047, "uniform"),
    (12, 2100, "uniform"),
    (16, 512, "uniform"),
    (16, 5121, "uniform"),
    (64, 513, "near"),
    (64, 2500, "near"),
    (64, 3000, "repeated"),
    (64, 9000, "often repeated"),
    (64, 2100, "same"),
    (100, 2048, "near"),
    (512, 2561, "uniform"),
    (513, 2049, "near"),
    (4096, 2049, "uniform"),
    (4100, 2049, "uniform"),
]


def make_rows(rng, n, n_bits, kind):
    """Uniform; a few bits from each other; each about six times, of few or of many distinct ones; all equal."""
    if kind == "uniform":
        return rng.choice([-1, 1], size=(n, n_bits))
    if kind == "near":
        return np.where(rng.random((n, n_bits)) < 0.05, -1, 1)
    n_distinct = {"repeated": 500, "often repeated": 2150, "same": 1}[kind]
    return rng.choice([-1, 1], size=(n_distinct, n_bits))[rng.integers(0, n_distinct, n)]


class Problem:
    """Codes, ids in no order, queries of many sorts, and what the oracle finds for them."""

    def __init__(self, n_bits, n, kind):
        self.rng = np.random.default_rng(n_bits + n)
        self.n_bits, self.n, self.known = n_bits, n, {}
        rows = make_rows(self.rng, n, n_bits, kind)
        self.codes = codes.pack(rows)
        self.ids = self.rng.permutation(3 * n)[:n] - n
        projections = self.rng.standard_normal((40 if n_bits < 4000 else 16, n_bits))
        projections[0] = rows[5] * 0.3
        projections[1] = 0
        projections[2] = np.round(projections[2])
        projections[3] = rows[n // 2] * 1e30
        projections[4:8] = rows[:4] * self.rng.random((4, n_bits))
        self.projections = projections
        self.queries = codes.pack(projections)
        hamming = reference.hamming(self.queries, self.codes, n_bits)
        self.distances = {"hamming": hamming, "weighted": reference.weighted(projections, self.codes)}
        self.orders = {
            name: [np.lexsort((self.ids, row)) for row in distances] for name, distances in self.distances.items()
        }
        self.masks = {share: self.rng.random(n) < share for share in (0.0, 0.01, 0.06, 0.07, 0.5, 1.0)}
        self.masks["one"] = np.arange(n) == n - 1

    def expected(self, metric, **limits):
        key = (metric, *limits.items())
        if key not in self.known:
            self.known[key] = self.found(metric, **limits)
        return self.known[key]

    def found(self, metric, k=None, radius=None, ties="id", allowed=None):
        """For each query ids and distances, from the definition."""
        found = []
        for distances, order in zip(self.distances[metric], self.orders[metric], strict=True):
            if allowed is not None:
                order = order[self.masks[allowed][order]]
            if radius is not None:
                order = order[distances[order] <= radius]
            if k is not None and len(order) > k:
                kth = distances[order[k - 1]]
                order = order[:k] if ties == "id" else order[distances[order] <= kth]
            found.append((self.ids[order], distances[order]))
        return found

    def radii(self, metric):
        """None, about one in a hundred, exactly that of a row, and all."""
        distances = np.sort(self.distances[metric], axis=None)
        values = (0, distances[len(distances) // 100], distances[len(distances) // 5], self.n_bits)
        return [value.item() if isinstance(value, np.generic) else value for value in values]

    def asks(self, metric):
        for k in (1, 10, self.n + 7):
            yield {"k": k}
        yield {"k": 30, "ties": "all"}
        for radius in self.radii(metric):
            yield {"radius": radius}
        for share in self.masks if self.n_bits < 4000 else (0.06, 0.5):
            yield {"k": 5, "allowed": share}
            yield {"radius": self.radii(metric)[1], "allowed": share}
        yield {"k": 3, "ties": "all", "allowed": 0.5}
        yield {"k": 3, "ties": "all", "allowed": 0.01}
        if metric == "weighted":
            yield {"k": 10, "radius": self.radii(metric)[1]}
            yield {"k": 2, "radius": self.radii(metric)[2], "ties": "all", "allowed": 0.5}


@cache
def problem_of(*parameters):
    return Problem(*parameters)


def ask(index, problem, metric, n_queries, *, allowed=None, **limits):
    """The index's answer; the mask is over its ids, which ascend."""
    if allowed is not None:
        limits["allowed"] = problem.masks[allowed][np.argsort(problem.ids)]
    if metric == "weighted":
        return index.search_weighted(problem.projections[:n_queries], **limits)
    if "radius" in limits:
        return index.search_radius(problem.queries[:n_queries], **limits)
    return index.search(problem.queries[:n_queries], **limits)


def lists_of(hits):
    """Ids and distances of each query, whatever the form."""
    if isinstance(hits, Hits):
        return list(zip(hits.ids, hits.distances, strict=True))
    return [
        (hits.ids[begin:end], hits.distances[begin:end])
        for begin, end in zip(hits.offsets[:-1], hits.offsets[1:], strict=True)
    ]


def assert_same(hits, expected, message=""):
    found = lists_of(hits)
    assert len(found) == len(expected)
    for (ids, distances), (right_ids, right_distances) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ids, right_ids, message)
        np.testing.assert_array_equal(distances, right_distances, message)


def assert_answer(index, problem, metric, n_queries, n_threads, limits):
    hits = ask(index, problem, metric, n_queries, n_threads=n_threads, **limits)
    assert hits.distances.dtype == (np.float64 if metric == "weighted" else np.int32)
    assert isinstance(hits, Hits) == (limits.keys() <= {"k", "allowed"})
    assert_same(hits, problem.expected(metric, **limits)[:n_queries], str(limits))


@pytest.mark.parametrize("parameters", PROBLEMS)
def test_every_question(cpu_level, parameters):
    """Plainly, as an index answers when it is asked for the first time, and by layouts from then on."""
    problem = problem_of(*parameters)
    index = once(problem)
    for metric in ("hamming", "weighted"):
        for limits in problem.asks(metric):
            assert_answer(once(problem), problem, metric, 3, 3, limits)
            assert_answer(index, problem, metric, len(problem.queries), 1, limits)
            assert_answer(index, problem, metric, 1, 3, limits)


def test_the_problems_have_every_layout():
    """The test above relies on it: planes of both kinds, grouped codes with and without planes, and none."""
    made = {}
    for parameters in PROBLEMS:
        problem = problem_of(*parameters)
        index = once(problem)
        ask(index, problem, "hamming", 40, k=1)
        ask(index, problem, "weighted", 40, k=1)
        stats = index.stats()
        made[parameters] = (
            stats["grouped"] > 0,
            *(stats["layout_bytes"][name] > 0 for name in ("bit_planes", "nibble_planes", "groups")),
        )
    assert made[64, 2500, "near"] == (False, True, True, False)
    assert made[512, 2561, "uniform"] == (False, True, True, False)
    assert made[513, 2049, "near"] == (False, True, False, False)
    assert made[4100, 2049, "uniform"] == made[7, 2047, "uniform"] == (False, False, False, False)
    assert made[64, 3000, "repeated"] == made[64, 2100, "same"] == (True, False, False, True)
    assert made[64, 9000, "often repeated"] == (True, True, True, True)


def once(problem, path=None):
    index = CodeIndex(problem.n_bits)
    index.add(problem.codes, problem.ids)
    return index


def in_pieces(problem, path):
    """In no order of ids, and pieces from one row to many."""
    index = CodeIndex(problem.n_bits)
    begin, rng = 0, np.random.default_rng(1)
    while begin < problem.n:
        end = begin + int(rng.choice([1, 2, 50, 700]))
        index.add(problem.codes[begin:end], problem.ids[begin:end])
        begin = end
    return index


def after_changes(problem, path):
    """Wrong codes at first, put right later; and rows that go again."""
    index = CodeIndex(problem.n_bits)
    n, rng = problem.n, np.random.default_rng(2)
    index.add(problem.codes[::-1], problem.ids)
    index.add(problem.codes[: n // 2], np.arange(n // 2) + 10 * n)
    for rows in np.array_split(rng.permutation(n), [n // 3, n // 2, n - 5]):
        index.upsert(problem.codes[rows], problem.ids[rows])
    index.remove(np.arange(n // 2) + 10 * n)
    return index


def mapped(problem, path):
    """Two runs in files, rows removed from both, and one more run in memory."""
    first, second = np.array_split(np.random.default_rng(3).permutation(problem.n)[: problem.n - 20], [problem.n // 5])
    with CodeIndex(problem.n_bits) as index:
        index.add(problem.codes[second], problem.ids[second])
        index.add(problem.codes[:99], np.arange(99) + 10 * problem.n)
        index.add(problem.codes[first], problem.ids[first])
        index.remove([*problem.ids[first[:9]], *problem.ids[second[:9]], *np.arange(99) + 10 * problem.n])
        index.save(path / "index")
    index = CodeIndex.open(path / "index", mmap=True)
    rest = np.setdiff1d(problem.ids, index.ids)
    rows = np.flatnonzero(np.isin(problem.ids, rest))
    index.add(problem.codes[rows], problem.ids[rows])
    return index


@pytest.mark.parametrize("way", [in_pieces, after_changes, mapped])
@pytest.mark.parametrize("parameters", [(12, 2100, "uniform"), (64, 2500, "near"), (64, 9000, "often repeated")])
def test_how_the_index_came_about_does_not_matter(tmp_path, parameters, way):
    problem = problem_of(*parameters)
    index = way(problem, tmp_path)
    np.testing.assert_array_equal(index.ids, np.sort(problem.ids))
    np.testing.assert_array_equal(index.codes, problem.codes[np.argsort(problem.ids)])
    np.testing.assert_array_equal(index.reconstruct(problem.ids), problem.codes)
    assert index.stats()["n_segments"] > 1
    for metric in ("hamming", "weighted"):
        for limits in problem.asks(metric):
            assert_answer(index, problem, metric, 3, 3, limits)
            assert_answer(index, problem, metric, 40, 1, limits)


@pytest.mark.parametrize(("n_bits", "n", "n_queries"), [(8, 420_000, 1), (24, 140_000, 3), (64, 31_000, 20)])
def test_few_queries_share_the_threads(n_bits, n, n_queries):
    """Rows are cut then; so much work is needed before threads are begun."""
    rng = np.random.default_rng(n)
    rows = rng.integers(0, 256, size=(n, n_bits // 8), dtype=np.uint8)
    rows[n // 2 :] = rows[: n - n // 2]  # ties between the parts
    projections = np.round(rng.standard_normal((n_queries, n_bits)), 1)
    queries = codes.pack(projections)
    index = CodeIndex(n_bits)
    index.add(rows)
    hamming, weighted = reference.hamming(queries, rows, n_bits), reference.weighted(projections, rows)
    for _ in range(2):
        for k in (1, 50):
            order, distances = reference.top_k(hamming, k)
            for n_threads in (1, 2, 3):
                assert_same(index.search(queries, k, n_threads=n_threads), list(zip(order, distances, strict=True)))
            order, distances = reference.top_k(weighted, k)
            for n_threads in (1, 2, 3):
                hits = index.search_weighted(projections, k, n_threads=n_threads)
                assert_same(hits, list(zip(order, distances, strict=True)))
        radius = int(np.sort(hamming[0])[n // 1000])
        hits = index.search_radius(queries, radius, n_threads=3)
        for (ids, _), row in zip(lists_of(hits), hamming, strict=True):
            near = np.flatnonzero(row <= radius)
            np.testing.assert_array_equal(ids, near[np.argsort(row[near], kind="stable")])


@pytest.fixture
def small():
    """Ids -2, 0, 2, ..., 16 at distances 0, 1, ..., 8, 8 from the code 0."""
    index = CodeIndex(8)
    index.add((2 ** np.minimum(np.arange(10), 8) - 1).astype(np.uint8)[:, None], np.arange(10) * 2 - 2)
    return index


ZERO = np.zeros((1, 1), np.uint8)


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ([4, -2, 10], [-2, 4, 10]),
        ([4, 4, -2, 4], [-2, 4]),
        ([3, 999, -7, 2**62, 6], [6]),
        ([3, 5], []),
        ([], []),
        (np.array([], bool), ValueError),
        (np.array([], np.int64), []),
        (np.array([2, 0], np.uint8), [0, 2]),
        (np.array([2**64 - 2, 8], np.uint64), [8]),
        (np.arange(10) >= 7, [12, 14, 16]),
        (np.zeros(10, bool), []),
        (np.ones(9, bool), ValueError),
        (np.ones((10, 1), bool), ValueError),
        ([1.0, 2.0], TypeError),
        ("all", TypeError),
    ],
)
def test_what_is_allowed(small, allowed, found):
    for call in (
        lambda: small.search(ZERO, 20, allowed=allowed).ids[0],
        lambda: small.search(ZERO, 20, allowed=allowed, ties="all").ids,
        lambda: small.search_radius(ZERO, 20, allowed=allowed).ids,
        lambda: small.search_weighted(-np.ones((1, 8)), 20, allowed=allowed).ids[0],
        lambda: small.search_weighted(-np.ones((1, 8)), radius=20, allowed=allowed).ids,
    ):
        if isinstance(found, list):
            assert call().tolist() == found
        else:
            with pytest.raises(found, match="allowed must"):
                call()


def test_a_mask_is_over_the_ids_that_are_left(small):
    small.remove([-2, 8])
    small.add(ZERO, [5])
    mask = np.zeros(9, bool)
    mask[[0, 3]] = True
    assert small.ids[mask].tolist() == [0, 5]
    assert small.search(ZERO, 9, allowed=mask).ids.tolist() == [[5, 0]]


def test_an_empty_index_has_no_hits(tmp_path):
    index = CodeIndex(8)
    emptied = CodeIndex(8)
    emptied.add(ZERO, [3])
    emptied.remove([3])
    index.save(tmp_path / "index")
    for empty in (index, emptied, CodeIndex.open(tmp_path / "index"), CodeIndex.open(tmp_path / "index", mmap=True)):
        for n_queries in (0, 1, 40):
            queries, projections = np.zeros((n_queries, 1), np.uint8), np.ones((n_queries, 8))
            for allowed in (None, [], [3], np.zeros(0, bool)):
                assert empty.search(queries, 3, allowed=allowed).ids.shape == (n_queries, 0)
                assert empty.search_weighted(projections, 3, allowed=allowed).ids.shape == (n_queries, 0)
                for lists in (
                    empty.search(queries, 3, ties="all", allowed=allowed),
                    empty.search_radius(queries, 8, allowed=allowed),
                    empty.search_weighted(projections, 3, radius=1.0, allowed=allowed),
                ):
                    assert lists.offsets.tolist() == [0] * (n_queries + 1)
                    assert len(lists.ids) == len(lists.distances) == 0
        assert list(empty.blocks()) == []
        assert empty.ids.shape == (0,)
        assert empty.codes.shape == (0, 1)


def test_all_ties_are_all_at_the_kth_distance(small):
    assert small.search(ZERO, 9).ids[0].tolist() == [-2, 0, 2, 4, 6, 8, 10, 12, 14]
    assert small.search(ZERO, 9, ties="all").ids.tolist() == [-2, 0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert small.search(ZERO, 8, ties="all").ids.tolist() == [-2, 0, 2, 4, 6, 8, 10, 12]
    with pytest.raises(ValueError, match="ties must be one of 'id', 'all', got 'some'"):
        small.search(ZERO, 8, ties="some")


def test_a_radius_may_cut_the_k_nearest(small):
    projections = np.full((1, 8), -0.5)
    assert small.search_weighted(projections, radius=1).distances.tolist() == [0, 0.5, 1]
    assert small.search_weighted(projections, 2, radius=1).ids.tolist() == [-2, 0]
    assert small.search_weighted(projections, 5, radius=1).ids.tolist() == [-2, 0, 2]
    assert small.search_weighted(projections, radius=np.nextafter(1, 0)).ids.tolist() == [-2, 0]
    assert small.search_weighted(projections, 9, radius=9, ties="all").ids.tolist()[-2:] == [14, 16]
    assert len(small.search_weighted(projections, radius=1e300).ids) == 10


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({}, TypeError, "k must be an integer >= 1, got None"),
        ({"k": 0, "radius": 1.0}, ValueError, "k must be an integer >= 1, got 0"),
        ({"radius": -0.5}, ValueError, "radius must be a finite number >= 0, got -0.5"),
        ({"radius": float("nan")}, ValueError, "radius must be a finite number >= 0, got nan"),
        ({"radius": "1"}, TypeError, "radius must be a finite number >= 0, got '1'"),
        ({"k": 1, "ties": "any"}, ValueError, "ties must be one of 'id', 'all', got 'any'"),
        ({"k": 1, "allowed": [0.5]}, TypeError, r"allowed must be a boolean mask of shape \(10,\) or a list of ids"),
    ],
)
def test_wrong_limits(small, limits, error, message):
    with pytest.raises(error, match=message):
        small.search_weighted(np.ones((1, 8)), **limits)


@pytest.mark.parametrize("scale", [1e-30, 1e-290])
def test_tiny_projections_are_exact(cpu_level, scale):
    problem = problem_of(64, 2500, "near")
    projections = problem.projections * scale
    index = once(problem)
    distances = reference.weighted(projections, problem.codes)
    expected = [(problem.ids[order], row[order]) for row in distances for order in [np.lexsort((problem.ids, row))[:5]]]
    for _ in range(2):
        assert_same(index.search_weighted(projections, 5), expected)


@pytest.mark.parametrize("size", [1e-30, 1e-200, 1e-300, 5e-324])
def test_the_tiniest_projections_are_exact(size):
    index, projections = CodeIndex(64), np.full((20, 64), size)
    index.add(np.arange(2048 * 8).astype(np.uint16).view(np.uint8).reshape(-1, 8)[:2048])
    hits = index.search_weighted(projections, 5)
    n_zero = 64 - np.unpackbits(index.codes, axis=1).sum(axis=1, dtype=int)
    np.testing.assert_array_equal(hits.ids, np.tile(np.argsort(n_zero, kind="stable")[:5], (20, 1)))
