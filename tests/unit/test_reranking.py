"""The second stage of a search: candidates ranked by longer codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import distances as reference

from pyhash import codes, search
from pyhash.search import Hits


@given(
    n_bits=st.sampled_from([1, 7, 8, 64, 100, 256]),
    n=st.integers(1, 60),
    n_queries=st.integers(0, 4),
    n_distinct=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_candidates_are_ranked_by_the_definition(n_bits, n, n_queries, n_distinct, seed, data):
    rng = np.random.default_rng(seed)
    m = data.draw(st.integers(0, n))
    k = data.draw(st.none() | st.integers(1, n + 2))
    rows = codes.pack(rng.choice([-1, 1], size=(n_distinct, n_bits)))[rng.integers(0, n_distinct, n)]
    projections = np.round(rng.standard_normal((n_queries, n_bits)), 1)
    candidates = np.array([rng.permutation(n)[:m] for _ in range(n_queries)], dtype=int).reshape(n_queries, m)
    hits = search.weighted_rerank(projections, rows, candidates, k)
    assert isinstance(hits, Hits)
    assert hits.ids.shape == hits.distances.shape == (n_queries, m if k is None else min(k, m))
    assert (hits.ids.dtype, hits.distances.dtype) == (np.int64, np.float64)
    distances = reference.weighted(projections, rows)
    for i in range(n_queries):
        nearest = sorted((distances[i, row], row) for row in candidates[i].tolist())[:k]
        assert list(zip(hits.distances[i].tolist(), hits.ids[i].tolist(), strict=True)) == nearest


def test_all_rows_as_candidates_are_a_search(rng, cpu_level):
    rows = codes.pack(rng.choice([-1, 1], size=(300, 100)))
    projections = rng.uniform(-2, 2, (3, 100))
    everything = np.array([rng.permutation(300) for _ in range(3)])
    two, one = search.weighted_rerank(projections, rows, everything, 20), search.weighted_top_k(projections, rows, 20)
    np.testing.assert_array_equal(two.ids, one.ids)
    np.testing.assert_array_equal(two.distances, one.distances)


def test_only_the_codes_of_candidates_are_read(rng, tmp_path):
    rows = codes.pack(rng.choice([-1, 1], size=(50, 12)))
    rows[7] = 255  # padding bits, which a reader would refuse
    np.save(tmp_path / "codes.npy", rows)
    stored = np.load(tmp_path / "codes.npy", mmap_mode="r")
    projections = rng.standard_normal((1, 12))
    assert search.weighted_rerank(projections, stored, [[3, 40]]).ids.shape == (1, 2)
    with pytest.raises(ValueError, match="database_codes must have zero padding bits"):
        search.weighted_rerank(projections, stored, [[3, 7]])


ROWS, QUERIES = np.zeros((3, 2), np.uint8), np.ones((2, 12))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((QUERIES, ROWS, [[0, 1], [1, 2]], 0), ValueError, "^k must be an integer >= 1, got 0"),
        ((QUERIES, ROWS, [[0, 1], [1, 2]], 1.5), TypeError, "^k must be an integer >= 1, got 1.5"),
        ((QUERIES, ROWS, [0, 1]), ValueError, r"^candidates must have shape \(2, m\), .*, got \(2,\)"),
        ((QUERIES, ROWS, [[0, 1]]), ValueError, r"^candidates must have shape \(2, m\), .*, got \(1, 2\)"),
        ((QUERIES, ROWS, [[0, 1], [1, 3]]), ValueError, "^candidates must hold row numbers from 0 to 2, got 3"),
        ((QUERIES, ROWS, [[0, 1], [-1, 2]]), ValueError, "^candidates must hold row numbers from 0 to 2, got -1"),
        ((QUERIES, ROWS[:0], [[0], [0]]), ValueError, "^candidates must hold row numbers of 0 rows, got 0"),
        ((QUERIES, ROWS, [[0, 1], [2, 2]]), ValueError, "^candidates must be distinct .*, got 2 twice in row 1"),
        (
            (QUERIES, ROWS, [[0.0], [1.0]]),
            TypeError,
            "^candidates must be row numbers of an integer dtype, got float64",
        ),
        ((QUERIES, ROWS[:, :1], [[0], [1]]), ValueError, r"^database_codes must have shape \(n, 2\)"),
        ((QUERIES, ROWS * 1.0, [[0], [1]]), TypeError, "^database_codes must be packed codes of dtype uint8"),
        ((QUERIES, None, [[0], [1]]), TypeError, "^database_codes must be packed codes"),
        ((QUERIES, np.uint8(3), [[0], [1]]), ValueError, "^database_codes must have shape"),
        (([[np.nan] * 12], ROWS, [[0]]), ValueError, "^projections must be finite"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        search.weighted_rerank(*arguments)
