"""The map of classes: mean codes in two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.codes import unpack
from pyhash.explore.classes import Classes
from pyhash.index import CodeIndex

_BLOCK = 65_536  # rows unpacked at once


def class_map(classes: Classes, index: CodeIndex, ids: NDArray[np.int64]) -> dict[str, Any]:
    """Return the classes as points of a plane, in JSON types; `ids` are those of the rows."""
    plane, shares = principal_plane(np.array([_mean_signs(index, ids[rows]) for rows in classes.rows]))
    points = [
        {"value": value, "count": len(rows), "x": x, "y": y}
        for value, rows, (x, y) in zip(classes.values, classes.rows, plane.tolist(), strict=True)
    ]
    return {"column": classes.column, "classes": points, "shares": shares}


def _mean_signs(index: CodeIndex, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.zeros(index.n_bits)
    for start in range(0, len(ids), _BLOCK):
        codes = index.reconstruct(ids[start : start + _BLOCK])
        sums += unpack(codes, n_bits=index.n_bits).sum(axis=0, dtype=np.float64)
    return sums / len(ids)


def principal_plane(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """Return the first two principal components of the rows, (n, 2), and their shares of the variance.

    A component has the sign by which its largest coordinate is positive.
    """
    U, s, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    plane, variances = np.zeros((len(means), 2)), np.zeros(2)
    n = min(2, len(s))
    plane[:, :n], variances[:n] = U[:, :n] * s[:n], s[:n] ** 2
    largest = np.abs(plane).argmax(axis=0)
    plane *= np.where(plane[largest, [0, 1]] < 0, -1.0, 1.0)
    total = float((s**2).sum())
    return plane, (variances / total).tolist() if total > 0 else [0.0, 0.0]
