"""Sums of X'X over a stream, and the ridge regressions made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.checks import is_sparse

if TYPE_CHECKING:
    from pyhash.checks import Features


def add_gram(G: NDArray[np.float64], X: Features) -> NDArray[np.float64]:
    """G + X'X as a new array; the product of sparse rows costs what their non-zeros cost."""
    if not is_sparse(X):
        product: NDArray[np.float64] = X.T @ X
        product += G
        return product
    gram: Any = (X.T @ X).tocoo()
    total: NDArray[np.float64] = G.copy()
    total[gram.row, gram.col] += gram.data  # each place once: a product has no duplicates
    return total


def solve_ridge(G: NDArray[np.float64], F: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """W (d, r) of ``(G + ridge I) W = F`` by Cholesky; G (d, d) positive semidefinite.

    Where the ridge is lost in G's rounding, by eigenvectors: the true eigenvalues are not below the ridge.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    regular = G.copy()
    regular[np.diag_indices_from(regular)] += ridge
    solution: NDArray[np.float64]
    try:
        solution = cho_solve(cho_factor(regular, lower=True, overwrite_a=True, check_finite=False), F)
    except LinAlgError:
        values, vectors = eigh(G, check_finite=False)
        solution = vectors @ ((vectors.T @ F) / (np.maximum(values, 0) + ridge)[:, None])
    return solution
