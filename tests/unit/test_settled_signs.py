"""Codes of many float32 rows: products in float32, bits of float64."""

import numpy as np
import pytest

from pyhash import LSH, Centering, PCASign, RBFAnchors, Standardizing, codes
from pyhash.methods.parts.settled_signs import FEWEST_ROWS, SettledSigns, settled_signs

N = 2 * FEWEST_ROWS + 77


def exact(model, rows):
    """Return the codes of float64 products, which float64 rows take."""
    return model.encode(rows.astype(np.float64), modality="x")


def lsh(rows, n_bits, feature_map):
    return LSH(n_bits, feature_maps={"x": feature_map}).fit({"x": rows})


@pytest.mark.parametrize("feature_map", [None, Centering(), Standardizing()])
@pytest.mark.parametrize(("n_features", "n_bits"), [(1, 1), (3, 12), (40, 64), (517, 70)])
def test_bits_are_those_of_float64(feature_map, n_features, n_bits):
    rng = np.random.default_rng(n_features)
    rows = (rng.standard_normal((N, n_features)) + 3).astype(np.float32)
    model = lsh(rows, n_bits, feature_map)
    np.testing.assert_array_equal(model.encode(rows, modality="x"), exact(model, rows))


def test_products_in_float32_alone_would_differ():
    """Rows near a plane: float32 gives some of them another side, and all are settled."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((64, 16))
    rows = rng.standard_normal((N, 64))
    near = rows - (rows @ W[:, :1]) * W[:, 0] / np.sum(W[:, 0] ** 2)  # p of the first bit is a rounding error
    near = near.astype(np.float32)
    expected = codes.pack(near.astype(np.float64) @ W)
    assert (codes.pack(near @ W.astype(np.float32)) != expected).any()
    out = np.empty_like(expected)
    assert not settled_signs(W, None).pack(near, out).any()
    np.testing.assert_array_equal(out, expected)


def test_what_float64_cannot_tell_from_zero_takes_its_products():
    """Sums that cancel, rows of zeros and rows at the mean."""
    rng = np.random.default_rng(1)
    rows = rng.integers(-2, 3, size=(N, 6)).astype(np.float32)
    rows[5:900] = 0
    rows[900:] -= rows[900:].mean(axis=0).round()
    for feature_map in (None, Centering(), Standardizing()):
        model = PCASign(4, feature_maps={"x": feature_map}).fit({"x": rows})
        np.testing.assert_array_equal(model.encode(rows, modality="x"), exact(model, rows))
    W = np.array([[1.0, 0.1], [-1.0, 0.2], [0.0, -0.3]])
    ties = np.ones((4, 3), dtype=np.float32)  # 0.1 + 0.2 - 0.3 is a rounding error in one order, 0 in another
    assert settled_signs(W, None).pack(ties, np.empty((4, 1), dtype=np.uint8)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e25])
def test_rows_of_any_size(scale):
    rows = (np.random.default_rng(2).standard_normal((N, 20)) * scale).astype(np.float32)
    for feature_map in (None, Centering()):
        model = lsh(rows, 33, feature_map)
        np.testing.assert_array_equal(model.encode(rows, modality="x"), exact(model, rows))


def test_directions_out_of_range_are_left_to_float64():
    W = np.ones((3, 2))
    for size in (0.0, 1e-20, 1e20, np.inf):
        W[:, 1] = size
        assert SettledSigns.of(W, np.zeros(3)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_raise_as_ever(value):
    rows = np.ones((10_000, 4), dtype=np.float32)
    model = lsh(rows, 8, None)
    rows[9001, 2] = value
    with pytest.raises(ValueError, match=r"X must be finite, got .* in row 9001"):
        model.encode(rows, modality="x")


def test_projections_that_float32_cannot_hold_raise_as_ever():
    rows = np.ones((10_000, 4), dtype=np.float32)
    model = lsh(rows, 8, None)
    rows[9001] = 3e38
    rows[9001, 0] *= -1
    with pytest.raises(ValueError, match="too large in row 9001"):
        model.encode(rows, modality="x")


def test_rows_need_not_be_contiguous():
    rows = np.random.default_rng(3).standard_normal((N, 10)).astype(np.float32)
    model = lsh(rows, 16, None)
    expected = exact(model, rows)
    np.testing.assert_array_equal(model.encode(np.asfortranarray(rows), modality="x"), expected)
    np.testing.assert_array_equal(model.encode(np.repeat(rows, 2, axis=1)[:, ::2], modality="x"), expected)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("n_features", "n_bits", "width"), [(2, 8, 0.1), (30, 64, "mean_distance"), (300, 70, 40.0)])
def test_bits_of_kernels_are_those_of_float64(centered, n_features, n_bits, width):
    rng = np.random.default_rng(n_features)
    rows = (rng.standard_normal((N, n_features)) + 1).astype(np.float32)
    rows[:70] *= 1000  # far from all anchors: kernel values below the least of float32
    model = lsh(rows, n_bits, RBFAnchors(200, width=width, centered=centered))
    np.testing.assert_array_equal(model.encode(rows, modality="x"), exact(model, rows))


def test_rows_for_kernels_that_are_not_finite_raise_as_ever():
    rows = np.random.default_rng(4).standard_normal((10_000, 4)).astype(np.float32)
    model = lsh(rows, 8, RBFAnchors(20))
    rows[9001, 2] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got nan in row 9001"):
        model.encode(rows, modality="x")
