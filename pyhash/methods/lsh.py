"""LSH: locality sensitive hashing by random hyperplanes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.state import Chunk
from pyhash.methods.unimodal import UnimodalMethod


class LSH(UnimodalMethod[Settings]):
    """Locality sensitive hashing by random hyperplanes (Charikar, STOC 2002).

    Each modality is learned alone: codes of different modalities are unrelated. With one modality it is a transformer
    of scikit-learn, for its pipelines: ``fit(X)`` and ``transform(X)``.

    Parameters
    ----------
    n_bits : int
        Code length in bits.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``Centering()``.
    seed : int
        Seed of the hyperplanes.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections; with one modality these are its codes.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.

    Examples
    --------
    >>> model = LSH(n_bits=64).fit({"x": [[0.0, 5.0], [0.1, -5.0]]})
    >>> model.encode([[7.0, 1.0]], modality="x").shape
    (1, 8)
    """

    def __init__(self, n_bits: int = 32, *, feature_maps: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        self.n_bits = n_bits
        self.feature_maps = feature_maps
        self.seed = seed

    def _directions(self, settings: Settings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return {name: rng.standard_normal((X.shape[1], settings.n_bits)) for name, X in chunk.views.items()}
