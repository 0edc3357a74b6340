"""Canonical correlation analysis, its signs, and its rotation by iterative quantization."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer, check_real, is_sparse
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.itq import itq_rotation
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod, check_n_bits_within, leading_directions, sum_of_projections


class CCASign(ProjectionMethod):
    """Signs of canonical correlations.

    Learns projections of all modalities from pairs alone, without labels, such that a sample's projections agree.

    Parameters
    ----------
    n_bits : int
        Length r of a code, at most the number of features of any modality.
    ridge : float
        Added to the variances of each modality, in units of their mean.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Notes
    -----
    The directions are the top solutions of the generalised eigenproblem ``C w = lambda D w``, C the covariances between
    modalities and D those within, with the ridge. For two modalities that is Hotelling's problem; one is paired with
    itself, which whitens it.

    References
    ----------
    Harold Hotelling: Relations between two sets of variates. Biometrika 28, 1936.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal((300, 4))
    >>> views = {"image": shared @ rng.standard_normal((4, 6)), "text": shared @ rng.standard_normal((4, 5))}
    >>> model = CCASign(n_bits=4).fit(views)
    >>> image, text = (model.encode(views[name], modality=name) for name in views)
    >>> float((image == text).mean()) > 0.9
    True
    """

    is_supervised = False

    def __init__(self, n_bits: int = 32, *, ridge: float = 0.01, feature_maps: Mapping[str, Any] | None = None) -> None:
        self.n_bits = n_bits
        self.ridge = ridge
        self.feature_maps = feature_maps

    def _check_parameters(self, modalities: list[str]) -> None:
        check_real("ridge", self.ridge, 0.0, exclusive=True)

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return canonical_directions(chunk, self.n_bits, self.ridge)


class CCAITQ(ProjectionMethod):
    """Canonical correlations, rotated by iterative quantization (Gong et al., TPAMI 2013).

    Learns projections of all modalities from pairs alone, without labels, such that a sample's projections agree and
    lie near signs.

    Parameters
    ----------
    n_bits : int
        Length r of a code, at most the number of features of any modality.
    ridge : float
        Added to the variances of each modality, in units of their mean.
    n_iter : int
        Steps of the rotation.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.
    seed : int
        Of the first rotation.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Notes
    -----
    One rotation serves all modalities; it is found on the sum of their projections.

    References
    ----------
    Yunchao Gong, Svetlana Lazebnik, Albert Gordo, Florent Perronnin: Iterative Quantization: A Procrustean Approach to
    Learning Binary Codes for Large-Scale Image Retrieval. IEEE Transactions on Pattern Analysis and Machine
    Intelligence 35(12), 2013.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal((300, 4))
    >>> views = {"image": shared @ rng.standard_normal((4, 6)), "text": shared @ rng.standard_normal((4, 5))}
    >>> model = CCAITQ(n_bits=4).fit(views)
    >>> image, text = (model.encode(views[name], modality=name) for name in views)
    >>> float((image == text).mean()) > 0.9
    True
    """

    is_supervised = False

    def __init__(
        self,
        n_bits: int = 32,
        *,
        ridge: float = 0.01,
        n_iter: int = 50,
        feature_maps: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.n_bits = n_bits
        self.ridge = ridge
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.seed = seed

    def _check_parameters(self, modalities: list[str]) -> None:
        check_real("ridge", self.ridge, 0.0, exclusive=True)
        check_integer("n_iter", self.n_iter, 1)

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        W = canonical_directions(chunk, self.n_bits, self.ridge)
        R = itq_rotation(sum_of_projections(chunk, W), self.n_iter, rng)
        return {name: of_modality @ R for name, of_modality in W.items()}


def canonical_directions(chunk: Chunk, n_bits: object, ridge: float) -> dict[str, Matrix]:
    """The (d, n_bits) canonical directions of each modality, most correlated first."""
    from scipy.linalg import cholesky, solve_triangular

    widths = {name: X.shape[1] for name, X in chunk.views.items()}
    bits = check_n_bits_within(n_bits, widths, "features")
    names = list(widths)
    pairs = list(combinations(names, 2)) or [(names[0], names[0])]
    factors = {}
    for name, X in chunk.views.items():
        covariance = X.add_gram(np.zeros((widths[name], widths[name]))) / chunk.n
        # Where nothing varies any ridge does.
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
    directions = leading_directions(whitened, widths, bits)
    return {name: solve_triangular(factors[name], u, check_finite=False) for name, u in directions.items()}
