import copy

import numpy as np
import pytest
from scipy.sparse import csr_array, issparse

from pyhash import Centering, RBFAnchors
from pyhash.methods.parts.feature_maps import grown_copy
from pyhash.methods.parts.growth import complete_gram, complete_rows

pytestmark = pytest.mark.usefixtures("one_blas_thread")


@pytest.fixture
def chunks(rng):
    """Three chunks of rows near a plane."""
    plane = rng.standard_normal((2, 6))
    return [rng.standard_normal((n, 2)) @ plane + 0.1 * rng.standard_normal((n, 6)) for n in (60, 40, 50)]


def dense(rows):
    return rows.toarray() if issparse(rows) else rows


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_anchors_grow_up_to_their_limit(chunks, form):
    first = RBFAnchors(20, grow=8, max_anchors=30).fit(form(chunks[0]))
    before = dense(first.anchors_).copy()
    second, C = first.grown(form(chunks[1]), 1)
    third, D = second.grown(form(chunks[2]), 2)
    assert second.can_grow
    assert not third.can_grow
    assert grown_copy("X", third, form(chunks[2]), 3) is None
    assert (C.shape, D.shape) == ((20, 8), (28, 2))
    assert issparse(third.anchors_) == (form is csr_array)
    np.testing.assert_array_equal(dense(first.anchors_), before)
    anchors = dense(third.anchors_)
    np.testing.assert_array_equal(anchors[:20], before)
    np.testing.assert_array_equal(anchors[:28], dense(second.anchors_))
    assert {tuple(a) for a in anchors[20:28]} <= {tuple(x) for x in chunks[1]}
    assert {tuple(a) for a in anchors[28:]} <= {tuple(x) for x in chunks[2]}
    assert len(np.unique(anchors, axis=0)) == 30
    assert third.width_ == first.width_
    assert third.transform(form(chunks[1])).shape == (40, 30)


def test_growth_without_a_limit_takes_all_rows_of_small_chunks(chunks):
    feature_map, counts = RBFAnchors(20, grow=45).fit(chunks[0]), []
    for i, rows in enumerate([chunks[1], chunks[2], chunks[2][:1], chunks[0]]):
        feature_map, _ = feature_map.grown(rows, 1 + i)
        counts.append(len(feature_map.anchors_))
    assert counts == [60, 105, 106, 151]
    assert {tuple(x) for x in chunks[1]} <= {tuple(a) for a in feature_map.anchors_}


def test_new_anchors_depend_on_seed_and_chunk(chunks):
    def drawn(seed, chunk):
        return RBFAnchors(20, grow=8, width=1.0, seed=seed).fit(chunks[0]).grown(chunks[1], chunk)[0].anchors_[20:]

    np.testing.assert_array_equal(drawn(0, 1), drawn(0, 1))
    assert not np.array_equal(drawn(0, 1), drawn(0, 2))
    assert not np.array_equal(drawn(0, 1), drawn(1, 1))


def test_maps_that_do_not_grow(chunks):
    for feature_map in (RBFAnchors(20), RBFAnchors(20, grow=5, max_anchors=20), Centering()):
        assert not feature_map.fit(chunks[0]).can_grow
        assert grown_copy("X", feature_map, chunks[1], 1) is None
    assert grown_copy("X", None, chunks[1], 1) is None


