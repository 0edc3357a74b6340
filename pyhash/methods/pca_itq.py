"""PCA-ITQ: principal components, rotated by iterative quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer
from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.itq import itq_rotations, record_rotations
from pyhash.methods.parts.principal import principal_directions
from pyhash.methods.parts.state import Chunk
from pyhash.methods.unimodal import UnimodalMethod


@dataclass(frozen=True)
class PCAITQSettings(Settings):
    """The checked parameters of PCAITQ."""

    n_iter: int


class PCAITQ(UnimodalMethod[PCAITQSettings]):
    """Principal components, rotated by iterative quantization (Gong et al., TPAMI 2013).

    Each modality is learned alone: codes of different modalities are unrelated. With one modality it is a transformer
    of scikit-learn, for its pipelines: ``fit(X)`` and ``transform(X)``.

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
    record : bool
        Whether ``history_`` keeps the quantization errors after each step.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections; with one modality these are its codes.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    history_ : list of dict
        The objective and its terms after each step; only with ``record=True``.
    objective_ : float
        The objective after the last step; only with ``record=True``.

    Notes
    -----
    The terms of the objective are "quantization.NAME" for each modality, ``||sgn(V R) - V R||^2`` with its projections
    V and their rotation R. No step raises one of them.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 8))
    >>> PCAITQ(n_bits=4).fit({"x": X}).codes_.shape
    (100, 1)
    """

    _bits_are_directions = True

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_iter: int = 50,
        feature_maps: Mapping[str, Any] | None = None,
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.seed = seed
        self.record = record

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> PCAITQSettings:
        return PCAITQSettings(
            **vars(shared),
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _directions(self, settings: PCAITQSettings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        W = principal_directions(chunk, settings.n_bits)
        V = {name: chunk.views[name].dot(of_modality) for name, of_modality in W.items()}
        named = {f"quantization.{name}": of_modality for name, of_modality in V.items()}
        R: tuple[Matrix, ...] = ()

        def rotated() -> dict[str, Matrix]:
            return {name: W[name] @ of_modality for name, of_modality in zip(W, R, strict=True)}

        # The modalities in step: a history has one entry for each step.
        for R in zip(*(itq_rotations(of_modality, settings.n_iter, rng) for of_modality in V.values()), strict=True):
            record_rotations(chunk, named, dict(zip(named, R, strict=True)), rotated)
        return rotated()
