"""SHOH: supervised hierarchical online hashing for cross-modal retrieval."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash.checks import as_array, check_choice, check_integer, check_n_bits, check_real
from pyhash.methods.base import Arrays, Fields, OnlineMethod
from pyhash.methods.descent import cyclic_descent
from pyhash.methods.hierarchy import (
    affiliations_with_finest,
    check_affiliations,
    count_classes,
    label_layers,
    label_matrices,
)
from pyhash.methods.ridge import add_gram, solve_ridge

if TYPE_CHECKING:
    from pyhash.checks import Features
    from pyhash.files import Archive

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class _Modality:
    """Sums over all rows seen of one modality with d features."""

    F: Matrix  # (d, r): sum X'B
    G: Matrix  # (d, d): sum X'X
    class_sums: list[Matrix]  # for each layer (c_k, d): sum of the features of the class's rows


@dataclass(frozen=True)
class _State:
    """All that SHOH keeps of the stream: its size depends on features, classes and bits, never on rows."""

    n_chunks: int
    n_samples: int
    centers: list[NDArray[np.int8]]  # C^k (c_k, r)
    D: list[Matrix]  # (c_k, r): sum S^k' B
    E: Matrix  # (r, r): sum B'B
    class_counts: list[Matrix]  # (c_k,): rows of each class
    modalities: dict[str, _Modality]
    alpha: list[float]
    mu: float
    xi: float
    solved: dict[str, Matrix] = field(default_factory=dict)  # W_m (d, r) of the modalities asked for so far

    @property
    def n_features(self) -> dict[str, int]:
        return {name: sums.G.shape[0] for name, sums in self.modalities.items()}

    def projection(self, modality: str) -> Matrix:
        """W_m (Eq. 27), solved once when it is first needed."""
        if modality not in self.solved:
            sums = self.modalities[modality]
            G, F = sums.G, sums.F
            for alpha, class_sums, counts, center in zip(
                self.alpha, sums.class_sums, self.class_counts, self.centers, strict=True
            ):
                # A class never seen has a zero mean, and drops out.
                means = class_sums / np.maximum(counts, 1)[:, None]
                G = G + self.mu * alpha * (means.T @ means)
                F = F + self.mu * alpha * (means.T @ center)
            self.solved[modality] = solve_ridge(G, F, self.xi)
        return self.solved[modality]


@dataclass(frozen=True)
class _Settings:
    """The parameters, checked."""

    n_bits: int
    affiliations: list[NDArray[np.bool_]]
    n_classes: list[int] | None  # of each layer; None: one layer, known with the first labels
    alpha: list[float]
    beta: list[float]
    gamma: float
    eta: float
    mu: float
    xi: float
    n_iter: int
    init: str
    seed: int

    @property
    def n_layers(self) -> int:
        return len(self.affiliations) + 1


class SHOH(OnlineMethod):
    """Supervised hierarchical online hashing (Han et al., TOMM 2024).

    Learns codes for all modalities from a stream of labelled chunks. Classes form K >= 1 layers, coarse to fine; each
    class has a center in Hamming space, and codes lie the closer together the closer their classes are in the
    hierarchy. What a chunk costs does not depend on what came before.

    Parameters
    ----------
    n_bits : int
        Length r of a code.
    hierarchy : list or None
        One entry for each pair of neighbouring layers, coarse to fine: the parent of every class of the finer layer,
        (c_{k+1},) integers, or a 0/1 matrix (c_k, c_{k+1}). None or empty: one layer.
    n_classes : int or None
        Classes of a single layer, where labels are class indices and the first chunk may lack some; by default what the
        first labels show (in ``fit``, all labels). With a hierarchy it is known, and must be None.
    alpha : sequence of K floats or None
        Weight of each layer; by default each layer weighs four times the one above, and all sum to 1: (0.2, 0.8) for
        two.
    beta : sequence of K - 1 floats or None
        Weight of each coarse layer's affiliation with the finest; by default equal, summing to 1.
    gamma : float
        Emphasis on a sample's own classes in its soft labels (Eq. 4).
    eta : float
        Weight of the affiliation of centers (Eq. 8).
    mu : float
        Weight of class means in the projections (Eq. 26).
    xi : float
        Ridge of the projections (Eq. 26), above 0.
    n_iter : int
        Rounds of updates for each chunk.
    init : {"centers", "random"}
        Codes of a chunk before its first update: the signs of the sum of its class centers, or random as in the paper.
    seed : int
        Of all random choices: the same seed and chunks give the same codes.
    n_threads : int or None
        By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes of the rows of the last ``fit`` or ``partial_fit``.
    centers_ : list of ndarray of shape (c_k, n_bits), int8
        Class centers of each layer, coarse to fine.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.
    n_samples_seen_ : int
        Rows learned so far.

    Notes
    -----
    Labels, for K layers, are a list of K arrays, coarse to fine, or one array for the finest layer, from which the
    others follow. An array holds class indices (n,), one class a row, or is a 0/1 matrix (n, c_k), dense or sparse.
    Every row needs a label, and its labels in one layer must be exactly the parents of those in the next.

    For a chunk with labels L^k the soft labels are ``S^1 = L^1``, ``V^{k+1} = L^k A^{k,k+1} + L^{k+1}``,
    ``S^{k+1} = V^{k+1} / ||V^{k+1}|| + gamma L^{k+1}``, row by row (Eq. 3, 4). Codes B and centers C^k minimise

        sum_k alpha_k ||r S^k - B C^k'||^2 + eta sum_{k<K} beta_k ||r A^{k,K} - C^k C^K'||^2        (Eq. 8)

    over all data, with the old data's part in sums; in turn for B, C^K and the other C^k by one sweep of discrete
    cyclic coordinate descent each (Eq. 9-21). Projections ``W_m`` solve Eq. 27 when they are first needed.

    The paper states eta = 1 and random codes at the start of every chunk; defaults here are eta = 10, as in its
    experiments, and ``init="centers"``, which retrieves better at short lengths.

    References
    ----------
    Kai Han, Yu Liu, Rukai Wei, Ke Zhou, Jinhui Xu, Kun Long: Supervised Hierarchical Online Hashing for Cross-modal
    Retrieval. ACM Transactions on Multimedia Computing, Communications, and Applications 20(4), 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> fine = rng.integers(0, 4, size=200)            # four classes, two of each parent
    >>> image = np.eye(4)[fine] + 0.1 * rng.standard_normal((200, 4))
    >>> text = np.eye(4)[fine][:, ::-1] + 0.1 * rng.standard_normal((200, 4))
    >>> model = SHOH(n_bits=16, hierarchy=[[0, 0, 1, 1]])
    >>> model = model.partial_fit({"image": image, "text": text}, fine)
    >>> codes = model.encode(text, modality="text")
    >>> codes.shape, float((codes == model.codes_).all(axis=1).mean())
    ((200, 2), 1.0)
    """

    _state: _State | None

    def __init__(
        self,
        n_bits: int = 32,
        *,
        hierarchy: Sequence[ArrayLike] | None = None,
        n_classes: int | None = None,
        alpha: Sequence[float] | None = None,
        beta: Sequence[float] | None = None,
        gamma: float = 1.0,
        eta: float = 10.0,
        mu: float = 1000.0,
        xi: float = 1.0,
        n_iter: int = 7,
        init: str = "centers",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.hierarchy = hierarchy
        self.n_classes = n_classes
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.eta = eta
        self.mu = mu
        self.xi = xi
        self.n_iter = n_iter
        self.init = init
        self.seed = seed
        self.n_threads = n_threads

    @property
    def centers_(self) -> list[NDArray[np.int8]]:
        """Class centers of each layer, coarse to fine: (c_k, n_bits) signs."""
        return [center.copy() for center in self._fitted().centers]

    @property
    def n_samples_seen_(self) -> int:
        """Rows learned so far."""
        return self._fitted().n_samples

    def _fitted(self) -> _State:
        self._check_fitted()
        return cast("_State", self._state)

    # --- parameters ---------------------------------------------------------------------------------------------------

    def _settings(self) -> _Settings:
        affiliations = check_affiliations(self.hierarchy)
        n_layers = len(affiliations) + 1
        n_classes = None
        if affiliations:
            if self.n_classes is not None:
                raise ValueError(f"n_classes must be None with a hierarchy, which has it, got {self.n_classes}")
            n_classes = [len(affiliations[0]), *(a.shape[1] for a in affiliations)]
        elif self.n_classes is not None:
            n_classes = [check_integer("n_classes", self.n_classes, 1)]
        ratios = 4.0 ** np.arange(n_layers)
        return _Settings(
            n_bits=check_n_bits(self.n_bits),
            affiliations=affiliations,
            n_classes=n_classes,
            alpha=_check_weights("alpha", self.alpha, ratios / ratios.sum()),
            beta=_check_weights("beta", self.beta, np.full(n_layers - 1, 1 / max(n_layers - 1, 1))),
            gamma=check_real("gamma", self.gamma, 0.0),
            eta=check_real("eta", self.eta, 0.0),
            mu=check_real("mu", self.mu, 0.0),
            xi=check_real("xi", self.xi, 0.0, exclusive=True),
            n_iter=check_integer("n_iter", self.n_iter, 1),
            init=check_choice("init", self.init, ("centers", "random")),
            seed=check_integer("seed", self.seed, 0),
        )

    # --- learning -----------------------------------------------------------------------------------------------------

    def _label_layers(self, labels: Any, n: int) -> list[Features]:
        return label_layers(labels, self._settings().n_layers, n)

    def _begin(self, n_features: dict[str, int], labels: list[Features]) -> _State:
        """Random centers, and sums of nothing."""
        settings = self._settings()
        r = settings.n_bits
        n_classes = [count_classes(labels[0])] if settings.n_classes is None else settings.n_classes
        rng = np.random.default_rng([settings.seed, 0])
        return _State(
            n_chunks=0,
            n_samples=0,
            centers=[_random_signs(rng, c, r) for c in n_classes],
            D=[np.zeros((c, r)) for c in n_classes],
            E=np.zeros((r, r)),
            class_counts=[np.zeros(c) for c in n_classes],
            modalities={
                name: _Modality(
                    F=np.zeros((d, r)), G=np.zeros((d, d)), class_sums=[np.zeros((c, d)) for c in n_classes]
                )
                for name, d in n_features.items()
            },
            alpha=settings.alpha,
            mu=settings.mu,
            xi=settings.xi,
        )

    def _learn(
        self, state: _State, views: dict[str, Features], labels: list[Features], first_row: int
    ) -> tuple[_State, NDArray[np.int8]]:
        settings = self._settings()
        _check_continuity(settings, state)
        n_classes = [len(center) for center in state.centers]
        L = label_matrices(labels, settings.affiliations, n_classes, first_row)
        # A stream of its own for each chunk: what a chunk draws does not depend on how it came here.
        rng = np.random.default_rng([settings.seed, 1 + state.n_chunks])
        S = _soft_labels(L, settings.affiliations, settings.gamma)
        B = _first_codes(settings, state.centers, L, rng)
        B, centers, D, E = _optimise(settings, state, S, B, self.n_threads)
        learned = _State(
            n_chunks=state.n_chunks + 1,
            n_samples=state.n_samples + len(B),
            centers=centers,
            D=D,
            E=E,
            class_counts=[counts + matrix.sum(axis=0) for counts, matrix in zip(state.class_counts, L, strict=True)],
            modalities={name: _add_rows(name, state.modalities[name], X, B, L) for name, X in views.items()},
            alpha=settings.alpha,
            mu=settings.mu,
            xi=settings.xi,
        )
        return learned, B

    def _n_features(self) -> dict[str, int]:
        return {} if self._state is None else self._state.n_features

    def _projection(self, modality: str) -> Matrix:
        return self._fitted().projection(modality)

    # --- files --------------------------------------------------------------------------------------------------------

    def _state_to_file(self) -> tuple[Fields, Arrays]:
        state = self._fitted()
        _check_continuity(self._settings(), state)
        fields: Fields = {
            "n_chunks": state.n_chunks,
            "n_samples": state.n_samples,
            "n_layers": len(state.centers),
            "n_bits": len(state.E),
            "modalities": state.n_features,
            "alpha": state.alpha,
            "mu": state.mu,
            "xi": state.xi,
        }
        arrays: Arrays = {"E": state.E}
        for k, (center, D, counts) in enumerate(zip(state.centers, state.D, state.class_counts, strict=True)):
            arrays |= {f"centers.{k}": center, f"D.{k}": D, f"class_counts.{k}": counts}
        for m, (name, sums) in enumerate(state.modalities.items()):
            arrays |= {f"F.{m}": sums.F, f"G.{m}": sums.G, f"W.{m}": state.projection(name)}
            arrays |= {f"class_sums.{m}.{k}": class_sums for k, class_sums in enumerate(sums.class_sums)}
        return fields, arrays

    def _state_from_file(self, archive: Archive) -> None:
        fields = archive.field("state")
        r = check_n_bits(fields["n_bits"])
        layers = range(check_integer("n_layers", fields["n_layers"], 1))
        centers = [archive.array(f"centers.{k}", np.int8, (None, r)) for k in layers]
        modalities, solved = {}, {}
        for m, (name, n_features) in enumerate(fields["modalities"].items()):
            d = check_integer("n_features", n_features, 1)
            modalities[name] = _Modality(
                F=archive.array(f"F.{m}", np.float64, (d, r)),
                G=archive.array(f"G.{m}", np.float64, (d, d)),
                class_sums=[archive.array(f"class_sums.{m}.{k}", np.float64, (len(centers[k]), d)) for k in layers],
            )
            solved[name] = archive.array(f"W.{m}", np.float64, (d, r))
        self._state = _State(
            n_chunks=check_integer("n_chunks", fields["n_chunks"], 1),
            n_samples=check_integer("n_samples", fields["n_samples"], 1),
            centers=centers,
            D=[archive.array(f"D.{k}", np.float64, (len(centers[k]), r)) for k in layers],
            E=archive.array("E", np.float64, (r, r)),
            class_counts=[archive.array(f"class_counts.{k}", np.float64, (len(centers[k]),)) for k in layers],
            modalities=modalities,
            alpha=[check_real("alpha", weight, 0.0) for weight in fields["alpha"]],
            mu=check_real("mu", fields["mu"], 0.0),
            xi=check_real("xi", fields["xi"], 0.0, exclusive=True),
            solved=solved,
        )


def _check_weights(name: str, weights: Sequence[float] | None, default: NDArray[np.float64]) -> list[float]:
    """One weight >= 0 for each layer that `default` has one for."""
    if weights is None:
        return [float(weight) for weight in default]
    array = as_array(name, weights)
    if array.shape != default.shape:
        raise ValueError(f"{name} must have {len(default)} weights for this hierarchy, got shape {array.shape}")
    return [check_real(f"{name}[{k}]", weight, 0.0) for k, weight in enumerate(array)]


def _check_continuity(settings: _Settings, state: _State) -> None:
    """Refuses parameters that what was learned can no longer take."""
    if settings.n_bits != len(state.E):
        raise ValueError(f"n_bits must stay {len(state.E)} once chunks were learned, got {settings.n_bits}")
    learned = [len(center) for center in state.centers]
    if settings.n_layers != len(learned) or settings.n_classes not in (None, learned):
        raise ValueError(
            f"hierarchy and n_classes must stay as learned, {learned} classes by layer, "
            f"got {settings.n_classes or 'one layer'}"
        )


def _random_signs(rng: np.random.Generator, n: int, r: int) -> NDArray[np.int8]:
    signs: NDArray[np.int8] = rng.integers(0, 2, size=(n, r), dtype=np.int8) * np.int8(2) - np.int8(1)
    return signs


def _soft_labels(L: list[Matrix], affiliations: list[NDArray[np.bool_]], gamma: float) -> list[Matrix]:
    """S^1, ..., S^K (n, c_k), Eq. 3 and 4."""
    S = [L[0]]
    for k, affiliation in enumerate(affiliations):
        V = L[k] @ affiliation + L[k + 1]
        S.append(V / np.linalg.norm(V, axis=1, keepdims=True) + gamma * L[k + 1])
    return S


def _first_codes(
    settings: _Settings, centers: list[NDArray[np.int8]], L: list[Matrix], rng: np.random.Generator
) -> NDArray[np.int8]:
    if settings.init == "random":
        return _random_signs(rng, len(L[-1]), settings.n_bits)
    signs: NDArray[np.int8] = np.where(L[-1] @ centers[-1] > 0, np.int8(1), np.int8(-1))
    return signs


def _optimise(
    settings: _Settings, state: _State, S: list[Matrix], B: NDArray[np.int8], n_threads: int | None
) -> tuple[NDArray[np.int8], list[NDArray[np.int8]], list[Matrix], Matrix]:
    """Codes, centers, D^k and E after the chunk with soft labels S: Eq. 9-21, `n_iter` times."""
    r, alpha, beta, eta = settings.n_bits, settings.alpha, settings.beta, settings.eta
    A = affiliations_with_finest(settings.affiliations)
    C = [center.astype(np.float64) for center in state.centers]
    coarse = range(len(C) - 1)

    def descend(signs: NDArray[np.int8], H: Matrix, Q: Matrix) -> NDArray[np.int8]:
        cyclic_descent(signs, H, Q, max_sweeps=1, n_threads=n_threads)
        return signs

    for _ in range(settings.n_iter):
        H = _sum(a * (c.T @ c) for a, c in zip(alpha, C, strict=True))
        Q = r * _sum(a * (s @ c) for a, s, c in zip(alpha, S, C, strict=True))
        B = descend(B, H, Q)

        signs = B.astype(np.float64)
        E = state.E + signs.T @ signs
        D = [old + s.T @ signs for old, s in zip(state.D, S, strict=True)]

        H = _sum([alpha[-1] * E, *(eta * beta[k] * (C[k].T @ C[k]) for k in coarse)])
        Q = r * _sum([alpha[-1] * D[-1], *(eta * beta[k] * (A[k].T @ C[k]) for k in coarse)])
        C[-1] = descend(C[-1].astype(np.int8), H, Q).astype(np.float64)

        for k in coarse:
            H = alpha[k] * E + eta * beta[k] * (C[-1].T @ C[-1])
            Q = r * (alpha[k] * D[k] + eta * beta[k] * (A[k] @ C[-1]))
            C[k] = descend(C[k].astype(np.int8), H, Q).astype(np.float64)
    return B, [c.astype(np.int8) for c in C], D, E


def _sum(terms: Iterable[Matrix]) -> Matrix:
    return functools.reduce(operator.add, terms)


def _add_rows(name: str, sums: _Modality, X: Features, B: NDArray[np.int8], L: list[Matrix]) -> _Modality:
    with np.errstate(over="ignore", invalid="ignore"):
        G = add_gram(sums.G, X)
    if not np.isfinite(G).all():
        raise ValueError(f"views[{name!r}] must have squares that float64 can sum up, got values that are too large")
    return _Modality(
        F=sums.F + X.T @ B.astype(np.float64),
        G=G,
        class_sums=[old + (X.T @ matrix).T for old, matrix in zip(sums.class_sums, L, strict=True)],
    )
