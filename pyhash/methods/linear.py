"""Methods whose projections are linear in mapped features: sums over samples are all that they keep."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive
from pyhash._inputs.checks import check_features, check_integer, check_n_bits, shape_of_features
from pyhash.codes import pack
from pyhash.errors import ModelFormatError
from pyhash.methods.contract import HashingMethod, Views, check_views, n_rows_of, refuse_overflow
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix
from pyhash.methods.parts.encoder_trial import MAX_QUERIES, EncoderTrial
from pyhash.methods.parts.feature_maps import apply_map, check_rows, fitted_copy, row_blocks
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import solve_ridge
from pyhash.methods.parts.state import Chunk, State, Sums, restore_state, store_state

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features

Projector = Callable[[Any], NDArray[Any]]


class LinearMethod(HashingMethod):
    """Learns signs from a chunk; projections of queries are solved from sums over all chunks.

    A subclass says how to learn from a chunk; feature maps, sums, encoders and files are here.
    """

    _state: State | None = None
    # Whether a model keeps the table of label sets also where its encoder is "bits".
    _always_keeps_label_sets: ClassVar[bool] = True

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def _learn(self, own: Any, chunk: Chunk, rng: np.random.Generator) -> tuple[Any, NDArray[np.int8]]:
        """What the method itself keeps after a chunk, and the chunk's signs (n, n_bits); `own` is not changed."""

    def _check_parameters(self, modalities: list[str]) -> None:
        """Refuses parameters that are not as they must be; n_bits, seed and ridges are seen to."""

    def _begin(self, n_mapped: dict[str, int], n_classes: list[int], rng: np.random.Generator) -> Any:
        """What the method itself keeps before the first chunk; nothing, unless it says otherwise."""

    def _own_to_file(self, own: Any) -> tuple[Fields, Arrays]:
        """What the method itself keeps, as header fields and arrays."""
        return {}, {}

    def _own_from_file(self, archive: Archive, state: State) -> Any:
        """What ``_own_to_file`` gave, every dtype and shape checked."""

    def _ridges(self, modalities: list[str]) -> dict[str, float]:
        """The ridge of each modality: of its projection, and of the label scores behind posterior codes."""
        return per_modality("xi", getattr(self, "xi"), modalities, exclusive=True)  # noqa: B009

    def _solve(self, state: State, modality: str) -> Matrix:
        """The projection (n_mapped, n_bits) of a modality: ``(X'X + xi I)^{-1} X'B``."""
        sums = state.sums[modality]
        return solve_ridge(sums.XX, sums.XB, state.ridge[modality])

    # --- what these methods share -------------------------------------------------------------------------------------

    def fit(self, views: Views, labels: Any = None) -> Self:  # noqa: D102 - HashingMethod's
        rows = check_views(views, {})
        layers = self._layers_of(labels, n_rows_of(rows))
        state, signs = self._advance(None, rows, layers, self._classes_of(layers), 0)
        self._take(state, pack(signs), None)
        return self

    def _to_file(self, state: State) -> tuple[Fields, Arrays]:
        own_fields, arrays = self._own_to_file(state.own)
        fields = {**store_state(state, self._n_bits_of(state), arrays), **own_fields}
        for m, name in enumerate(state.n_features):
            arrays[f"W.{m}"] = self._weights(state, name)
        return fields, arrays

    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> State:
        state = restore_state(archive)
        if self.is_supervised != bool(state.sums):
            raise ModelFormatError(f"{archive.path} must have sums over samples exactly where labels were learned")
        if self.is_supervised and self._always_keeps_label_sets and state.label_sets is None:
            raise ModelFormatError(f"{archive.path} has no label sets, which a {type(self).__name__} needs")
        n_bits = check_n_bits(archive.field("state")["n_bits"])
        for m, (name, d) in enumerate(state.n_mapped.items()):
            state.solved["bits", name] = archive.array(f"W.{m}", np.float64, (d, n_bits))
        return dataclasses.replace(state, own=self._own_from_file(archive, state))

    def _n_bits_of(self, state: State) -> int:
        if state.sums:
            return int(next(iter(state.sums.values())).XB.shape[1])
        return int(self._weights(state, next(iter(state.n_features))).shape[1])

    def _encoder_of(self, modality: str) -> str:
        self._check_encoder(self._learned())
        return super()._encoder_of(modality)

    def _check_continuity(self, state: State) -> None:
        super()._check_continuity(state)
        self._check_encoder(state)

    def _check_encoder(self, state: State) -> None:
        """Refuse an encoder that needs label sets where the model keeps none."""
        if state.label_sets is None and self._encoder() != "bits":
            raise ValueError(
                f"encoder must stay 'bits' for this {type(self).__name__}, which keeps no label sets, got "
                f"{self._encoder()!r}; to use 'posterior' or 'auto', set it before the first chunk is learned"
            )

    def _advance(
        self,
        state: State | None,
        rows: dict[str, Features],
        layers: list[Features],
        n_classes: list[int],
        first_row: int,
    ) -> tuple[State, NDArray[np.int8]]:
        """The state after a chunk, and its signs; `state` is not changed."""
        labels = self._label_matrices(layers, n_classes, first_row) if self.is_supervised else []
        if self._encoder() != "auto":
            return self._learn_rows(state, rows, labels, n_classes, first_row)
        rng = self._rng((1 + (0 if state is None else state.n_chunks)) << 32)  # apart from those of learning
        trial = self._try_encoders(state, rows, labels, n_classes, first_row, rng)
        learned, signs = self._learn_rows(state, rows, labels, n_classes, first_row)
        return dataclasses.replace(learned, trial=trial.with_samples(labels[-1], signs, rng)), signs

    def _learn_rows(
        self,
        state: State | None,
        rows: dict[str, Features],
        labels: list[Matrix],
        n_classes: list[int],
        first_row: int,
    ) -> tuple[State, NDArray[np.int8]]:
        if state is None:
            state = self._empty_state(rows, n_classes)
        else:
            self._check_parameters(list(state.n_features))
            self._check_continuity(state)
        ridge = self._ridges(list(state.n_features)) if self.is_supervised else {}
        views = {name: FeatureRows(name, x, state.maps[name], first_row) for name, x in rows.items()}
        chunk = Chunk(
            views=views,
            labels=labels,
            sums_before=state.sums,
            XX={name: views[name].add_gram(sums.XX) for name, sums in state.sums.items()},
            label_sets_before=state.label_sets,
        )
        try:
            with np.errstate(over="raise", invalid="raise"):
                own, B = self._learn(state.own, chunk, self._rng(1 + state.n_chunks))
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise ValueError(
                f"views must have values of a size that {type(self).__name__} can compute with in float64: {error}; "
                "scale them, as UnitLength does"
            ) from error
        sums = {
            name: Sums(chunk.XX[name], chunk.cross_sum(name, B), old.XL + views[name].transposed_dot(chunk.finest))
            for name, old in state.sums.items()
        }
        learned = dataclasses.replace(
            state,
            n_chunks=state.n_chunks + 1,
            n_samples=state.n_samples + chunk.n,
            sums=sums,
            ridge=ridge,
            label_sets=None if state.label_sets is None else state.label_sets.add(chunk.finest, B),
            own=own,
            solved={},
        )
        return learned, B

    def _empty_state(self, rows: dict[str, Features], n_classes: list[int]) -> State:
        """Maps fitted on the first chunk, and sums of nothing."""
        n_bits = check_n_bits(self.n_bits)
        self._check_parameters(list(rows))
        maps = {}
        for name, feature_map in self._maps(list(rows)).items():
            if feature_map is not None:
                check_rows(f"views[{name!r}]", rows[name])  # before the map is fitted on them
            maps[name] = fitted_copy(feature_map, rows[name])
        # One row tells the width that a map gives.
        n_mapped = {name: FeatureRows(name, x[:1], maps[name]).shape[1] for name, x in rows.items()}
        supervised = self.is_supervised
        keeps_label_sets = self._always_keeps_label_sets or self._encoder() != "bits"
        return State(
            n_features={name: int(x.shape[1]) for name, x in rows.items()},
            n_mapped=n_mapped,
            maps=maps,
            n_chunks=0,
            n_samples=0,
            sums={name: Sums.empty(d, n_bits, n_classes[-1]) for name, d in n_mapped.items()} if supervised else {},
            ridge={},
            label_sets=LabelSets.empty(n_classes[-1], n_bits) if supervised and keeps_label_sets else None,
            own=self._begin(n_mapped, n_classes, self._rng(0)),
        )

    def _try_encoders(
        self,
        state: State | None,
        rows: dict[str, Features],
        labels: list[Matrix],
        n_classes: list[int],
        first_row: int,
        rng: np.random.Generator,
    ) -> EncoderTrial:
        """Both encoders on rows that are not learned yet: predict, then learn.

        Before the first chunk there is nothing to predict with: a fifth of it is held back, and the rest learned first.
        """
        for name, x in rows.items():
            check_rows(f"views[{name!r}]", x, first_row)  # by the numbers of all rows, of which only some are tried
        L = labels[-1]
        n = len(L)
        trial = EncoderTrial.empty(check_n_bits(self.n_bits), n_classes[-1])
        if state is None:
            held = np.sort(rng.choice(n, min(MAX_QUERIES, n // 5), replace=False))
            rest = np.setdiff1d(np.arange(n), held)
            if len(held) == 0:
                return trial
            state, signs = self._learn_rows(
                None, {name: x[rest] for name, x in rows.items()}, [m[rest] for m in labels], n_classes, first_row
            )
            tried = trial.with_samples(L[rest], signs, rng)
        else:
            held = np.sort(rng.choice(n, min(MAX_QUERIES, n), replace=False))
            trial = tried = state.trial or trial
        scored = tried.with_queries(
            L[held],
            list(rows),
            lambda modality, encoder: self._project(state, rows[modality][held], modality, encoder),
        )
        return dataclasses.replace(trial, scores=scored.scores, n_queries=scored.n_queries)

    def _project(self, state: State, rows: Features, modality: str, encoder: str) -> NDArray[np.float32]:
        n, _ = shape_of_features("X", rows, state.n_features[modality])
        project, n_bits = self._projector(state, modality, encoder)
        keep_float32 = encoder == "posterior" and state.maps[modality] is None
        out = np.empty((n, n_bits), dtype=np.float32)
        for block in row_blocks(n):
            checked = check_features("X", rows[block], block.start, keep_float32=keep_float32)
            X = apply_map(modality, state.maps[modality], checked)
            with np.errstate(over="ignore", invalid="ignore"):
                out[block] = project(X)
        return refuse_overflow(out)

    def _projector(self, state: State, modality: str, encoder: str) -> tuple[Projector, int]:
        if encoder == "bits":
            W = self._weights(state, modality)
            return (lambda X: cast("Matrix", X @ W)), W.shape[1]
        key = ("posterior", modality)
        if key not in state.solved:
            sums = state.sums[modality]
            weights = solve_ridge(sums.XX, sums.XL, state.ridge[modality])
            state.solved[key] = PosteriorEncoder(weights, cast("LabelSets", state.label_sets))
        return state.solved[key], self._n_bits_of(state)

    def _weights(self, state: State, modality: str) -> Matrix:
        """The projection of a modality, solved once when it is first needed."""
        key = ("bits", modality)
        if key not in state.solved:
            state.solved[key] = self._solve(state, modality)
        weights: Matrix = state.solved[key]
        return weights


class OnlineMethod(LinearMethod):
    """A method that learns chunk by chunk."""

    # They may be nearly as many as the samples of a stream.
    _always_keeps_label_sets = False

    def partial_fit(self, views: Views, labels: Any) -> Self:
        """Learns one chunk of a stream; it happens whole or, if it raises, not at all.

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
        TypeError, ValueError
            If a parameter, a view or the labels are not as they must be.
        """
        state = self._state
        rows = check_views(views, {} if state is None else state.n_features)
        layers = self._layers_of(labels, n_rows_of(rows))
        n_classes = self._classes_of(layers) if state is None else self._classes_learned(state)
        state, signs = self._advance(state, rows, layers, n_classes, 0)
        self._take(state, pack(signs), self._fingerprint)
        return self

    def fit(
        self, views: Views, labels: Any = None, *, chunk_size: int | None = 2000, progress: bool | None = None
    ) -> Self:
        """Learns whole data from the start, in chunks of consecutive rows.

        Parameters
        ----------
        views, labels
            As for ``partial_fit``. Rows sorted by class make poor chunks: shuffle them.
        chunk_size : int or None
            Rows of a chunk; None: all rows are one chunk.
        progress : bool, optional
            Whether to show a progress bar on stderr; by default where that is a terminal.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError, ValueError
            As ``partial_fit``; the model is as it was before then.
        """
        rows = check_views(views, {})
        n = n_rows_of(rows)
        layers = self._layers_of(labels, n)
        n_classes = self._classes_of(layers)
        size = n if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        state, packed = None, []
        for start in _with_progress(range(0, n, size), progress, type(self).__name__):
            chunk = slice(start, start + size)
            of_views, of_layers = {name: x[chunk] for name, x in rows.items()}, [layer[chunk] for layer in layers]
            state, signs = self._advance(state, of_views, of_layers, n_classes, start)
            packed.append(pack(signs))
        self._take(cast("State", state), np.concatenate(packed), None)
        return self

    def _classes_learned(self, state: State) -> list[int]:
        """Classes of each layer, as the first chunk fixed them; refuses a parameter that says otherwise."""
        learned = next(iter(state.sums.values())).XL.shape[1]
        n_classes = getattr(self, "n_classes", None)
        if n_classes not in (None, learned):
            raise ValueError(f"n_classes must stay {learned} once chunks were learned, got {n_classes}")
        return [learned]


def _with_progress(chunks: range, progress: bool | None, name: str) -> Any:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    return tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
