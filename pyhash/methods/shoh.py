"""SHOH: supervised hierarchical online hashing for cross-modal retrieval."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array, check_bool, check_choice, check_integer, check_n_bits, check_real
from pyhash._inputs.threads import resolve_n_threads
from pyhash.methods.linear import Settings
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.class_table import restore_hierarchy, store_hierarchy
from pyhash.methods.parts.descent import cyclic_descent, random_signs
from pyhash.methods.parts.hierarchy import affiliations_with_finest
from pyhash.methods.parts.state import Chunk, State
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._files.archive import Archive


# Streams of random numbers apart from those of learning.
_NEW_CENTERS = 1 << 34


@dataclass(frozen=True)
class SHOHSettings(Settings):
    """The checked parameters of SHOH."""

    alpha: list[float]
    beta: list[float]
    gamma: list[float]
    soft_labels: bool
    eta: float
    mu: float
    n_iter: int
    init: str
    n_threads: int


@dataclass(frozen=True)
class Centers(Sums):
    """State of SHOH beside the sums of all methods."""

    centers: list[Signs]  # C^k (c_k, r)
    # Sums over the rows that have labels in layer k:
    D: list[Matrix]  # (c_k, r): sum S^k' B
    E: list[Matrix]  # (r, r): sum B'B
    squares: list[float] | None  # sum of the squares of S^k, for the objective; None from earlier files
    alpha: list[float]
    mu: float

    not_sums = frozenset({"centers", "alpha", "mu"})


class SHOH(OnlineMethod[SHOHSettings, Centers]):
    """Supervised hierarchical online hashing (Han et al., TOMM 2024).

    Learns codes for all modalities from a stream of labelled chunks. Classes form K >= 1 layers, coarse to fine; each
    class has a center in Hamming space, and codes of classes that are close in the hierarchy are close to each other.
    The cost of a chunk does not depend on the chunks before it.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    hierarchy : list or None
        One entry for each pair of neighbouring layers, coarse to fine: the parent of every class of the finer layer,
        (c_{k+1},) integers, or a 0/1 matrix (c_k, c_{k+1}); for labels by name a mapping {label: label of its parent},
        or of a set of parents. None or empty: one layer. ``add_classes`` takes more of them later.
    n_classes : int or None
        The most classes that a single layer may have; None: as many as come. Must be None with a hierarchy.
    alpha : sequence of K floats or None
        Weight of each layer; by default each layer weighs four times the one above, and all sum to 1: (0.2, 0.8) for
        two.
    beta : sequence of K - 1 floats or None
        Weight of each coarse layer's affiliation with the finest; by default equal, summing to 1.
    gamma : float or sequence of K - 1 floats
        Emphasis on a sample's own classes in its soft labels (Eq. 4), one for all layers below the first or one for
        each. Where classes outnumber bits, 2 or 3 retrieve the finest classes better than the paper's 1.
    soft_labels : bool
        Whether codes and centers are learned from soft labels; False: from the labels themselves (Eq. 34).
    eta : float
        Weight of the affiliation of centers (Eq. 8).
    mu : float
        Weight of class means in the projections (Eq. 26).
    xi : float or mapping of str to float
        Ridge of the projections, above 0, one for all modalities or one for each (Eq. 26).
    n_iter : int
        Rounds of updates per chunk.
    init : {"centers", "random"}
        Codes of a chunk before its first update: the signs of the sum of the centers of a row's classes, the finest
        that it knows, or random as in the paper.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding, such as ``{"image": RBFAnchors(1000)}``;
        modalities without an entry have none.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three, tried on data not yet learned. All but "bits" need the table of label sets:
        choose one of them before the first chunk, "bits" at any time.
    decay : float
        Fraction of their weight, from 0 to below 1, that earlier chunks lose with each new chunk: for streams whose
        features or classes drift. Among chunks of equal size about the last ``1 / decay`` count. It may change between
        chunks.
    seed : int
        Seed of all random choices: the same seed and chunks give the same codes.
    record : bool
        Whether ``history_`` keeps the objective after each iteration.
    n_threads : int or None
        Number of threads of the descent; None: PYHASH_NUM_THREADS, else the CPUs that this process may use.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes of the rows of the last ``fit`` or ``partial_fit``.
    centers_ : list of ndarray of shape (c_k, n_bits), int8
        Class centers of each layer, coarse to fine.
    classes_ : list of ndarray of shape (c_k,)
        The classes of each layer by their index, coarse to fine: labels by name, or 0, 1, 2, ...
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned so far.
    history_ : list of dict
        The objective and its terms after each iteration of each chunk; only with ``record=True``.
    objective_ : float
        The objective after the last iteration; only with ``record=True``.

    Notes
    -----
    Labels, for K layers, are a list of K arrays, coarse to fine, or one array for the finest layer, from which the
    others follow. An array holds class indices (n,), labels by name (n,), or is a 0/1 matrix (n, c_k), dense or sparse.
    The labels of a row in one layer must be exactly the parents of those in the next. Without a hierarchy later chunks
    may show more classes; to a hierarchy ``add_classes`` adds them. Classes that come late need not be named from the
    start: they retrieve as well if they are added when they come.

    A row may know only its coarse classes: in a list of K arrays, the finer ones then hold -1 for it, or a row of
    zeros. Such a row takes part in the terms of the layers that it has labels in, and in the projections. Encoders
    other than "bits" predict from the rows with a label in the finest layer.

    For a chunk with labels L^k the soft labels are ``S^1 = L^1``, ``V^{k+1} = L^k A^{k,k+1} + L^{k+1}``,
    ``S^{k+1} = V^{k+1} / ||V^{k+1}|| + gamma L^{k+1}``, row by row (Eq. 3, 4). Codes B and centers C^k minimise ::

        sum_k alpha_k ||r S^k - B C^k'||^2 + eta sum_{k<K} beta_k ||r A^{k,K} - C^k C^K'||^2        (Eq. 8)

    over all data; sums stand for the old data. B, C^K and the other C^k are updated in turn by one sweep of discrete
    cyclic coordinate descent each (Eq. 9-21). Projections ``W_m`` solve Eq. 27 when they are first needed. Every weight
    but xi may be 0; where all weights of an update are 0, it changes nothing.

    The terms of the objective are "similarity.k" of each layer and "affiliation.k" of each but the finest. Within a
    chunk no iteration raises their sum, since each update is exact for its bit; from chunk to chunk it grows with the
    number of rows.

    Variants, for ``make_method("shoh/...")``: "hard-labels" learns from the labels L^k in place of S^k (SHOH-1 in the
    paper, Eq. 34, 35); "flat" knows no hierarchy, and learns the finest classes (SHOH-3, Eq. 38, 39), or those of all
    layers as one if it is given them (SHOH-2, Eq. 36, 37); "paper" starts from random codes, the paper's.

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

    _why_not_additive = "the centers of the classes, and with them the codes of rows, depend on the rows learned before"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hard-labels": {"soft_labels": False},
        "flat": {"hierarchy": None},
        "paper": {"init": "random"},
    }

    _keeps_layer_sums = True  # the means of the classes of every layer enter the projections

    def __init__(
        self,
        n_bits: int = 32,
        *,
        hierarchy: Sequence[ArrayLike] | None = None,
        n_classes: int | None = None,
        alpha: Sequence[float] | None = None,
        beta: Sequence[float] | None = None,
        gamma: float | Sequence[float] = 1.0,
        soft_labels: bool = True,
        eta: float = 10.0,
        mu: float = 1000.0,
        xi: float | Mapping[str, float] = 1.0,
        n_iter: int = 7,
        init: str = "centers",
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        decay: float = 0.0,
        seed: int = 0,
        record: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.hierarchy = hierarchy
        self.n_classes = n_classes
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.soft_labels = soft_labels
        self.eta = eta
        self.mu = mu
        self.xi = xi
        self.n_iter = n_iter
        self.init = init
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.decay = decay
        self.seed = seed
        self.record = record
        self.n_threads = n_threads

    @property
    def centers_(self) -> list[Signs]:
        """Class centers of each layer, coarse to fine: (c_k, n_bits) signs."""
        return [center.copy() for center in self._fitted_state().own.centers]

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> SHOHSettings:
        n_layers = shared.classes.n_layers
        ratios = 4.0 ** np.arange(n_layers)
        return SHOHSettings(
            **vars(shared),
            alpha=_check_weights("alpha", self.alpha, ratios / ratios.sum()),
            beta=_check_weights("beta", self.beta, np.full(n_layers - 1, 1 / max(n_layers - 1, 1))),
            gamma=_check_gamma(self.gamma, n_layers),
            soft_labels=check_bool("soft_labels", self.soft_labels),
            eta=check_real("eta", self.eta, 0.0),
            mu=check_real("mu", self.mu, 0.0),
            n_iter=check_integer("n_iter", self.n_iter, 1),
            init=check_choice("init", self.init, ("centers", "random")),
            n_threads=resolve_n_threads(self.n_threads),
        )

    @property
    def classes_(self) -> list[NDArray[Any]]:  # type: ignore[override]
        """Labels of the classes of each layer, coarse to fine, by class index: labels by name, or 0, 1, 2, ..."""
        state: State[Centers] = self._fitted_state()
        return state.classes.labels()

    def add_classes(self, layer: int, parents: Any) -> Self:
        """Add classes to a layer, for rows that are learned from now on; a call that raises changes nothing.

        The classes follow those of the layer, with the next class indices. A later ``fit`` begins with those of
        `hierarchy` again.

        Parameters
        ----------
        layer : int
            Number of the layer, from 1 for the coarsest.
        parents : array_like, mapping or int
            The parents of the new classes, as in `hierarchy`: their class indices (m,) in the layer above, a 0/1 matrix
            (c, m), or, where labels are by name, a mapping {label: label of its parent}. Layer 1 has no parents: then
            the number of new classes, or a list of their labels.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If nothing was learned yet; until then give all classes in `hierarchy`.
        TypeError
            If `layer` is not an integer, or `parents` is none of the above.
        ValueError
            If there is no such layer, or no such parent.
        ValueError
            If there is no new class, or a label is one of the layer's already.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import SHOH
        >>> fine = np.arange(90) % 3
        >>> model = SHOH(16, hierarchy=[[0, 0, 1]]).partial_fit({"image": np.eye(6)[fine]}, fine)
        >>> model = model.add_classes(1, 1).add_classes(2, [2, 2])  # a third coarse class, and two of its own
        >>> model = model.partial_fit({"image": np.eye(6)[fine + 2]}, fine + 2)
        >>> [len(labels) for labels in model.classes_]
        [3, 5]
        """
        state: State[Centers] = self._fitted_state()
        settings = self._settings(list(state.n_features))
        self._check_unchanged(settings, state)
        classes = state.classes.continued(settings.classes).with_classes(layer, parents)
        self._state = self._with_classes(dataclasses.replace(settings, classes=classes), state)
        return self

    # --- learning -----------------------------------------------------------------------------------------------------

    def _why_codes_need_features(self, settings: SHOHSettings) -> str | None:
        return None

    def _begin(
        self, settings: SHOHSettings, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator
    ) -> Centers:
        """Return random centers and empty sums."""
        r = settings.n_bits
        return Centers(
            centers=[random_signs(rng, c, r) for c in n_classes],
            D=[np.zeros((c, r)) for c in n_classes],
            E=[np.zeros((r, r)) for _ in n_classes],
            squares=[0.0 for _ in n_classes],
            alpha=settings.alpha,
            mu=settings.mu,
        )

    def _widened(self, settings: SHOHSettings, own: Centers) -> Centers:
        """Return room for more classes, whose centers are random."""
        n_new = [size - len(center) for size, center in zip(settings.classes.sizes, own.centers, strict=True)]
        rng = settings.rng(_NEW_CENTERS + sum(settings.classes.sizes))

        def with_rows(sums: list[Matrix]) -> list[Matrix]:
            return [np.pad(of_layer, ((0, n), (0, 0))) for of_layer, n in zip(sums, n_new, strict=True)]

        return dataclasses.replace(
            own,
            centers=[
                np.vstack([center, random_signs(rng, n, settings.n_bits)])
                for center, n in zip(own.centers, n_new, strict=True)
            ],
            D=with_rows(own.D),
        )

    def _learn(
        self, settings: SHOHSettings, own: Centers, chunk: Chunk, rng: np.random.Generator
    ) -> tuple[Centers, Signs]:
        L = chunk.labels
        S = _soft_labels(L, settings.classes.affiliations, settings.gamma) if settings.soft_labels else L
        counted = dataclasses.replace(
            own,
            squares=own.squares and [old + float((s * s).sum()) for old, s in zip(own.squares, S, strict=True)],
            alpha=settings.alpha,
            mu=settings.mu,
        )
        groups = _rows_by_depth(L)
        B = _first_codes(settings, own.centers, L, groups, rng)
        return _optimise(settings, counted, chunk, S, groups, B), B

    def _check_unchanged(self, settings: SHOHSettings, state: State[Centers]) -> None:
        super()._check_unchanged(settings, state)
        if settings.record and state.own.squares is None:
            raise ValueError("record must stay False for this model: its file, of an earlier version, lacks a sum")

    def _solve(self, state: State[Centers], modality: str) -> Matrix:
        """Return W_m (Eq. 27)."""
        own = state.own
        sums, layers = state.sums[modality], state.layers[modality]
        # A class never seen has a zero mean, and drops out.
        means = [
            XL / np.where(counts > 0, counts, 1.0)
            for XL, counts in zip([*layers.XL, sums.XL], layers.counts, strict=True)
        ]

        def gram() -> Matrix:
            G = sums.XX
            for alpha, of_layer in zip(own.alpha, means, strict=True):
                G = G + own.mu * alpha * (of_layer @ of_layer.T)
            return G

        F = sums.XB
        for alpha, of_layer, center in zip(own.alpha, means, own.centers, strict=True):
            F = F + own.mu * alpha * (of_layer @ center)
        return state.system(modality, gram).solve(F)

    # --- files --------------------------------------------------------------------------------------------------------

    def _own_to_file(self, own: Centers) -> tuple[Fields, Arrays]:
        arrays: Arrays = {}
        for k, (center, D, E) in enumerate(zip(own.centers, own.D, own.E, strict=True)):
            arrays |= {f"centers.{k}": center, f"D.{k}": D, f"E.{k}": E}
        return {"alpha": own.alpha, "mu": own.mu, "squares": own.squares}, arrays

    def _own_from_file(self, archive: Archive, state: State[Any]) -> Centers:
        fields = archive.field("state")
        r = check_n_bits(fields["n_bits"])
        layers = range(state.classes.n_layers)
        for name, sums in state.layers.items():
            if tuple(map(len, sums.counts)) != state.classes.sizes:
                raise ValueError(f"class_counts of {name!r} must be of {state.classes.sizes} classes by layer")
        centers = [archive.array(f"centers.{k}", np.int8, (c, r)) for k, c in enumerate(state.classes.sizes)]
        has_one_gram = "E" in archive.arrays  # earlier files: of all rows, each of which had labels in every layer
        grams = ["E" if has_one_gram else f"E.{k}" for k in layers]
        squares = None if has_one_gram else fields["squares"]
        return Centers(
            centers=centers,
            D=[archive.array(f"D.{k}", np.float64, (len(centers[k]), r)) for k in layers],
            E=[archive.array(name, np.float64, (r, r)) for name in grams],
            squares=None if squares is None else _check_weights("squares", squares, np.zeros(len(layers))),
            alpha=_check_weights("alpha", fields["alpha"], np.zeros(len(layers))),
            mu=check_real("mu", fields["mu"], 0.0),
        )

    def _stored_params(self) -> dict[str, Any]:
        return {**super()._stored_params(), "hierarchy": store_hierarchy(self.hierarchy)}

    @classmethod
    def _from_stored_params(cls, parameters: dict[str, Any]) -> Self:
        return cls(**{**parameters, "hierarchy": restore_hierarchy(parameters.get("hierarchy"))})

    @classmethod
    def from_archive(cls, archive: Archive, backbones: Mapping[str, Any] | None = None) -> Self:  # noqa: D102
        with archive.taken_for(cls.__name__):
            return super().from_archive(_renamed(archive), backbones)


def _renamed(archive: Archive) -> Archive:
    """Return a file of the time when SHOH was the only method under today's names; it has no table of label sets."""
    fields, arrays = dict(archive.field("state")), dict(archive.arrays)
    if "mapped" in fields:
        return archive
    if "fingerprint" not in archive.fields:  # one of all that the file holds
        fingerprint = _fingerprint_of_file(archive)
        archive = dataclasses.replace(archive, fields={**archive.fields, "fingerprint": fingerprint})
    finest = check_integer("n_layers", fields["n_layers"], 1) - 1
    fields |= {"mapped": fields["modalities"], "maps": {}, "ridge": dict.fromkeys(fields["modalities"], fields["xi"])}
    fields["n_classes"] = len(arrays[f"centers.{finest}"])
    for m in range(len(fields["modalities"])):
        arrays |= {f"XX.{m}": arrays.pop(f"G.{m}"), f"XB.{m}": arrays.pop(f"F.{m}")}
        arrays[f"XL.{m}"] = np.ascontiguousarray(arrays.pop(f"class_sums.{m}.{finest}").T)
        for k in range(finest):
            arrays[f"class_sums.{m}.{k}"] = np.ascontiguousarray(arrays[f"class_sums.{m}.{k}"].T)
    return dataclasses.replace(archive, fields={**archive.fields, "state": fields}, arrays=arrays)


def _fingerprint_of_file(archive: Archive) -> str:
    import hashlib

    digest = hashlib.sha256(archive.kind.encode())
    for name in sorted(archive.arrays):
        digest.update(archive.arrays[name].tobytes())
    return digest.hexdigest()[:32]


def _check_weights(name: str, weights: ArrayLike | None, default: NDArray[np.float64]) -> list[float]:
    """Return one weight >= 0 for each layer that `default` has one for."""
    if weights is None:
        return [float(weight) for weight in default]
    array = as_array(name, weights)
    if array.shape != default.shape:
        raise ValueError(f"{name} must have {len(default)} weights for this hierarchy, got shape {array.shape}")
    return [check_real(f"{name}[{k}]", weight, 0.0) for k, weight in enumerate(array)]


def _check_gamma(gamma: float | Sequence[float], n_layers: int) -> list[float]:
    """Return the emphasis of each layer below the first, coarse to fine."""
    array = as_array("gamma", gamma)
    if array.ndim == 0:
        return [check_real("gamma", gamma, 0.0)] * (n_layers - 1)
    return _check_weights("gamma", array, np.zeros(n_layers - 1))


def _soft_labels(L: list[Matrix], affiliations: Sequence[NDArray[np.bool_]], gamma: list[float]) -> list[Matrix]:
    """Return S^1, ..., S^K (n, c_k), Eq. 3 and 4; rows without labels in a layer are zero there."""
    S = [L[0]]
    for k, affiliation in enumerate(affiliations):
        V = L[k] @ affiliation + L[k + 1]
        U = V / np.maximum(np.linalg.norm(V, axis=1, keepdims=True), 1.0)  # V holds whole numbers
        S.append(U * L[k + 1].any(axis=1, keepdims=True) + gamma[k] * L[k + 1])
    return S


def _rows_by_depth(L: list[Matrix]) -> list[tuple[int, NDArray[np.int64]]]:
    """Return pairs of a number of layers and the rows that have labels in so many, the coarsest."""
    depth = np.sum([matrix.any(axis=1) for matrix in L], axis=0)
    return [(int(k), np.flatnonzero(depth == k)) for k in np.unique(depth)]


def _first_codes(
    settings: SHOHSettings,
    centers: list[Signs],
    L: list[Matrix],
    groups: list[tuple[int, NDArray[np.int64]]],
    rng: np.random.Generator,
) -> Signs:
    if settings.init == "random":
        return random_signs(rng, len(L[0]), settings.n_bits)
    B = np.empty((len(L[0]), settings.n_bits), dtype=np.int8)
    for depth, rows in groups:
        B[rows] = np.where(L[depth - 1][rows] @ centers[depth - 1] > 0, np.int8(1), np.int8(-1))
    return B


def _optimise(
    settings: SHOHSettings,
    own: Centers,
    chunk: Chunk,
    S: list[Matrix],
    groups: list[tuple[int, NDArray[np.int64]]],
    B: Signs,
) -> Centers:
    """Update the codes B in place: Eq. 9-21, `n_iter` times. Return `own` with centers, D^k and E^k after the chunk.

    Rows that have labels in some layers only are in the sums of these.
    """
    r, alpha, beta, eta = settings.n_bits, settings.alpha, settings.beta, settings.eta
    A = affiliations_with_finest(settings.classes.affiliations)
    C = [center.astype(np.float64) for center in own.centers]
    layers, coarse = range(len(C)), range(len(C) - 1)

    def descend(signs: Signs, H: Matrix, Q: Matrix) -> Signs:
        if H.any():  # where all weights are 0, every choice is as good
            cyclic_descent(signs, H, Q, max_sweeps=1, n_threads=settings.n_threads)
        return signs

    for _ in range(settings.n_iter):
        for depth, rows in groups:
            H = _sum(alpha[k] * (C[k].T @ C[k]) for k in range(depth))
            Q = r * _sum(alpha[k] * (S[k][rows] @ C[k]) for k in range(depth))
            B[rows] = descend(B[rows], H, Q)

        signs = B.astype(np.float64)
        grams = [(depth, signs[rows].T @ signs[rows]) for depth, rows in groups]
        E = [_sum([own.E[k], *(gram for depth, gram in grams if depth > k)]) for k in layers]
        D = [old + s.T @ signs for old, s in zip(own.D, S, strict=True)]

        H = _sum([alpha[-1] * E[-1], *(eta * beta[k] * (C[k].T @ C[k]) for k in coarse)])
        Q = r * _sum([alpha[-1] * D[-1], *(eta * beta[k] * (A[k].T @ C[k]) for k in coarse)])
        C[-1] = descend(C[-1].astype(np.int8), H, Q).astype(np.float64)

        for k in coarse:
            H = alpha[k] * E[k] + eta * beta[k] * (C[-1].T @ C[-1])
            Q = r * (alpha[k] * D[k] + eta * beta[k] * (A[k] @ C[-1]))
            C[k] = descend(C[k].astype(np.int8), H, Q).astype(np.float64)

        learned = dataclasses.replace(own, centers=[c.astype(np.int8) for c in C], D=D, E=E)
        chunk.record(
            B, functools.partial(_objective, settings, learned, A), functools.partial(dataclasses.replace, learned)
        )
    return learned


def _objective(settings: SHOHSettings, own: Centers, A: list[Matrix]) -> dict[str, float]:
    """Return the terms of Eq. 8 over all rows in the sums."""
    r, C = settings.n_bits, [center.astype(np.float64) for center in own.centers]
    terms = {}
    for k, (alpha, squares) in enumerate(zip(settings.alpha, cast("list[float]", own.squares), strict=True)):
        products, code_squares = (own.D[k] * C[k]).sum(), ((C[k] @ own.E[k]) * C[k]).sum()
        terms[f"similarity.{k + 1}"] = alpha * (r**2 * squares - 2 * r * products + code_squares)
    for k, (beta, affiliation) in enumerate(zip(settings.beta, A, strict=True)):
        terms[f"affiliation.{k + 1}"] = settings.eta * beta * ((r * affiliation - C[k] @ C[-1].T) ** 2).sum()
    return terms


def _sum(terms: Iterable[Matrix]) -> Matrix:
    return functools.reduce(operator.add, terms)
