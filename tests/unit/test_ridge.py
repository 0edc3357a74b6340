import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash.methods.parts.ridge import RidgeSolver, add_gram, centered_ridge, solve_ridge

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
    W, b = centered_ridge(G, X.T @ Y, s, t, n, 0.5)
    np.testing.assert_array_equal(G, before)
    centered, targets = X - X.mean(axis=0), Y - Y.mean(axis=0)
    np.testing.assert_allclose(W, solve_ridge(centered.T @ centered, centered.T @ targets, 0.5), atol=1e-12)
    np.testing.assert_allclose(X @ W + b, centered @ W, atol=1e-12)


def test_shifted_rows_have_the_same_centered_solution(X, Y):
    s, t = X.sum(axis=0), Y.sum(axis=0)
    W, b = centered_ridge(X.T @ X, X.T @ Y, s, t, len(X), 0.5)
    shifted = X - 3
    V, a = centered_ridge(shifted.T @ shifted, shifted.T @ Y, shifted.sum(axis=0), t, len(X), 0.5)
    np.testing.assert_allclose(W, V, atol=1e-11)
    np.testing.assert_allclose(X @ W + b, shifted @ V + a, atol=1e-11)


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


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_a_gram_is_exactly_symmetric(X, form):
    G = add_gram(np.zeros((6, 6)), form(X * (X > 3)))
    np.testing.assert_array_equal(G, G.T)
