"""Factors whose columns are orthogonal and balanced, and rotations."""

from __future__ import annotations

import numpy as np

from pyhash.methods.parts.arrays import Matrix

# Directions whose eigenvalue is below this part of the largest are rounding; so are those that centring left of Z.
_RANK_TOLERANCE = 1e-10
_CENTRING_TOLERANCE = 1e3 * np.finfo(float).eps ** 2


def balanced_factor(Z: Matrix, rng: np.random.Generator) -> Matrix:
    """Return V (n, r) that maximises ``tr(Z'V)`` with ``V'V = n I`` and ``1'V = 0``.

    ``V = sqrt(n) J Z (Z'JZ)^{-1/2}`` with J the centring. If JZ has lower rank, random directions orthogonal to the
    others complete it. If n - 1 < r no such V exists; the result has rank n - 1.
    """
    n, r = Z.shape
    JZ = Z - Z.mean(axis=0)
    values, vectors = np.linalg.eigh(JZ.T @ JZ)
    values, vectors = values[::-1], vectors[:, ::-1]  # largest first
    known = values > max(_RANK_TOLERANCE * values[0], _CENTRING_TOLERANCE * float((Z**2).sum()), np.finfo(float).tiny)
    rank = min(int(np.count_nonzero(known)), n - 1)
    left = JZ @ (vectors[:, :rank] / np.sqrt(values[:rank]))
    n_missing = min(r, n - 1) - rank
    if n_missing > 0:
        left = np.hstack([left, _random_complement(left, n_missing, rng)])
    factor: Matrix = np.sqrt(n) * (left @ vectors[:, : left.shape[1]].T)
    return factor


def random_balanced_factor(n: int, r: int, rng: np.random.Generator) -> Matrix:
    """Return a random V (n, r) with ``V'V = n I`` and ``1'V = 0``."""
    return balanced_factor(rng.standard_normal((n, r)), rng)


def random_rotation(r: int, rng: np.random.Generator) -> Matrix:
    """Return a random orthogonal (r, r) matrix."""
    return nearest_rotation(rng.standard_normal((r, r)))


def nearest_rotation(M: Matrix) -> Matrix:
    """Return R (p, q) with orthonormal columns that maximises ``tr(M'R)``, for M (p, q) with p >= q."""
    left, _, right = np.linalg.svd(M, full_matrices=False)
    rotation: Matrix = left @ right
    return rotation


def _random_complement(basis: Matrix, n_columns: int, rng: np.random.Generator) -> Matrix:
    """Return random orthonormal columns, centred and orthogonal to the columns of `basis`."""
    columns = rng.standard_normal((len(basis), n_columns))
    for _ in range(2):  # once more, for what rounding left
        columns -= columns.mean(axis=0)
        columns -= basis @ (basis.T @ columns)
    complement: Matrix = np.linalg.qr(columns)[0]
    return complement
