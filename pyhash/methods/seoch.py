"""SEOCH: semantic embedding based online cross-modal hashing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from pyhash._inputs.checks import MAX_WIDTH, check_bool, check_choice, check_integer, check_n_bits, check_real
from pyhash._inputs.threads import resolve_n_threads
from pyhash.codes import sign
from pyhash.methods.linear import Settings
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.descent import cyclic_descent, random_signs
from pyhash.methods.parts.feature_rows import by_modalities
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.ridge import WHY_A_RIDGE, RidgeSolver, solve_ridge
from pyhash.methods.parts.state import Chunk, State
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash.methods.parts.label_sets import LabelSets

_SWEEPS = 10


@dataclass(frozen=True)
class ConceptSums(Sums):
    """State of SEOCH beside the sums of all methods."""

    BB: Matrix  # (r, r): sum B'B
    LB: Matrix  # (c, r): sum L'B
    LL: Matrix  # (c, c): sum L'L
    Q: Matrix  # (g, r)
    P: Matrix  # (g, c)
    U: dict[str, Matrix]  # by modality (d, r)

    not_sums = frozenset({"Q", "P", "U"})

    def widened(self, n_classes: int) -> ConceptSums:
        """Return the state with room for more classes, whose columns of P are 0, as Eq. 11 has them without rows."""
        n_new = n_classes - len(self.LB)
        return replace(
            self,
            LB=np.pad(self.LB, ((0, n_new), (0, 0))),
            LL=np.pad(self.LL, (0, n_new)),
            P=np.pad(self.P, ((0, 0), (0, n_new))),
        )


@dataclass(frozen=True)
class SEOCHSettings(Settings):
    """The checked parameters of SEOCH."""

    n_concepts: int
    lambda_1: float
    lambda_m: dict[str, float]
    alpha: float
    beta: float
    solver: str
    restart: bool
    n_iter: int
    n_threads: int


class SEOCH(OnlineMethod[SEOCHSettings, ConceptSums]):
    """Semantic embedding based online cross-modal hashing (Zhang et al., Scientific Reports 2024).

    Learns codes for any number of modalities from a stream of samples with several labels each. Codes and labels meet
    in a latent space of concepts, and the codes of new samples keep the similarity to all old ones. The cost of a chunk
    grows with the number of distinct label sets so far.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        The most classes that there may be; None: as many as come.
    n_concepts : int
        Dimension g of the latent space, from 1 to 2**24; 50 in the paper for MIRFlickr, 100 for NUS-WIDE.
    lambda_1 : float
        Weight of the labels; 1e3 (MIRFlickr), 1e4 (NUS-WIDE).
    lambda_m : float or mapping of str to float
        Weight of the features, one for all modalities or one for each; ``{"image": 0.1, "text": 1}`` (MIRFlickr), 0.1
        (NUS-WIDE). ``alpha / lambda_m`` is the ridge of the projections; that of a modality with weight 0 is `alpha`.
        lambda_1 and all lambda_m must not be 0 together.
    alpha : float
        Weight of the ridge, above 0; 0.8 (MIRFlickr), 0.1 (NUS-WIDE).
    beta : float
        Weight of the similarity between new and old samples; 1 (MIRFlickr), 0.1 (NUS-WIDE).
    solver : {"relaxed", "signed", "dcc"}
        How codes are found: "relaxed" solves for real values and takes signs (Eq. 3); "signed" lets the similar
        samples vote with one sign a bit (Eq. 5; see Notes); "dcc" is discrete cyclic coordinate descent from the codes
        of the last round, which never raises the objective, but need not find its least value over signs. The last
        retrieves less well.
    restart : bool
        Whether Q, P and U_m are drawn anew at every chunk, as in Algorithm 1 of the paper; by default they are carried
        over from the last chunk.
    n_iter : int
        Rounds of updates per chunk; the paper names none.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality, applied before learning and encoding, such as ``{"image": RBFAnchors(1000)}``;
        modalities without an entry have none.
    encoder : {"bits", "posterior", "bayes", "auto"}
        Encoder of queries: "bits" takes the sign of each projection, "posterior" the code expected of the label sets
        that the query may have, "bayes" the code and the weights that retrieve best under the posterior over these
        sets, "auto" the best of the three, tried on data not yet learned. It may be changed at any time.
    decay : float
        Fraction of their weight, from 0 to below 1, that earlier chunks lose with each new chunk: for streams whose
        features or classes drift. Among chunks of equal size about the last ``1 / decay`` count. It may change between
        chunks.
    seed : int
        Seed of all random choices: the same seed and chunks give the same codes.
    record : bool
        Whether ``history_`` keeps the objective after each round.
    n_threads : int or None
        Number of threads of the descent and of the sum over similar samples; None: PYHASH_NUM_THREADS, else the CPUs
        that this process may use.

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
        The objective and its terms after each round of each chunk; only with ``record=True``.
    objective_ : float
        The objective after the last round; only with ``record=True``.

    Notes
    -----
    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse; later chunks may show
    more classes. Over all samples ::

        lambda_1 ||Q B' - P L'||^2 + sum_m lambda_m ||B - X_m U_m||^2 + alpha (||Q||^2 + ||P||^2 + sum_m ||U_m||^2)
        + beta ||B_new B_old' - r S||^2                                                        (Eq. 1)

    is minimised by turns for the new chunk's B, Q, P and U_m, with the old samples in sums; S is 1 where a new and an
    old sample share a label, else 0. Rows that lack a modality have no part in its term. ``S B_old`` needs no old
    sample: S depends on label sets alone, and the sum of codes is kept for each distinct one. The result is exact.
    Memory, and the cost of a chunk, grow with the number of distinct label sets: with one class a sample there are at
    most as many as classes, with many labels a sample nearly as many as samples.

    Variants of the paper's Table 3: ``no-labels`` (SEOCH-I, ``lambda_1=0``), ``no-features`` (SEOCH-II,
    ``lambda_m=0``) and ``no-similarity`` (SEOCH-III, ``beta=0``). ``paper`` has ``restart=True``. A weight of 0 takes
    its term, and the ridge of the variables in it, out of the objective. The ridge `alpha` of a projection without
    weight is this package's choice: with Eq. 15 as printed, the ridge ``alpha / 0`` leaves the projection 0, and no
    query could be encoded.

    The update of B solves for real values and then takes signs (Eq. 3). Eq. 4 and 5 print a second one, ::

        B = sgn(beta S B_old) + (L P'Q lambda_1 + sum_m lambda_m X_m U_m) (lambda_1 Q'Q + sum_m lambda_m I)^{-1},

    which is not derived from the objective. By the place of S it is for the codes of old samples, whose features an
    online method does not have, and Algorithm 1 does not use it. ``solver="signed"`` applies it to the new samples, and
    takes signs; sgn(0) is 0 in the vote, such as at the first chunk.

    The paper's updates of Q and P (Eq. 8, 12) add up products with stale P and Q; here they multiply the summed L'B.
    Q and P start at random. U_m starts at zero, which retrieves better at 64 bits, or at random with `restart` and
    where lambda_1 is 0. Q and P shrink towards 0 as updates go on, since Q = P = 0 is a trivial solution of the first
    term. On the keywords of the built-in data, at 32 bits and in chunks of 600 rows, that term is 8.0e5 a row at the
    random start and 0.12 after the ninth chunk, 1.5e-7 of it; with `restart` it is 1.2e3 then. Up to 32 bits mAP is the
    same with `restart`; at 64 and 128 it is lower.

    The terms of the recorded objective are "labels", "features.NAME" for each modality, "ridge" and "similarity", that
    of the new samples alone. With ``solver="dcc"`` no round of a chunk raises their sum. The other solvers take signs
    of a real solution, which may raise it. From chunk to chunk it grows with the samples.

    References
    ----------
    Meijia Zhang, Junzheng Li, Xiyuan Zheng: Semantic embedding based online cross-modal hashing method. Scientific
    Reports 14, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.eye(4)[rng.integers(0, 4, size=200)]
    >>> views = {"image": labels + 0.1 * rng.standard_normal((200, 4)), "text": labels[:, ::-1]}
    >>> model = SEOCH(n_bits=16, n_concepts=8).fit(views, labels, chunk_size=100)
    >>> codes = model.encode(views["text"], modality="text")
    >>> codes.shape, len(np.unique(codes, axis=0))
    ((200, 2), 4)
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "no-labels": {"lambda_1": 0.0},
        "no-features": {"lambda_m": 0.0},
        "no-similarity": {"beta": 0.0},
        "paper": {"restart": True},
    }
    _always_keeps_label_sets = True  # the similarity to earlier samples is computed from it

    def __init__(
        self,
        n_bits: int = 32,
        *,
        n_classes: int | None = None,
        n_concepts: int = 50,
        lambda_1: float = 1e3,
        lambda_m: float | Mapping[str, float] = 1.0,
        alpha: float = 0.8,
        beta: float = 1.0,
        solver: str = "relaxed",
        restart: bool = False,
        n_iter: int = 5,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        decay: float = 0.0,
        seed: int = 0,
        record: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.n_concepts = n_concepts
        self.lambda_1 = lambda_1
        self.lambda_m = lambda_m
        self.alpha = alpha
        self.beta = beta
        self.solver = solver
        self.restart = restart
        self.n_iter = n_iter
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.decay = decay
        self.seed = seed
        self.record = record
        self.n_threads = n_threads

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> SEOCHSettings:
        alpha = check_real("alpha", self.alpha, 0.0, exclusive=True, why=WHY_A_RIDGE)
        lambda_1 = check_real("lambda_1", self.lambda_1, 0.0)
        lambda_m = per_modality("lambda_m", self.lambda_m, modalities)
        if lambda_1 == 0 and not any(lambda_m.values()):
            raise ValueError("lambda_1 and lambda_m must not all be 0: nothing else determines the first chunk's codes")
        # Without a weight, U_m is only what encodes queries, with a ridge of its own.
        ridge = {name: alpha / weight if weight > 0 else alpha for name, weight in lambda_m.items()}
        return SEOCHSettings(
            **vars(replace(shared, ridge=ridge)),
            n_concepts=check_integer("n_concepts", self.n_concepts, 1, MAX_WIDTH),
            lambda_1=lambda_1,
            lambda_m=lambda_m,
            alpha=alpha,
            beta=check_real("beta", self.beta, 0.0),
            solver=check_choice("solver", self.solver, ("relaxed", "signed", "dcc")),
            restart=check_bool("restart", self.restart),
            n_iter=check_integer("n_iter", self.n_iter, 1),
            n_threads=resolve_n_threads(self.n_threads),
        )

    def _begin(
        self, settings: SEOCHSettings, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator
    ) -> ConceptSums:
        """Return empty sums and a start: random concepts, and projections that are zero where labels have a weight."""
        r, c = settings.n_bits, n_classes[-1]
        sums = {"BB": np.zeros((r, r)), "LB": np.zeros((c, r)), "LL": np.zeros((c, c))}
        Q, P, U = random_start(settings, n_mapped, c, rng)
        if settings.lambda_1 > 0:
            U = {name: np.zeros_like(of_modality) for name, of_modality in U.items()}
        return ConceptSums(**sums, Q=Q, P=P, U=U)

    def _widened(self, settings: SEOCHSettings, own: ConceptSums) -> ConceptSums:
        return own.widened(settings.classes.sizes[-1])

    def _check_unchanged(self, settings: SEOCHSettings, state: State[ConceptSums]) -> None:
        super()._check_unchanged(settings, state)
        g = len(state.own.Q)
        if settings.n_concepts != g:
            raise ValueError(f"n_concepts must stay {g} once chunks were learned, got {settings.n_concepts}")

    def _learn(
        self, settings: SEOCHSettings, own: ConceptSums, chunk: Chunk, rng: np.random.Generator
    ) -> tuple[ConceptSums, Signs]:
        L = chunk.finest
        B = random_signs(rng, chunk.n, len(own.BB)).astype(np.float64)
        sets = cast("LabelSets", chunk.label_sets_before)  # kept for this method, from the first chunk on
        similar = sets.codes_of_similar(L, settings.n_threads)
        LL = own.LL + L.T @ L
        solvers = {name: RidgeSolver(chunk.XX[name], xi) for name, xi in settings.ridge.items()}
        n_similar = functools.cache(functools.partial(sets.n_similar, L, settings.n_threads))
        learned = own
        Q, P, U = own.Q, own.P, own.U
        if settings.restart:
            Q, P, U = random_start(
                settings, {name: len(of_modality) for name, of_modality in U.items()}, L.shape[1], rng
            )
        # The features that a row lacks weigh nothing.
        groups = [
            (replace(settings, lambda_m={name: settings.lambda_m[name] for name in names}), rows)
            for names, rows in by_modalities({name: X.present for name, X in chunk.views.items()})
        ]
        for _ in range(settings.n_iter):
            XU = {name: X.dot(U[name]) for name, X in chunk.views.items()}
            found = np.empty_like(B)
            for weighing, rows in groups:
                of_rows = {name: XU[name][rows] for name in weighing.lambda_m}
                found[rows] = update_B(weighing, B[rows], own.BB, Q, P, L[rows], of_rows, similar[rows])
            B = found
            BB, LB = own.BB + B.T @ B, own.LB + L.T @ B
            if settings.lambda_1 > 0:
                Q = update_Q(settings, P, LB, BB)
                P = update_P(settings, Q, LB, LL)
            U = {name: solver.solve(chunk.cross_sum(name, B)) for name, solver in solvers.items()}
            learned = ConceptSums(BB, LB, LL, Q, P, U)
            terms = functools.partial(objective, settings, learned, chunk, B, own.BB, similar, n_similar)
            chunk.record(B, terms, functools.partial(replace, learned))
        return learned, B.astype(np.int8)

    def _complete(self, own: ConceptSums, modality: str, C: Matrix) -> ConceptSums:
        # New features weigh nothing until U_m is updated.
        return replace(own, U={**own.U, modality: np.pad(own.U[modality], ((0, C.shape[1]), (0, 0)))})

    def _solve(self, state: State[ConceptSums], modality: str) -> Matrix:
        """Return U_m of the last update."""
        return state.own.U[modality]

    def _own_to_file(self, own: ConceptSums) -> tuple[Fields, Arrays]:
        arrays = {name: np.ascontiguousarray(getattr(own, name)) for name in ("BB", "LB", "LL", "Q", "P")}
        return {}, arrays

    def _own_from_file(self, archive: Archive, state: State[Any]) -> ConceptSums:
        fields = archive.field("state")
        r, c = check_n_bits(fields["n_bits"]), check_integer("n_classes", fields["n_classes"], 1)
        Q = archive.array("Q", np.float64, (None, r))
        return ConceptSums(
            BB=archive.array("BB", np.float64, (r, r)),
            LB=archive.array("LB", np.float64, (c, r)),
            LL=archive.array("LL", np.float64, (c, c)),
            Q=Q,
            P=archive.array("P", np.float64, (len(Q), c)),
            U=dict(state.projections),
        )


def objective(
    settings: SEOCHSettings,
    own: ConceptSums,
    chunk: Chunk,
    B: Matrix,
    BB_old: Matrix,
    similar: Matrix,
    n_similar: Callable[[], float],
) -> dict[str, float]:
    """Return the terms of Eq. 1 over all samples, `own` with the chunk at codes B; `n_similar` counts the 1s of S."""
    r, variables = len(BB_old), [own.U[name] for name, weight in settings.lambda_m.items() if weight > 0]
    terms = {"labels": 0.0}
    if settings.lambda_1 > 0:
        variables += [own.Q, own.P]
        squares = (own.Q @ own.BB * own.Q).sum() + (own.P @ own.LL * own.P).sum()
        terms["labels"] = settings.lambda_1 * (squares - 2 * (own.P @ own.LB * own.Q).sum())
    for name, U in own.U.items():
        XB, XX, n = chunk.cross_sum(name, B), chunk.XX[name], chunk.n_rows_with(name)
        BB = np.trace(own.BB) if n is None else r * n
        squares = BB - 2 * (U * XB).sum() + (U * (XX @ U)).sum()
        terms[f"features.{name}"] = settings.lambda_m[name] * squares
    terms["ridge"] = settings.alpha * sum((of**2).sum() for of in variables)
    squares = (B.T @ B * BB_old).sum() - 2 * r * (B * similar).sum() + r**2 * n_similar()
    terms["similarity"] = settings.beta * squares
    return terms


def random_start(
    settings: SEOCHSettings, n_mapped: Mapping[str, int], n_classes: int, rng: np.random.Generator
) -> tuple[Matrix, Matrix, dict[str, Matrix]]:
    """Return random Q (g, r), P (g, c) and, by modality, U_m (d, r)."""
    r, g = settings.n_bits, settings.n_concepts
    Q, P = rng.standard_normal((g, r)), rng.standard_normal((g, n_classes))
    return Q, P, {name: rng.standard_normal((d, r)) for name, d in n_mapped.items()}


def update_B(
    settings: SEOCHSettings,
    B: Matrix,
    BB_old: Matrix,
    Q: Matrix,
    P: Matrix,
    L: Matrix,
    XU: dict[str, Matrix],
    similar: Matrix,
) -> Matrix:
    """Return the chunk's signs B (n, r), found by the chosen solver; `B` are those of the last round."""
    if settings.solver == "dcc":
        signs = B.astype(np.int8)
        H, R = problem_of_B(settings, BB_old, Q, P, L, XU, similar)
        cyclic_descent(signs, H, R, _SWEEPS, n_threads=settings.n_threads)
        return signs.astype(np.float64)
    if settings.solver == "signed":
        regression = problem_of_B(replace(settings, beta=0.0), BB_old, Q, P, L, XU, similar)
        return sign(np.sign(settings.beta * similar) + solve_B(settings, *regression)).astype(np.float64)
    return sign(solve_B(settings, *problem_of_B(settings, BB_old, Q, P, L, XU, similar))).astype(np.float64)


def solve_B(settings: SEOCHSettings, H: Matrix, R: Matrix) -> Matrix:
    """Return the real B (n, r) that minimises ``tr(B H B') - 2 tr(B R')``; the one of least norm if H is singular."""
    if any(settings.lambda_m.values()):
        return cast("Matrix", np.linalg.solve(H, R.T).T)
    return cast("Matrix", np.linalg.lstsq(H, R.T, rcond=None)[0].T)


def problem_of_B(
    settings: SEOCHSettings,
    BB_old: Matrix,
    Q: Matrix,
    P: Matrix,
    L: Matrix,
    XU: dict[str, Matrix],
    similar: Matrix | float,
) -> tuple[Matrix, Matrix]:
    """Return H (r, r) and R (n, r) of ``tr(B H B') - 2 tr(B R')``, which B minimises (Eq. 2); `similar` is S B_old."""
    r = len(BB_old)
    H = settings.lambda_1 * (Q.T @ Q) + sum(settings.lambda_m.values()) * np.eye(r) + settings.beta * BB_old
    R = settings.lambda_1 * (L @ (P.T @ Q)) + settings.beta * r * similar
    for name, of_modality in XU.items():
        R += settings.lambda_m[name] * of_modality
    return (H + H.T) / 2, R


def update_Q(settings: SEOCHSettings, P: Matrix, LB: Matrix, BB: Matrix) -> Matrix:
    """Return Q (g, r), Eq. 7."""
    Q: Matrix = solve_ridge(BB, (P @ LB).T, settings.alpha / settings.lambda_1).T
    return Q


def update_P(settings: SEOCHSettings, Q: Matrix, LB: Matrix, LL: Matrix) -> Matrix:
    """Return P (g, c), Eq. 11."""
    P: Matrix = solve_ridge(LL, (Q @ LB.T).T, settings.alpha / settings.lambda_1).T
    return P
