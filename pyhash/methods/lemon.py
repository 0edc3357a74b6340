"""LEMON: label embedding online hashing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyhash._inputs.checks import check_integer, check_real
from pyhash.codes import sign
from pyhash.methods.linear import Settings
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.descent import random_signs
from pyhash.methods.parts.label_sets import unit_rows
from pyhash.methods.parts.orthonormal import balanced_factor, nearest_rotation, random_balanced_factor, random_rotation
from pyhash.methods.parts.ridge import solve_ridge
from pyhash.methods.parts.state import Chunk, State
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from pyhash._files.archive import Archive


@dataclass(frozen=True)
class LEMONSettings(Settings):
    """The checked parameters of LEMON."""

    alpha: float
    beta: float
    gamma: float
    n_iter: int


@dataclass(frozen=True)
class PairSums(Sums):
    """Sums of which the objective alone makes use, over samples with codes B (n, r), labels L and unit label rows G."""

    BB: Matrix  # (r, r): B'B
    GG: Matrix  # (c, c): G'G
    G: Matrix  # (c,): G'1
    L: Matrix  # (c,): L'1

    @classmethod
    def empty(cls, r: int, c: int) -> PairSums:
        """Return the sums of no samples."""
        return cls(np.zeros((r, r)), np.zeros((c, c)), np.zeros(c), np.zeros(c))

    def add(self, L: Matrix, G: Matrix, B: Matrix) -> PairSums:
        """Return the sums with the samples of a chunk added."""
        return self.plus(PairSums(B.T @ B, G.T @ G, G.sum(axis=0), L.sum(axis=0)))

    def widened(self, n_classes: int) -> PairSums:
        """Return the sums with room for more classes."""
        n_new = n_classes - len(self.G)
        return replace(self, GG=np.pad(self.GG, (0, n_new)), G=np.pad(self.G, (0, n_new)), L=np.pad(self.L, (0, n_new)))


@dataclass(frozen=True)
class EmbeddingSums(Sums):
    """Sums over samples with codes B (n, r), embedding V (n, r), labels L (n, c) and unit label rows G (n, c)."""

    VV: Matrix  # (r, r): V'V
    VL: Matrix  # (r, c): V'L
    VB: Matrix  # (r, r): V'B
    GV: Matrix  # (c, r): G'V
    GB: Matrix  # (c, r): G'B
    V: Matrix  # (r,): V'1
    B: Matrix  # (r,): B'1
    pairs: PairSums | None = None  # with record=True

    @classmethod
    def empty(cls, r: int, c: int, *, record: bool) -> EmbeddingSums:
        """Return the sums of no samples; with `record`, those of the objective too."""
        square, wide = np.zeros((r, r)), np.zeros((c, r))
        pairs = PairSums.empty(r, c) if record else None
        return cls(square, wide.T, square, wide, wide, np.zeros(r), np.zeros(r), pairs)

    def add(self, L: Matrix, G: Matrix, V: Matrix, B: Matrix) -> EmbeddingSums:
        """Return the sums with the samples of a chunk added; those of the objective as they are."""
        of_chunk = EmbeddingSums(V.T @ V, V.T @ L, V.T @ B, G.T @ V, G.T @ B, V.sum(axis=0), B.sum(axis=0))
        return replace(self.plus(of_chunk), pairs=self.pairs)

    def widened(self, n_classes: int) -> EmbeddingSums:
        """Return the sums with room for more classes."""
        n_new = n_classes - len(self.GV)
        of_classes = {name: np.pad(getattr(self, name), ((0, n_new), (0, 0))) for name in ("GV", "GB")}
        pairs = None if self.pairs is None else self.pairs.widened(n_classes)
        return replace(self, VL=np.pad(self.VL, ((0, 0), (0, n_new))), **of_classes, pairs=pairs)

    def to_arrays(self) -> Arrays:
        """Return the sums as arrays of a file."""
        return {f"sum.{name}": np.ascontiguousarray(array) for name, array in self._arrays().items()} | {
            f"pairs.{name}": array for name, array in ({} if self.pairs is None else vars(self.pairs)).items()
        }

    def _arrays(self) -> dict[str, Matrix]:
        return {name: array for name, array in vars(self).items() if name != "pairs"}

    @staticmethod
    def is_in(archive: Archive) -> bool:
        """Return whether a file has these sums, or some of them."""
        return any(name.startswith("sum.") for name in archive.arrays)

    @classmethod
    def from_archive(cls, archive: Archive, r: int, c: int) -> EmbeddingSums:
        """Return the sums of a file, every dtype and shape checked."""
        empty = cls.empty(r, c, record=any(name.startswith("pairs.") for name in archive.arrays))
        pairs = None
        if empty.pairs is not None:
            pairs = PairSums(
                **{
                    name: archive.array(f"pairs.{name}", np.float64, array.shape)
                    for name, array in vars(empty.pairs).items()
                }
            )
        return cls(
            **{name: archive.array(f"sum.{name}", np.float64, array.shape) for name, array in empty._arrays().items()},
            pairs=pairs,
        )


class LEMON(OnlineMethod[LEMONSettings, EmbeddingSums]):
    """Label embedding online hashing (Wang et al., MM 2020).

    Learns codes for all modalities from a stream of labelled chunks. A real embedding of the samples, balanced and with
    uncorrelated columns, ties codes to labels and to the similarity of all samples, old and new. The cost of a chunk
    does not depend on the chunks before it.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as come.
    alpha : float
        Weight of the similarity between samples.
    beta : float
        Weight of the labels.
    gamma : float
        Ridge of the label embedding; with 0 the embedding is the one of least norm.
    xi : float or mapping of str to float
        Ridge of the projections, above 0, one for all modalities or one for each; about 0.01 suits kernel features, 1
        raw ones.
    n_iter : int
        Rounds of updates per chunk.
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
        Whether ``history_`` keeps the objective after each iteration; choose it before the first chunk.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes of the rows of the last ``fit`` or ``partial_fit``.
    classes_ : ndarray of shape (n_classes,)
        The classes by their index: labels by name, or 0, 1, 2, ...
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned so far.
    encoders_ : dict of str to str
        The encoder of each modality.
    history_ : list of dict
        The objective and its terms after each iteration of each chunk; only with ``record=True``.
    objective_ : float
        The objective after the last iteration; only with ``record=True``.

    Notes
    -----
    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse; later chunks may show
    more classes. With label rows of unit length g and the similarity ``s_ij = 2 g_i . g_j - 1``, codes b and embeddings
    v of a new chunk minimise by turns ::

        alpha sum (v_i . b_j - r s_ij)^2 + beta (||L - V P||^2 + gamma ||P||^2) + ||B - V R||^2

    where the first sum is over the pairs within the chunk and, both ways, over pairs of a new and an old sample, and
    the other terms are over all samples; ``V'V = n I`` and ``1'V = 0`` in every chunk, and ``R'R = I``. Projections
    solve ``(X'X + xi I) W = X'B`` over all samples when they are first needed. Only sums over old samples are kept.
    For a chunk of fewer than ``n_bits + 1`` rows no such V exists: V has rank n - 1 and is zero otherwise.

    The terms of the objective are "similarity" (of alpha), "labels" (of beta) and "quantization". Within a chunk no
    iteration raises their sum while all chunks have more rows than bits: each step is exact, except that the step of V
    replaces directions that its other terms outweigh by a factor of 1e5, which may raise the sum by a few millionths.
    With fewer rows the objective may rise, since ``V'V = n I`` is what makes the steps exact. From chunk to chunk it
    changes with the number of pairs.

    References
    ----------
    Yongxin Wang, Xin Luo, Xin-Shun Xu: Label Embedding Online Hashing for Cross-Modal Retrieval. ACM Multimedia 2020.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=200)
    >>> image = np.eye(4)[labels] + 0.1 * rng.standard_normal((200, 4))
    >>> model = LEMON(n_bits=16).partial_fit({"image": image}, labels)
    >>> codes = model.encode(image, modality="image")
    >>> codes.shape, float((codes == model.codes_).all(axis=1).mean()) > 0.9
    ((200, 2), True)
    """

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        alpha: float = 1e4,
        beta: float = 1e4,
        gamma: float = 0.1,
        xi: float | Mapping[str, float] = 1.0,
        n_iter: int = 5,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        decay: float = 0.0,
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.xi = xi
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.decay = decay
        self.seed = seed
        self.record = record

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> LEMONSettings:
        return LEMONSettings(
            **vars(shared),
            alpha=check_real("alpha", self.alpha, 0.0),
            beta=check_real("beta", self.beta, 0.0),
            gamma=check_real("gamma", self.gamma, 0.0),
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _why_codes_need_features(self, settings: LEMONSettings) -> str | None:
        return None

    def _begin(
        self, settings: LEMONSettings, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator
    ) -> EmbeddingSums:
        return EmbeddingSums.empty(settings.n_bits, n_classes[-1], record=settings.record)

    def _widened(self, settings: LEMONSettings, own: EmbeddingSums) -> EmbeddingSums:
        return own.widened(settings.classes.sizes[-1])

    def _check_unchanged(self, settings: LEMONSettings, state: State[EmbeddingSums]) -> None:
        super()._check_unchanged(settings, state)
        check_record_unchanged(settings.record, state.own)

    def _learn(
        self, settings: LEMONSettings, own: EmbeddingSums, chunk: Chunk, rng: np.random.Generator
    ) -> tuple[EmbeddingSums, Signs]:
        return learn_codes(settings, own, chunk, rng)

    def _own_to_file(self, own: EmbeddingSums) -> tuple[Fields, Arrays]:
        return {}, own.to_arrays()

    def _own_from_file(self, archive: Archive, state: State[Any]) -> EmbeddingSums:
        return EmbeddingSums.from_archive(archive, self._n_bits_of(state), state.n_classes)


def check_record_unchanged(record: bool, sums: EmbeddingSums) -> None:
    """Raise ValueError if the objective is to be recorded without the sums that it needs."""
    if record and sums.pairs is None:
        raise ValueError(
            "record must stay False, as it was for the first chunk: the sums of the objective were not kept"
        )


def learn_codes(
    settings: LEMONSettings, own: EmbeddingSums, chunk: Chunk, rng: np.random.Generator
) -> tuple[EmbeddingSums, Signs]:
    """Return the sums after a chunk, and its signs (n, r)."""
    L = chunk.finest
    G = unit_rows(L)
    n, r = len(L), len(own.VV)
    B = random_signs(rng, n, r).astype(np.float64)
    V = random_balanced_factor(n, r, rng)
    R = random_rotation(r, rng)
    for _ in range(settings.n_iter):
        P = update_P(own.add(L, G, V, B), settings)
        V = update_V(own.add(L, G, V, B), settings, L, G, B, P, R, rng)
        R = update_R(own.add(L, G, V, B))
        B = update_B(own.add(L, G, V, B), settings, G, V, R)
        chunk.record(B, functools.partial(objective, settings, own, L, G, V, B, P, R))
    pairs = None if own.pairs is None else own.pairs.add(L, G, B)
    return replace(own.add(L, G, V, B), pairs=pairs), B.astype(np.int8)


def objective(
    settings: LEMONSettings,
    old: EmbeddingSums,
    L: Matrix,
    G: Matrix,
    V: Matrix,
    B: Matrix,
    P: Matrix,
    R: Matrix,
) -> dict[str, float]:
    """Return the terms of the objective with a chunk at codes B (n, r), after the chunks in the sums `old`."""
    r, c = V.shape[1], L.shape[1]
    nothing = EmbeddingSums.empty(r, c, record=False)
    new, all_ = nothing.add(L, G, V, B), old.add(L, G, V, B)
    old_pairs, new_pairs = cast("PairSums", old.pairs), PairSums.empty(r, c).add(L, G, B)
    all_pairs = old_pairs.add(L, G, B)
    similarity = _squares_of_pairs(new, new_pairs, all_, all_pairs) + _squares_of_pairs(old, old_pairs, new, new_pairs)
    labels = all_pairs.L.sum() - 2 * (P * all_.VL).sum() + (P * (all_.VV @ P)).sum()
    return {
        "similarity": settings.alpha * similarity,
        "labels": settings.beta * (labels + settings.gamma * (P * P).sum()),
        "quantization": np.trace(all_pairs.BB) - 2 * (R * all_.VB).sum() + (R * (all_.VV @ R)).sum(),
    }


def _squares_of_pairs(of_V: EmbeddingSums, pairs_of_V: PairSums, of_B: EmbeddingSums, pairs_of_B: PairSums) -> float:
    """Return the sum of ``(v . b - r s)^2`` over embeddings v of some samples and codes b of others."""
    r = len(of_V.VV)
    n_pairs = np.trace(pairs_of_V.GG) * np.trace(pairs_of_B.GG)  # rows of G have length 1
    squares = (of_V.VV * pairs_of_B.BB).sum()
    products = 2 * (of_V.GV * of_B.GB).sum() - of_V.V @ of_B.B
    similarities = 4 * (pairs_of_V.GG * pairs_of_B.GG).sum() - 4 * (pairs_of_V.G @ pairs_of_B.G) + n_pairs
    return float(squares - 2 * r * products + r**2 * similarities)


def update_P(sums: EmbeddingSums, settings: LEMONSettings) -> Matrix:
    """Return P (r, c), from the embedding to the labels."""
    return solve_ridge(sums.VV, sums.VL, settings.gamma)


def update_V(
    sums: EmbeddingSums,
    settings: LEMONSettings,
    L: Matrix,
    G: Matrix,
    B: Matrix,
    P: Matrix,
    R: Matrix,
    rng: np.random.Generator,
) -> Matrix:
    """Return the chunk's embedding V (n, r)."""
    alpha_r = settings.alpha * B.shape[1]
    Z = B @ R.T + settings.beta * (L @ P.T) + 2 * alpha_r * (G @ sums.GB) - alpha_r * sums.B
    return balanced_factor(Z, rng)


def update_R(sums: EmbeddingSums) -> Matrix:
    """Return R (r, r), the rotation from the embedding to the codes."""
    return nearest_rotation(sums.VB)


def update_B(sums: EmbeddingSums, settings: LEMONSettings, G: Matrix, V: Matrix, R: Matrix) -> Matrix:
    """Return the chunk's signs B (n, r)."""
    alpha_r = settings.alpha * V.shape[1]
    return sign(2 * alpha_r * (G @ sums.GV) - alpha_r * sums.V + V @ R).astype(np.float64)
