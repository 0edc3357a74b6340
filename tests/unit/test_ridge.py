import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash import BOCH, LEMON, RBFAnchors
from pyhash.methods.parts import ridge as ridge_module
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.ridge import (
    CenteredRidge,
    RidgeSolver,
    add_gram,
    add_gram_of_kernel,
    float32_is_enough,
    solve_ridge,
)

pytestmark = pytest.mark.usefixtures("one_blas_thread")


@pytest.fixture
def X(rng):
    return rng.standard_normal((40, 6)) + 3


@pytest.fixture
def Y(rng):
    return (rng.random((40, 3)) < 0.3).astype(np.float64)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_ridge_solution_meets_its_equation(X, Y, order):
    G, F = np.array(X.T @ X, order=order), X.T @ Y
    before = G.copy()
    W = solve_ridge(G, F, 0.5)
    np.testing.assert_allclose((G + 0.5 * np.eye(6)) @ W, F, rtol=1e-10)
    np.testing.assert_array_equal(G, before)


def test_a_centered_solution_is_that_of_centered_rows(X, Y):
    n, s, t = len(X), X.sum(axis=0), Y.sum(axis=0)
    G = X.T @ X
    before = G.copy()
    W, b = CenteredRidge(G, X.T @ Y, s, t, n).solve(0.5)
    np.testing.assert_array_equal(G, before)
    centered, targets = X - X.mean(axis=0), Y - Y.mean(axis=0)
    np.testing.assert_allclose(W, solve_ridge(centered.T @ centered, centered.T @ targets, 0.5), atol=1e-12)
    np.testing.assert_allclose(X @ W + b, centered @ W, atol=1e-12)


def test_shifted_rows_have_the_same_centered_solution(X, Y):
    s, t = X.sum(axis=0), Y.sum(axis=0)
    W, b = CenteredRidge(X.T @ X, X.T @ Y, s, t, len(X)).solve(0.5)
    shifted = X - 3
    V, a = CenteredRidge(shifted.T @ shifted, shifted.T @ Y, shifted.sum(axis=0), t, len(X)).solve(0.5)
    np.testing.assert_allclose(W, V, atol=1e-11)
    np.testing.assert_allclose(X @ W + b, shifted @ V + a, atol=1e-11)


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_a_rough_solution_predicts_nearly_the_same(rows, scale):
    X, labels = rows
    K, L = RBFAnchors(300).fit(X).transform(X), np.eye(10)[labels] * scale
    s, t = K.sum(axis=0), L.sum(axis=0)
    sums = (K.T @ K * scale, K.T @ L, s * np.sqrt(scale), t / np.sqrt(scale), len(K))
    W, b = CenteredRidge(*sums).solve(0.003 * scale)
    V, a = CenteredRidge(*sums).solve_roughly(0.003 * scale)
    assert not np.array_equal(W, V)
    np.testing.assert_allclose(K @ V, K @ W, atol=5e-3)
    np.testing.assert_allclose(a / np.sqrt(scale), b / np.sqrt(scale), atol=5e-3)


@pytest.mark.parametrize("ridge", [1e-9, 1e-6])
def test_a_rough_solution_is_exact_where_float32_is_not_enough(rng, ridge):
    """Zero eigenvalues of G are up to 1e-6 in float32."""
    X = rng.standard_normal((30, 40))
    Y = rng.standard_normal((30, 3))
    solver = CenteredRidge(X.T @ X, X.T @ Y, X.sum(axis=0), Y.sum(axis=0), 30)
    for rough, exact in zip(solver.solve_roughly(ridge), solver.solve(ridge), strict=True):
        np.testing.assert_array_equal(rough, exact)
    assert not np.array_equal(solver.solve_roughly(1.0)[0], solver.solve(1.0)[0])


def test_a_rough_solution_of_zeros():
    zeros = np.zeros((3, 2))
    for G in (np.zeros((3, 3)), np.eye(3)):
        W, b = CenteredRidge(G, zeros, np.zeros(3), np.zeros(2), 5).solve_roughly(0.1)
        np.testing.assert_array_equal(W, zeros)
        np.testing.assert_array_equal(b, np.zeros(2))


@pytest.mark.parametrize("centered", [False, True])
def test_a_ridge_below_rounding_is_solved_by_eigenvectors(rng, centered):
    """G has rank 1, and is so large that it plus the ridge is no longer positive definite in float64."""
    x = rng.standard_normal(50) * 1e9
    G = np.outer(x, x)
    s = 0.25 * x if centered else None
    F = G[:, :2] / 1e9
    W = RidgeSolver(G, 1e-9, s, 4).solve(F)
    assert np.isfinite(W).all()
    scale = 1 - 0.0625 / 4 if centered else 1.0
    assert np.linalg.norm(scale * G @ W - F) < 0.02 * np.linalg.norm(F)


@pytest.mark.parametrize("rank", [0, 3, 6])
def test_without_a_ridge_the_solution_is_that_of_least_norm(rng, rank):
    X = rng.standard_normal((40, rank)) @ rng.standard_normal((rank, 6))
    Y = rng.standard_normal((40, 2))
    expected = np.linalg.lstsq(X, Y, rcond=1e-9)[0]
    np.testing.assert_allclose(solve_ridge(X.T @ X, X.T @ Y, 0), expected, atol=1e-9)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_a_gram_is_exactly_symmetric(X, form):
    G = add_gram(np.zeros((6, 6)), form(X * (X > 3)))
    np.testing.assert_array_equal(G, G.T)


