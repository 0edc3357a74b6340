"""Methods with projections that are linear in mapped features; they keep sums over samples, never samples."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive
from pyhash._inputs.checks import check_bool, check_features, check_fraction, check_integer, check_n_bits, is_sparse
from pyhash._inputs.labels import name_rows
from pyhash.codes import pack
from pyhash.errors import ModelFormatError, NotFittedError
from pyhash.methods.contract import HashingMethod, Views, check_views, n_rows_of, refuse_overflow, weighted_sum
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.bayes_codes import BayesCodes, LabelPosterior
from pyhash.methods.parts.calibration import MAX_ROWS, Calibration, candidates_of
from pyhash.methods.parts.class_table import ClassTable
from pyhash.methods.parts.encoder_trial import ENCODERS, MAX_QUERIES, EncoderTrial
from pyhash.methods.parts.feature_maps import RBFAnchors, apply_map, check_rows, fitted_copy, grown_copy, row_blocks
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.feature_sums import FeatureSums, UnlabelledSums
from pyhash.methods.parts.hierarchy import label_layers, label_matrices
from pyhash.methods.parts.history import Iteration, Recorder, Validation
from pyhash.methods.parts.label_scores import ScoreSolver
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import WHY_A_RIDGE, RidgeSolver
from pyhash.methods.parts.state import Chunk, Own, State, restore_state, store_state

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features

# Streams of random numbers apart from those of learning, which are the numbers of chunks.
_TRIAL, _CALIBRATION = 1 << 32, 1 << 33
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


@dataclass(frozen=True)
class UnmappedRows:
    """Rows to learn from, before their feature maps."""

    views: dict[str, Features]
    labels: list[Matrix]  # 0/1 (n, c_k) of each layer, coarse to fine; empty for methods without labels
    first_row: int  # number of the first row in the user's data

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Rows that have a label in the finest layer; only for methods with labels."""
        return np.flatnonzero(self.labels[-1].any(axis=1))

    def take(self, chosen: NDArray[np.int64]) -> UnmappedRows:
        """Return some of the rows."""
        views = {name: x[chosen] for name, x in self.views.items()}
        return UnmappedRows(views, [matrix[chosen] for matrix in self.labels], self.first_row)


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

    def fit(self, views: Views, labels: Any = None, *, validation: tuple[Views, Any] | None = None) -> Self:
        """Learn whole data from scratch.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. Data frames count as arrays.
        labels : array_like or scipy.sparse
            Class indices (n,), one class a row, or a 0/1 matrix (n, n_classes) with at least one label a row. Methods
            without labels need them for `validation` alone.
        validation : (views, labels), optional
            Rows that are not learned, in the same form, for ``history_``; only with ``record=True``. After each
            iteration they query the codes of the rows that are learned, by the encoder "bits".

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError
            If `views` is not a mapping of str to arrays of real numbers; the model is unchanged, as for every error.
        TypeError
            If class indices are not integers, or a 0/1 matrix does not hold numbers.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If views have different numbers of rows, no rows, or values that are not finite.
        ValueError
            If a row has no label, or one of an unknown class.
        TypeError, ValueError
            If `validation` is not a pair of views and labels like those to learn, or given without ``record=True``.
        """
        rows = check_views(views, {})
        settings = self._settings(list(rows))
        settings, layers = self._with_labels(settings, None, labels, n_rows_of(rows))
        held = self._check_validation(settings, validation, rows, labels)
        state, signs = self._advance(settings, None, rows, layers, 0, held)
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

    def _check_validation(
        self, settings: SettingsT, validation: object, rows: Mapping[str, Features], labels: Any
    ) -> Validation | None:
        """Return validation rows, checked; `rows` and `labels` are of the rows to learn, as are the settings."""
        if validation is None:
            return None
        if not settings.record:
            raise ValueError("validation must be None without record=True, which keeps its scores in history_")
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (views, labels), got {type(validation).__name__}")
        try:
            views = check_views(validation[0], {name: int(x.shape[1]) for name, x in rows.items()})
            for name, x in views.items():
                check_rows(f"views[{name!r}]", x)
            classes, learned = settings.classes, None
            layers = label_layers(validation[1], classes.n_layers, n_rows_of(views))
            if self.is_supervised:
                layers = classes.numbered(layers)
            else:
                if labels is None:
                    raise TypeError("labels of the rows to learn must be given too: they tell what is relevant")
                classes, of_learned = ClassTable().with_labels(label_layers(labels, 1, n_rows_of(rows)))
                classes, layers = classes.with_labels(layers)
                learned = label_matrices(of_learned, (), classes.sizes, 0)[-1].astype(bool)
            L = label_matrices(layers, classes.affiliations, classes.sizes, 0)[-1].astype(bool)
            unknown = np.flatnonzero(~L.any(axis=1))
            if unknown.size:
                raise ValueError(
                    f"labels must give every row a label in the finest layer, none in {name_rows(unknown)}"
                )
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation: {error}") from error
        return Validation(views, L, learned)

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
        if self.is_supervised and self._always_keeps_label_sets and state.label_sets is None:
            raise ModelFormatError(f"{archive.path} has no label sets, which a {type(self).__name__} needs")
        n_bits = check_n_bits(archive.field("state")["n_bits"])
        for m, (name, d) in enumerate(state.n_mapped.items()):
            state.projections[name] = archive.array(f"W.{m}", np.float64, (d, n_bits))
        return dataclasses.replace(state, own=self._own_from_file(archive, state))

    def _n_bits_of(self, state: State[Own]) -> int:
        if state.sums:
            return int(next(iter(state.sums.values())).XB.shape[1])
        return int(self._weights(state, next(iter(state.n_features))).shape[1])

    def _advance(
        self,
        settings: SettingsT,
        state: State[Own] | None,
        views: dict[str, Features],
        layers: list[Features],
        first_row: int,
        validation: Validation | None = None,
    ) -> tuple[State[Own], Signs]:
        """Return the state after a chunk, and its signs, which join the codes of `validation`; `state` stays."""
        classes = settings.classes
        labels = label_matrices(layers, classes.affiliations, classes.sizes, first_row) if self.is_supervised else []
        rows = UnmappedRows(views, labels, first_row)
        if state is not None and classes.sizes != state.classes.sizes:
            state = self._with_classes(settings, state)
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
        is_first = state is None
        state = self._empty_state(settings, rows) if state is None else self._grow(state, rows)
        if settings.decay > 0 and not is_first:
            state = state.scaled(1.0 - settings.decay)
        views = {name: FeatureRows(name, x, state.maps[name], rows.first_row) for name, x in rows.views.items()}
        chunk = Chunk(
            views=views,
            labels=rows.labels,
            sums_before=state.sums,
            XX={name: views[name].add_gram(sums.XX, settings.ridge.get(name)) for name, sums in state.sums.items()},
            label_sets_before=state.label_sets,
        )
        if record:
            score = None if validation is None else self._scorer(settings, state, chunk, validation)
            chunk = dataclasses.replace(chunk, recorder=Recorder(state.n_chunks + 1, score))
        with self._computable():
            own, B = self._learn(settings, state.own, chunk, settings.rng(1 + state.n_chunks))
        sums = {name: old.add(views[name], chunk.XX[name], B, chunk.finest) for name, old in state.sums.items()}
        label_sets, unlabelled = state.label_sets, state.unlabelled
        if label_sets is not None:
            label_sets = label_sets.add(chunk.finest, B)
            unlabelled = self._add_unlabelled(settings, state, chunk)
        learned = dataclasses.replace(
            state,
            n_chunks=state.n_chunks + 1,
            n_samples=state.n_samples + chunk.n,
            sums=sums,
            ridge=settings.ridge if self.is_supervised else {},
            label_sets=label_sets,
            unlabelled=unlabelled,
            own=own,
            history=state.history if chunk.recorder is None else (*state.history, *chunk.recorder.iterations),
            projections={},
            posteriors={},
            solvers={},
            label_posteriors={},
            bayes_codes=[],
        )
        if is_first and self._calibrates(settings):
            with self._computable():
                learned = self._calibrate_first(settings, learned, rows, B)
        return learned, B

    def _add_unlabelled(self, settings: SettingsT, state: State[Own], chunk: Chunk) -> dict[str, UnlabelledSums]:
        """Return the sums over rows without a label in the finest layer, which label scores leave out."""
        among = np.logical_not(chunk.finest.any(axis=1))
        if not among.any():
            return state.unlabelled
        before = state.unlabelled or {name: UnlabelledSums.empty(d) for name, d in state.n_mapped.items()}
        return {name: sums.add(chunk.views[name], among, settings.ridge.get(name)) for name, sums in before.items()}

    def _scorer(
        self, settings: SettingsT, state: State[Own], chunk: Chunk, validation: Validation
    ) -> Callable[[NDArray[Any], Own | None], dict[str, float]]:
        """Return what scores validation rows with the chunk at codes B and the method's own state, if it matters."""
        queries = {name: FeatureRows(name, x, state.maps[name]) for name, x in validation.views.items()}
        no_codes = np.zeros((chunk.n, settings.n_bits))
        # All sums but X'B are those after the chunk.
        sums = {
            name: old.add(chunk.views[name], chunk.XX[name], no_codes, chunk.finest) for name, old in state.sums.items()
        }
        L, systems = _labels_of(chunk.labels, validation), dict[str, RidgeSolver]()

        def score(B: NDArray[Any], own: Own | None) -> dict[str, float]:
            n_bits = B.shape[1]  # fewer than all where other bits are not learned by iterations
            at_B = {
                name: dataclasses.replace(of, XB=of.XB[:, :n_bits] + chunk.views[name].transposed_dot(B))
                for name, of in sums.items()
            }
            now = dataclasses.replace(
                state,
                sums=at_B,
                ridge=settings.ridge if self.is_supervised else {},
                own=state.own if own is None else own,
                projections={},
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
        maps, n_mapped, sums, own = dict(state.maps), dict(state.n_mapped), dict(state.sums), state.own
        unlabelled = dict(state.unlabelled)
        for name, feature_map in state.maps.items():
            grown = grown_copy(f"views[{name!r}]", feature_map, rows.views[name], state.n_chunks, rows.first_row)
            if grown is None:
                continue
            maps[name], C = grown
            n_mapped[name] = sum(C.shape)
            sums[name] = sums[name].completed(C)
            if unlabelled:
                unlabelled[name] = unlabelled[name].completed(C)
            own = self._complete(own, name, C)
        return dataclasses.replace(state, maps=maps, n_mapped=n_mapped, sums=sums, unlabelled=unlabelled, own=own)

    def _calibrate(self, settings: SettingsT, state: State[Own], rows: UnmappedRows) -> State[Own]:
        """Return the state with its calibrations updated by predicting some rows that are not learned yet.

        They begin with the first chunk that needs them, and then go on.
        """
        if not state.calibrations and not (self._calibrates(settings) and state.has_row_sums):
            return state
        held = _drawn(settings.rng(_CALIBRATION + state.n_chunks), rows.labelled, MAX_ROWS)
        L, calibrations = rows.labels[-1][held], {}
        for name, sums in state.sums.items():
            check_rows(f"views[{name!r}]", rows.views[name], rows.first_row)  # all, though only some are predicted
            X = self._mapped(state, name, rows.views[name][held])
            before = state.calibrations.get(name) or Calibration.empty(*candidates_of(state.maps[name], X, sums))
            calibrations[name] = before.with_rows(X, L, cast("LabelSets", state.label_sets), state.solver(name))
        return dataclasses.replace(state, calibrations=calibrations, label_posteriors={})

    def _calibrate_first(self, settings: SettingsT, state: State[Own], rows: UnmappedRows, B: Signs) -> State[Own]:
        """Return the state after the first chunk with calibrations: the sums less some rows predict these rows.

        These are rows that no map was made of, as far as there are; rows that are anchors are held back with their
        columns, since they would be predicted better than new rows.
        """
        L, sets = rows.labels[-1], cast("LabelSets", state.label_sets)
        n = len(L)
        is_anchor = np.zeros(n, dtype=bool)
        for feature_map in state.maps.values():
            if isinstance(feature_map, RBFAnchors):
                is_anchor[feature_map.fitted_rows] = True
        order = settings.rng(_CALIBRATION).permutation(rows.labelled)
        order = order[np.argsort(is_anchor[order], kind="stable")]
        held = np.sort(order[: min(MAX_ROWS, len(order) // 5)])
        rest = np.setdiff1d(np.arange(n), held)
        label_sets = LabelSets.empty(sets.n_classes, settings.n_bits).add(L[rest], B[rest])
        calibrations = {}
        for name in state.sums:
            feature_map, sums = state.maps[name], state.labelled_sums(name)
            X = self._mapped(state, name, rows.views[name][held])
            calibrations[name] = Calibration.empty(*candidates_of(feature_map, X, sums))
            if len(held) == 0:
                continue
            predicting = sums.without(X, L[held])
            if isinstance(feature_map, RBFAnchors) and is_anchor[held].any():
                columns = np.flatnonzero(~np.isin(feature_map.fitted_rows, held))
                if len(columns) == 0:  # every anchor of this map is held back
                    continue
                X, predicting = X[:, columns], predicting.of_columns(columns)
            calibrations[name] = calibrations[name].with_rows(X, L[held], label_sets, ScoreSolver(predicting))
        return dataclasses.replace(state, calibrations=calibrations, label_posteriors={})

    def _mapped(self, state: State[Own], modality: str, rows: Features) -> Features:
        """Return rows of a modality, which were checked before, after its map."""
        name = f"views[{modality!r}]"
        return apply_map(name, modality, state.maps[modality], check_features(name, rows))

    def _empty_state(self, settings: SettingsT, rows: UnmappedRows) -> State[Own]:
        """Return maps fitted on the first chunk, and empty sums."""
        views, n_bits, n_classes = rows.views, settings.n_bits, [matrix.shape[1] for matrix in rows.labels]
        maps = {}
        for name, feature_map in self._maps(views, [name for name, x in views.items() if is_sparse(x)]).items():
            if feature_map is not None:
                check_rows(f"views[{name!r}]", views[name])  # before the map is fitted on them
            maps[name] = fitted_copy(f"views[{name!r}]", feature_map, views[name])
        # One row tells the width that a map gives.
        n_mapped = {name: FeatureRows(name, x[:1], maps[name]).shape[1] for name, x in views.items()}
        sums, label_sets = {}, None
        if self.is_supervised:
            sums = {name: FeatureSums.empty(d, n_bits, n_classes[-1]) for name, d in n_mapped.items()}
            if self._always_keeps_label_sets or settings.encoder != "bits":
                label_sets = LabelSets.empty(n_classes[-1], n_bits)
        return State(
            n_features={name: int(x.shape[1]) for name, x in views.items()},
            n_mapped=n_mapped,
            maps=maps,
            n_chunks=0,
            n_samples=0,
            sums=sums,
            ridge={},
            label_sets=label_sets,
            own=self._begin(settings, n_mapped, n_classes, settings.rng(0)),
            classes=settings.classes,
        )

    def _try_encoders(
        self, settings: SettingsT, state: State[Own] | None, rows: UnmappedRows, rng: np.random.Generator
    ) -> EncoderTrial:
        """Try the encoders on rows that are not learned yet.

        Before the first chunk there is nothing to predict with: a fifth of it is held back, and the rest learned first.
        """
        for name, x in rows.views.items():
            check_rows(f"views[{name!r}]", x, rows.first_row)  # numbered as all rows are, though only some are tried
        n, n_classes = rows.labels[-1].shape
        trial = EncoderTrial.empty(settings.n_bits, n_classes)
        if state is None:
            held = _drawn(rng, rows.labelled, min(MAX_QUERIES, len(rows.labelled) // 5))
            rest = rows.take(np.setdiff1d(np.arange(n), held))
            if len(held) == 0:
                return trial
            state, signs = self._learn_rows(settings, None, rest)
            tried = trial.with_samples(rest.labels[-1], signs, rng)
        else:
            held = _drawn(rng, rows.labelled, MAX_QUERIES)
            trial = tried = state.trial or trial
        queries = rows.take(held)
        scored = tried.with_queries(
            queries.labels[-1],
            list(queries.views),
            ENCODERS if state.has_row_sums else ENCODERS[:2],
            lambda modality, encoder: self._project(
                state,
                {modality: queries.views[modality]},
                {modality: 1.0},
                encoder,
                {modality: f"views[{modality!r}]"},
            ),
        )
        return dataclasses.replace(trial, scores=scored.scores, n_queries=scored.n_queries)

    def _project(
        self,
        state: State[Own],
        rows: Mapping[str, Features],
        weights: Mapping[str, float],
        encoder: str,
        names: Mapping[str, str],
    ) -> NDArray[np.float32]:
        n = n_rows_of(rows)
        project = self._projector(state, weights, encoder)
        out = np.empty((n, self._n_bits_of(state)), dtype=np.float32)
        n_sets = 0 if encoder == "bits" else len(cast("LabelSets", state.label_sets).counts)
        for block in row_blocks(n, n_sets):
            mapped = {}
            for name, x in rows.items():
                keep_float32 = encoder == "posterior" and state.maps[name] is None
                checked = check_features(names[name], x[block], block.start, keep_float32=keep_float32)
                mapped[name] = apply_map(names[name], name, state.maps[name], checked)
            with np.errstate(over="ignore", invalid="ignore"):
                out[block] = project(mapped)
        return refuse_overflow(out, names)

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


def _drawn(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the given rows, in ascending order."""
    drawn: NDArray[np.int64] = np.sort(rng.choice(rows, min(most, len(rows)), replace=False))
    return drawn
