"""Which rows the anchors of a map are, and how many anchors there were when rows were learned."""

import numpy as np
import pytest

from pyhash import RBFAnchors
from pyhash.methods.parts.growth import complete_rows
from pyhash.methods.parts.origins import Origins


def grown_twice():
    """Three chunks of 5, 4 and 3 rows: two anchors of each of the first two, one of the third."""
    origins = Origins.of_anchors(np.array([1, 4])).with_rows(5)
    origins = origins.with_anchors(np.array([0, 3])).with_rows(4)
    return origins.with_anchors(np.array([2])).with_rows(3)


def test_rows_are_numbered_in_the_order_in_which_they_were_learned():
    origins = grown_twice()
    np.testing.assert_array_equal(origins.anchors, [1, 4, 5, 8, 11])
    np.testing.assert_array_equal(origins.widths, [2] * 5 + [4] * 4 + [5] * 3)
    assert origins.n_rows == 12
    assert not origins.always_had_all


def test_chunks_with_equally_many_anchors_are_one_run():
    origins = Origins.of_anchors(np.array([0])).with_rows(3).with_rows(0).with_rows(2)
    np.testing.assert_array_equal(origins.runs, [[5, 1]])
    assert origins.always_had_all


def test_rows_of_two_streams_follow_each_other():
    base = Origins.of_anchors(np.array([1, 2])).with_rows(3)
    part = base.of_other_rows().with_rows(4)
    np.testing.assert_array_equal(part.anchors, [-1, -1])
    np.testing.assert_array_equal(base.plus(part).anchors, [1, 2])
    np.testing.assert_array_equal(part.plus(base).anchors, [5, 6])
    np.testing.assert_array_equal(part.plus(part).anchors, [-1, -1])
    for both in (base.plus(part), part.plus(base)):
        np.testing.assert_array_equal(both.runs, [[7, 2]])


def test_columns_that_dropped_anchors_completed_cannot_be_told():
    origins = grown_twice()
    last = origins.without_anchors(np.array([False] * 4 + [True]), last_growth=4)
    np.testing.assert_array_equal(last.widths, [2] * 5 + [4] * 7)
    second = origins.without_anchors(np.array([False, False, True, False, False]), last_growth=4)
    np.testing.assert_array_equal(second.anchors, [1, 4, 8, 11])
    np.testing.assert_array_equal(second.widths, [-1] * 9 + [4] * 3)
    # What is lost stays lost.
    again = second.without_anchors(np.array([False, False, False, True]), last_growth=3)
    np.testing.assert_array_equal(again.widths, [-1] * 9 + [3] * 3)


def test_a_map_that_never_grew_loses_nothing_with_an_anchor():
    origins = Origins.of_anchors(np.array([0, 3])).with_rows(5).without_anchors(np.array([True, False]), last_growth=0)
    np.testing.assert_array_equal(origins.runs, [[5, 1]])
    assert origins.always_had_all


# --- the maps themselves ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["dense", "sparse"])
def stream(request):
    """A map after each of three chunks, the matrices of its growths, and the chunks."""
    rng = np.random.default_rng(0)
    chunks = [rng.standard_normal((20, 3)) for _ in range(3)]
    if request.param == "sparse":
        from scipy.sparse import csr_array

        chunks = [csr_array(np.where(x > 0, x, 0.0)) for x in chunks]
    maps, completions = [RBFAnchors(6, grow=3, max_anchors=12, centered=True).fit(chunks[0])], []
    for i, chunk in enumerate(chunks[1:], start=1):
        grown, C = maps[-1].grown(chunk, i)
        maps.append(grown)
        completions.append(C)
    return maps, completions, chunks


def test_the_first_anchors_are_the_map_as_it_was(stream):
    maps, completions, chunks = stream
    assert maps[-1].joined == (6, 9, 12)
    for earlier in maps:
        first = maps[-1].first(earlier.joined[-1])
        assert first.is_same_as(earlier)
        assert first.joined == earlier.joined
        np.testing.assert_array_equal(first.transform(chunks[2]), earlier.transform(chunks[2]))
    for n_anchors, expected in ((6, completions), (9, completions[1:]), (12, [])):
        found = list(maps[-1].completions(n_anchors))
        assert len(found) == len(expected)
        for C, of_growth in zip(found, expected, strict=True):
            np.testing.assert_allclose(C, of_growth, rtol=1e-9, atol=1e-9)


def test_a_map_less_its_last_anchors_is_the_one_before(stream):
    maps, _, chunks = stream
    rest = maps[2].without_anchors(np.arange(12) >= 9)
    assert rest.is_same_as(maps[1])
    again, C = rest.grown(chunks[2], 2)
    expected, C_expected = maps[1].grown(chunks[2], 2)
    assert again.is_same_as(expected)
    np.testing.assert_array_equal(C, C_expected)


def test_a_map_less_some_anchors_has_the_other_columns(stream):
    maps, _, chunks = stream
    dropped = np.isin(np.arange(12), [0, 1, 2, 3, 4, 5, 7, 10])  # all of the first among them
    rest = maps[2].without_anchors(dropped)
    np.testing.assert_array_equal(rest.transform(chunks[1]), maps[2].transform(chunks[1])[:, ~dropped])
    assert rest.joined == (2, 4)
    grown, C = rest.grown(chunks[0], 5)
    np.testing.assert_allclose(grown.mean_, complete_rows(rest.mean_, C))


def test_a_fixed_map_maps_alike_and_never_grows(stream):
    maps, _, _ = stream
    fixed = maps[1].fixed()
    assert fixed.is_same_as(maps[1])
    assert maps[1].is_same_as(fixed)
    assert maps[1].can_grow
    assert not fixed.can_grow
    assert (fixed.joined, maps[1].joined) == ((9,), (6, 9))


def test_maps_of_other_rows_widths_or_kinds_are_not_the_same(stream):
    maps, _, chunks = stream
    others = [
        maps[1],
        RBFAnchors(6, centered=True, seed=1).fit(chunks[0]),
        RBFAnchors(6, centered=False).fit(chunks[0]),
        RBFAnchors(6, centered=True, width=2.0).fit(chunks[0]),
        None,
    ]
    for other in others:
        assert not maps[0].is_same_as(other)
    assert maps[0].is_same_as(RBFAnchors(6, centered=True).fit(chunks[0]))
