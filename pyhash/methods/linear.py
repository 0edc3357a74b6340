"""Methods with projections that are linear in mapped features; they keep sums over samples, never samples."""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive
from pyhash._inputs.checks import (
    check_bool,
    check_choice,
    check_features,
    check_fraction,
    check_integer,
    check_n_bits,
    is_sparse,
    n_bytes_of,
)
from pyhash._inputs.labels import name_rows
from pyhash.codes import pack
from pyhash.errors import ModelFormatError, NotFittedError
from pyhash.methods.contract import (
    HashingMethod,
    Views,
    check_modality,
    check_views,
    n_features_of,
    n_rows_of,
    refuse_overflow,
    weighted_sum,
)
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.bayes_codes import BayesCodes, LabelPosterior
from pyhash.methods.parts.chunk_calibration import calibrated, drawn_rows, first_calibrated
from pyhash.methods.parts.class_table import ClassTable
from pyhash.methods.parts.encoder_trial import ENCODERS, MAX_QUERIES, EncoderTrial
from pyhash.methods.parts.feature_maps import (
    RBFAnchors,
    apply_map,
    check_rows,
    fitted_copy,
    grown_copy,
    map_in_graph,
    row_blocks,
)
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.feature_sums import FeatureSums, LayerSums, UnlabelledSums
from pyhash.methods.parts.hierarchy import label_layers, label_matrices
from pyhash.methods.parts.history import Iteration, Recorder, Validation
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.origins import Origins
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import WHY_A_RIDGE, RidgeSolver
from pyhash.methods.parts.settled_signs import FEWEST_ROWS, SettledKernelSigns, settle_block, settled_signs
from pyhash.methods.parts.state import Chunk, Own, State, restore_state, store_state
from pyhash.methods.parts.unmapped_rows import UnmappedRows, check_present

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.onnx_graph import Graph

# Streams of random numbers apart from those of learning, which are the numbers of chunks.
_TRIAL, CALIBRATION = 1 << 32, 1 << 33
_CALIBRATED_ENCODERS = ("bayes", "auto")


@dataclass(frozen=True)
class Settings:
    """Checked parameters that all linear methods have. A method with parameters of its own adds them in a subclass."""

    n_bits: int
    classes: ClassTable  # those of the parameters; with the labels of a chunk, all so far
    encoder: str
    seed: int
    ridge: dict[str, float]  # of each modality: of its projection, and of the label scores behind posterior codes
    record: bool  # whether the objective is noted after each iteration
    decay: float  # fraction of their weight that earlier chunks lose with each chunk

    def rng(self, stream: int) -> np.random.Generator:
        """Return the random numbers of a chunk; they do not depend on the chunks before it."""
        return np.random.default_rng([self.seed, stream])


SettingsT = TypeVar("SettingsT", bound=Settings)


