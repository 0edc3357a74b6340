"""Search against the oracle, on sizes and values that hypothesis chooses."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from reference import distances as reference

from pyhash import CodeIndex, _core, codes, search
from pyhash.search.hits import as_table


@st.composite
def problems(draw):
    n_bits = draw(st.one_of(st.integers(1, 80), st.sampled_from([127, 128, 129, 256, 500])))
    n_queries, n = draw(st.integers(0, 6)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = draw(st.booleans())  # few distinct codes: ties everywhere
    database = rng.choice([-1, 1], size=(4 if few else max(n, 1), n_bits))[rng.integers(0, 4 if few else max(n, 1), n)]
    projections = rng.standard_normal((n_queries, n_bits))
    if draw(st.booleans()):
        projections = np.round(projections)  # weights 0 and 1, zeros
    return n_bits, projections, codes.pack(database) if n else np.zeros((0, (n_bits + 7) // 8), np.uint8), rng


@given(problems(), st.integers(1, 70), st.integers(1, 4))
def test_top_k(cpu_level, problem, k, n_threads):
    n_bits, projections, database, _ = problem
    queries = codes.pack(projections)
    all_hamming = reference.hamming(queries, database, n_bits)
    np.testing.assert_array_equal(_core.hamming_distances(queries, database, n_threads), all_hamming)
    index = CodeIndex(n_bits)
    index.add(database)
    hits = index.search(queries, k, n_threads=n_threads)
    order, distances = reference.top_k(all_hamming, k)
    np.testing.assert_array_equal(hits.ids, order)
    np.testing.assert_array_equal(hits.distances, distances)


@given(problems(), st.integers(1, 70), st.integers(1, 4))
def test_weighted_top_k(cpu_level, problem, k, n_threads):
    n_bits, projections, database, _ = problem
    all_weighted = reference.weighted(projections, database)
    np.testing.assert_array_equal(_core.weighted_distances(projections, database, n_threads), all_weighted)
    index = CodeIndex(n_bits)
    index.add(database)
    hits = index.search_weighted(projections, k, n_threads=n_threads)
    order, distances = reference.top_k(all_weighted, k)
    np.testing.assert_array_equal(hits.ids, order)
    np.testing.assert_array_equal(hits.distances, distances)


# One set of codes or several segments, which stay apart where each is less than half as large as the one before. Sets
# of 2,048 codes and more get layouts with a batch of 16 queries, or at the second search.
SIZES = [(60,), (2048,), (2500,), (4300, 2080), (4400, 2100, 700, 3)]
N_CASES = int(os.environ.get("PYHASH_WEIGHTED_CASES", "300"))


@st.composite
def weighted_problems(draw):
    n_bits = draw(st.integers(1, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_distinct = draw(st.sampled_from([1, 2, 3, 20]))
    shape = (n_distinct, n_bits)
    kind = draw(st.sampled_from(["normal", "decades", "rounded", "extremes"]))
    projections = (
        rng.choice([-1, 1], shape)
        * {
            "normal": lambda: np.abs(rng.standard_normal(shape)),
            "decades": lambda: 10.0 ** rng.uniform(-8, 1, shape),
            "rounded": lambda: np.abs(np.round(rng.standard_normal(shape), 1)),
            "extremes": lambda: rng.choice([0.0, 5e-324, 1e-310, 1e-40, 1e-30, 1e-9, 0.3, 1.0, 1e300], shape),
        }[kind]()
    )
    projections = projections[rng.integers(0, n_distinct, draw(st.integers(1, 40)))]

    sizes = draw(st.sampled_from(SIZES))
    n = sum(sizes)
    n_codes = draw(st.sampled_from([8, n]))  # few: each repeats, and equal ones are grouped
    bits = rng.integers(0, 2, (n_codes, n_bits), dtype=np.uint8)[rng.integers(0, n_codes, n)]
    planted = rng.integers(0, n, 12)
    of_query = (projections[rng.integers(0, len(projections), len(planted))] > 0).astype(np.uint8)
    bits[planted] = of_query ^ (np.arange(12) % 2).astype(np.uint8)[:, None]  # equal or opposite
    database = np.packbits(bits, axis=1, bitorder="little")

    allowed = draw(st.sampled_from(["all", "all", "most", "half", "few", "planted"]))
    allowed = {
        "all": lambda: None,
        "most": lambda: np.flatnonzero(rng.random(n) < 0.99),
        "half": lambda: np.flatnonzero(rng.random(n) < 0.5),
        "few": lambda: rng.integers(0, n, 9),
        "planted": lambda: planted,
    }[allowed]()
    return projections, database, sizes, allowed, rng


def nearest(distances, k, radius, ties, allowed):
    """Ids and distances of the hits of one query, as the definition says."""
    rows = np.arange(len(distances)) if allowed is None else np.unique(allowed)
    if radius is not None:
        rows = rows[distances[rows] <= radius]
    rows = rows[np.lexsort((rows, distances[rows]))]
    if k is not None and k < len(rows):
        n = k if ties == "id" else np.searchsorted(distances[rows], distances[rows[k - 1]], "right")
        rows = rows[:n]
    return rows, distances[rows]


@pytest.mark.slow("many codes, against the oracle")
@settings(max_examples=N_CASES)
@given(weighted_problems(), st.integers(1, 2), st.data())
def test_weighted_search_of_many_codes(problem, n_threads, data):
    projections, database, sizes, allowed, rng = problem
    n = len(database)
    n_allowed = n if allowed is None else len(np.unique(allowed))
    distinct, of_query = np.unique(projections, axis=0, return_inverse=True)
    distances = reference.weighted(distinct, database)[of_query.reshape(-1)]

    k = data.draw(st.sampled_from([None, 1, 10, n_allowed - 1, n_allowed, n, n + 7]) | st.integers(1, n), "k")
    k = k if k is None else max(k, 1)
    radius = None
    if k is None or data.draw(st.booleans(), "with a radius"):
        radius = float(rng.choice(distances.ravel()))
        radius = data.draw(st.sampled_from([radius, np.nextafter(radius, 0), 0.0, float(distances.max())]), "radius")
    ties = "id" if k is None else data.draw(st.sampled_from(["id", "all"]), "ties")

    index = CodeIndex(projections.shape[1])
    for part in np.split(np.arange(n), np.cumsum(sizes)[:-1]):
        index.add(database[part], part)
    before = _core.cpu_level()
    try:
        _core.set_cpu_level(data.draw(st.sampled_from(_core.available_cpu_levels()), "level"))
        for limits in (
            {"k": k, "radius": radius, "ties": ties},
            {"k": max(n_allowed, 1), "radius": None, "ties": "id"},
        ):
            hits = index.search_weighted(projections, allowed=allowed, n_threads=n_threads, **limits)
            for i, row in enumerate(distances):
                mine = slice(hits.offsets[i], hits.offsets[i + 1]) if isinstance(hits, search.HitLists) else i
                ids, at = nearest(row, allowed=allowed, **limits)
                np.testing.assert_array_equal(hits.ids[mine], ids)
                np.testing.assert_array_equal(hits.distances[mine], at)
    finally:
        _core.set_cpu_level(before)


def test_the_code_opposite_to_a_query_is_found():
    rng = np.random.default_rng(1)
    projection, rows = rng.normal(size=(1, 32)), rng.normal(size=(2048, 32))
    rows[5] = -projection[0]
    hits = search.weighted_top_k(np.repeat(projection, 16, 0), codes.pack(rows), 2048)
    assert hits.ids.shape == (16, 2048)
    assert set(hits.ids[:, -1]) == {5}


def test_lists_of_unequal_length_are_no_table():
    lists = search.HitLists(np.array([0, 1, 4]), np.arange(4), np.zeros(4, np.int32))
    with pytest.raises(RuntimeError, match="unequal numbers of hits"):
        as_table(lists, 2)


@given(problems(), st.integers(0, 90), st.integers(1, 4))
def test_radius(cpu_level, problem, radius, n_threads):
    n_bits, projections, database, _ = problem
    queries = codes.pack(projections)
    index = CodeIndex(n_bits)
    index.add(database)
    hits = index.search_radius(queries, radius, n_threads=n_threads)
    for i, row in enumerate(reference.hamming(queries, database, n_bits)):
        mine = slice(hits.offsets[i], hits.offsets[i + 1])
        expected = sorted((d, j) for j, d in enumerate(row) if d <= radius)
        assert list(zip(hits.distances[mine], hits.ids[mine], strict=True)) == expected


@given(problems(), st.lists(st.integers(0, 59), max_size=5), st.integers(1, 20))
def test_the_order_of_adding_does_not_matter(problem, cuts, k):
    n_bits, projections, database, rng = problem
    ids = rng.permutation(3 * len(database))[: len(database)]
    whole, parts = CodeIndex(n_bits), CodeIndex(n_bits)
    whole.add(database, ids)
    shuffled = rng.permutation(len(database))
    for part in np.split(shuffled, sorted(min(cut, len(database)) for cut in cuts)):
        parts.add(database[part], ids[part])
    np.testing.assert_array_equal(whole.search_weighted(projections, k).ids, parts.search_weighted(projections, k).ids)


class LivingIndex(RuleBasedStateMachine):
    """An index beside a dict: whatever happens, they hold and find the same."""

    ids = st.lists(st.integers(-20, 40), max_size=12, unique=True)
    seeds = st.integers(0, 2**32)

    @initialize(n_bits=st.sampled_from([3, 16, 65]), seed=seeds)
    def begin(self, n_bits, seed):
        self.n_bits, self.rng = n_bits, np.random.default_rng(seed)
        self.index, self.table, self.committed = CodeIndex(n_bits), {}, None
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "index"

    def rows(self, n):
        """Few distinct ones: ties everywhere."""
        return codes.pack(np.where(self.rng.random((n, self.n_bits)) < 0.1, 1, -1)) if n else self.no_rows()

    def no_rows(self):
        return np.zeros((0, (self.n_bits + 7) // 8), np.uint8)

    @rule(ids=ids)
    def add(self, ids):
        rows = self.rows(len(ids))
        if self.table.keys() & set(ids):
            with pytest.raises(ValueError, match="is in the index already"):
                self.index.add(rows, ids)
        else:
            self.index.add(rows, ids)
            self.table.update(zip(ids, rows, strict=True))

    @rule(n=st.integers(0, 30))
    def add_without_ids(self, n):
        rows, first = self.rows(n), max([-1, *self.table]) + 1
        assert self.index.add(rows).tolist() == list(range(first, first + n))
        self.table.update(zip(range(first, first + n), rows, strict=True))

    @rule(ids=ids)
    def upsert(self, ids):
        rows = self.rows(len(ids))
        self.index.upsert(rows, ids)
        self.table.update(zip(ids, rows, strict=True))

    @rule(ids=ids, whole=st.booleans())
    def remove(self, ids, whole):
        if whole:
            ids = [one for one in ids if one in self.table]
        if set(ids) <= self.table.keys():
            self.index.remove(ids)
            self.table = {one: row for one, row in self.table.items() if one not in ids}
        else:
            with pytest.raises(KeyError, match="is not in the index"):
                self.index.remove(ids)

    @rule()
    def remove_most(self):
        ids = sorted(self.table)[: len(self.table) * 3 // 4]
        self.index.remove(ids)
        for one in ids:
            del self.table[one]

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.stats()["n_segments"] == min(1, len(self.table))

    @rule()
    def save(self):
        self.index.save(self.path)
        self.committed = dict(self.table)

    @precondition(lambda self: self.committed is not None)
    @rule()
    def commit(self):
        self.index.commit()
        self.committed = dict(self.table)

    @precondition(lambda self: self.committed is not None)
    @rule(mmap=st.booleans())
    def reopen(self, mmap):
        """Changes that were not committed are gone."""
        self.index.close()
        self.index, self.table = CodeIndex.open(self.path, mmap=mmap), dict(self.committed)
        self.index.verify()

    @rule(k=st.integers(1, 40), ties=st.sampled_from(["id", "all"]), n=st.integers(1, 20), some=st.none() | ids)
    def search(self, k, ties, n, some):
        projections = np.round(self.rng.standard_normal((n, self.n_bits)), 1)
        ids = np.array(sorted(self.table), dtype=np.int64)
        table = np.array([self.table[one] for one in ids.tolist()]) if len(ids) else self.no_rows()
        for hits, distances in (
            (
                self.index.search(codes.pack(projections), k, ties=ties, allowed=some),
                reference.hamming(codes.pack(projections), table, self.n_bits),
            ),
            (
                self.index.search_weighted(projections, k, ties=ties, allowed=some),
                reference.weighted(projections, table),
            ),
        ):
            for i, row in enumerate(distances):
                pairs = sorted(
                    (d, one) for d, one in zip(row.tolist(), ids.tolist(), strict=True) if some is None or one in some
                )
                last = pairs[k - 1][0] if k <= len(pairs) else np.inf
                wanted = pairs[:k] if ties == "id" else [pair for pair in pairs if pair[0] <= last]
                mine = slice(hits.offsets[i], hits.offsets[i + 1]) if ties == "all" else i
                assert list(zip(hits.distances[mine].tolist(), hits.ids[mine].tolist(), strict=True)) == wanted

    @invariant()
    def holds_what_the_dict_holds(self):
        ids = sorted(self.table)
        assert len(self.index) == len(ids)
        assert self.index.ids.tolist() == ids
        rows = [self.table[one].tolist() for one in ids]
        assert self.index.codes.tolist() == self.index.reconstruct(ids).tolist() == rows
        assert [one for block, _ in self.index.blocks(5) for one in block.tolist()] == ids

    def teardown(self):
        if hasattr(self, "index"):
            self.index.close()
            self.folder.cleanup()


TestLivingIndex = LivingIndex.TestCase
TestLivingIndex.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
