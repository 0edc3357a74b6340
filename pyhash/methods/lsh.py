"""LSH: locality sensitive hashing by random hyperplanes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod


class LSH(ProjectionMethod[Settings]):
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

    def _directions(self, settings: Settings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return {name: rng.standard_normal((X.shape[1], settings.n_bits)) for name, X in chunk.views.items()}
