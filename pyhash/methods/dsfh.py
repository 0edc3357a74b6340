"""DSFH: dual semantic fusion hashing."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_bool, check_choice, check_integer, check_real
from pyhash.codes import sign
from pyhash.methods.linear import LinearMethod, Settings
from pyhash.methods.parts.arrays import Matrix, Signs
from pyhash.methods.parts.descent import random_signs
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.parts.label_sets import distinct_label_sets, unit_rows
from pyhash.methods.parts.orthonormal import balanced_factor, nearest_rotation, random_balanced_factor
from pyhash.methods.parts.state import Chunk

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Label rows that the clusters are found on, at most; all rows are then given to the nearest.
_ROWS_FOR_CLUSTERS = 10_000


@dataclass(frozen=True)
class DSFHSettings(Settings):
    """The checked parameters of DSFH."""

    n_clusters: int
    instance_level: bool
    normalization: str
    alpha: float
    gamma: float
    n_iter: int


class DSFH(LinearMethod[DSFHSettings, None]):
    """Dual semantic fusion hashing (Liu et al., IJCAI 2024).

    Learns codes for all modalities from whole data with several labels a sample. Two kinds of similarity guide it:
    shared labels, and shared clusters of label sets.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as the labels show.
    n_clusters : int
        Clusters k of the label rows, at most as many as there are distinct ones; 400, 300, 400 in the paper for
        MIRFlickr, IAPR TC-12, NUS-WIDE. 0: shared labels alone guide it.
    instance_level : bool
        Whether shared labels count; False: shared clusters alone guide it.
    normalization : {"unit", "none"}
        Label rows scaled to unit length, so that shared labels count as cosines, as the paper's text says; or as they
        are, as its equations read.
    alpha : float
        Weight of the similarity; 1e-3 (MIRFlickr), 1e-4 (IAPR TC-12, NUS-WIDE). With 0, H_m follows the features alone,
        and B is updated as with the least weight above 0.
    gamma : float
        Weight of shared clusters beside shared labels (Eq. 3).
    xi : float or mapping of str to float
        Ridge of the projections, above 0, one for all modalities or one for each; lambda in the paper: 1e-3 (MIRFlickr,
        IAPR TC-12), 1e-4 (NUS-WIDE).
    n_iter : int
        Rounds of updates.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding; modalities without an entry have
        ``RBFAnchors(1500, width="mean_distance")``.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three. For "auto" a fifth of the rows, at most 500, is held back and the method
        learns twice: choose it before learning. The others may be chosen at any time; "bayes" is calibrated only if it
        or "auto" was chosen before learning.
    seed : int
        Seed of all random choices: the same seed and data give the same codes.
    record : bool
        Whether ``history_`` keeps the objective after each round.

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
        The objective and its terms after each round; only with ``record=True``.
    objective_ : float
        The objective after the last round; only with ``record=True``.

    Notes
    -----
    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label
    a row. With label rows Y and one-hot clusters C, ::

        min  sum_m ||H_m - K_m W_m||^2 + alpha ||B H_m' - r S||^2,    S = Y Y' + gamma C C'            (Eq. 4)

    subject to ``H_m'H_m = n I``, ``1'H_m = 0``, ``W_m'W_m = I``, by turns for W_m (Eq. 8), H_m (Eq. 13) and B (Eq.
    16). S is never formed. The paper prints H for B in Eq. 11. Its steps for H_m and B drop ``||B H_m'||^2``, which
    the constraint makes constant, and that for W_m drops ``||K_m W_m||^2``, which is not constant: that step may raise
    the objective while it maximises what it is derived from, ``tr(W_m' K_m' H_m)``.

    The terms of the recorded objective are "features.NAME" and "similarity.NAME" for each modality. Their sum may rise
    from round to round, by what the step for W_m drops: without ``sum_m ||K_m W_m||^2`` it never does, for more rows
    than bits.

    Variants of the paper's Table 4: ``clusters-only`` (w/o ISP, ``instance_level=False``) and ``labels-only`` (w/o CSP,
    ``n_clusters=0``). ISP and CSP preserve the similarity of instances, ``Y Y'``, and of clusters, ``C C'``. Section
    4.9 says that the variant without ISP removes ``C C'`` and that without CSP ``Y Y'``, which is the wrong way round:
    in Table 4 the one without ISP loses more than 10 points, "because instance-level semantics offer the primary
    supervision", and the other about 1.

    References
    ----------
    Kaiming Liu, Yunhong Gong, Yu Cao, Zhenwen Ren, Dezhong Peng, Yuan Sun: Dual Semantic Fusion Hashing for Multi-Label
    Cross-Modal Retrieval. IJCAI 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.eye(4)[rng.integers(0, 4, size=200)]
    >>> views = {"image": labels + 0.1 * rng.standard_normal((200, 4)), "text": labels[:, ::-1]}
    >>> model = DSFH(n_bits=16, feature_maps={"text": None}).fit(views, labels)
    >>> codes = model.encode(views["image"], modality="image")
    >>> codes.shape, len(np.unique(codes, axis=0))
    ((200, 2), 4)
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "clusters-only": {"instance_level": False},
        "labels-only": {"n_clusters": 0},
    }

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        n_clusters: int = 400,
        instance_level: bool = True,
        normalization: str = "unit",
        alpha: float = 1e-3,
        gamma: float = 1.0,
        xi: float | Mapping[str, float] = 1e-3,
        n_iter: int = 10,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.n_clusters = n_clusters
        self.instance_level = instance_level
        self.normalization = normalization
        self.alpha = alpha
        self.gamma = gamma
        self.xi = xi
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.seed = seed
        self.record = record

    def _default_map(self, sparse: bool) -> RBFAnchors:
        return RBFAnchors(1500, width="mean_distance", seed=self.seed)

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> DSFHSettings:
        n_clusters = check_integer("n_clusters", self.n_clusters, 0)
        instance_level = check_bool("instance_level", self.instance_level)
        gamma = check_real("gamma", self.gamma, 0.0)
        if not instance_level and (n_clusters == 0 or gamma == 0):
            raise ValueError(
                "n_clusters and gamma must be > 0 where instance_level is False: no similarity is left, got "
                f"{n_clusters} and {gamma:g}"
            )
        return DSFHSettings(
            **vars(shared),
            n_clusters=n_clusters,
            instance_level=instance_level,
            normalization=check_choice("normalization", self.normalization, ("unit", "none")),
            alpha=check_real("alpha", self.alpha, 0.0),
            gamma=gamma,
            n_iter=check_integer("n_iter", self.n_iter, 1),
        )

    def _learn(self, settings: DSFHSettings, own: None, chunk: Chunk, rng: np.random.Generator) -> tuple[None, Signs]:
        n, r = chunk.n, settings.n_bits
        similarity = factor_of_similarity(settings, chunk.finest, rng)
        B = random_signs(rng, n, r).astype(np.float64)
        H = {name: random_balanced_factor(n, r, rng) for name in chunk.views}
        KW: dict[str, Matrix] = {}
        for _ in range(settings.n_iter):
            SB = similarity @ (similarity.T @ B)
            for name, K in chunk.views.items():
                W = nearest_rotation(K.transposed_dot(H[name]))
                KW[name] = K.dot(W)
                H[name] = update_H(KW[name], SB, settings.alpha, rng)
            B = update_B(similarity, H)
            chunk.record(B, functools.partial(objective, settings, similarity, B, dict(H), dict(KW)))
        return None, B.astype(np.int8)


