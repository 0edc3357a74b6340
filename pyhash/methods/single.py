"""References that look at one modality at a time: what plain binarisation gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.itq import itq_rotation
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod, check_n_bits_within, fix_signs


class FeatureSign(ProjectionMethod):
    """Signs of centred features: those of the ``n_bits`` features that vary most.

    Learns nothing across modalities: codes of different modalities have nothing to do with each other.

    Parameters
    ----------
    n_bits : int
        Length of a code, at most the number of features.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed; with one modality simply its codes.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Examples
    --------
    >>> model = FeatureSign(n_bits=2).fit({"x": [[0.0, 5.0, 1.0], [0.1, -5.0, 3.0]]})
    >>> model.project([[7.0, 1.0, 1.0]], modality="x")
    array([[ 1., -1.]], dtype=float32)
    """

    is_supervised = False

    def __init__(self, n_bits: int = 32, *, feature_maps: Mapping[str, Any] | None = None) -> None:
        self.n_bits = n_bits
        self.feature_maps = feature_maps

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        widths = {name: X.shape[1] for name, X in chunk.views.items()}
        n_bits = check_n_bits_within(self.n_bits, widths, "features")
        W = {}
        for name, X in chunk.views.items():
            chosen = np.sort(np.argsort(-X.column_squares(), kind="stable")[:n_bits])
            W[name] = np.eye(X.shape[1])[:, chosen]
        return W


class LSH(ProjectionMethod):
    """Locality sensitive hashing by random hyperplanes (Charikar, STOC 2002).

    Learns nothing across modalities: codes of different modalities have nothing to do with each other.

    Parameters
    ----------
    n_bits : int
        Length of a code.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.
    seed : int
        Of the hyperplanes.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed; with one modality simply its codes.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Examples
    --------
    >>> model = LSH(n_bits=64).fit({"x": [[0.0, 5.0], [0.1, -5.0]]})
    >>> model.encode([[7.0, 1.0]], modality="x").shape
    (1, 8)
    """

    is_supervised = False

    def __init__(self, n_bits: int = 32, *, feature_maps: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        self.n_bits = n_bits
        self.feature_maps = feature_maps
        self.seed = seed

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return {name: rng.standard_normal((X.shape[1], self.n_bits)) for name, X in chunk.views.items()}


class PCASign(ProjectionMethod):
    """Signs of principal components.

    Learns nothing across modalities: codes of different modalities have nothing to do with each other.

    Parameters
    ----------
    n_bits : int
        Length of a code, at most the number of features.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed; with one modality simply its codes.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Examples
    --------
    >>> model = PCASign(n_bits=1).fit({"x": [[0.0, 5.0], [0.1, -5.0]]})
    >>> model.project([[0.0, 2.0]], modality="x").shape
    (1, 1)
    """

    is_supervised = False

    def __init__(self, n_bits: int = 32, *, feature_maps: Mapping[str, Any] | None = None) -> None:
        self.n_bits = n_bits
        self.feature_maps = feature_maps

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return principal_directions(chunk, self.n_bits)


class PCAITQ(ProjectionMethod):
    """Principal components, rotated by iterative quantization (Gong et al., TPAMI 2013).

    Learns nothing across modalities: codes of different modalities have nothing to do with each other.

    Parameters
    ----------
    n_bits : int
        Length of a code, at most the number of features.
    n_iter : int
        Steps of the rotation.
    feature_maps : mapping of str to feature map, or None
        What is done to the features of a modality first; by default ``Centering()`` for each.
    seed : int
        Of the first rotation.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Signs of the sum of the modalities' projections, packed; with one modality simply its codes.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 8))
    >>> PCAITQ(n_bits=4).fit({"x": X}).codes_.shape
    (100, 1)
    """

    is_supervised = False

    def __init__(
        self, n_bits: int = 32, *, n_iter: int = 50, feature_maps: Mapping[str, Any] | None = None, seed: int = 0
    ) -> None:
        self.n_bits = n_bits
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.seed = seed

    def _check_parameters(self, modalities: list[str]) -> None:
        check_integer("n_iter", self.n_iter, 1)

    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        directions = principal_directions(chunk, self.n_bits)
        return {name: W @ itq_rotation(chunk.views[name].dot(W), self.n_iter, rng) for name, W in directions.items()}


def principal_directions(chunk: Chunk, n_bits: object) -> dict[str, Matrix]:
    """The (d, n_bits) directions in which each modality varies most, largest first."""
    from scipy.linalg import eigh

    bits = check_n_bits_within(n_bits, {name: X.shape[1] for name, X in chunk.views.items()}, "features")
    W = {}
    for name, X in chunk.views.items():
        d = X.shape[1]
        _, vectors = eigh(X.add_gram(np.zeros((d, d))), subset_by_index=(d - bits, d - 1), check_finite=False)
        W[name] = fix_signs(vectors[:, ::-1])
    return W
