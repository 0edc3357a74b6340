"""CCA-sign: signs of canonical correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_real
from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.canonical import canonical_directions
from pyhash.methods.parts.ridge import WHY_A_RIDGE
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod


@dataclass(frozen=True)
class CCASignSettings(Settings):
    """The checked parameters of CCASign."""

    covariance_ridge: float


class CCASign(ProjectionMethod[CCASignSettings]):
    """Signs of canonical correlations.

    Learns projections of all modalities from pairs alone, without labels, such that a sample's projections agree.

    Parameters
    ----------
    n_bits : int
        Code length r in bits, at most the number of features of any modality.
    ridge : float
        Added to the variances of each modality, in units of their mean.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``Centering()``.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.

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
    _bits_are_directions = True

    def __init__(self, n_bits: int = 32, *, ridge: float = 0.01, feature_maps: Mapping[str, Any] | None = None) -> None:
        self.n_bits = n_bits
        self.ridge = ridge
        self.feature_maps = feature_maps

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> CCASignSettings:
        return CCASignSettings(
            **vars(shared),
            covariance_ridge=check_real("ridge", self.ridge, 0.0, exclusive=True, why=WHY_A_RIDGE),
        )

    def _directions(self, settings: CCASignSettings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        return canonical_directions(chunk, settings.n_bits, settings.covariance_ridge)
