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
    """W (d, r) of ``(G + ridge I) W = F`` by Cholesky; G (d, d) positive semidefinite, overwritten."""
    from scipy.linalg import cho_factor, cho_solve

    G[np.diag_indices_from(G)] += ridge
    solution: NDArray[np.float64] = cho_solve(cho_factor(G, lower=True, overwrite_a=True, check_finite=False), F)
    return solution
