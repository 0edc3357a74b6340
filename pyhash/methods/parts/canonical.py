"""Canonical correlations of the modalities."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from pyhash._inputs.checks import is_sparse
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.directions import leading_directions
from pyhash.methods.parts.state import Chunk


def canonical_directions(chunk: Chunk, n_bits: int, ridge: float) -> dict[str, Matrix]:
    """Return the (d, n_bits) canonical directions of each modality, most correlated first."""
    from scipy.linalg import cholesky, solve_triangular

    widths = {name: X.shape[1] for name, X in chunk.views.items()}
    names = list(widths)
    pairs = list(combinations(names, 2)) or [(names[0], names[0])]
    factors = {}
    for name, X in chunk.views.items():
        covariance = X.add_gram(np.zeros((widths[name], widths[name]))) / chunk.n
        # Without any variance, every ridge gives the same directions.
        covariance[np.diag_indices_from(covariance)] += ridge * np.trace(covariance) / widths[name] or 1.0
        factors[name] = cholesky(covariance, check_finite=False)
    cross = {pair: np.zeros((widths[pair[0]], widths[pair[1]])) for pair in pairs}
    for blocks in zip(*(X.blocks() for X in chunk.views.values()), strict=True):
        rows = {name: X for name, (_, X) in zip(names, blocks, strict=True)}
        for a, b in pairs:
            product = rows[a].T @ rows[b]
            cross[a, b] += product.toarray() if is_sparse(product) else product
    whitened = {}
    for (a, b), product in cross.items():
        half = solve_triangular(factors[a], product / chunk.n, trans="T", check_finite=False)
        whitened[a, b] = solve_triangular(factors[b], half.T, trans="T", check_finite=False).T
    directions = leading_directions(whitened, widths, n_bits)
    return {name: solve_triangular(factors[name], u, check_finite=False) for name, u in directions.items()}
