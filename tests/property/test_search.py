"""Search against the oracle, on sizes and values that hypothesis chooses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from reference import distances as reference

from pyhash import CodeIndex, _core, codes


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