def objective(
    settings: DSFHSettings, similarity: csr_array, B: Matrix, H: Mapping[str, Matrix], KW: Mapping[str, Matrix]
) -> dict[str, float]:
    """Return the terms of Eq. 4; `KW` is K_m W_m for each modality."""
    r, BB, SB = B.shape[1], B.T @ B, similarity @ (similarity.T @ B)
    gram = similarity.T @ similarity  # of the factor: its squares are those of S
    terms = {f"features.{name}": ((H[name] - of_modality) ** 2).sum() for name, of_modality in KW.items()}
    for name, of_modality in H.items():
        squares = (BB * (of_modality.T @ of_modality)).sum() - 2 * r * (SB * of_modality).sum()
        terms[f"similarity.{name}"] = settings.alpha * (squares + r**2 * (gram * gram).sum())
    return terms


def factor_of_similarity(settings: DSFHSettings, L: Matrix, rng: np.random.Generator) -> csr_array:
    """Return ``[Y, sqrt(gamma) C]`` (n, c + k), sparse, whose product with its transpose is S (Eq. 3)."""
    from scipy.sparse import csr_array, hstack

    Y = unit_rows(L) if settings.normalization == "unit" else L
    levels = [csr_array(Y)] if settings.instance_level else []
    if settings.n_clusters > 0 and settings.gamma > 0:
        clusters = _clusters(Y, L, settings.n_clusters, rng)
        n = len(clusters)
        values = np.full(n, np.sqrt(settings.gamma))
        levels.append(csr_array((values, clusters, np.arange(n + 1)), shape=(n, int(clusters.max()) + 1)))
    return hstack(levels, format="csr")


def update_H(KW: Matrix, SB: Matrix, alpha: float, rng: np.random.Generator) -> Matrix:
    """Return H_m (n, r), Eq. 10 to 13."""
    return balanced_factor(KW + alpha * SB.shape[1] * SB, rng)


def update_B(similarity: csr_array, H: Mapping[str, Matrix]) -> Matrix:
    """Return signs B (n, r), Eq. 16."""
    total = np.add.reduce(list(H.values()))
    return sign(similarity @ (similarity.T @ total)).astype(np.float64)


def _clusters(Y: Matrix, L: Matrix, n_clusters: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the k-means cluster of each row of Y, at most `n_clusters`; equal label rows share one."""
    from scipy.cluster.vq import kmeans2, vq

    sets, row_sets = distinct_label_sets(L)
    if n_clusters >= len(sets):
        return row_sets
    first = np.empty(len(sets), dtype=np.intp)
    first[row_sets[::-1]] = np.arange(len(Y))[::-1]
    distinct = Y[first]
    start = _spread_rows(distinct, np.bincount(row_sets), n_clusters, rng)
    chosen = np.sort(rng.choice(len(Y), min(len(Y), _ROWS_FOR_CLUSTERS), replace=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its last row is no harm
        centers, _ = kmeans2(Y[chosen], start, minit="matrix")
    clusters: NDArray[np.intp] = np.unique(vq(distinct, centers)[0], return_inverse=True)[1].reshape(-1)
    return clusters[row_sets]


def _spread_rows(rows: Matrix, counts: NDArray[np.int64], k: int, rng: np.random.Generator) -> Matrix:
    """Return k of the rows, drawn with probability proportional to count times squared distance to those drawn.

    This is k-means++ over distinct rows; scipy's own compares all samples with all drawn centers for every center.
    """
    drawn = [int(rng.choice(len(rows), p=counts / counts.sum()))]
    nearest = np.full(len(rows), np.inf)
    while len(drawn) < k:
        nearest = np.minimum(nearest, ((rows - rows[drawn[-1]]) ** 2).sum(axis=1))
        chance = counts * nearest
        drawn.append(int(rng.choice(len(rows), p=chance / chance.sum())))
    return rows[drawn]
