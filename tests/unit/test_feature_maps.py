import numpy as np
import pytest
from scipy.sparse import csr_array, issparse
from sklearn.base import clone

from pyhash import NotFittedError
from pyhash.methods import LEMON, Centering, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.parts import feature_maps, feature_rows
from pyhash.methods.parts.feature_rows import FeatureRows

pytestmark = pytest.mark.usefixtures("one_blas_thread")

MAPS = [
    Centering(),
    Standardizing(),
    UnitLength(),
    RBFAnchors(12, seed=3),
    RBFAnchors(12, width="mean_distance"),
    RBFAnchors(12, width="mean_squared_distance", centered=True),
    RBFAnchors(12, width=2.5),
]


@pytest.fixture(params=MAPS, ids=repr)
def feature_map(request):
    return clone(request.param)


@pytest.fixture
def X(rng):
    """Mostly zero, with two constant columns."""
    X = rng.standard_normal((50, 9)) * (rng.random((50, 9)) < 0.4)
    X[:, 2], X[:, 5] = 0, 3
    return X


@pytest.fixture
def unseen(rng):
    return rng.standard_normal((8, 9)) * (rng.random((8, 9)) < 0.4)


def kernel(X, anchors, width):
    return np.array([[np.exp(-sum((x - a) ** 2) / (2 * width**2)) for a in anchors] for x in X])


def test_maps_follow_their_formulas(X, unseen):
    """Fitted on some rows, applied to others, a number at a time."""
    centred, standard, unit = (m.fit(X).transform(unseen) for m in (Centering(), Standardizing(), UnitLength()))
    for i, row in enumerate(unseen):
        length = np.sqrt(sum(row**2))
        for j, value in enumerate(row):
            mean = sum(X[:, j]) / 50
            deviation = np.sqrt(sum((X[:, j] - mean) ** 2) / 50)
            assert centred[i, j] == pytest.approx(value - mean, abs=1e-12)
            assert standard[i, j] == pytest.approx((value - mean) / deviation if j not in (2, 5) else 0, abs=1e-12)
            assert unit[i, j] == pytest.approx(value / length if length else 0, abs=1e-12)


def test_kernels_follow_their_formula(X, unseen):
    widths = ("half_mean_squared_distance", "mean_squared_distance", "mean_distance", 2)
    for feature_map in (RBFAnchors(12, width=width, seed=3) for width in widths):
        feature_map.fit(X)
        anchors = feature_map.anchors_
        assert anchors.shape == (12, 9)
        assert len(np.unique(anchors, axis=0)) == 12  # drawn without repetition
        assert {tuple(a) for a in anchors} <= {tuple(x) for x in X}
        np.testing.assert_allclose(
            feature_map.transform(unseen), kernel(unseen, anchors, feature_map.width_), rtol=1e-9
        )


def test_widths_follow_their_rules(X):
    anchors = RBFAnchors(12).fit(X).anchors_
    squares = np.array([[sum((x - a) ** 2) for a in anchors] for x in X])
    pairs = np.array([[sum((x - y) ** 2) for x in X] for y in X])
    for form in (np.array, csr_array):
        assert RBFAnchors(12).fit(form(X)).width_ == pytest.approx(np.sqrt(pairs.mean() / 2), rel=1e-12)
    assert RBFAnchors(12, width="mean_distance").fit(X).width_ == pytest.approx(np.sqrt(squares).mean(), rel=1e-7)
    assert RBFAnchors(12, width="mean_squared_distance").fit(X).width_ == pytest.approx(np.sqrt(squares.mean()))
    assert RBFAnchors(12, width=2.5).fit(X).width_ == 2.5
    assert RBFAnchors(12, width=np.float32(2.5)).fit(X).width_ == 2.5


def test_a_width_is_measured_on_a_part_of_many_rows(X, monkeypatch):
    monkeypatch.setattr(feature_maps, "_ROWS_FOR_WIDTH", 10)
    measured, distances = [], feature_maps._squared_distances
    monkeypatch.setattr(
        feature_maps, "_squared_distances", lambda rows, anchors: measured.append(rows) or distances(rows, anchors)
    )
    feature_map = RBFAnchors(12, width="mean_distance").fit(X)
    rows = np.concatenate(measured)
    assert len(rows) == 10
    assert feature_map.width_ == pytest.approx(np.sqrt(distances(rows, feature_map.anchors_)).mean())


