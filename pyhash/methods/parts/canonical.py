"""Canonical correlations of the modalities."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.directions import leading_directions
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.state import Chunk

# Centering leaves this part of the squares in rounding errors, at most; no ridge is below it.
_ROUNDING = 1e-10


def canonical_directions(chunk: Chunk, n_bits: int, ridge: float) -> dict[str, Matrix]:
    """Return the (d, n_bits) canonical directions of each modality, most correlated first."""
    grams = {name: X.add_gram(np.zeros((X.shape[1], X.shape[1]))) for name, X in chunk.views.items()}
    directions, _ = canonical_correlations(chunk.views, grams, n_bits, dict.fromkeys(grams, ridge))
    return directions


def canonical_correlations(
    views: Mapping[str, FeatureRows],
    grams: Mapping[str, Matrix],
    k: int,
    ridges: Mapping[str, float],
    means: Mapping[str, NDArray[np.float64]] | None = None,
) -> tuple[dict[str, Matrix], NDArray[np.float64]]:
    """Return the (d, k) canonical directions of each modality, and their correlations (k,), greatest first.

    Parameters
    ----------
    views : mapping of str to FeatureRows
        Aligned rows X of each modality. Covariances of two modalities are over the rows that have both.
    grams : mapping of str to Matrix
        X'X of each.
    k : int
        Number of directions: with one or two modalities at most the least number of features, otherwise at most the
        sum of these numbers.
    ridges : mapping of str to float
        Added to the variances of each modality, in units of their mean.
    means : mapping of str to ndarray, optional
        Means of the features, over the rows that have them, for rows that are not centered.

    Notes
    -----
    With the covariances C_m of each modality, ridge included, and the cross-covariances C_mn, the directions are
    ``C_m^{-1/2} u_m`` where the u_m are the parts of a top eigenvector of the matrix of all blocks
    ``C_m^{-1/2} C_mn C_n^{-1/2}``, m != n. A correlation is its eigenvalue, divided by the number of other modalities.
    A single modality is paired with itself.
    """
    from scipy.linalg import cholesky, solve_triangular

    names = list(views)
    widths = {name: X.shape[1] for name, X in views.items()}
    pairs = list(combinations(names, 2)) or [(names[0], names[0])]
    factors = {}
    for name, gram in grams.items():
        covariance, least = gram / views[name].n_present, 0.0
        if means is not None:
            least = _ROUNDING * np.trace(covariance)
            covariance -= np.outer(means[name], means[name])
        # Without any variance, every ridge gives the same directions.
        ridge = max(ridges[name] * np.trace(covariance), least) / widths[name] or 1.0
        covariance[np.diag_indices_from(covariance)] += ridge
        factors[name] = cholesky(covariance, check_finite=False)
    whitened = {}
    for a, b in pairs:
        both = views[a].present & views[b].present
        n = max(1, int(np.count_nonzero(both)))
        covariance = views[a].cross(views[b]) / n
        if means is not None:
            of_a, of_b = (views[name].transposed_dot(both[:, None])[:, 0] / n for name in (a, b))
            covariance -= np.outer(of_a, of_b)
        half = solve_triangular(factors[a], covariance, trans="T", check_finite=False)
        whitened[a, b] = solve_triangular(factors[b], half.T, trans="T", check_finite=False).T
    values, directions = leading_directions(whitened, widths, k)
    correlations = values / max(1, len(names) - 1)
    return {
        name: solve_triangular(factors[name], u, check_finite=False) for name, u in directions.items()
    }, correlations
