"""Methods with projections that are linear in mapped features; they keep sums over samples, never samples."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive
from pyhash._inputs.checks import check_bool, check_features, check_integer, check_n_bits, shape_of_features
from pyhash.codes import pack
from pyhash.errors import ModelFormatError
from pyhash.methods.contract import HashingMethod, Views, check_views, n_rows_of, refuse_overflow
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.encoder_trial import MAX_QUERIES, EncoderTrial
from pyhash.methods.parts.feature_maps import apply_map, check_rows, fitted_copy, row_blocks
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.hierarchy import ClassLayers, label_matrices
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import solve_ridge
from pyhash.methods.parts.state import Chunk, FeatureSums, Own, State, restore_state, store_state

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class Settings:
    """Checked parameters that all linear methods have. A method with parameters of its own adds them in a subclass."""

    n_bits: int
    classes: ClassLayers
    encoder: str
    seed: int
    ridge: dict[str, float]  # of each modality: of its projection, and of the label scores behind posterior codes

    def rng(self, stream: int) -> np.random.Generator:
        """Return the random numbers of a chunk; they do not depend on the chunks before it."""
        return np.random.default_rng([self.seed, stream])


@dataclass(frozen=True)
class UnmappedRows:
    """Rows to learn from, before their feature maps."""

    views: dict[str, Features]
    labels: list[Matrix]  # 0/1 (n, c_k) of each layer, coarse to fine; empty for methods without labels
    first_row: int  # number of the first row in the user's data

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
        return solve_ridge(sums.XX, sums.XB, state.ridge[modality])

    def _n_classes_of(self, state: State[Own]) -> list[int]:
        """Return the number of classes of each layer, coarse to fine, as the first chunk fixed them."""
        return [state.n_classes]

    # --- what these methods share -------------------------------------------------------------------------------------

    def fit(self, views: Views, labels: Any = None) -> Self:  # noqa: D102 - HashingMethod's
        rows = check_views(views, {})
        settings = self._settings(list(rows))
        layers = self._layers_of(labels, n_rows_of(rows), settings.classes.n_layers)
        state, signs = self._advance(settings, None, rows, layers, settings.classes.count(layers), 0)
        self._take(state, pack(signs), None)
        return self

    def _settings(self, modalities: list[str]) -> SettingsT:
        """Return all parameters, checked; once in a call that learns or saves."""
        shared = Settings(
            n_bits=check_n_bits(self.n_bits),
            classes=ClassLayers.check(getattr(self, "hierarchy", None), getattr(self, "n_classes", None)),
            encoder=self._encoder(),
            seed=check_integer("seed", getattr(self, "seed", 0), 0),
            ridge=per_modality("xi", self.xi, modalities, exclusive=True) if hasattr(self, "xi") else {},
        )
        return self._check_parameters(shared, modalities)

    def _check_continuity(self, state: State[Own]) -> None:
        self._check_unchanged(self._settings(list(state.n_features)), state)

    def _check_unchanged(self, settings: SettingsT, state: State[Own]) -> None:
        """Raise ValueError if parameters do not fit what was learned."""
        self._check_length(settings.n_bits, state)
        self._check_encoder(settings.encoder, state)
        if self.is_supervised:
            settings.classes.check_unchanged(self._n_classes_of(state))

    def _check_encoder(self, encoder: str, state: State[Own]) -> None:
        """Raise ValueError if an encoder needs label sets and the model keeps none."""
        if state.label_sets is None and encoder != "bits":
            raise ValueError(
                f"encoder must stay 'bits' for this {type(self).__name__}, which keeps no label sets, got "
                f"{encoder!r}; to use 'posterior' or 'auto', set it before the first chunk is learned"
            )

    def _encoder_in(self, state: State[Own]) -> str:
        encoder = super()._encoder_in(state)
        self._check_encoder(encoder, state)
        return encoder

    def _to_file(self, state: State[Own]) -> tuple[Fields, Arrays]:
        own_fields, arrays = self._own_to_file(state.own)
        fields = {**store_state(state, self._n_bits_of(state), arrays), **own_fields}
        for m, name in enumerate(state.n_features):
            arrays[f"W.{m}"] = self._weights(state, name)
        return fields, arrays

    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> State[Own]:
        state = restore_state(archive)
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
        n_classes: list[int],
        first_row: int,
    ) -> tuple[State[Own], Signs]:
        """Return the state after a chunk, and its signs; `state` is not changed."""
        affiliations = settings.classes.affiliations
        labels = label_matrices(layers, affiliations, n_classes, first_row) if self.is_supervised else []
        rows = UnmappedRows(views, labels, first_row)
        if settings.encoder != "auto":
            return self._learn_rows(settings, state, rows)
        rng = settings.rng((1 + (0 if state is None else state.n_chunks)) << 32)  # apart from those of learning
        trial = self._try_encoders(settings, state, rows, rng)
        learned, signs = self._learn_rows(settings, state, rows)
        return dataclasses.replace(learned, trial=trial.with_samples(labels[-1], signs, rng)), signs

    def _learn_rows(
        self, settings: SettingsT, state: State[Own] | None, rows: UnmappedRows
    ) -> tuple[State[Own], Signs]:
        if state is None:
            state = self._empty_state(settings, rows)
        views = {name: FeatureRows(name, x, state.maps[name], rows.first_row) for name, x in rows.views.items()}
        chunk = Chunk(
            views=views,
            labels=rows.labels,
            sums_before=state.sums,
            XX={name: views[name].add_gram(sums.XX, settings.ridge.get(name)) for name, sums in state.sums.items()},
            label_sets_before=state.label_sets,
        )
        try:
            with np.errstate(over="raise", invalid="raise"):
                own, B = self._learn(settings, state.own, chunk, settings.rng(1 + state.n_chunks))
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise ValueError(
                f"views and parameters must have values of a size that {type(self).__name__} can compute with in "
                f"float64: {error}; scale the views, as UnitLength does, or use less extreme parameters"
            ) from error
        sums = {
            name: FeatureSums(
                chunk.XX[name], chunk.cross_sum(name, B), old.XL + views[name].transposed_dot(chunk.finest)
            )
            for name, old in state.sums.items()
        }
        learned = dataclasses.replace(
            state,
            n_chunks=state.n_chunks + 1,
            n_samples=state.n_samples + chunk.n,
            sums=sums,
            ridge=settings.ridge if self.is_supervised else {},
            label_sets=None if state.label_sets is None else state.label_sets.add(chunk.finest, B),
            own=own,
            projections={},
            posteriors={},
        )
        return learned, B

    def _empty_state(self, settings: SettingsT, rows: UnmappedRows) -> State[Own]:
        """Return maps fitted on the first chunk, and empty sums."""
        views, n_bits, n_classes = rows.views, settings.n_bits, [matrix.shape[1] for matrix in rows.labels]
        maps = {}
        for name, feature_map in self._maps(list(views)).items():
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
        )

    def _try_encoders(
        self, settings: SettingsT, state: State[Own] | None, rows: UnmappedRows, rng: np.random.Generator
    ) -> EncoderTrial:
        """Try both encoders on rows that are not learned yet.

        Before the first chunk there is nothing to predict with: a fifth of it is held back, and the rest learned first.
        """
        for name, x in rows.views.items():
            check_rows(f"views[{name!r}]", x, rows.first_row)  # numbered as all rows are, though only some are tried
        n, n_classes = rows.labels[-1].shape
        trial = EncoderTrial.empty(settings.n_bits, n_classes)
        if state is None:
            held = np.sort(rng.choice(n, min(MAX_QUERIES, n // 5), replace=False))
            rest = rows.take(np.setdiff1d(np.arange(n), held))
            if len(held) == 0:
                return trial
            state, signs = self._learn_rows(settings, None, rest)
            tried = trial.with_samples(rest.labels[-1], signs, rng)
        else:
            held = np.sort(rng.choice(n, min(MAX_QUERIES, n), replace=False))
            trial = tried = state.trial or trial
        queries = rows.take(held)
        scored = tried.with_queries(
            queries.labels[-1],
            list(queries.views),
            lambda modality, encoder: self._project(state, queries.views[modality], modality, encoder),
        )
        return dataclasses.replace(trial, scores=scored.scores, n_queries=scored.n_queries)

    def _project(self, state: State[Own], rows: Features, modality: str, encoder: str) -> NDArray[np.float32]:
        n, _ = shape_of_features("X", rows, state.n_features[modality])
        project = self._projector(state, modality, encoder)
        keep_float32 = encoder == "posterior" and state.maps[modality] is None
        out = np.empty((n, self._n_bits_of(state)), dtype=np.float32)
        for block in row_blocks(n):
            checked = check_features("X", rows[block], block.start, keep_float32=keep_float32)
            X = apply_map("X", modality, state.maps[modality], checked)
            with np.errstate(over="ignore", invalid="ignore"):
                out[block] = project(X)
        return refuse_overflow(out)

    def _projector(self, state: State[Own], modality: str, encoder: str) -> Callable[[Features], NDArray[Any]]:
        if encoder == "bits":
            W = self._weights(state, modality)
            return lambda X: cast("Matrix", X @ W)
        if modality not in state.posteriors:
            sums = state.sums[modality]
            weights = solve_ridge(sums.XX, sums.XL, state.ridge[modality])
            state.posteriors[modality] = PosteriorEncoder(weights, cast("LabelSets", state.label_sets))
        return state.posteriors[modality]

    def _weights(self, state: State[Own], modality: str) -> Matrix:
        """Return the projection of a modality, solved once when it is first needed."""
        if modality not in state.projections:
            state.projections[modality] = self._solve(state, modality)
        return state.projections[modality]


class OnlineMethod(LinearMethod[SettingsT, Own]):
    """A method that learns chunk by chunk."""

    # A stream may have nearly as many label sets as samples.
    _always_keeps_label_sets = False

    def partial_fit(self, views: Views, labels: Any) -> Self:
        """Learn one chunk of a stream; a call that raises leaves the model unchanged.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. The first chunk fixes the modalities and their widths, and
            feature maps are fitted on it.
        labels : array_like or list of array_like
            Labels of the rows, as the class describes them.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `views` is not a mapping of str to arrays of real numbers.
        TypeError
            If class indices are not integers, or a 0/1 matrix does not hold numbers.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If a parameter that must stay, such as `n_bits`, was changed since the chunks learned.
        ValueError
            If modalities, or their numbers of features, are not those of the chunks learned.
        ValueError
            If views have different numbers of rows, or values that are not finite.
        ValueError
            If a row has no label, or one of an unknown class.
        """
        state = self._state
        rows = check_views(views, {} if state is None else state.n_features)
        settings = self._settings(list(rows))
        if state is not None:
            self._check_unchanged(settings, state)
        layers = self._layers_of(labels, n_rows_of(rows), settings.classes.n_layers)
        n_classes = settings.classes.count(layers) if state is None else self._n_classes_of(state)
        state, signs = self._advance(settings, state, rows, layers, n_classes, 0)
        self._take(state, pack(signs), self._fingerprint)
        return self

    def fit(
        self, views: Views, labels: Any = None, *, chunk_size: int | None = 2000, progress: bool | None = None
    ) -> Self:
        """Learn whole data from scratch, in chunks of consecutive rows.

        Parameters
        ----------
        views, labels
            As for ``partial_fit``. Rows sorted by class make poor chunks: shuffle them.
        chunk_size : int or None
            Rows of a chunk; None: all rows are one chunk.
        progress : bool, optional
            Whether to show a progress bar on stderr; by default where stderr is a terminal.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError, ValueError
            As ``partial_fit``; the model is unchanged.
        TypeError
            If `progress` is not a bool.
        ValueError
            If chunk_size < 1.
        """
        rows = check_views(views, {})
        n = n_rows_of(rows)
        settings = self._settings(list(rows))
        layers = self._layers_of(labels, n, settings.classes.n_layers)
        n_classes = settings.classes.count(layers)
        size = n if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        if progress is not None:
            check_bool("progress", progress)
        state, packed = None, []
        for start in _with_progress(range(0, n, size), progress, type(self).__name__):
            chunk = slice(start, start + size)
            of_views, of_layers = {name: x[chunk] for name, x in rows.items()}, [layer[chunk] for layer in layers]
            state, signs = self._advance(settings, state, of_views, of_layers, n_classes, start)
            packed.append(pack(signs))
        self._take(cast("State[Own]", state), np.concatenate(packed), None)
        return self


def _with_progress(chunks: range, progress: bool | None, name: str) -> Iterable[int]:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    bar: Iterable[int] = tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
    return bar
