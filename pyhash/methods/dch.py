"""DCH: learning discriminative binary codes for cross-modal retrieval."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyhash._inputs.checks import check_integer, check_real
from pyhash._inputs.threads import resolve_n_threads
from pyhash.methods.linear import LinearMethod, Settings
from pyhash.methods.parts.arrays import Matrix, Signs
from pyhash.methods.parts.descent import cyclic_descent, random_signs
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.ridge import RidgeSolver, solve_ridge
from pyhash.methods.parts.state import Chunk

_SWEEPS = 10


@dataclass(frozen=True)
class DCHSettings(Settings):
    """The checked parameters of DCH."""

    classifier_ridge: float
    mu: dict[str, float]
    n_iter: int
    n_threads: int


class DCH(LinearMethod[DCHSettings, None]):
    """Discriminative binary codes for cross-modal retrieval (Xu et al., TIP 2017).

    Learns codes for all modalities from whole labelled data, such that a linear classifier on the codes predicts the
    labels.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as the labels show.
    ridge : float
        Ridge of the classifier, lambda in the paper; with 0 the classifier is the one of least norm.
    mu : float or mapping of str to float
        Weight of the features, one for all modalities or one for each.
    xi : float or mapping of str to float
        Ridge of the projections, above 0, one for all modalities or one for each; the paper has none.
    n_iter : int
        Rounds of updates.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``RBFAnchors(1000, width="mean_distance")``.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three. For "auto" a fifth of the rows, at most 500, is held back and the method
        learns twice: choose it before learning. The others may be chosen at any time; "bayes" is calibrated only if it
        or "auto" was chosen before learning.
    seed : int
        Seed of all random choices: the same seed and data give the same codes.
    n_threads : int or None
        Number of threads of the descent; None: PYHASH_NUM_THREADS, else the CPUs that this process may use.
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
    a row. ::

        min  ||L - B W||^2 + lambda ||W||^2 + sum_m mu_m (||B - K_m P_m||^2 + xi_m ||P_m||^2)

    by turns for W, P_m and, by discrete cyclic coordinate descent, B. The terms of the objective are "labels" and
    "features.NAME" for each modality, with their ridges. No iteration raises their sum: the steps of W and P_m are
    exact, and the descent keeps a bit unless another value lowers the objective.

    References
    ----------
    Xing Xu, Fumin Shen, Yang Yang, Heng Tao Shen, Xuelong Li: Learning Discriminative Binary Codes for Large-scale
    Cross-modal Retrieval. IEEE Transactions on Image Processing 26(5), 2017.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=200)
    >>> image = np.eye(4)[labels] + 0.1 * rng.standard_normal((200, 4))
    >>> model = DCH(n_bits=16).fit({"image": image, "text": np.eye(4)[labels]}, labels)
    >>> codes = model.encode(image, modality="image")
    >>> codes.shape, float((codes == model.codes_).mean()) > 0.7
    ((200, 2), True)
    """

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        ridge: float = 1.0,
        mu: float | Mapping[str, float] = 1e-5,
        xi: float | Mapping[str, float] = 1e-2,
        n_iter: int = 5,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        seed: int = 0,
        n_threads: int | None = None,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.ridge = ridge
        self.mu = mu
        self.xi = xi
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.seed = seed
        self.n_threads = n_threads
        self.record = record

    def _default_map(self, sparse: bool) -> RBFAnchors:
        return RBFAnchors(1000, width="mean_distance", seed=self.seed)

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> DCHSettings:
        return DCHSettings(
            **vars(shared),
            classifier_ridge=check_real("ridge", self.ridge, 0.0),
            mu=per_modality("mu", self.mu, modalities),
            n_iter=check_integer("n_iter", self.n_iter, 1),
            n_threads=resolve_n_threads(self.n_threads),
        )

    def _learn(self, settings: DCHSettings, own: None, chunk: Chunk, rng: np.random.Generator) -> tuple[None, Signs]:
        L = chunk.finest
        solvers = {name: RidgeSolver(chunk.XX[name], xi) for name, xi in settings.ridge.items()}
        B = random_signs(rng, chunk.n, settings.n_bits)
        for _ in range(settings.n_iter):
            W = update_W(B.astype(np.float64), L, settings)
            P = {name: solver.solve(chunk.cross_sum(name, B)) for name, solver in solvers.items()}
            KP = {name: K.dot(P[name]) for name, K in chunk.views.items()}
            H, Q = problem_of_B(W, L, KP, settings)
            cyclic_descent(B, H, Q, _SWEEPS, n_threads=settings.n_threads)
            chunk.record(B, functools.partial(objective, settings, L, B, W, P, KP))
        return None, B


def objective(
    settings: DCHSettings, L: Matrix, B: Signs, W: Matrix, P: Mapping[str, Matrix], KP: Mapping[str, Matrix]
) -> dict[str, float]:
    """Return the terms of the objective; `KP` is K_m P_m for each modality."""

    def of_modality(name: str) -> float:
        return float(((B - KP[name]) ** 2).sum() + settings.ridge[name] * (P[name] ** 2).sum())

    return {
        "labels": ((L - B @ W) ** 2).sum() + settings.classifier_ridge * (W * W).sum(),
        **{f"features.{name}": settings.mu[name] * of_modality(name) for name in P},
    }


def update_W(B: Matrix, L: Matrix, settings: DCHSettings) -> Matrix:
    """Return W (r, c), the classifier."""
    return solve_ridge(B.T @ B, B.T @ L, settings.classifier_ridge)


def problem_of_B(W: Matrix, L: Matrix, KP: Mapping[str, Matrix], settings: DCHSettings) -> tuple[Matrix, Matrix]:
    """Return H (r, r) and Q (n, r) of ``tr(B H B') - 2 tr(B Q')``, which B minimises."""
    Q = L @ W.T
    for name, of_modality in KP.items():
        Q += settings.mu[name] * of_modality
    H = W @ W.T
    return (H + H.T) / 2, Q
