import numpy as np
import pytest

from pyhash.methods.parts.orthonormal import balanced_factor, nearest_rotation, random_balanced_factor, random_rotation


def is_feasible(V, atol=1e-8):
    n, r = V.shape
    np.testing.assert_allclose(V.T @ V / n, np.eye(r), atol=atol)
    np.testing.assert_allclose(V.mean(axis=0), 0, atol=atol)
    return True


def centred(Z):
    return Z - Z.mean(axis=0)


def test_no_column_is_left_where_there_is_one_row(rng):
    np.testing.assert_array_equal(balanced_factor(rng.standard_normal((1, 3)), rng), np.zeros((1, 3)))
    np.testing.assert_array_equal(random_balanced_factor(1, 3, rng), np.zeros((1, 3)))


@pytest.mark.parametrize("n", [2, 3, 7, 8])
def test_as_many_directions_as_rows_leave_stay(rng, n):
    """n - 1 < r: V'V = n I on a subspace of dimension n - 1, zero on the rest."""
    r = 8
    Z = rng.standard_normal((n, r))
    V = balanced_factor(Z, rng)
    values = np.linalg.eigvalsh(V.T @ V)
    np.testing.assert_allclose(values, [0] * (r - n + 1) + [n] * (n - 1), atol=1e-9)
    np.testing.assert_allclose(V.sum(axis=0), 0, atol=1e-9)
    # And the best such: its product with Z is the sum of all singular values.
    singular = np.linalg.svd(centred(Z), compute_uv=False)
    assert np.trace(Z.T @ V) == pytest.approx(np.sqrt(n) * singular.sum())


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_a_lower_rank_is_completed(rng, rank):
    """Here Z has too few directions, and V still has all, the best that there are."""
    Z = rng.standard_normal((30, rank)) @ rng.standard_normal((rank, 6)) + rng.standard_normal(6)
    V, other = balanced_factor(Z, np.random.default_rng(1)), balanced_factor(Z, np.random.default_rng(2))
    assert is_feasible(V)
    assert is_feasible(other)
    singular = np.linalg.svd(centred(Z), compute_uv=False)
    for factor in (V, other):
        assert np.trace(Z.T @ factor) == pytest.approx(np.sqrt(30) * singular[:rank].sum(), abs=1e-6)
    assert np.abs(V - other).max() > 0.1  # the rest is random


def test_the_scale_of_z_does_not_matter(rng):
    Z = rng.standard_normal((30, 6))
    for scale in (1e-150, 1e-9, 1e9, 1e150):
        np.testing.assert_allclose(balanced_factor(scale * Z, rng), balanced_factor(Z, rng), atol=1e-9)


def test_a_rank_below_and_few_rows_at_once(rng):
    V = balanced_factor(rng.standard_normal((5, 1)) @ rng.standard_normal((1, 8)), rng)
    np.testing.assert_allclose(np.linalg.eigvalsh(V.T @ V), [0] * 4 + [5] * 4, atol=1e-8)
    np.testing.assert_allclose(V.sum(axis=0), 0, atol=1e-8)


def test_directions_that_hardly_count_are_orthogonal_all_the_same(rng):
    """Down to the eigenvalue that still counts, a part of 1e-10 of the largest."""
    left = np.linalg.qr(centred(rng.standard_normal((60, 8))))[0]
    for smallest in (1e-2, 1e-4, 1.1e-5, 0.9e-5, 1e-8):
        Z = left * np.geomspace(1, smallest, 8) @ random_rotation(8, rng)
        assert is_feasible(balanced_factor(Z, rng), atol=1e-5)


def test_random_factors_are_feasible_and_drawn(rng):
    first, second = random_balanced_factor(40, 8, rng), random_balanced_factor(40, 8, rng)
    assert is_feasible(first)
    assert is_feasible(second)
    assert np.abs(first - second).max() > 0.1
    again = random_balanced_factor(40, 8, np.random.default_rng(5))
    np.testing.assert_array_equal(again, random_balanced_factor(40, 8, np.random.default_rng(5)))


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (3, 1)])
def test_the_nearest_rotation_is_orthonormal_and_nearest(rng, shape):
    M = rng.standard_normal(shape)
    R = nearest_rotation(M)
    np.testing.assert_allclose(R.T @ R, np.eye(shape[1]), atol=1e-12)
    best = np.trace(M.T @ R)
    assert best == pytest.approx(np.linalg.svd(M, compute_uv=False).sum())
    for _ in range(50):
        other = np.linalg.qr(rng.standard_normal(shape))[0]
        assert np.trace(M.T @ other) < best
        assert np.sum((R - M) ** 2) < np.sum((other - M) ** 2)


def test_a_rotation_is_its_own_nearest(rng):
    R = random_rotation(7, rng)
    np.testing.assert_allclose(R.T @ R, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(nearest_rotation(5 * R), R, atol=1e-12)
    np.testing.assert_allclose(nearest_rotation(np.zeros((3, 3))).T @ nearest_rotation(np.zeros((3, 3))), np.eye(3))
