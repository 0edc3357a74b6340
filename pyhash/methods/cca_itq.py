"""CCA-ITQ: canonical correlations, rotated by iterative quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer, check_real
from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.canonical import canonical_directions
from pyhash.methods.parts.itq import itq_rotations, record_rotations
from pyhash.methods.parts.ridge import WHY_A_RIDGE
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod, sum_of_projections


@dataclass(frozen=True)
class CCAITQSettings(Settings):
    """The checked parameters of CCAITQ."""

    covariance_ridge: float
    n_iter: int


class CCAITQ(ProjectionMethod[CCAITQSettings]):
    """Canonical correlations, rotated by iterative quantization (Gong et al., TPAMI 2013).

    Learns projections of all modalities from pairs alone, without labels, such that a sample's projections agree and
    lie near signs.

    Parameters
    ----------
    n_bits : int
        Code length r in bits, at most the number of features of any modality.
    ridge : float
        Added to the variances of each modality, in units of their mean.
    n_iter : int
        Number of steps of the rotation.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``Centering()``.
    seed : int
        Seed of the first rotation.
    record : bool
        Whether ``history_`` keeps the quantization error after each step.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    history_ : list of dict
        The objective and its terms after each step; only with ``record=True``.
    objective_ : float
        The objective after the last step; only with ``record=True``.

    Notes
    -----
    One rotation R serves all modalities; it is found on the sum V of their projections. The only term of the objective
    is "quantization", ``||sgn(V R) - V R||^2``. No step raises it.

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
    _bits_are_directions = True

    def __init__(
        self,
        n_bits: int = 32,
        *,
        ridge: float = 0.01,
        n_iter: int = 50,
        feature_maps: Mapping[str, Any] | None = None,
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.ridge = ridge
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.seed = seed
        self.record = record

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> CCAITQSettings:
        return CCAITQSettings(
            **vars(shared),
            covariance_ridge=check_real("ridge", self.ridge, 0.0, exclusive=True, why=WHY_A_RIDGE),
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _directions(self, settings: CCAITQSettings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        W = canonical_directions(chunk, settings.n_bits, settings.covariance_ridge)
        V = sum_of_projections(chunk, W)
        R = np.eye(settings.n_bits)

        def rotated() -> dict[str, Matrix]:
            return {name: of_modality @ R for name, of_modality in W.items()}

        for R in itq_rotations(V, settings.n_iter, rng):
            record_rotations(chunk, {"quantization": V}, {"quantization": R}, rotated)
        return rotated()
