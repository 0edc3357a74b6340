"""BATCH: scalable asymmetric discrete cross-modal hashing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer, check_real
from pyhash.codes import sign
from pyhash.methods.linear import LinearMethod, Settings
from pyhash.methods.parts.arrays import Matrix, Signs
from pyhash.methods.parts.descent import random_signs
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.parts.label_sets import unit_rows
from pyhash.methods.parts.orthonormal import balanced_factor, random_balanced_factor
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.ridge import solve_ridge
from pyhash.methods.parts.state import Chunk

# Ridge of the mappings from the embedding to features and labels.
_EMBEDDING_RIDGE = 1e-3


@dataclass(frozen=True)
class BATCHSettings(Settings):
    """The checked parameters of BATCH."""

    eta: dict[str, float]
    eta_0: float
    omega: float
    n_iter: int


class BATCH(LinearMethod[BATCHSettings, None]):
    """Scalable asymmetric discrete cross-modal hashing (Wang et al., TKDE 2021).

    Learns codes for all modalities from whole labelled data. An embedding, balanced and with uncorrelated columns,
    explains features and labels at once, and its products with the codes keep the similarity of samples.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as the labels show.
    eta : float or mapping of str to float
        Weight of the features, one for all modalities or one for each.
    eta_0 : float
        Weight of the labels.
    omega : float
        Weight of codes that equal the embedding.
    xi : float or mapping of str to float
        Ridge of the projections, above 0, one for all modalities or one for each.
    n_iter : int
        Rounds of updates.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``RBFAnchors(1000, width="mean_squared_distance", centered=True)``. The paper has 500 anchors for images.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three. For "auto" a fifth of the rows, at most 500, is held back and the method
        learns twice: choose it before learning. The others may be chosen at any time; "bayes" is calibrated only if it
        or "auto" was chosen before learning.
    seed : int
        Seed of all random choices: the same seed and data give the same codes.
    record : bool
        Whether ``history_`` keeps the objective after each iteration.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes of the rows of the last ``fit``.
    classes_ : ndarray of shape (n_classes,)
        The classes by their index: labels by name, or 0, 1, 2, ...
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned.
    encoders_ : dict of str to str
        The encoder of each modality.
    history_ : list of dict
        The objective and its terms after each iteration; only with ``record=True``.
    objective_ : float
        The objective after the last iteration; only with ``record=True``.

    Notes
    -----
    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label
    a row. With label rows G of unit length and ``S = G G'``, ::

        min  ||B V' - r S||^2 + omega ||B - V||^2 + sum_m eta_m ||K_m - V U_m||^2 + eta_0 ||L - V U_0||^2

    subject to ``V'V = n I`` and ``1'V = 0``, by turns for the mappings U (with a ridge of 1e-3), V and B. Projections
    solve ``(K'K + xi I) W = K'B``.

    The terms of the objective are "similarity", "codes" (of omega), "labels" (of eta_0) and "features.NAME" (of eta)
    for each modality, the last two with their ridges. No iteration raises their sum where there are more rows than
    bits: each step is exact, except that the step of V replaces directions that its other terms outweigh by a factor of
    1e5, which may raise the sum by a few millionths. With fewer rows the objective may rise, since ``V'V = n I`` is
    what makes the steps exact.

    References
    ----------
    Yongxin Wang, Xin Luo, Liqiang Nie, Jingkuan Song, Wei Zhang, Xin-Shun Xu: BATCH: A Scalable Asymmetric Discrete
    Cross-Modal Hashing. IEEE Transactions on Knowledge and Data Engineering 33(11), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=200)
    >>> image = np.eye(4)[labels] + 0.1 * rng.standard_normal((200, 4))
    >>> model = BATCH(n_bits=16).fit({"image": image, "text": np.eye(4)[labels]}, labels)
    >>> codes = model.encode(image, modality="image")
    >>> codes.shape, float((codes == model.codes_).all(axis=1).mean()) > 0.9
    ((200, 2), True)
    """

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        eta: float | Mapping[str, float] = 0.05,
        eta_0: float = 0.9,
        omega: float = 0.01,
        xi: float | Mapping[str, float] = 0.01,
        n_iter: int = 6,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.eta = eta
        self.eta_0 = eta_0
        self.omega = omega
        self.xi = xi
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.seed = seed
        self.record = record

    def _default_map(self, sparse: bool) -> RBFAnchors:
        return RBFAnchors(1000, width="mean_squared_distance", centered=True, seed=self.seed)

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> BATCHSettings:
        return BATCHSettings(
            **vars(shared),
            eta=per_modality("eta", self.eta, modalities),
            eta_0=check_real("eta_0", self.eta_0, 0.0),
            omega=check_real("omega", self.omega, 0.0),
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _learn(self, settings: BATCHSettings, own: None, chunk: Chunk, rng: np.random.Generator) -> tuple[None, Signs]:
        n, r, L = chunk.n, settings.n_bits, chunk.finest
        G = unit_rows(L)
        B = random_signs(rng, n, r).astype(np.float64)
        V = random_balanced_factor(n, r, rng)
        for _ in range(settings.n_iter):
            U = {name: update_U(V, K.transposed_dot(V).T) for name, K in chunk.views.items()}
            U_0 = update_U(V, V.T @ L)
            KU = {name: K.dot(U[name].T) for name, K in chunk.views.items()}
            V = update_V(settings, B, G, KU, L @ U_0.T, rng)
            B = update_B(settings, V, G)
            chunk.record(B, functools.partial(objective, settings, chunk, G, V, B, U, U_0))
        return None, B.astype(np.int8)


def objective(
    settings: BATCHSettings, chunk: Chunk, G: Matrix, V: Matrix, B: Matrix, U: Mapping[str, Matrix], U_0: Matrix
) -> dict[str, float]:
    """Return the terms of the objective."""
    r, VV, L = V.shape[1], V.T @ V, chunk.finest

    def explained(squares: float, FV: Matrix, U: Matrix) -> float:
        """Return ``||F - V U||^2`` and the ridge of U, for F with a sum of squares and F'V (d, r)."""
        return float(squares - 2 * (FV.T * U).sum() + (U * (VV @ U)).sum() + _EMBEDDING_RIDGE * (U * U).sum())

    GG = G.T @ G
    similarity = (VV * (B.T @ B)).sum() - 2 * r * ((G.T @ B) * (G.T @ V)).sum() + r**2 * (GG * GG).sum()
    return {
        "similarity": similarity,
        "codes": settings.omega * ((B - V) ** 2).sum(),
        "labels": settings.eta_0 * explained(L.sum(), L.T @ V, U_0),
        **{
            f"features.{name}": settings.eta[name] * explained(np.trace(chunk.XX[name]), K.transposed_dot(V), U[name])
            for name, K in chunk.views.items()
        },
    }


def update_U(V: Matrix, VF: Matrix) -> Matrix:
    """Return U (r, d), from the embedding to features or labels F; `VF` is V'F."""
    return solve_ridge(V.T @ V, VF, _EMBEDDING_RIDGE)


def update_V(
    settings: BATCHSettings, B: Matrix, G: Matrix, KU: Mapping[str, Matrix], LU: Matrix, rng: np.random.Generator
) -> Matrix:
    """Return the embedding V (n, r); `KU` is K_m U_m' for each modality, `LU` is L U_0'."""
    Z = B.shape[1] * (G @ (G.T @ B)) + settings.omega * B + settings.eta_0 * LU
    for name, of_modality in KU.items():
        Z += settings.eta[name] * of_modality
    return balanced_factor(Z, rng)


def update_B(settings: BATCHSettings, V: Matrix, G: Matrix) -> Matrix:
    """Return signs B (n, r)."""
    return sign(V.shape[1] * (G @ (G.T @ V)) + settings.omega * V).astype(np.float64)
