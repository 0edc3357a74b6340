"""The search functions over plain arrays, and the joining of hits."""

import numpy as np
import pytest
from reference import distances as reference

from pyhash import CodeIndex, codes, search
from pyhash.search import HitLists, Hits


def nearest(distances, *, k=None, radius=None, ties="id", allowed=None):
    """One query's hits as (distance, id), from the definition."""
    rows = sorted((d, i) for i, d in enumerate(distances.tolist()) if allowed is None or i in allowed)
    if radius is not None:
        rows = [(d, i) for d, i in rows if d <= radius]
    if k is None or k >= len(rows):
        return rows
    return rows[:k] if ties == "id" else [(d, i) for d, i in rows if d <= rows[k - 1][0]]


def lists_of(hits):
    if isinstance(hits, Hits):
        return [list(zip(d.tolist(), i.tolist(), strict=True)) for d, i in zip(hits.distances, hits.ids, strict=True)]
    bounds = zip(hits.offsets[:-1].tolist(), hits.offsets[1:].tolist(), strict=True)
    return [list(zip(hits.distances[a:b].tolist(), hits.ids[a:b].tolist(), strict=True)) for a, b in bounds]


@pytest.mark.parametrize(("n_queries", "n_threads"), [(1, 3), (3, 1), (20, 3)])
@pytest.mark.parametrize(
    ("n_bits", "n", "n_distinct"), [(7, 600, 600), (64, 513, 513), (16, 2300, 300), (100, 2100, 2100)]
)
def test_they_find_what_the_definition_says(rng, cpu_level, n_bits, n, n_distinct, n_queries, n_threads):
    rows = codes.pack(np.where(rng.random((n_distinct, n_bits)) < 0.1, 1, -1))[rng.integers(0, n_distinct, n)]
    # Full bytes, since the functions on codes know of no padding; weighted ones do.
    projections = np.round(rng.standard_normal((n_queries, n_bits)), 1)
    queries = codes.pack(projections)
    hamming, weighted = reference.hamming(queries, rows, n_bits), reference.weighted(projections, rows)
    radius = float(np.quantile(weighted, 0.02))
    some = rng.permutation(n)[: n // 3]
    few = some[:9]
    mask = np.isin(np.arange(n), some)
    for limits, wanted in (
        ({"k": 7}, {"k": 7}),
        ({"k": n // 4}, {"k": n // 4}),
        ({"k": 2, "ties": "all"}, {"k": 2, "ties": "all"}),
        ({"k": 7, "allowed": mask}, {"k": 7, "allowed": set(some.tolist())}),
        ({"k": 7, "allowed": [*few, few[0]]}, {"k": 7, "allowed": set(few.tolist())}),
        ({"k": 7, "ties": "all", "allowed": []}, {"k": 7, "allowed": set()}),
    ):
        plain = search.hamming_top_k(queries, rows, n_threads=n_threads, **limits)
        assert lists_of(plain) == [nearest(row, **wanted) for row in hamming]
        real = search.weighted_top_k(projections, rows, n_threads=n_threads, **limits)
        assert lists_of(real) == [nearest(row, **wanted) for row in weighted]
        for hits in (plain, real):
            assert isinstance(hits, HitLists if "ties" in limits else Hits)
    for limits, wanted in (
        ({}, {}),
        ({"allowed": mask}, {"allowed": set(some.tolist())}),
        ({"allowed": few}, {"allowed": set(few.tolist())}),
    ):
        for bound in (0, n_bits // 12):
            hits = search.hamming_radius(queries, rows, bound, n_threads=n_threads, **limits)
            assert lists_of(hits) == [nearest(row, radius=bound, **wanted) for row in hamming]
        for bound in (0, radius):
            hits = search.weighted_radius(projections, rows, bound, n_threads=n_threads, **limits)
            assert lists_of(hits) == [nearest(row, radius=bound, **wanted) for row in weighted]


def test_an_empty_database_and_no_queries():
    none, rows = np.zeros((0, 2), np.uint8), np.zeros((3, 2), np.uint8)
    assert search.hamming_top_k(rows, none, 4).ids.shape == (3, 0)
    assert search.weighted_top_k(np.ones((3, 12)), none, 4).ids.shape == (3, 0)
    assert search.hamming_radius(rows, none, 4).offsets.tolist() == [0, 0, 0, 0]
    assert search.hamming_top_k(none, rows, 2).ids.shape == (0, 2)
    assert search.weighted_top_k(np.ones((0, 12)), rows, 2).distances.dtype == np.float64
    assert search.weighted_radius(np.ones((0, 12)), rows, 2).offsets.tolist() == [0]


ROWS = np.zeros((3, 2), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: search.hamming_top_k(ROWS, ROWS, 0), ValueError, "k must be an integer >= 1, got 0"),
        (lambda: search.hamming_top_k(ROWS, ROWS, 1.0), TypeError, "k must be an integer >= 1, got 1.0"),
        (lambda: search.hamming_top_k(ROWS, ROWS, 1, ties="any"), ValueError, "ties must be one of 'id', 'all'"),
        (lambda: search.hamming_top_k(ROWS, ROWS, 1, n_threads=0), ValueError, "n_threads must be an integer >= 1"),
        (lambda: search.hamming_top_k(ROWS[:, :1], ROWS, 1), ValueError, r"query_codes must have shape \(n, 2\)"),
        (
            lambda: search.hamming_top_k(ROWS * 1.0, ROWS, 1),
            TypeError,
            "query_codes must be packed codes of dtype uint8",
        ),
        (lambda: search.hamming_top_k(ROWS, ROWS * 1.0, 1), TypeError, "database_codes must be packed codes"),
        (lambda: search.hamming_top_k(ROWS[:, :1], ROWS[0, :1], 1), ValueError, "database_codes must have shape"),
        (lambda: search.hamming_radius(ROWS, ROWS, -1), ValueError, "radius must be an integer >= 0, got -1"),
        (lambda: search.hamming_radius(ROWS, ROWS, 1.5), TypeError, "radius must be an integer >= 0, got 1.5"),
        (lambda: search.weighted_radius(np.ones((1, 12)), ROWS, -1), ValueError, "radius must be a finite number >= 0"),
        (
            lambda: search.weighted_top_k(np.ones((1, 17)), ROWS, 1),
            ValueError,
            r"database_codes must have shape \(n, 3\)",
        ),
        (lambda: search.weighted_top_k(np.ones((1, 12)), ROWS | 255, 1), ValueError, "zero padding bits for n_bits=12"),
        (lambda: search.weighted_top_k([[np.nan] * 12], ROWS, 1), ValueError, "projections must be finite"),
        (lambda: search.hamming_top_k(ROWS, ROWS, 1, allowed=[True]), ValueError, "one value for each of the 3 codes"),
        (lambda: search.hamming_top_k(ROWS, None, 2), TypeError, "^database_codes must be packed codes .*, got object"),
        (lambda: search.hamming_top_k(None, ROWS, 2), TypeError, "^query_codes must be packed codes .*, got object"),
        (lambda: search.hamming_radius(ROWS, None, 2), TypeError, "^database_codes must be packed codes"),
        (lambda: search.weighted_top_k(np.ones((1, 12)), None, 2), TypeError, "^database_codes must be packed codes"),
        *(
            (call, ValueError, f"^allowed must hold row numbers from 0 to 2, got {row}$")
            for row in (3, -1, 10**9)
            for call in (
                lambda row=row: search.hamming_top_k(ROWS, ROWS, 1, allowed=np.array([0, row])),
                lambda row=row: search.hamming_radius(ROWS, ROWS, 1, allowed=np.array([row, 2])),
                lambda row=row: search.weighted_top_k(np.ones((1, 16)), ROWS, 1, allowed=np.array([row])),
                lambda row=row: search.weighted_radius(np.ones((1, 16)), ROWS, 1, allowed=np.array([row])),
            )
        ),
        (
            lambda: search.hamming_top_k(ROWS, ROWS, 1, allowed=np.array([2**63], np.uint64)),
            ValueError,
            "^allowed must hold row numbers from 0 to 2, got 9223372036854775808$",
        ),
        (
            lambda: search.hamming_top_k(ROWS, ROWS[:0], 1, allowed=[0]),
            ValueError,
            "^allowed must hold row numbers of 0 rows, got 0$",
        ),
        (
            lambda: search.hamming_top_k(ROWS, ROWS, 1, allowed=[0.5]),
            TypeError,
            r"^allowed must be a boolean mask of shape \(3,\) or a list of row numbers, got float64 of shape \(1,\)",
        ),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("sizes", [[400], [0, 400], [1, 2, 397], [133, 0, 267], [3, 3, 4]])
def test_shards_together_are_one_index(rng, sizes):
    n = sum(sizes)
    rows = codes.pack(rng.choice([-1, 1], size=(n, 10)))
    ids = rng.permutation(5 * n)[:n]
    projections = np.round(rng.standard_normal((6, 10)))
    queries = codes.pack(projections)
    whole, shards = CodeIndex(10), []
    whole.add(rows, ids)
    for part in np.split(np.arange(n), np.cumsum(sizes)[:-1]):
        shards.append(CodeIndex(10))
        shards[-1].add(rows[part], ids[part])
    asks = [lambda i, k=k: i.search(queries, k) for k in (1, 5, 50, 1000)]
    asks += [lambda i, k=k: i.search_weighted(projections, k) for k in (1, 50)]
    for k, ask in zip((1, 5, 50, 1000, 1, 50), asks, strict=True):
        hits, right = search.merge_hits([ask(shard) for shard in shards], k), ask(whole)
        assert isinstance(hits, Hits)
        np.testing.assert_array_equal(hits.ids, right.ids)
        np.testing.assert_array_equal(hits.distances, right.distances)
        assert hits.distances.dtype == right.distances.dtype
    lists = [
        (None, "id", lambda i: i.search_radius(queries, 3)),
        (None, "id", lambda i: i.search_weighted(projections, radius=2)),
        (7, "id", lambda i: i.search_weighted(projections, 7, radius=2)),
        (7, "all", lambda i: i.search(queries, 7, ties="all")),
        (500, "all", lambda i: i.search_weighted(projections, 500, ties="all")),
    ]
    for k, ties, ask in lists:
        hits, right = search.merge_hits([ask(shard) for shard in shards], k, ties=ties), ask(whole)
        assert isinstance(hits, HitLists)
        np.testing.assert_array_equal(hits.offsets, right.offsets)
        np.testing.assert_array_equal(hits.ids, right.ids)
        np.testing.assert_array_equal(hits.distances, right.distances)


def test_shards_without_queries():
    shards = [search.hamming_top_k(ROWS[:0], ROWS[:n], 4) for n in (1, 2)]
    assert search.merge_hits(shards, 4).ids.shape == (0, 3)
    assert search.merge_hits(shards, 2).ids.shape == (0, 2)
    assert search.merge_hits([search.hamming_radius(ROWS[:0], ROWS, 4)] * 2).offsets.tolist() == [0]


HITS = search.hamming_top_k(ROWS, ROWS, 2)
LISTS = search.hamming_radius(ROWS, ROWS, 2)


@pytest.mark.parametrize(
    ("hits", "limits", "error", "message"),
    [
        ([], {"k": 2}, ValueError, "hits must hold those of at least one shard, got none"),
        ([HITS, LISTS], {"k": 2}, TypeError, "hits must be all Hits or all HitLists, got HitLists, Hits|got HitLists"),
        (None, {"k": 2}, TypeError, "hits must be a sequence of Hits or of HitLists, got NoneType"),
        (HITS, {"k": 2}, TypeError, "hits must be a sequence of Hits or of HitLists, got Hits"),
        ([1, 2], {"k": 2}, TypeError, "hits must be all Hits or all HitLists, got int"),
        ([HITS], {}, ValueError, "k must be given for Hits"),
        ([HITS], {"k": 2, "ties": "all"}, ValueError, "searches with all ties give HitLists"),
        ([HITS], {"k": 0}, ValueError, "k must be an integer >= 1, got 0"),
        ([LISTS], {"k": 1, "ties": "any"}, ValueError, "ties must be one of"),
        (
            [HITS, search.hamming_top_k(ROWS[:2], ROWS, 2)],
            {"k": 2},
            ValueError,
            "for the same queries, got 3, 2 queries",
        ),
        (
            [HITS, search.weighted_top_k(np.ones((3, 16)), ROWS, 2)],
            {"k": 2},
            ValueError,
            "hits must be of one distance",
        ),
    ],
)
def test_what_cannot_be_joined(hits, limits, error, message):
    with pytest.raises(error, match=message):
        search.merge_hits(hits, **limits)