@pytest.fixture(scope="module")
def rows():
    """Rows of ten clusters, and the numbers of their clusters."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 3000)
    return rng.standard_normal((10, 16))[labels] + 0.5 * rng.standard_normal((3000, 16)), labels


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("width", ["half_mean_squared_distance", "mean_distance"])
def test_the_error_of_float32_is_as_estimated(rows, width, centered, monkeypatch):
    X, _ = rows
    monkeypatch.setattr(ridge_module, "_LEAST_WIDTH_OF_FLOAT32", 1)
    monkeypatch.setattr(ridge_module, "LEAST_RIDGE_OF_KERNELS", 1e3)
    for d in (1, 40, 400):
        K = RBFAnchors(d, width=width, centered=centered).fit(X).transform(X)[:2000]
        exact = add_gram(np.zeros((d, d)), K)
        estimate = np.finfo(np.float32).eps * np.trace(exact) / np.sqrt(d)
        ridge = 10.01 * estimate
        assert float32_is_enough(K, ridge)
        assert not float32_is_enough(K, 0.99 * ridge)
        fast = add_gram_of_kernel(np.zeros((d, d)), K, ridge)
        np.testing.assert_array_equal(fast, fast.T)
        error = np.linalg.norm(fast - exact, 2)
        assert error < 3 * estimate < 0.3 * ridge
        if d > 1:
            assert error > 0
        np.testing.assert_array_equal(add_gram_of_kernel(np.zeros((d, d)), K, 0.99 * ridge), exact)
        np.testing.assert_array_equal(add_gram_of_kernel(np.zeros((d, d)), K, None), exact)


def test_blocks_in_float32_are_added_in_float64(rows, monkeypatch):
    X, _ = rows
    K = RBFAnchors(256, centered=True).fit(X).transform(X)
    G = 1e6 * np.eye(256)
    monkeypatch.setattr(ridge_module, "LEAST_RIDGE_OF_KERNELS", 1.0)
    monkeypatch.setattr(ridge_module, "_ROWS_OF_FLOAT32", 100)
    fast = add_gram_of_kernel(G, K, 1.0)
    np.testing.assert_array_equal(G, 1e6 * np.eye(256))
    assert 0 < np.abs(fast - add_gram(G, K)).max() < 1e-3  # 1e6 in float32 is a multiple of 0.06


def test_only_wide_kernels_are_multiplied_in_float32(rows, monkeypatch):
    X, _ = rows
    monkeypatch.setattr(ridge_module, "LEAST_RIDGE_OF_KERNELS", 1.0)
    wide = np.tile(X, 16)
    for Z, fitted, is_fast in (
        (wide, None, False),
        (X, RBFAnchors(255, centered=True).fit(X), False),
        (X, RBFAnchors(256, centered=True).fit(X), True),
    ):
        K = FeatureRows("a", Z, fitted)
        G = np.zeros((K.shape[1], K.shape[1]))
        assert np.array_equal(K.add_gram(G, 1.0), K.add_gram(G)) is not is_fast
        np.testing.assert_allclose(K.add_gram(G, 1.0), K.add_gram(G), atol=1e-3)


def test_a_large_ridge_does_not_allow_what_a_small_one_forbids(rows):
    """Label scores from the same sums may have a smaller ridge than projections."""
    X, _ = rows
    K = RBFAnchors(256).fit(X).transform(X)
    assert float32_is_enough(K, 1.0)
    assert not float32_is_enough(K, 0.001)
    np.testing.assert_array_equal(add_gram_of_kernel(np.zeros((256, 256)), K, 1.0), K.T @ K)


def test_float32_moves_no_codes(rows, monkeypatch):
    """Codes learned do not depend on X'X. Codes of queries do, but only where a projection is nearly 0."""
    X, labels = rows
    views, n_calls = {"image": X[:2500]}, []

    def learn():
        maps = {"image": RBFAnchors(300, centered=True)}
        model = LEMON(32, feature_maps=maps, xi=0.003).fit(views, labels[:2500], chunk_size=1000, progress=False)
        return model.codes_, model.project(X[2500:], modality="image")

    codes, fast = learn()
    monkeypatch.setattr(ridge_module, "float32_is_enough", lambda K, ridge: n_calls.append(1))
    expected_codes, expected = learn()
    assert len(n_calls) == 3
    np.testing.assert_array_equal(codes, expected_codes)
    differences = np.abs(fast - expected)
    assert 0 < differences.max() < 2e-3
    moved = (fast > 0) != (expected > 0)
    assert moved.mean() < 1e-3


def test_float32_moves_hardly_any_code_of_a_query_and_no_choice(rows, monkeypatch):
    """Of BOCH, whose sums are in float32, and whose calibration compares solutions in float32."""
    X, labels = rows

    def learn():
        maps = {"image": RBFAnchors(300, grow=100, max_anchors=400, centered=True)}
        model = BOCH(32, feature_maps=maps).fit({"image": X[:2500]}, labels[:2500], chunk_size=1000, progress=False)
        return model, model.project(X[2500:], modality="image")

    model, fast = learn()
    monkeypatch.setattr(ridge_module, "float32_is_enough", lambda K, ridge: False)
    monkeypatch.setattr(CenteredRidge, "solve_roughly", CenteredRidge.solve)
    exact, expected = learn()
    for key in ("ridge", "share", "temperature", "exponent"):
        assert model.calibration_["image"][key] == exact.calibration_["image"][key]
    assert not np.array_equal(fast, expected)
    np.testing.assert_allclose(fast, expected, atol=0.02)
    assert ((fast > 0) != (expected > 0)).mean() < 1e-3