def test_kernels_are_centred_over_the_rows_they_were_fitted_on(X, unseen):
    feature_map = RBFAnchors(12, width=2.0, centered=True).fit(X)
    K = kernel(X, feature_map.anchors_, 2.0)
    np.testing.assert_allclose(feature_map.transform(X).mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(
        feature_map.transform(unseen), kernel(unseen, feature_map.anchors_, 2.0) - K.mean(axis=0), atol=1e-12
    )
    np.testing.assert_array_equal(RBFAnchors(12).fit(X).mean_, np.zeros(12))


def test_anchors_are_drawn_by_the_seed(X):
    drawn = [RBFAnchors(12, seed=seed).fit(X).anchors_.tobytes() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_fewer_rows_than_anchors_are_all_anchors(X):
    feature_map = RBFAnchors(1000).fit(X)
    np.testing.assert_array_equal(feature_map.anchors_, X)
    assert feature_map.transform(X[:3]).shape == (3, 50)
    assert RBFAnchors(1000).fit(X[:1]).transform(X).shape == (50, 1)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_rows_that_are_all_equal_have_a_kernel_of_ones(form):
    for width in ("half_mean_squared_distance", "mean_distance", "mean_squared_distance"):
        feature_map = RBFAnchors(5, width=width).fit(form(np.ones((20, 3))))
        np.testing.assert_array_equal(feature_map.transform(form(np.ones((2, 3)))), np.ones((2, 5)))
    # Their mean is not exactly the row.
    assert RBFAnchors(5).fit(form(np.full((20, 3), 0.1))).width_ == 1.0


def test_large_offsets_leave_kernels_in_their_range(rng):
    """Squared distances are differences of large numbers, and rounding makes some negative."""
    X = 1e6 + 1e-3 * rng.standard_normal((40, 5))
    K = RBFAnchors(10).fit(X).transform(X)
    assert (K > 0).all()
    assert (K <= 1).all()


def test_zero_rows_stay_zero_under_unit_length(X):
    X[[4, 40]] = 0
    mapped = UnitLength().fit(X).transform(X)
    lengths = np.linalg.norm(mapped, axis=1)
    zero = ~X.any(axis=1)
    assert zero.sum() == 2
    np.testing.assert_array_equal(mapped[zero], 0)
    np.testing.assert_allclose(lengths[~zero], 1)


@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e200])
@pytest.mark.parametrize("form", [np.array, csr_array])
def test_rows_of_any_scale_get_unit_length(unseen, scale, form):
    """Squares of values that float64 holds may be more, or less, than it holds."""
    mapped = UnitLength().fit(form(scale * unseen)).transform(form(scale * unseen))
    expected = UnitLength().fit(unseen).transform(unseen)
    np.testing.assert_allclose(mapped.toarray() if issparse(mapped) else mapped, expected, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e9 / 3])
def test_constant_columns_become_zero_whatever_rounding_does(rng, offset):
    X = rng.standard_normal((1000, 2))
    X[:, 1] = offset
    mapped = Standardizing().fit(X).transform(X)
    np.testing.assert_array_equal(mapped[:, 1], 0)
    np.testing.assert_allclose(mapped[:, 0].std(), 1)
    np.testing.assert_array_equal(Standardizing().fit(X).transform([[0.0, 7.0]])[:, 1], 0)


def test_sparse_rows_map_as_dense_ones(feature_map, X, unseen):
    dense = clone(feature_map).fit(X)
    sparse = feature_map.fit(csr_array(X))
    for rows in (X, unseen):
        mapped = sparse.transform(csr_array(rows))
        assert issparse(mapped) == isinstance(feature_map, UnitLength)
        values = mapped.toarray() if issparse(mapped) else mapped
        np.testing.assert_allclose(values, dense.transform(rows), atol=1e-7)
        np.testing.assert_allclose(dense.transform(csr_array(rows)).sum(), values.sum(), atol=1e-6)
    assert sparse.transform(csr_array(X[:0])).shape[0] == 0


