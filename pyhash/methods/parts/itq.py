"""Iterative quantization: a rotation that brings projections close to their signs."""

from __future__ import annotations

import numpy as np

from pyhash.codes import sign
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.orthonormal import nearest_rotation, random_rotation


def itq_rotation(V: Matrix, n_iter: int, rng: np.random.Generator) -> Matrix:
    """Return a rotation R (r, r) that lowers ``||sgn(V R) - V R||^2`` for V (n, r), from a random start.

    Every step is exact: ``B = sgn(V R)``, then R from the SVD of V'B (Gong et al., TPAMI 2013, Sec. 3).
    """
    R = random_rotation(V.shape[1], rng)
    for _ in range(n_iter):
        R = nearest_rotation(V.T @ sign(V @ R).astype(np.float64))
    return R
