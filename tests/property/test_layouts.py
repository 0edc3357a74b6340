"""Every layout gives the same hits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhash import _core


@st.composite
def _problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, n_bytes = draw(st.sampled_from([1, 2, 50, 700, 3000])), draw(st.sampled_from([1, 3, 8, 16]))
    centres = rng.integers(0, 256, (draw(st.sampled_from([1, 5, 400])), n_bytes), dtype=np.uint8)
    flips = np.bitwise_and.reduce(rng.integers(0, 256, (draw(st.integers(1, 4)), n, n_bytes), dtype=np.uint8))
    codes = centres[rng.integers(0, len(centres), n)] ^ flips
    queries = codes[rng.integers(0, n, draw(st.sampled_from([1, 20, 70])))]
    queries[::3] = rng.integers(0, 256, queries[::3].shape, dtype=np.uint8)
    queries[0] = ~codes[0]
    mask = None
    if (share := draw(st.sampled_from([None, 1.0, 0.5, 0.02, 0.0]))) is not None:
        bits = np.packbits(rng.random(n) < share, bitorder="little")
        mask = np.zeros(_core.mask_bytes(n), dtype=np.uint8)
        mask[: len(bits)] = bits
    k = draw(st.sampled_from([None, 1, 10, n, n + 1]))
    radius = draw(st.integers(0, 8 * n_bytes)) if k is None else draw(st.none() | st.integers(0, 8 * n_bytes))
    return codes, queries, k, radius, draw(st.booleans()), mask


@settings(max_examples=60)
@given(_problems(), st.sampled_from([20, 400]), st.integers(1, 3))
def test_layouts_give_equal_hits(problem, budget, n_threads):
    codes, queries, k, radius, ties, mask = problem
    projections = np.where(np.unpackbits(queries, axis=1, bitorder="little") > 0, 0.5, -0.25)
    tabled = _core.CodeSet(codes, False, "multi-index", budget)
    sets = [_core.CodeSet(codes, False, "scan", 0), _core.CodeSet(codes, False, "auto", budget), tabled]
    tabled.build_tables(n_threads)
    if (tables := tabled.tables()) is not None:
        sets.append(_core.CodeSet(codes, True, "auto", budget))
        sets[-1].use_tables(*tables)
    for search, given_queries in (("search", queries), ("search_weighted", projections)):
        found = [getattr(s, search)(given_queries, k, radius, ties, mask, n_threads) for s in sets for _ in range(2)]
        for other in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))
