"""PCA-ITQ: principal components, rotated by iterative quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer
from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.itq import itq_rotation
from pyhash.methods.parts.principal import principal_directions
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod


@dataclass(frozen=True)
class PCAITQSettings(Settings):
    """The checked parameters of PCAITQ."""

    n_iter: int


class PCAITQ(ProjectionMethod[PCAITQSettings]):
    """Principal components, rotated by iterative quantization (Gong et al., TPAMI 2013).

    Each modality is learned alone: codes of different modalities are unrelated.

    Parameters
    ----------
    n_bits : int
        Code length in bits, at most the number of features.
    n_iter : int
        Number of steps of the rotation.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``Centering()``.
    seed : int
        Seed of the first rotation.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections; with one modality these are its codes.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 8))
    >>> PCAITQ(n_bits=4).fit({"x": X}).codes_.shape
    (100, 1)
    """

    is_supervised = False
    _bits_are_directions = True

    def __init__(
        self, n_bits: int = 32, *, n_iter: int = 50, feature_maps: Mapping[str, Any] | None = None, seed: int = 0
    ) -> None:
        self.n_bits = n_bits
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.seed = seed

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> PCAITQSettings:
        return PCAITQSettings(
            **vars(shared),
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _directions(self, settings: PCAITQSettings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        directions = principal_directions(chunk, settings.n_bits)
        return {
            name: W @ itq_rotation(chunk.views[name].dot(W), settings.n_iter, rng) for name, W in directions.items()
        }
