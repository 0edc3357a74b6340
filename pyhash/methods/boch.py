"""BOCH: Bayes online class hashing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_integer, check_real
from pyhash._inputs.labels import one_hot
from pyhash.methods.contract import weighted_sum
from pyhash.methods.lemon import LEMON, EmbeddingSums, LEMONSettings, check_record_unchanged, learn_codes
from pyhash.methods.linear import Settings
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.code_book import code_book
from pyhash.methods.parts.feature_maps import RBFAnchors, UnitLength, row_blocks
from pyhash.methods.parts.instance_bits import (
    InstanceSpace,
    InstanceSums,
    instance_projection,
    join_in_graph,
    join_projections,
    learn_instance_bits,
)
from pyhash.methods.parts.relabelling import Relabelled, likeliest
from pyhash.methods.parts.state import Chunk, State
from pyhash.methods.parts.sums import Sums
from pyhash.methods.parts.unmapped_rows import UnmappedRows

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.label_sets import LabelSets
    from pyhash.methods.parts.onnx_graph import Graph

# The kernel of dense views: anchors of the first chunk, of each later one, and at most.
_N_ANCHORS, _GROW, _MAX_ANCHORS = 1500, 750, 3750
# Rows of a class that must have been learned before its rows are relabelled, or others as its.
_LEAST_ROWS = 5


@dataclass(frozen=True)
class BOCHSettings(Settings):
    """The checked parameters of BOCH."""

    class_bits: int
    focus: float
    noise: float | None  # None: estimated from each chunk
    embedding: LEMONSettings  # of codes for several labels a row


@dataclass(frozen=True)
class BOCHState(Sums):
    """What BOCH keeps beside the sums of all methods."""

    embedding: EmbeddingSums | None = None  # of codes for several labels a row
    space: InstanceSpace | None = None  # both None where all bits are class bits
    instances: InstanceSums | None = None
    seed: int | None = None  # of the codes of classes; None without them, and in files of earlier versions
    relabelled: Relabelled = field(default_factory=Relabelled.none)  # in the last call that learned; not in files
    projections: dict[str, tuple[Matrix, NDArray[np.float64]]] = field(default_factory=dict)  # of instance bits, solved

    not_sums = frozenset({"space", "seed", "relabelled", "projections"})


class BOCH(OnlineMethod[BOCHSettings, BOCHState]):
    """Bayes online class hashing: the recommended method.

    Every class has a code that does not depend on the data, far from those of the other classes; a row has the code of
    its class. All that is learned are sums over rows, from which label scores follow, calibrated on rows before they
    are learned. A query takes the code, and the weights of its bits, that retrieve best under the posterior over the
    classes.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    class_bits : int or None
        How many bits, the first ones, are codes of classes; None: all. The others are instance bits, which tell things
        of one class apart: 24 of 64 and 32 of 128 or 256 suit.
    focus : float
        Weight of instance bits, above 0: 0.02 orders by class and then by thing, 0.3 looks for the thing first. It may
        change after learning, since it changes the weights of queries alone.
    n_classes : int or None
        The most classes that there may be; None: as many as come.
    noise : float, "auto" or None
        Fraction e of the labels that may be wrong, from 0 to 0.5: rows are learned with their likeliest class, of which
        both features and the given label tell. "auto" estimates e from each chunk, and changes nothing where it finds
        labels right; a number that is too large replaces right ones. None takes all labels as they are. See Notes and
        ``relabelled_``; it may change after learning.
    xi : float or mapping of str to float
        Ridge of the projections of the encoder "bits", above 0, and of the scores of "posterior"; the encoder "bayes"
        chooses its own.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality. Without an entry, dense views have ``RBFAnchors(1500, grow=750,
        max_anchors=3750, centered=True)`` and sparse ones ``UnitLength()``; for features as they are, give None as the
        map.
    encoder : {"bayes", "bits", "posterior", "auto"}
        Encoder of queries: "bayes" takes the code and the weights that retrieve best under the posterior over labels;
        "bits" takes the sign of each projection, "posterior" the expected code; "auto" the best of the three, tried on
        data not yet learned.
    decay : float
        Fraction of their weight, from 0 to below 1, that earlier chunks lose with each new chunk: for streams whose
        features or classes drift. Among chunks of equal size about the last ``1 / decay`` count. It may change between
        chunks.
    seed : int
        Seed of all random choices, the codes of the classes among them: the same seed and chunks give the same codes.
        It must not change after learning.
    record : bool
        Whether ``history_`` keeps LEMON's objective after each iteration, where rows have several labels; choose it
        before the first chunk. Codes of classes take no iteration.

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
    calibration_ : dict of str to dict
        What was chosen for the label scores of each modality, and how well it predicted.
    relabelled_ : dict of str to ndarray
        Rows of the last ``fit`` or ``partial_fit`` that were learned with another label than the given one.
    history_ : list of dict
        The objective and its terms after each iteration of each chunk, as of LEMON; validation is by class bits alone.
    objective_ : float
        The objective after the last iteration.

    Notes
    -----
    The code m_j of class j is the j-th of a sequence that depends on its length and `seed` alone, in which each code is
    the random candidate whose largest inner product with those before it is least. From sums over rows x of one
    modality, after its map, follow scores of the classes ::

        s = (x - mean) W,   (X'X - n mean mean' + ridge I) W = X'L - n mean (mean of L),

    with a share of naive Bayes where x counts words, and the posterior ``P ~ exp(tau s)``. Ridge, share and tau are
    those that predicted rows best before they were learned. The weights of a query are ::

        f = argmin_f  -f . sum_c T_c m_c + log sum_c exp(f . m_c) + 0.005 |f|^2,   T_c ~ P_c n_c^-0.3,

    and its plain code q maximises the expected average precision ``sum_c P_c AP(c | q)``, up to two bits from the best
    of a few codes. ``project`` gives ``q max(q f, 0.001 mean |f|)``, scaled so that no weight passes 1.

    Labels are class indices (n,), labels by name (n,) or a 0/1 matrix (n, c), dense or sparse; later chunks may show
    more classes. If a row of the first chunk has several labels, all rows have the codes of LEMON in place of class
    codes; if all have one, so must those of later chunks.

    With `noise` e, a row of a later chunk is learned as class ::

        argmax_c  sum_m log P_m(c) + log(1 - e if c is given else e / (C - 1))

    over the C classes of which at least 5 rows were learned, P_m the posterior from modality m; rows of other classes
    keep their labels, as do those of the first chunk, and rows with several labels. For "auto", the likelihood of the
    given labels chooses e, and an exponent of the posterior with it.

    With one label a row and class bits alone, codes do not depend on other rows. So models of parts of the data are
    merged exactly, by ``pyhash.merge`` or ``a + b``, and ``forget`` takes rows away exactly.

    Instance bits are signs of random projections of a row's embedding, in which the modalities that it has meet:
    canonical variates of the first chunk, which should have a thousand rows or more, less the mean of the row's class
    so far. Words of sparse views also count as they are. Queries predict the bits by ridge regression. Predictions are
    summed over the modalities of a query and multiplied by ``focus * sqrt(40 / (n_bits - class_bits))``. Search by
    weighted distance: in plain Hamming distance an instance bit counts as much as a class bit.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=400)
    >>> image = np.eye(4)[labels] + 0.3 * rng.standard_normal((400, 4))
    >>> model = BOCH(n_bits=16).partial_fit({"image": image}, labels)
    >>> codes = model.encode(image, modality="image")
    >>> codes.shape, float((codes == model.codes_).all(axis=1).mean()) > 0.8
    ((400, 2), True)
    """

    _always_keeps_label_sets = True
    _keeps_origins = True
    _why_not_additive = None

    def __init__(
        self,
        n_bits: int = 64,
        *,
        class_bits: int | None = None,
        focus: float = 0.02,
        n_classes: int | None = None,
        noise: float | Literal["auto"] | None = None,
        xi: float | Mapping[str, float] = 0.1,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bayes",
        decay: float = 0.0,
        seed: int = 0,
        record: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.class_bits = class_bits
        self.focus = focus
        self.n_classes = n_classes
        self.noise = noise
        self.xi = xi
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.decay = decay
        self.seed = seed
        self.record = record

    @property
    def relabelled_(self) -> dict[str, NDArray[Any]]:
        """Rows of the last ``fit`` or ``partial_fit`` that were learned with another label than the given one.

        Arrays of equal length: "row", its number; "given" and "taken", the labels. Empty without `noise`, and in a
        model that was loaded.
        """
        rows, given, taken = self._fitted_state().own.relabelled
        labels = self.classes_
        return {"row": rows.copy(), "given": labels[given], "taken": labels[taken]}

    def _default_map(self, sparse: bool) -> UnitLength | RBFAnchors:
        if sparse:
            return UnitLength()
        return RBFAnchors(_N_ANCHORS, grow=_GROW, max_anchors=_MAX_ANCHORS, centered=True, seed=self.seed)

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> BOCHSettings:
        n_bits = shared.n_bits
        class_bits = n_bits if self.class_bits is None else check_integer("class_bits", self.class_bits, 1, n_bits)
        return BOCHSettings(
            **vars(shared),
            class_bits=class_bits,
            focus=self._check_focus(),
            noise=self._check_noise(),
            embedding=LEMON()._check_parameters(shared, modalities),
        )

    def _check_focus(self) -> float:
        """Return the weight of instance bits."""
        return check_real("focus", self.focus, 0.0, exclusive=True, why="instance bits would tell nothing")

    def _check_noise(self) -> float | None:
        """Return the fraction of wrong labels, 0 where all are taken as they are; None if it is to be estimated."""
        if self.noise is None:
            return 0.0
        if isinstance(self.noise, str):
            if self.noise != "auto":
                raise ValueError(f'noise must be None, "auto" or a number from 0 to 0.5, got {self.noise!r}')
            return None
        noise = check_real("noise", self.noise, 0.0)
        if noise > 0.5:
            raise ValueError(f'noise must be None, "auto" or a number from 0 to 0.5, got {self.noise!r}')
        return noise

    def _check_unchanged(self, settings: BOCHSettings, state: State[BOCHState]) -> None:
        super()._check_unchanged(settings, state)
        class_bits = self._n_class_bits_of(state)
        if settings.class_bits != class_bits:
            raise ValueError(f"class_bits must stay {class_bits}, as learned, got {settings.class_bits}")
        if state.own.embedding is not None:
            check_record_unchanged(settings.record, state.own.embedding)
        elif (
            settings.seed != state.own.seed
            if state.own.seed is not None
            else not self._has_codes_of_seed(settings, state)
        ):
            raise ValueError(
                f"seed must stay as it was for the chunks learned, since the codes of classes depend on it, got "
                f"{settings.seed}"
            )

    def _has_codes_of_seed(self, settings: BOCHSettings, state: State[BOCHState]) -> bool:
        """Return whether the classes learned have the codes that they have under the seed."""
        sets = cast("LabelSets", state.label_sets)
        codes = self._class_codes(settings, sets.classes)
        return np.array_equal(sets.code_sums[:, : settings.class_bits], sets.counts[:, None] * codes)

    def _class_codes(self, settings: BOCHSettings, classes: NDArray[np.int64]) -> Signs:
        """Return the codes (n, class_bits) of classes (n,)."""
        return code_book(settings.class_bits, settings.seed).codes(int(classes.max()) + 1)[classes]

    def _check_additive(self, settings: BOCHSettings, state: State[BOCHState]) -> None:
        if state.own.embedding is not None:
            reason = "the codes of rows with several labels, which are those of LEMON, depend on the rows before them"
        elif state.own.instances is not None:
            reason = "instance bits depend on the means that the classes had when a row was learned"
        elif state.trial is not None:
            reason = "encoder='auto' keeps a sample of the rows, which has no sums to add or take away"
        elif settings.decay > 0 or cast("LabelSets", state.label_sets).counts.dtype != np.int64:
            reason = "with decay, what a row adds depends on the chunks learned after it"
        else:
            return
        raise ValueError(self._refusal(reason))

    def _n_class_bits_of(self, state: State[BOCHState]) -> int:
        n_instance_bits = 0 if state.own.space is None else state.own.space.rotation.shape[1]
        return self._n_bits_of(state) - n_instance_bits

    def _widened(self, settings: BOCHSettings, own: BOCHState) -> BOCHState:
        n_classes = settings.classes.sizes[-1]
        return replace(
            own,
            embedding=None if own.embedding is None else own.embedding.widened(n_classes),
            instances=None if own.instances is None else own.instances.widened(n_classes),
        )

    def _why_codes_need_features(self, settings: BOCHSettings) -> str | None:
        if settings.class_bits < settings.n_bits:
            return f"instance bits are made of features, so class_bits must be None or {settings.n_bits}"
        if settings.noise != 0:
            return "features tell which labels are wrong, so noise must be None"
        return None

    def _begin(
        self, settings: BOCHSettings, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator
    ) -> BOCHState:
        return BOCHState()

    def _calibrates(self, settings: BOCHSettings) -> bool:
        return settings.noise != 0 or super()._calibrates(settings)

    def _relabel(
        self, settings: BOCHSettings, state: State[BOCHState], rows: UnmappedRows
    ) -> tuple[State[BOCHState], UnmappedRows]:
        # The chunks of one call are reported together; the first begins at row 0.
        before = state.own.relabelled if rows.first_row else Relabelled.none()
        L = rows.labels[-1]
        if settings.noise == 0 or state.own.embedding is not None or (L.sum(axis=1) > 1).any():
            return replace(state, own=replace(state.own, relabelled=before)), rows
        given = L.argmax(axis=1)
        taken = self._likeliest_classes(state, rows, given, settings.noise)
        own = replace(state.own, relabelled=before.and_then(rows.numbers, given, taken))
        labels = [one_hot(taken, L.shape[1]).astype(np.float64)]
        return replace(state, own=own), replace(rows, labels=labels)

    def _likeliest_classes(
        self, state: State[BOCHState], rows: UnmappedRows, given: NDArray[np.int64], noise: float | None
    ) -> NDArray[np.int64]:
        """Return the class to learn of each row: the given one, unless another is likelier."""
        sets = cast("LabelSets", state.label_sets)
        often = np.flatnonzero(sets.counts >= _LEAST_ROWS)
        if len(often) < 2:
            return given
        log_P = np.zeros((len(given), len(often)))
        for name, x in rows.views.items():
            if not state.has_rows(name):
                continue
            having = np.flatnonzero(rows.has(name))
            for block in row_blocks(len(having), len(sets.counts)):
                of_block = having[block]
                log_P[of_block] += state.label_posterior(name).logits(state.mapped(name, x[of_block]))[:, often]
        column = np.full(sets.n_classes, -1)
        column[sets.classes[often]] = np.arange(len(often))
        found = likeliest(log_P, column[given], noise)
        taken: NDArray[np.int64] = np.where(found >= 0, sets.classes[often][found], given)
        return taken

    def _learn(
        self, settings: BOCHSettings, own: BOCHState, chunk: Chunk, rng: np.random.Generator
    ) -> tuple[BOCHState, Signs]:
        is_first = chunk.label_sets_before is None or len(chunk.label_sets_before.counts) == 0
        L, r_i = chunk.finest, settings.n_bits - settings.class_bits
        embedding, B = self._learn_class_codes(settings, own.embedding, chunk, is_first, rng)
        own = replace(own, embedding=embedding, seed=settings.seed if embedding is None else None)
        if r_i == 0:
            return own, B
        space, instances = own.space, own.instances
        if space is None or instances is None:
            space = InstanceSpace.fit(chunk, r_i, rng)
            instances = InstanceSums.empty(L.shape[1], len(space.rotation), r_i, chunk.views)
        instances, of_instances = learn_instance_bits(space, instances, chunk.views, L)
        own = replace(own, space=space, instances=instances, projections={})
        return own, np.hstack([B, of_instances])

    def _learn_class_codes(
        self,
        settings: BOCHSettings,
        embedding: EmbeddingSums | None,
        chunk: Chunk,
        is_first: bool,
        rng: np.random.Generator,
    ) -> tuple[EmbeddingSums | None, Signs]:
        """Return the embedding of several labels a row, where rows have several, and class bits (n, class_bits)."""
        L = chunk.finest
        has_several = bool((L.sum(axis=1) > 1).any())
        if is_first and has_several:
            embedding = EmbeddingSums.empty(settings.class_bits, L.shape[1], record=settings.record)
        if embedding is not None:
            return learn_codes(settings.embedding, embedding, chunk, rng)
        if has_several:
            row = int(np.argmax(L.sum(axis=1) > 1))
            raise ValueError(
                f"labels must give every row one label, as those of the first chunk did, got {int(L[row].sum())} in "
                f"row {row} of the chunk"
            )
        return None, self._class_codes(settings, L.argmax(axis=1))

    def _bits_are_linear(self, state: State[BOCHState], modality: str) -> bool:
        return state.own.instances is None and super()._bits_are_linear(state, modality)

    def _projector(
        self, state: State[BOCHState], weights: Mapping[str, float], encoder: str
    ) -> Callable[[Mapping[str, Features]], NDArray[Any]]:
        of_classes = super()._projector(state, weights, encoder)
        instances = state.own.instances
        if instances is None:
            return of_classes
        focus, class_bits = self._check_focus(), self._n_class_bits_of(state)
        solved = {name: self._instance_projection(state, name, instances) for name in weights}

        def project(X: Mapping[str, Features]) -> Matrix:
            of_things = weighted_sum({name: x @ solved[name][0] + solved[name][1] for name, x in X.items()}, weights)
            return join_projections(of_classes(X)[:, :class_bits], of_things, focus)

        return project

    def _in_graph(self, graph: Graph, state: State[BOCHState], modality: str, encoder: str, x: str) -> str:
        of_classes = super()._in_graph(graph, state, modality, encoder, x)
        instances = state.own.instances
        if instances is None:
            return of_classes
        W, b = self._instance_projection(state, modality, instances)
        class_bits = np.arange(self._n_class_bits_of(state))
        return join_in_graph(
            graph,
            graph.add("Gather", graph.cast(of_classes, np.float64), class_bits, axis=1),
            graph.add("Add", graph.add("MatMul", x, W), b),
            self._check_focus(),
            len(b),
        )

    def _instance_projection(
        self, state: State[BOCHState], modality: str, instances: InstanceSums
    ) -> tuple[Matrix, NDArray[np.float64]]:
        """Return W (n_mapped, r_i) and b (r_i,) of the projection ``x W + b`` of instance bits."""
        solved = state.own.projections
        if modality not in solved:
            calibration = state.calibrations.get(modality)
            ridge = state.ridge[modality] if calibration is None else calibration.choice.ridge
            solved[modality] = instance_projection(state.sums[modality], instances.B[modality], ridge)
        return solved[modality]

    def _own_to_file(self, own: BOCHState) -> tuple[Fields, Arrays]:
        fields: Fields = {} if own.seed is None else {"code_seed": own.seed}
        arrays = {} if own.embedding is None else own.embedding.to_arrays()
        if own.space is not None and own.instances is not None:
            own.instances.store(arrays)
            fields["instances"] = own.space.store(arrays)
        return fields, arrays

    def _own_from_file(self, archive: Archive, state: State[Any]) -> BOCHState:
        fields, own, n_bits, c = archive.field("state"), BOCHState(), self._n_bits_of(state), state.n_classes
        if "instances" in fields:
            space = InstanceSpace.restore(fields["instances"], archive, state.n_mapped)
            k, r_i = space.rotation.shape
            if r_i >= n_bits:
                raise ValueError(f"there must be fewer instance bits than {n_bits}, all bits, got {r_i}")
            instances = InstanceSums.restore(archive, c, k, r_i, state.n_features)
            own, n_bits = replace(own, space=space, instances=instances), n_bits - r_i
        if "code_seed" in fields:
            own = replace(own, seed=check_integer("code_seed", fields["code_seed"], 0))
        if EmbeddingSums.is_in(archive):
            own = replace(own, embedding=EmbeddingSums.from_archive(archive, n_bits, c))
        return own