def test_rows_of_every_dtype_map_as_float64(feature_map, X):
    expected = clone(feature_map).fit(np.round(3 * X)).transform(np.round(3 * X))
    for dtype in (np.float32, np.int16):
        rows = np.round(3 * X).astype(dtype)
        mapped = clone(feature_map).fit(rows).transform(rows)
        assert mapped.dtype == np.float64
        np.testing.assert_allclose(mapped, expected, atol=1e-12)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_mapping_does_not_change_its_input(feature_map, X, form):
    rows = form(X)
    feature_map.fit(rows).transform(rows)
    np.testing.assert_array_equal(rows.toarray() if issparse(rows) else rows, X)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_fitting_in_blocks_is_fitting_at_once(feature_map, X, form, monkeypatch):
    whole = clone(feature_map).fit(form(X))
    monkeypatch.setattr(feature_maps, "ROWS_PER_BLOCK", 7)
    assert [(s.start, s.stop) for s in feature_maps.row_blocks(16)] == [(0, 7), (7, 14), (14, 16)]
    assert list(feature_maps.row_blocks(0)) == []
    feature_map.fit(form(X))
    learned = feature_map.learned()
    for name, value in whole.learned().items():
        np.testing.assert_allclose(learned[name], value, atol=1e-12)


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("chosen", [None, *MAPS], ids=repr)
def test_products_over_blocks_are_those_over_one(X, rng, form, chosen, monkeypatch):
    """Mapped rows of many blocks are kept in float32; without a map, blocks are converted again at every product."""
    monkeypatch.setattr(feature_rows, "MAX_FLOAT64_BYTES", 0)
    fitted = None if chosen is None else clone(chosen).fit(X)
    rows = form(X.astype(np.float32))
    one = FeatureRows("text", rows, fitted)
    d = one.shape[1]
    mapped = one.dot(np.eye(d))
    G, M, W = (
        rng.standard_normal((d, d)),
        rng.choice([-1, 1], size=(50, 4)).astype(np.int8),
        rng.standard_normal((d, 3)),
    )
    for size in (50, 7, 49, 1):
        monkeypatch.setattr(feature_maps, "ROWS_PER_BLOCK", size)
        blocks = FeatureRows("text", rows, fitted)
        assert blocks.shape == (50, d)
        seen = list(blocks.blocks())
        assert [s.stop - s.start for s, _ in seen] == [s.stop - s.start for s in feature_maps.row_blocks(50)]
        assert all(block.dtype == np.float64 for _, block in seen)
        tolerance = {"rtol": 1e-6, "atol": 1e-5} if chosen is not None and size < 50 else {"rtol": 1e-12, "atol": 1e-12}
        np.testing.assert_allclose(blocks.dot(np.eye(d)), mapped, **tolerance)
        np.testing.assert_allclose(blocks.add_gram(G), G + mapped.T @ mapped, **tolerance)
        np.testing.assert_allclose(blocks.transposed_dot(M), mapped.T @ M, **tolerance)
        np.testing.assert_allclose(blocks.dot(W), mapped @ W, **tolerance)


def test_a_gram_is_added_to_a_copy(X):
    G = np.eye(9)
    FeatureRows("text", X, None).add_gram(G)
    FeatureRows("text", csr_array(X), None).add_gram(G)
    np.testing.assert_array_equal(G, np.eye(9))


