"""The core's sets of codes: layouts, tables that are kept, and what statistics say."""

import threading

import numpy as np
import pytest

from pyhash import _core

N = 4000


def _codes(n=N, n_centres=200, n_bytes=8):
    rng = np.random.default_rng(n + n_bytes)
    centres = rng.integers(0, 256, (n_centres, n_bytes), dtype=np.uint8)
    flips = np.bitwise_and.reduce(rng.integers(0, 256, (3, n, n_bytes), dtype=np.uint8))
    return centres[rng.integers(0, n_centres, n)] ^ flips


def _search(code_set, queries, k=10, radius=None, mask=None, ties=False):
    return [part.tolist() for part in code_set.search(queries, k, radius, ties, mask, 2)]


def test_tables_are_built_on_request_and_used_again():
    codes = _codes()
    built = _core.CodeSet(codes, False, "multi-index", 100)
    assert built.tables() is None
    assert built.stats()["layout_reason"] == "Tables are built at the first search."
    built.build_tables(1)
    n_tables, with_codes, table = built.tables()
    assert built.stats()["n_tables"] == n_tables > 1
    assert built.stats()["table_bytes"] == len(table) <= 100 * N
    assert with_codes
    assert not table.flags.writeable
    mapped = _core.CodeSet(codes, True, "auto", 64)
    mapped.use_tables(n_tables, with_codes, table)
    expected = _search(_core.CodeSet(codes, False, "scan", 0), codes[:40])
    del built
    assert _search(mapped, codes[:40]) == expected
    assert np.array_equal(mapped.tables()[2], table)
    assert mapped.stats()["bit_plane_bytes"] == 0


def test_the_view_of_tables_outlives_the_set():
    codes = _codes()
    code_set = _core.CodeSet(codes, False, "multi-index", 100)
    code_set.build_tables(1)
    table = code_set.tables()[2]
    copy = table.copy()
    del code_set
    assert np.array_equal(table, copy)


def test_layouts_and_tables_are_checked():
    codes = _codes()
    with pytest.raises(ValueError, match="layout must be"):
        _core.CodeSet(codes, False, "fast", 64)
    with pytest.raises(ValueError, match="layout_bytes_per_code"):
        _core.CodeSet(codes, False, "auto", float("nan"))
    scanned = _core.CodeSet(codes, False, "scan", 64)
    with pytest.raises(ValueError, match="scan"):
        scanned.build_tables(1)
    built = _core.CodeSet(codes, False, "multi-index", 100)
    built.build_tables(1)
    n_tables, with_codes, table = built.tables()
    with pytest.raises(ValueError, match="already"):
        built.use_tables(n_tables, with_codes, table)
    for wrong in (
        (n_tables + 1, with_codes, table),
        (n_tables, not with_codes, table),
        (n_tables, with_codes, table[1:]),
    ):
        lean = _core.CodeSet(codes, True, "auto", 64)
        with pytest.raises(ValueError, match="bytes"):
            lean.use_tables(*wrong)
        assert lean.tables() is None


@pytest.mark.parametrize(("layout", "grouped"), [("auto", True), ("scan", True), ("multi-index", False)])
def test_equal_codes_are_grouped_except_under_multi_index(layout, grouped):
    codes = np.repeat(_codes(500), 10, axis=0)
    code_set = _core.CodeSet(codes, False, layout, 100)
    _search(code_set, codes[:40])
    assert code_set.stats()["grouped"] is grouped
    assert (code_set.tables() is not None) is (layout == "multi-index")


@pytest.mark.parametrize("budget", [0, 8])
def test_a_budget_that_is_too_small_means_scans(budget):
    codes = _codes()
    code_set = _core.CodeSet(codes, False, "multi-index", budget)
    code_set.build_tables(1)
    _search(code_set, codes[:3])
    stats = code_set.stats()
    assert (stats["layout"], stats["n_tables"], stats["table_bytes"]) == ("scan", 0, 0)
    assert stats["layout_reason"] == f"Tables do not fit in {budget} bytes a code."


def test_threads_that_search_while_tables_are_built_find_the_same():
    codes = _codes(20_000)
    expected = _search(_core.CodeSet(codes, False, "scan", 0), codes[:50])
    code_set = _core.CodeSet(codes, False, "multi-index", 100)
    found = []
    threads = [threading.Thread(target=lambda: found.append(_search(code_set, codes[:50]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    assert code_set.tables() is not None