class LinearMethod(HashingMethod, Generic[SettingsT, Own]):
    """A method that learns the signs of a chunk, and solves projections of queries from sums over all chunks.

    A subclass implements learning from a chunk; feature maps, sums, encoders and files are here. `SettingsT` is the
    type of its checked parameters, `Own` the type of its state beside what all these methods keep.
    """

    _state: State[Own] | None = None
    record: bool = False  # a parameter of the methods that iterate
    # Whether a model keeps the table of label sets also where its encoder is "bits".
    _always_keeps_label_sets: ClassVar[bool] = True
    # Whether a model keeps what forgetting rows needs to know of the anchors of its maps.
    _keeps_origins: ClassVar[bool] = False
    # Whether projections need the sums of every layer of classes, not of the finest alone.
    _keeps_layer_sums: ClassVar[bool] = False

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def _learn(self, settings: SettingsT, own: Own, chunk: Chunk, rng: np.random.Generator) -> tuple[Own, Signs]:
        """Return what the method itself keeps after a chunk, and the chunk's signs (n, n_bits); do not change `own`."""

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> SettingsT:
        """Return all parameters, checked; the shared ones are those of every method, unless a subclass adds its own."""
        return cast("SettingsT", shared)

    def _begin(
        self, settings: SettingsT, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator
    ) -> Own:
        """Return what the method itself keeps before the first chunk; None, unless a subclass says otherwise."""
        return cast("Own", None)

    def _own_to_file(self, own: Own) -> tuple[Fields, Arrays]:
        """Return what the method itself keeps, as header fields and arrays."""
        return {}, {}

    def _own_from_file(self, archive: Archive, state: State[Any]) -> Own:
        """Return what ``_own_to_file`` gave, every dtype and shape checked."""
        return cast("Own", None)

    def _solve(self, state: State[Own], modality: str) -> Matrix:
        """Return the projection (n_mapped, n_bits) of a modality: ``(X'X + xi I)^{-1} X'B``."""
        sums = state.sums[modality]
        return state.system(modality, lambda: sums.XX).solve(sums.XB)

    def _complete(self, own: Own, modality: str, C: Matrix) -> Own:
        """Return what the method itself keeps, as if features had been there that are X C on earlier rows X."""
        return own

    def _widened(self, settings: SettingsT, own: Own) -> Own:
        """Return what the method itself keeps, with room for all classes of the settings."""
        return own

    def _calibrates(self, settings: SettingsT) -> bool:
        """Return whether label scores must be calibrated."""
        return settings.encoder in _CALIBRATED_ENCODERS

    def _relabel(self, settings: SettingsT, state: State[Own], rows: UnmappedRows) -> tuple[State[Own], UnmappedRows]:
        """Return the state, and the rows with the labels to learn them with; not for the first chunk."""
        return state, rows

    def _bits_are_linear(self, state: State[Own], modality: str) -> bool:
        """Return whether the encoder "bits" takes the signs of mapped features times the projection alone."""
        return state.has_rows(modality)

    def _n_class_bits_of(self, state: State[Own]) -> int:
        """Return how many bits are codes of labels: all, or only the first."""
        return self._n_bits_of(state)

    # --- what these methods share -------------------------------------------------------------------------------------

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the classes learned, by class index: of labels by name an array of objects, else 0, 1, 2, ..."""
        if not self.is_supervised:
            raise AttributeError(f"{type(self).__name__} has no classes_: it does not learn from labels")
        state: State[Own] = self._fitted_state()
        return state.classes.labels()[-1]

    @property
    def history_(self) -> list[dict[str, Any]]:
        """The optimisation, with ``record=True``: one entry for each iteration of each chunk.

        "chunk" and "iteration" are numbers from 1; "objective" is the sum of "terms", which has the weighted terms of
        the objective by name; "validation" is the mAP by direction, or None without validation rows.
        """
        return [iteration.describe() for iteration in self._iterations()]

    @property
    def objective_(self) -> float:
        """The objective after the last iteration, with ``record=True``."""
        return float(self._iterations()[-1].describe()["objective"])

    def _iterations(self) -> tuple[Iteration, ...]:
        if "record" not in self._parameter_names():
            raise AttributeError(f"{type(self).__name__} has no history_ and no objective_: it does not iterate")
        history = self._fitted_state().history
        if not history:
            raise NotFittedError(
                f"this {type(self).__name__} has recorded no history_ and no objective_: set record=True before it "
                "learns (codes of classes, as those of BOCH, take no iteration)"
            )
        return cast("tuple[Iteration, ...]", history)

    def fit(self, views: Views, labels: Any = None, *, validation: tuple[Any, ...] | None = None) -> Self:
        """Learn whole data from scratch.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. Data frames count as arrays.
        labels : array_like or scipy.sparse
            Class indices (n,) or labels by name (n,), one class a row, or a 0/1 matrix (n, n_classes) with at least one
            label a row. Methods without labels need them for `validation` alone.
        validation : (views, labels) or (views, labels, present), optional
            Rows that are not learned, in the same form, for ``history_``; only with ``record=True``. After each
            iteration they query the codes of the rows that are learned, by the encoder "bits". In these rows a view may
            be None, and `present`, a mapping of str to bool arrays (n,), says which rows have a modality.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError
            If `views` is not a mapping of str to arrays of real numbers; the model is unchanged, as for every error.
        TypeError
            If class indices are not integers, a 0/1 matrix does not hold numbers, or a file cannot keep a label.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If views have different numbers of rows, no rows, or values that are not finite.
        ValueError
            If a row has no label, or one of an unknown class.
        TypeError, ValueError
            If `validation` does not hold views and labels like those to learn, or is given without ``record=True``.
        """
        checked = check_views(views, {})
        n, settings = n_rows_of(checked), self._settings(list(checked))
        settings, layers = self._with_labels(settings, None, labels, n)
        held = self._check_validation(settings, validation, n_features_of(checked), labels, n)
        L = self._label_matrices(settings, layers, 0)
        state, signs = self._advance(settings, None, UnmappedRows.of_chunk(checked, L, n), held)
        self._take(state, pack(signs), None)
        return self

    def _settings(self, modalities: list[str]) -> SettingsT:
        """Return all parameters, checked; once in a call that learns or saves."""
        ridge: dict[str, float] = {}
        if hasattr(self, "xi"):
            ridge = per_modality("xi", self.xi, modalities, exclusive=True, why=WHY_A_RIDGE)
        shared = Settings(
            n_bits=check_n_bits(self.n_bits),
            classes=ClassTable.check(getattr(self, "hierarchy", None), getattr(self, "n_classes", None)),
            encoder=self._encoder(),
            seed=check_integer("seed", getattr(self, "seed", 0), 0),
            ridge=ridge,
            record=check_bool("record", self.record),
            decay=check_fraction("decay", getattr(self, "decay", 0.0)),
        )
        return self._check_parameters(shared, modalities)

    def _with_labels(
        self, settings: SettingsT, state: State[Own] | None, labels: Any, n: int
    ) -> tuple[SettingsT, list[Features]]:
        """Return the settings with all classes so far, and labels of `n` rows as class indices or 0/1 matrices."""
        if not self.is_supervised:
            return settings, []
        classes = settings.classes if state is None else state.classes.continued(settings.classes)
        classes, layers = classes.with_labels(self._layers_of(labels, n, classes.n_layers))
        return dataclasses.replace(settings, classes=classes), layers

    def _label_matrices(
        self, settings: SettingsT, layers: list[Features], first_row: int, *, allow_unlabelled: bool = False
    ) -> list[Matrix]:
        """Return the labels (n, c_k) of rows by layer; none for methods without labels."""
        if not self.is_supervised:
            return []
        classes = settings.classes
        return label_matrices(layers, classes.affiliations, classes.sizes, first_row, allow_unlabelled=allow_unlabelled)

    def _check_validation(
        self, settings: SettingsT, validation: object, n_features: Mapping[str, int], labels: Any, n: int
    ) -> Validation | None:
        """Return validation rows, checked; `labels` are of the `n` rows to learn, as are the settings."""
        if validation is None:
            return None
        if not settings.record:
            raise ValueError("validation must be None without record=True, which keeps its scores in history_")
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
            raise TypeError(
                f"validation must be (views, labels) or (views, labels, present), got {type(validation).__name__}"
            )
        try:
            views = check_views(validation[0], n_features, may_lack=True)
            n_held = n_rows_of(views)
            present = check_present(validation[2] if len(validation) > 2 else None, validation[0], n_held)
            classes, learned = settings.classes, None
            layers = label_layers(validation[1], classes.n_layers, n_held)
            if self.is_supervised:
                layers = classes.numbered(layers)
            else:
                if labels is None:
                    raise TypeError("labels of the rows to learn must be given too: they tell what is relevant")
                classes, of_learned = ClassTable().with_labels(label_layers(labels, 1, n))
                classes, layers = classes.with_labels(layers)
                learned = label_matrices(of_learned, (), classes.sizes, 0)[-1].astype(bool)
            L = label_matrices(layers, classes.affiliations, classes.sizes, 0)[-1].astype(bool)
            unknown = np.flatnonzero(~L.any(axis=1))
            if unknown.size:
                raise ValueError(
                    f"labels must give every row a label in the finest layer, none in {name_rows(unknown)}"
                )
            rows = UnmappedRows.of_chunk(views, [L.astype(np.float64)], n_held, 0, present)
            rows.check_values()
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation: {error}") from error
        return Validation(rows, list(n_features), learned)

    def _check_continuity(self, state: State[Own]) -> None:
        self._check_unchanged(self._settings(list(state.n_features)), state)

    def _check_unchanged(self, settings: SettingsT, state: State[Own]) -> None:
        """Raise ValueError if parameters do not fit what was learned."""
        self._check_length(settings.n_bits, state)
        self._check_encoder(settings.encoder, state)
        if self.is_supervised:
            settings.classes.check_continues(state.classes)

    def _check_encoder(self, encoder: str, state: State[Own]) -> None:
        """Raise ValueError if an encoder needs something that the model does not keep."""
        if state.label_sets is None and encoder != "bits":
            raise ValueError(
                f"encoder must stay 'bits' for this {type(self).__name__}, which keeps no label sets, got "
                f"{encoder!r}; to use another one, set it before the first chunk is learned"
            )
        if encoder == "bayes" and not state.has_row_sums:
            raise ValueError(
                f"encoder must not be 'bayes' for this {type(self).__name__}: its file, of version 0.1, "
                "lacks the sums of rows"
            )

    def _encoder_in(self, state: State[Own]) -> str:
        if state.n_samples == 0:
            raise NotFittedError(f"this {type(self).__name__} has no rows learned: call partial_fit first")
        encoder = super()._encoder_in(state)
        self._check_encoder(encoder, state)
        if encoder in ENCODERS[1:] and len(cast("LabelSets", state.label_sets).counts) == 0:
            raise ValueError(
                f"encoder must be 'bits' until a row with a label in the finest layer was learned, got {encoder!r}"
            )
        return encoder

    def _to_file(self, state: State[Own]) -> tuple[Fields, Arrays]:
        own_fields, arrays = self._own_to_file(state.own)
        fields = {**store_state(state, self._n_bits_of(state), arrays), **own_fields}
        for m, name in enumerate(state.n_features):
            arrays[f"W.{m}"] = self._weights(state, name)
        return fields, arrays

    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> State[Own]:
        state = restore_state(archive)
        hierarchy = getattr(self, "hierarchy", None)
        if hierarchy and "classes" not in archive.field("state"):  # a file of an earlier version
            state = dataclasses.replace(state, classes=ClassTable.check(hierarchy, None))
        if self.is_supervised != bool(state.sums):
            raise ModelFormatError(f"{archive.path} must have sums over samples exactly where labels were learned")
        if self._keeps_layer_sums != bool(state.layers):
            raise ModelFormatError(f"{archive.path} must have sums by layers exactly where the method needs them")
        if self.is_supervised and self._always_keeps_label_sets and state.label_sets is None:
            raise ModelFormatError(f"{archive.path} has no label sets, which a {type(self).__name__} needs")
        n_bits = check_n_bits(archive.field("state")["n_bits"])
        for m, (name, d) in enumerate(state.n_mapped.items()):
            state.projections[name] = archive.array(f"W.{m}", np.float64, (d, n_bits))
        return dataclasses.replace(state, own=self._own_from_file(archive, state))

    def _n_classes_of(self, state: State[Own]) -> tuple[int, ...]:
        return tuple(state.classes.sizes) if self.is_supervised else ()

    def _n_bits_of(self, state: State[Own]) -> int:
        if state.sums:
            return int(next(iter(state.sums.values())).XB.shape[1])
        return int(self._weights(state, next(iter(state.n_features))).shape[1])

    def _advance(
        self,
        settings: SettingsT,
        state: State[Own] | None,
        rows: UnmappedRows,
        validation: Validation | None = None,
    ) -> tuple[State[Own], Signs]:
        """Return the state after a chunk, and its signs, which join the codes of `validation`; `state` stays."""
        if state is not None and settings.classes.sizes != state.classes.sizes:
            state = self._with_classes(settings, state)
        if state is not None and rows.n == 0:
            return self._relabel(settings, state, rows)[0], np.empty((0, settings.n_bits), dtype=np.int8)
        trial, rng = None, settings.rng((1 + (0 if state is None else state.n_chunks)) * _TRIAL)
        if settings.encoder == "auto":
            trial = self._try_encoders(settings, state, rows, rng)
        if state is not None:
            with self._computable():
                state, rows = self._relabel(settings, self._calibrate(settings, state, rows), rows)
        learned, signs = self._learn_rows(settings, state, rows, settings.record, validation)
        if validation is not None:
            validation.add_codes(signs, _labels_of(rows.labels, validation))
        if trial is not None:
            learned = dataclasses.replace(learned, trial=trial.with_samples(rows.labels[-1], signs, rng))
        return learned, signs

    def _with_classes(self, settings: SettingsT, state: State[Own]) -> State[Own]:
        """Return the state with room for all classes of the settings."""
        return dataclasses.replace(state.widened(settings.classes), own=self._widened(settings, state.own))

    def _learn_rows(
        self,
        settings: SettingsT,
        state: State[Own] | None,
        rows: UnmappedRows,
        record: bool = False,
        validation: Validation | None = None,
    ) -> tuple[State[Own], Signs]:
        has_new_maps = state is None
        state = self._empty_state(settings, rows) if state is None else self._grow(state, rows)
        is_first = state.n_samples == 0 and not any(of.n_rows for of in state.calibrations.values())
        if settings.decay > 0 and state.n_samples > 0:
            state = state.scaled(1.0 - settings.decay)
        chunk = self._chunk(settings, state, rows)
        if record:
            score = None if validation is None else self._scorer(settings, state, chunk, validation)
            chunk = dataclasses.replace(chunk, recorder=Recorder(state.n_chunks + 1, score))
        coded, B = self._learn_codes(settings, state, chunk)
        learned = self._add_features(settings, coded, chunk, B)
        if is_first and self._calibrates(settings):
            with self._computable():
                rng = settings.rng(CALIBRATION)
                learned = first_calibrated(learned, rows, B, rng, has_new_maps=has_new_maps)
        return learned, B

    def _chunk(self, settings: SettingsT, state: State[Own], rows: UnmappedRows) -> Chunk:
        """Return rows after the maps of the state, with its sums."""
        views = {name: rows.mapped(name, state.maps[name]) for name in rows.views}
        return Chunk(
            views=views,
            labels=rows.labels,
            sums_before=state.sums,
            XX={
                name: views[name].add_gram(sums.XX, settings.ridge.get(name)) if name in views else sums.XX
                for name, sums in state.sums.items()
            },
            label_sets_before=state.label_sets,
        )

    def _learn_codes(self, settings: SettingsT, state: State[Own], chunk: Chunk) -> tuple[State[Own], Signs]:
        """Return the state with the codes of a chunk learned, but no sums over its features yet, and its signs.

        Where codes depend on labels alone, the chunk needs no views.
        """
        with self._computable():
            own, B = self._learn(settings, state.own, chunk, settings.rng(1 + state.n_chunks))
        learned = state.updated(
            n_chunks=state.n_chunks + 1,
            n_samples=state.n_samples + chunk.n,
            ridge=settings.ridge if self.is_supervised else {},
            label_sets=None if state.label_sets is None else state.label_sets.add(chunk.finest, B),
            own=own,
            origins={name: of.with_rows(chunk.n) for name, of in state.origins.items()},
            history=state.history if chunk.recorder is None else (*state.history, *chunk.recorder.iterations),
        )
        return learned, B

    def _add_features(self, settings: SettingsT, state: State[Own], chunk: Chunk, B: NDArray[Any]) -> State[Own]:
        """Return the state with the sums over the features of rows at signs B, all or some of those learned.

        The chunk is one that ``_chunk`` makes with the sums of the state.
        """
        if not self.is_supervised:
            return state
        sums, layers, unlabelled = dict(state.sums), dict(state.layers), dict(state.unlabelled)
        among: NDArray[np.bool_] = np.logical_not(chunk.finest.any(axis=1))
        if state.label_sets is not None and among.any() and not unlabelled:
            unlabelled = {name: UnlabelledSums.empty(d) for name, d in state.n_mapped.items()}
        for name, X in chunk.views.items():
            sums[name] = sums[name].add(X, chunk.XX[name], B, chunk.finest)
            if name in layers:
                layers[name] = layers[name].add(X, chunk.labels)
            if name in unlabelled and (among & X.present).any():
                # Label scores leave them out.
                unlabelled[name] = unlabelled[name].add(X, among, settings.ridge.get(name))
        return state.updated(sums=sums, layers=layers, unlabelled=unlabelled)

    def _scorer(
        self, settings: SettingsT, state: State[Own], chunk: Chunk, validation: Validation
    ) -> Callable[[NDArray[Any], Own | None], dict[str, float]]:
        """Return what scores validation rows with the chunk at codes B and the method's own state, if it matters."""
        queries = {name: validation.rows.mapped(name, state.maps[name]) for name in validation.rows.views}
        no_codes = np.zeros((chunk.n, settings.n_bits))
        # All sums but X'B are those after the chunk.
        after = self._add_features(settings, state, chunk, no_codes)
        L, systems = _labels_of(chunk.labels, validation), dict[str, RidgeSolver]()

        def score(B: NDArray[Any], own: Own | None) -> dict[str, float]:
            n_bits = B.shape[1]  # fewer than all where other bits are not learned by iterations
            at_B = {
                name: dataclasses.replace(
                    of, XB=of.XB[:, :n_bits] + (chunk.views[name].transposed_dot(B) if name in chunk.views else 0.0)
                )
                for name, of in after.sums.items()
            }
            now = after.updated(
                sums=at_B,
                ridge=settings.ridge if self.is_supervised else {},
                own=state.own if own is None else own,
                systems=systems,
            )
            return validation.score({name: X.dot(self._solve(now, name)) for name, X in queries.items()}, B, L)

        return score

    @contextmanager
    def _computable(self) -> Iterator[None]:
        """Raise ValueError where numbers leave the range of float64."""
        try:
            with np.errstate(over="raise", invalid="raise"):
                yield
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise ValueError(
                f"views and parameters must have values of a size that {type(self).__name__} can compute with in "
                f"float64: {error}; scale the views, as UnitLength does, or use less extreme parameters"
            ) from error

    def _grow(self, state: State[Own], rows: UnmappedRows) -> State[Own]:
        """Return the state with the columns that maps take on from a chunk, its sums completed."""
        for name in rows.views:
            what, x = f"views[{name!r}]", rows.features(name)
            grown = grown_copy(what, state.maps[name], x, state.n_chunks, rows.first_row)
            if grown is not None:
                state = state.grown(name, *grown)
                origins = dict(state.origins)
                if name in origins:
                    origins[name] = origins[name].with_anchors(rows.anchors(name, grown[0]))
                own = self._complete(state.own, name, grown[1])
                state = dataclasses.replace(state, origins=origins, own=own)
        return state

    def _calibrate(self, settings: SettingsT, state: State[Own], rows: UnmappedRows) -> State[Own]:
        """Return the state with its calibrations updated by predicting some rows that are not learned yet.

        They begin with the first chunk that needs them, and then go on.
        """
        if state.n_samples == 0:
            return state
        if not state.calibrations and not (self._calibrates(settings) and state.has_row_sums):
            return state
        rows.check_values()  # of all rows, though only some are predicted
        return calibrated(state, rows, settings.rng(CALIBRATION + state.n_chunks))

    def _empty_state(self, settings: SettingsT, rows: UnmappedRows) -> State[Own]:
        """Return maps fitted on the first chunk, and empty sums."""
        n_bits, n_classes = settings.n_bits, [matrix.shape[1] for matrix in rows.labels]
        maps, n_mapped = {}, {}
        for name, feature_map in self._maps(rows.views, [m for m, x in rows.views.items() if is_sparse(x)]).items():
            what, x = f"views[{name!r}]", rows.features(name)
            if feature_map is not None:
                check_rows(what, x)  # before the map is fitted on them
            maps[name] = fitted_copy(what, feature_map, x)
            n_mapped[name] = FeatureRows(name, x[:1], maps[name]).shape[1]  # one row tells the width
        sums, layers, label_sets = {}, {}, None
        if self.is_supervised:
            sums = {name: FeatureSums.empty(d, n_bits, n_classes[-1]) for name, d in n_mapped.items()}
            if self._always_keeps_label_sets or settings.encoder != "bits":
                label_sets = LabelSets.empty(n_classes[-1], n_bits)
        if self._keeps_layer_sums:
            layers = {name: LayerSums.empty(d, n_classes) for name, d in n_mapped.items()}
        origins = {}
        if self._keeps_origins:
            kernels = {name: of for name, of in maps.items() if isinstance(of, RBFAnchors)}
            origins = {name: Origins.of_anchors(rows.anchors(name, of)) for name, of in kernels.items()}
        return State(
            n_features=n_features_of(rows.views),
            n_mapped=n_mapped,
            maps=maps,
            n_chunks=0,
            n_samples=0,
            sums=sums,
            ridge={},
            label_sets=label_sets,
            layers=layers,
            origins=origins,
            own=self._begin(settings, n_mapped, n_classes, settings.rng(0)),
            classes=settings.classes,
        )

    def _try_encoders(
        self, settings: SettingsT, state: State[Own] | None, rows: UnmappedRows, rng: np.random.Generator
    ) -> EncoderTrial:
        """Try the encoders on rows that are not learned yet.

        Before the first chunk there is nothing to predict with: a fifth of it is held back, and the rest learned first.
        """
        rows.check_values()  # of all rows, though only some are tried
        trial = EncoderTrial.empty(settings.n_bits, rows.labels[-1].shape[1])
        if state is None or state.n_samples == 0:
            held = drawn_rows(rng, rows.labelled, min(MAX_QUERIES, len(rows.labelled) // 5))
            rest = rows.take(np.setdiff1d(np.arange(rows.n), held))
            if len(held) == 0 or rest.views.keys() != rows.views.keys():
                return trial
            state, signs = self._learn_rows(settings, state, rest)
            tried = trial.with_samples(rest.labels[-1], signs, rng)
        else:
            held = drawn_rows(rng, rows.labelled, MAX_QUERIES)
            trial = tried = state.trial or trial
        queries = rows.take(held)
        for name in queries.views:
            tried = tried.with_queries(
                queries.labels[-1][queries.has(name)],
                [name],
                ENCODERS if state.has_row_sums else ENCODERS[:2],
                lambda modality, encoder: self._project(
                    state,
                    {modality: queries.features(modality)},
                    {modality: 1.0},
                    encoder,
                    {modality: f"views[{modality!r}]"},
                ),
            )
        no_scores = dict.fromkeys(state.n_features, (0.0,) * len(ENCODERS))
        return dataclasses.replace(trial, scores={**no_scores, **tried.scores}, n_queries=trial.n_queries + queries.n)

    def _project(
        self,
        state: State[Own],
        rows: Mapping[str, Features],
        weights: Mapping[str, float],
        encoder: str,
        names: Mapping[str, str],
    ) -> NDArray[np.float32]:
        self._check_has_rows(state, weights)
        n = n_rows_of(rows)
        project = self._row_projector(state, rows, weights, encoder, names)
        out = np.empty((n, self._n_bits_of(state)), dtype=np.float32)
        n_sets = 0 if encoder == "bits" else len(cast("LabelSets", state.label_sets).counts)
        for block in row_blocks(n, n_sets):
            with np.errstate(over="ignore"):
                out[block] = project(block)
        return refuse_overflow(out, names)

    def _row_projector(
        self,
        state: State[Own],
        rows: Mapping[str, Features],
        weights: Mapping[str, float],
        encoder: str,
        names: Mapping[str, str],
    ) -> Callable[[slice | NDArray[np.int64]], NDArray[Any]]:
        """Return a function from some of the rows to their projections, which may be infinite."""
        project = self._projector(state, weights, encoder)

        def project_rows(which: slice | NDArray[np.int64]) -> NDArray[Any]:
            first_row = which.start if isinstance(which, slice) else int(which[0])
            mapped = {}
            for name, x in rows.items():
                keep_float32 = encoder == "posterior" and state.maps[name] is None
                checked = check_features(names[name], x[which], first_row, keep_float32=keep_float32)
                mapped[name] = apply_map(names[name], name, state.maps[name], checked)
            with np.errstate(over="ignore", invalid="ignore"):
                return project(mapped)

        return project_rows

    def _encode(self, state: State[Own], rows: Features, modality: str, encoder: str) -> NDArray[np.uint8]:
        signs = None
        is_float32 = not is_sparse(rows) and rows.dtype == np.float32
        if is_float32 and len(rows) >= FEWEST_ROWS and encoder == "bits" and self._bits_are_linear(state, modality):
            signs = settled_signs(self._weights(state, modality), state.maps[modality])
        if signs is None:
            return super()._encode(state, rows, modality, encoder)
        names = {modality: "X"}
        project = self._row_projector(state, {modality: rows}, {modality: 1.0}, encoder, names)
        codes = np.empty((len(rows), (self._n_bits_of(state) + 7) // 8), dtype=np.uint8)
        for block in row_blocks(len(rows)):
            of_block = np.ascontiguousarray(rows[block])
            doubtful = settle_block(signs, of_block, codes[block])
            if not doubtful.any():
                continue
            # Whole blocks as ``project`` takes them, but where kernel values are uncertain, those rows alone.
            which: slice | NDArray[np.int64] = block
            if isinstance(signs, SettledKernelSigns) and np.isfinite(of_block[doubtful]).all():
                which = block.start + np.flatnonzero(doubtful)
            with np.errstate(over="ignore"):
                projections = project(which).astype(np.float32, copy=False)
            codes[which] = pack(refuse_overflow(projections, names, block.start))
        return codes

    def _projector(
        self, state: State[Own], weights: Mapping[str, float], encoder: str
    ) -> Callable[[Mapping[str, Features]], NDArray[Any]]:
        """Return a function from mapped rows of the modalities that have weights to projections."""
        if encoder == "bits":
            W = {name: self._weights(state, name) for name in weights}
            return lambda X: weighted_sum({name: x @ W[name] for name, x in X.items()}, weights)
        of_modality: dict[str, LabelPosterior] | dict[str, PosteriorEncoder]
        if encoder == "posterior":
            of_modality = {name: state.posterior(name) for name in weights}
            to_codes: Callable[[Any], NDArray[Any]] = next(iter(of_modality.values())).expected_codes
        else:
            of_modality = {name: state.label_posterior(name) for name in weights}
            to_codes = self._bayes_codes(state)
        return lambda X: to_codes(weighted_sum({name: of_modality[name].logits(x) for name, x in X.items()}, weights))

    def export_onnx(self, path: str | os.PathLike[str], *, modality: str, dtype: str = "float32") -> None:
        """Write the encoder of one modality to an ONNX file, which computes codes without pyhash.

        The file holds everything between features and codes: the feature map, what was learned, and the encoder that
        the modality has now, see ``encoders_``. It is written whole or not at all, and needs no other file. The model
        stays unchanged.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.
        modality : str
            One of the modalities learned.
        dtype : {"float32", "float64"}
            dtype of the input; all that matters for codes is computed in float64.

        Raises
        ------
        NotFittedError
            If nothing was learned yet, or no row with the modality.
        TypeError
            If the feature map is not one of pyhash's: files hold no code.
        ValueError
            If the modality is unknown, or `dtype` none of the choices listed.
        ValueError
            If the arrays together are larger than 2 GiB.
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written; an existing one stays unchanged.

        Notes
        -----
        The input is ``x`` (n, n_features), any number of rows. The outputs are

        - ``projections`` (n, n_bits) float32, as ``project``;
        - ``codes`` (n, ceil(n_bits / 8)) uint8, as ``encode``: packed, least significant bit first.

        Sparse rows are dense there. Values that are not finite raise no error. Bits are those of ``encode`` but where a
        projection is zero within rounding, see docs/howto/onnx.md. The file's metadata are ``pyhash.version``,
        ``pyhash.class``, ``pyhash.modality``, ``pyhash.n_bits``, ``pyhash.encoder`` and ``pyhash.fingerprint``.
        """
        from pyhash._files.onnx_file import import_onnx, write_model
        from pyhash.methods.parts.onnx_graph import Graph, pack_in

        state = self._fitted_state()
        check_modality(state, modality)
        kind = np.dtype(check_choice("dtype", dtype, ("float32", "float64")))
        self._check_has_rows(state, [modality])
        import_onnx(path)
        encoder, n_bits = self._encoder_of(modality), self._n_bits_of(state)
        graph = Graph()
        mapped = map_in_graph(graph, modality, state.maps[modality], graph.cast("x", np.float64))
        projections = graph.cast(self._in_graph(graph, state, modality, encoder, mapped), np.float32)
        codes = pack_in(graph, projections, n_bits)
        model = graph.model(
            type(self).__name__,
            {"x": (kind, ["n", state.n_features[modality]])},
            {
                "projections": (projections, np.float32, ["n", n_bits]),
                "codes": (codes, np.uint8, ["n", n_bytes_of(n_bits)]),
            },
        )
        properties = {
            "class": type(self).__name__,
            "modality": modality,
            "n_bits": str(n_bits),
            "encoder": encoder,
            "fingerprint": self.fingerprint,
        }
        write_model(path, model, properties)

    def _in_graph(self, graph: Graph, state: State[Own], modality: str, encoder: str, x: str) -> str:
        """Return the projections (n, n_bits) of mapped rows x (n, d) float64 of a graph, in float32 or float64."""
        if encoder == "bits":
            return str(graph.add("MatMul", x, self._weights(state, modality)))
        if encoder == "posterior":
            return state.posterior(modality).in_graph(graph, x)
        return self._bayes_codes(state).in_graph(graph, state.label_posterior(modality).in_graph(graph, x))

    def _check_has_rows(self, state: State[Own], modalities: Iterable[str]) -> None:
        for name in modalities:
            if not state.has_rows(name):
                raise NotFittedError(
                    f"this {type(self).__name__} has no rows with the modality {name!r} learned: call partial_fit first"
                )

    def _bayes_codes(self, state: State[Own]) -> BayesCodes:
        """Return what makes codes of posteriors, the same for all modalities."""
        if not state.bayes_codes:
            state.bayes_codes.append(BayesCodes(cast("LabelSets", state.label_sets), self._n_class_bits_of(state)))
        return state.bayes_codes[0]

    def _weights(self, state: State[Own], modality: str) -> Matrix:
        """Return the projection of a modality, solved once when it is first needed."""
        if modality not in state.projections:
            state.projections[modality] = self._solve(state, modality)
        return state.projections[modality]


def _labels_of(labels: list[Matrix], validation: Validation) -> NDArray[Any]:
    """Return the finest labels (n, c) of rows that are learned, where the method itself may have none."""
    return labels[-1] if validation.known_labels is None else validation.known_labels
