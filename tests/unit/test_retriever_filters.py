"""Filters of a Retriever: a value finds the rows that have it, and no others."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from pyhash.retriever.filters import matching_rows
from pyhash.retriever.payload_tables import fitted

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")

NEW_YEAR = datetime(2021, 1, 1)


def rows_with(column, wanted):
    return np.flatnonzero(matching_rows(pa.table({"c": column}), {"c": wanted})).tolist()


def test_a_null_list_has_none_of_the_values_beneath_it():
    values, mask = pa.array(["x", "y", "z", "x", "w", "z"]), pa.array([False, True, False])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 4, 6]), values, mask=mask)
    assert rows_with(lists, "x") == [0]
    assert rows_with(lists, "z") == [2]
    assert rows_with(lists[1:], ["w", None]) == [0, 1]
    assert rows_with(pa.FixedSizeListArray.from_arrays(values, 2, mask=mask), ["x", "w"]) == [0, 2]


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ([1, 2], 1.0),
        (pa.array([1, 2], pa.uint8()), np.int8(1)),
        ([[1, 3], [2]], [3]),
        ([NEW_YEAR, None], np.datetime64("2021-01-01", "ns")),
        ([NEW_YEAR, None], np.datetime64("2021-01-01", "s")),
        (pa.array([10**9, 0], pa.timestamp("ns", "UTC")), datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)),
        ([date(2021, 1, 1), date(2021, 1, 2)], np.datetime64("2021-01-01")),
        (pa.array([1, 2], pa.duration("s")), timedelta(seconds=1)),
    ],
    ids=str,
)
def test_equal_values_of_other_types_are_found(column, wanted):
    assert rows_with(column, wanted) == [0]


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ([1, 2], 1.5),
        ([[1], [2]], 1.5),
        ([date(2021, 1, 1)], datetime(2021, 1, 1, 12)),
        (pa.array([1], pa.timestamp("s")), datetime(1970, 1, 1, 0, 0, 1, 5)),
        (pa.array([0], pa.timestamp("us", "UTC")), datetime(1970, 1, 1)),
        (pa.array([1], pa.duration("s")), timedelta(seconds=1, microseconds=5)),
    ],
    ids=str,
)
def test_values_that_would_be_cut_are_refused(column, wanted):
    with pytest.raises(ValueError, match="would become"):
        rows_with(column, wanted)


@pytest.mark.parametrize(
    "kind",
    [pa.struct([("u", pa.int64())]), pa.list_(pa.list_(pa.string())), pa.float16(), pa.list_(pa.string_view())],
    ids=str,
)
def test_columns_that_cannot_be_compared_are_refused(kind):
    with pytest.raises(ValueError, match="'c' is of type"):
        rows_with(pa.nulls(2, kind), "x")


def test_expressions_take_a_column_of_any_name():
    table = pa.table({"pyhash:row": [5, 6], "c": ["a", "b"]})
    assert matching_rows(table, pc.field("pyhash:row") == 6).tolist() == [False, True]


def test_times_with_and_without_a_zone_do_not_mix():
    with_zone = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC"))})
    with pytest.raises(TypeError, match="'t'"):
        fitted(pa.table({"t": [NEW_YEAR]}), with_zone.schema)


@pytest.mark.parametrize("of_lists", [pa.list_, pa.large_list])
def test_lists_that_were_all_empty_take_any_values(of_lists):
    empty = pa.table({"c": pa.array([[], None], of_lists(pa.null()))})
    assert rows_with(empty["c"], "x") == []
    assert rows_with(empty["c"], None) == [1]
    fits, schema = fitted(pa.table({"c": pa.array([["x"]], of_lists(pa.string()))}), empty.schema)
    assert fits["c"].type == schema.field("c").type == of_lists(pa.string())