def test_models_learn_and_encode_over_many_blocks(X, monkeypatch):
    labels, views = np.arange(50) % 3, {"dense": X, "sparse": csr_array(X), "mapped": X}
    maps = {"mapped": RBFAnchors(20)}
    whole = LEMON(8, feature_maps=maps).partial_fit(views, labels)
    projections = {name: whole.project(x, modality=name) for name, x in views.items()}
    monkeypatch.setattr(feature_maps, "ROWS_PER_BLOCK", 7)
    model = LEMON(8, feature_maps=maps).partial_fit(views, labels)
    np.testing.assert_array_equal(model.codes_, whole.codes_)
    for name, x in views.items():
        np.testing.assert_allclose(whole.project(x, modality=name), projections[name], atol=1e-5)
        np.testing.assert_allclose(model.project(x, modality=name), projections[name], atol=1e-3)
    X = X.copy()
    X[33, 1] = np.nan
    for call, name in (
        (lambda: model.project(X, modality="dense"), "X"),
        (lambda: model.project(csr_array(X), modality="mapped"), "X"),
        (lambda: model.partial_fit({**views, "mapped": X}, labels), r"views\['mapped'\]"),
        (lambda: model.partial_fit({**views, "sparse": csr_array(X)}, labels), r"views\['sparse'\]"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite, got nan in row 33"):
            call()


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_a_row_that_is_not_finite_is_named_across_blocks(feature_map, X, form, monkeypatch):
    if isinstance(feature_map, UnitLength):
        feature_map.fit(X)  # it learns nothing, and looks at nothing before it maps
    X[33, 1] = np.inf
    monkeypatch.setattr(feature_maps, "ROWS_PER_BLOCK", 7)
    call = feature_map.transform if isinstance(feature_map, UnitLength) else feature_map.fit
    with pytest.raises(ValueError, match="X must be finite, got inf in row 33"):
        call(form(X))


def test_wrong_rows(feature_map, X):
    with pytest.raises(
        NotFittedError, match=f"this {type(feature_map).__name__} has not been fitted yet: call fit first"
    ):
        feature_map.transform(X)
    with pytest.raises(ValueError, match="X must have at least one row, got none"):
        feature_map.fit(X[:0])
    with pytest.raises(
        ValueError, match=r"X must have shape \(n, n_features\), got \(9,\); one sample is x\[None, :\]"
    ):
        feature_map.fit(X[0])
    feature_map.fit(X)
    for wrong, error, message in (
        (X[:, :8], ValueError, r"X has 8 features, but \w+ is expecting 9 features as input"),
        (X[0], ValueError, r"one sample is x\[None, :\]"),
        (X * np.nan, ValueError, "X must be finite, got nan in row 0, column 0"),
        (csr_array(X / 0.1).multiply(np.inf), ValueError, "X must be finite"),
        (X.astype(complex), TypeError, "X must hold real numbers, got dtype complex128"),
        ([["a"] * 9], TypeError, "X must hold real numbers"),
    ):
        with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
            feature_map.transform(wrong)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_anchors": 0}, ValueError, "n_anchors must be an integer >= 1, got 0"),
        ({"n_anchors": 2.5}, TypeError, "n_anchors must be an integer >= 1, got 2.5"),
        ({"grow": -1}, ValueError, "grow must be an integer >= 0, got -1"),
        ({"grow": None}, TypeError, "grow must be an integer >= 0, got None"),
        ({"max_anchors": 0}, ValueError, "max_anchors must be an integer >= 1, got 0"),
        ({"max_anchors": 1e3}, TypeError, "max_anchors must be an integer >= 1, got 1000.0"),
        (
            {"n_anchors": 30, "max_anchors": 29},
            ValueError,
            "max_anchors must be None or >= n_anchors, 30, got 29",
        ),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer >= 0, got None"),
        (
            {"width": "median"},
            ValueError,
            "width must be 'half_mean_squared_distance', 'mean_squared_distance', 'mean_distance' or a number, "
            "got 'median'",
        ),
        ({"width": 0}, ValueError, "width must be a finite number > 0, got 0"),
        ({"width": -1.0}, ValueError, "width must be a finite number > 0, got -1"),
        ({"width": np.inf}, ValueError, "width must be a finite number > 0, got inf"),
        ({"width": None}, TypeError, "width must be a finite number > 0, got None"),
        ({"centered": 1}, TypeError, "centered must be a bool, got 1"),
        ({"centered": "yes"}, TypeError, "centered must be a bool, got 'yes'"),
    ],
)
def test_wrong_parameters(X, parameters, error, message):
    feature_map = RBFAnchors(**parameters)
    with pytest.raises(error, match=message):
        feature_map.fit(X)
    with pytest.raises(NotFittedError):
        feature_map.transform(X)


def test_a_fit_that_raises_leaves_the_map_as_it_was(X, unseen):
    feature_map = RBFAnchors(12, centered=True).fit(X)
    before = feature_map.transform(unseen)
    X[33, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        feature_map.fit(X)
    np.testing.assert_array_equal(feature_map.transform(unseen), before)


@pytest.mark.parametrize("feature_map", [RBFAnchors(5), Centering(), Standardizing()])
def test_values_that_are_too_large_are_refused(feature_map):
    with pytest.raises(ValueError, match="X must have squares that float64 can sum up, got values that are too large"):
        feature_map.fit(np.full((50, 3), 1e307))
