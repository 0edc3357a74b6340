"""Directions in feature space, found as eigenvectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix


def fix_signs(W: Matrix) -> Matrix:
    """Return W with columns negated such that the entry of largest magnitude is positive; solvers leave it open."""
    largest = np.argmax(np.abs(W), axis=0)
    return W * np.where(W[largest, np.arange(W.shape[1])] < 0, -1.0, 1.0)


def leading_directions(
    C: Mapping[tuple[str, str], Matrix], widths: Mapping[str, int], k: int
) -> tuple[NDArray[np.float64], dict[str, Matrix]]:
    """Return the top k eigenvalues of the symmetric matrix with blocks C, and each modality's part of eigenvectors.

    The largest eigenvalue comes first; parts are (d, k). With two modalities the columns of each part have length 1;
    otherwise those of all parts together.
    """
    if len(widths) == 2:
        (((a, b), block),) = C.items()
        if widths[a] > widths[b]:
            a, b, block = b, a, block.T
        # Pairs of singular vectors, by way of the smaller side.
        _, left = _top_eigenvectors(block @ block.T, k)
        right = block.T @ left
        values = np.linalg.norm(right, axis=0)
        parts = {a: left, b: right / np.where(values > 0, values, 1.0)}
    else:
        ends = np.cumsum([0, *widths.values()])
        places = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(widths)}
        whole = np.zeros((ends[-1], ends[-1]))
        for (a, b), block in C.items():
            whole[places[a], places[b]] = block
            whole[places[b], places[a]] = block.T
        values, vectors = _top_eigenvectors(whole, k)
        parts = {name: vectors[place] for name, place in places.items()}
    return values, {name: parts[name] for name in widths}


def _top_eigenvectors(M: Matrix, k: int) -> tuple[NDArray[np.float64], Matrix]:
    from scipy.linalg import eigh

    values, vectors = eigh((M + M.T) / 2, subset_by_index=(len(M) - k, len(M) - 1), check_finite=False)
    return values[::-1], fix_signs(vectors[:, ::-1])
