"""SCM-seq: semantic correlation maximization, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_real
from pyhash.codes import sign
from pyhash.methods.linear import Settings
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.directions import leading_directions
from pyhash.methods.parts.label_sets import unit_rows
from pyhash.methods.parts.ridge import WHY_A_RIDGE
from pyhash.methods.parts.state import Chunk
from pyhash.methods.projections import ProjectionMethod


@dataclass(frozen=True)
class SCMSeqSettings(Settings):
    """The checked parameters of SCMSeq."""

    feature_ridge: float


class SCMSeq(ProjectionMethod[SCMSeqSettings]):
    """Semantic correlation maximization, sequential learning (Zhang & Li, AAAI 2014).

    Learns projections of all modalities from whole labelled data, one bit after the other: each bit takes what the
    similarity of labels still asks for.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as the labels show.
    ridge : float
        Added to the mean squares of the features.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``Centering()``.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three. For "auto" a fifth of the rows, at most 500, is held back and the method
        learns twice: choose it before learning. The others may be chosen at any time; "bayes" is calibrated only if it
        or "auto" was chosen before learning.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed signs of the sum of the modalities' projections.
    classes_ : ndarray of shape (n_classes,)
        The classes by their index: labels by name, or 0, 1, 2, ...
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned.
    encoders_ : dict of str to str
        The encoder of each modality.

    Notes
    -----
    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label
    a row. With label rows G of unit length and ``S = 2 G G' - 1 1'``, bit by bit the directions w_m maximise ``sum over
    pairs m < m' of w_m' C_mm' w_m'`` where ``w_m' (X_m'X_m) w_m`` is fixed and ``C_mm' = r X_m' S X_m'``; then the bit
    is taken out, ``C_mm' -= (X_m' b_m)(X_m'' b_m')'`` with ``b_m = sgn(X_m w_m)``. For two modalities that is the
    paper's problem; one modality is paired with itself. S is never formed.

    References
    ----------
    Dongqing Zhang, Wu-Jun Li: Large-Scale Supervised Multimodal Hashing with Semantic Correlation Maximization. AAAI
    2014.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=200)
    >>> noisy = np.eye(4)[labels] + 0.1 * rng.standard_normal((200, 4))
    >>> model = SCMSeq(n_bits=3).fit({"image": noisy, "text": noisy[:, ::-1]}, labels)
    >>> image, text = model.encode(noisy, modality="image"), model.encode(noisy[:, ::-1], modality="text")
    >>> float((image == text).mean()) > 0.9
    True
    """

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        ridge: float = 1e-6,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.ridge = ridge
        self.feature_maps = feature_maps
        self.encoder = encoder

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> SCMSeqSettings:
        # The label scores behind posterior codes need a stronger ridge than the directions.
        shared = replace(shared, ridge=dict.fromkeys(modalities, 1.0))
        feature_ridge = check_real("ridge", self.ridge, 0.0, exclusive=True, why=WHY_A_RIDGE)
        return SCMSeqSettings(**vars(shared), feature_ridge=feature_ridge)

    def _directions(self, settings: SCMSeqSettings, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        from scipy.linalg import cholesky, solve_triangular

        r, names, G = settings.n_bits, list(chunk.views), unit_rows(chunk.finest)
        # Whitened coordinates: w_m = factor_m^{-1} u_m with |u_m| = 1, so that every bit is one eigenproblem.
        factors = {}
        for name, XX in chunk.XX.items():
            factors[name] = cholesky(XX / chunk.n + settings.feature_ridge * np.eye(len(XX)), check_finite=False)

        def whitened(name: str, columns: NDArray[Any]) -> Matrix:
            solved: Matrix = solve_triangular(
                factors[name], chunk.views[name].transposed_dot(columns), trans="T", check_finite=False
            )
            return solved

        ones = np.ones((chunk.n, 1))
        of_labels = {name: whitened(name, G) for name in names}
        of_ones = {name: whitened(name, ones) for name in names}
        pairs = list(combinations(names, 2)) or [(names[0], names[0])]
        C = {(a, b): r * (2 * of_labels[a] @ of_labels[b].T - of_ones[a] @ of_ones[b].T) for a, b in pairs}
        W: dict[str, list[Matrix]] = {name: [] for name in names}
        for _ in range(r):
            _, directions = leading_directions(C, {name: len(factor) for name, factor in factors.items()}, 1)
            taken = {}
            for name, u in directions.items():
                W[name].append(solve_triangular(factors[name], u, check_finite=False))
                taken[name] = whitened(name, sign(chunk.views[name].dot(W[name][-1])))
            for a, b in pairs:
                C[a, b] -= taken[a] @ taken[b].T
        return {name: np.hstack(columns) for name, columns in W.items()}
