"""Iterative quantization: a rotation that brings projections close to their signs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pyhash.codes import sign
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.orthonormal import nearest_rotation, random_rotation
from pyhash.methods.parts.state import Chunk


def itq_rotations(V: Matrix, n_iter: int, rng: np.random.Generator) -> Iterator[Matrix]:
    """Yield rotations R (r, r), each with a lower ``||sgn(V R) - V R||^2`` for V (n, r), from a random start.

    Both halves of a step are exact: ``B = sgn(V R)``, then R from the SVD of V'B (Gong et al., TPAMI 2013, Sec. 3).
    """
    R = random_rotation(V.shape[1], rng)
    for _ in range(n_iter):
        R = nearest_rotation(V.T @ sign(V @ R).astype(np.float64))
        yield R


def itq_rotation(V: Matrix, n_iter: int, rng: np.random.Generator) -> Matrix:
    """Return the last of the rotations; at least one step."""
    *_, R = itq_rotations(V, n_iter, rng)
    return R


def record_rotations(
    chunk: Chunk, V: Mapping[str, Matrix], R: Mapping[str, Matrix], directions: Callable[[], dict[str, Matrix]]
) -> None:
    """Note the quantization errors ``||sgn(V R) - V R||^2`` after a step, with ``record=True``.

    Parameters
    ----------
    chunk : Chunk
    V, R : mapping of str to Matrix
        Projections (n, r) and their rotation (r, r), by name of the term. Codes are signs of the sum of all V R.
    directions : function
        Returns the rotated directions (d, r) of each modality.
    """
    if chunk.recorder is None:
        return
    rotated = {name: V[name] @ R[name] for name in V}
    terms = {name: ((1 - np.abs(of_term)) ** 2).sum() for name, of_term in rotated.items()}
    chunk.record(sign(np.add.reduce(list(rotated.values()))), lambda: terms, directions)