def test_completion_follows_its_equation(chunks):
    first = RBFAnchors(20, grow=8).fit(chunks[0])
    second, C = first.grown(chunks[1], 1)
    K_AA, K_AB = first.transform(first.anchors_), second.transform(first.anchors_)[:, 20:]
    np.testing.assert_allclose(C, np.linalg.solve(K_AA + 20e-6 * np.eye(20), K_AB), atol=1e-9)
    third, D = second.grown(chunks[2], 2)
    K_AA, K_AB = second.transform(second.anchors_), third.transform(second.anchors_)[:, 28:]
    np.testing.assert_allclose(D, np.linalg.solve(K_AA + 20e-6 * np.eye(28), K_AB), atol=1e-9)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_maps_grow_alike_without_the_factor_that_they_keep(chunks, form):
    feature_map = RBFAnchors(20, grow=8, max_anchors=40).fit(form(chunks[0]))
    for i in range(1, 4):
        feature_map, C = feature_map.grown(form(chunks[i % 3]), i)
        assert (feature_map._factor is None) == (i == 3)  # full
        if i < 3:
            other = copy.copy(feature_map)
            other._factor = None
            np.testing.assert_array_equal(other._factor_again().L, feature_map._factor.L)
            again, D = other.grown(form(chunks[2]), 9)
            expected, C = feature_map.grown(form(chunks[2]), 9)
            np.testing.assert_array_equal(D, C)
            np.testing.assert_array_equal(dense(again.anchors_), dense(expected.anchors_))
            assert other._factor is None


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("form", [np.array, csr_array])
def test_completed_sums_are_near_those_of_rows_mapped_again(chunks, form, centered):
    """Rows near a plane have smooth kernels, which 60 anchors predict well."""
    rows, B = form(chunks[0]), np.arange(120.0).reshape(60, 2)
    first = RBFAnchors(60, grow=30, centered=centered).fit(rows)
    second, C = first.grown(form(chunks[1]), 1)
    old, new = first.transform(rows), second.transform(rows)
    np.testing.assert_array_equal(new[:, :60], old)
    G = complete_gram(old.T @ old, C)
    np.testing.assert_array_equal(G, G.T)
    np.testing.assert_array_equal(G[:60, :60], old.T @ old)
    for completed, exact in (
        (G, new.T @ new),
        (complete_rows(old.T @ B, C), new.T @ B),
        (complete_rows(old.sum(axis=0), C), new.sum(axis=0)),
    ):
        assert completed.shape == exact.shape
        assert np.abs(completed - exact).max() < 2e-2 * max(np.abs(exact).max(), 1)


def test_an_anchor_that_joins_twice_has_the_column_of_the_first(chunks):
    first = RBFAnchors(20, grow=20).fit(chunks[0])
    second, C = first.grown(first.anchors_, 1)
    K = first.transform(chunks[2])
    np.testing.assert_allclose(K @ C, K, atol=1e-3)
    # Once anchors are doubled, K_AA is singular.
    third, C = second.grown(first.anchors_, 2)
    np.testing.assert_allclose(second.transform(chunks[2]) @ C, K, atol=1e-3)
    assert len(third.anchors_) == 60


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_growth_of_rows_that_are_all_equal(form):
    feature_map = RBFAnchors(1, grow=5).fit(form(np.ones((3, 4))))
    for chunk, n_anchors in ((1, 2), (2, 3)):
        feature_map, C = feature_map.grown(form(np.ones((1, 4))), chunk)
        np.testing.assert_allclose(C.sum(axis=0), 1, atol=1e-5)
        assert feature_map.anchors_.shape == (n_anchors, 4)


def test_means_of_new_columns_are_completed(chunks):
    first = RBFAnchors(60, grow=30, centered=True).fit(chunks[0])
    second, C = first.grown(chunks[1], 1)
    np.testing.assert_array_equal(second.mean_[:60], first.mean_)
    np.testing.assert_allclose(second.mean_[60:], C.T @ first.mean_)
    np.testing.assert_allclose(second.transform(chunks[0]).mean(axis=0), 0, atol=1e-2)


@pytest.mark.parametrize(("old", "new"), [(np.array, csr_array), (csr_array, np.array)])
def test_anchors_keep_the_form_of_the_first(chunks, old, new):
    grown, C = RBFAnchors(20, grow=8).fit(old(chunks[0])).grown(new(chunks[1]), 1)
    expected, D = RBFAnchors(20, grow=8).fit(chunks[0]).grown(chunks[1], 1)
    assert issparse(grown.anchors_) == (old is csr_array)
    np.testing.assert_array_equal(dense(grown.anchors_), expected.anchors_)
    np.testing.assert_allclose(C, D, atol=1e-6)


def test_errors_name_the_rows_that_a_map_grows_by(chunks):
    feature_map = RBFAnchors(20, grow=8).fit(chunks[0])
    wrong = chunks[1].copy()
    wrong[33, 1] = np.nan
    with pytest.raises(ValueError, match=r"views\['text'\] must be finite, got nan in row 133, column 1"):
        grown_copy("views['text']", feature_map, wrong, 1, 100)
    wrong[33, 1] = 1e200
    with pytest.raises(ValueError, match=r"views\['text'\] must have squares that float64 can sum up"):
        grown_copy("views['text']", feature_map, wrong[33:34], 1)
    assert feature_map.anchors_.shape == (20, 6)


def test_a_foreign_map_with_another_grown_is_left_alone(chunks):
    class Foreign:
        def grown(self, rows, chunk):
            raise AssertionError

    assert grown_copy("X", Foreign(), chunks[0], 1) is None
