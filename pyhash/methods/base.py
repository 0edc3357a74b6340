"""The contract of every method: what it learns from, what it gives, how it is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash.checks import (
    as_rows,
    check_choice,
    check_features,
    check_integer,
    check_n_bits,
    shape_of_features,
)
from pyhash.codes import pack
from pyhash.errors import NotFittedError
from pyhash.files import Archive, write_archive
from pyhash.labels import name_rows
from pyhash.methods.encoder_trial import ENCODERS, MAX_QUERIES, EncoderTrial
from pyhash.methods.feature_maps import apply_map, check_feature_maps, check_rows, fitted_copy, row_blocks
from pyhash.methods.feature_rows import FeatureRows
from pyhash.methods.hierarchy import count_classes, label_layers, label_matrices
from pyhash.methods.label_sets import LabelSets
from pyhash.methods.parameters import Parameters, per_modality, restore_parameter, store_parameter
from pyhash.methods.posterior import PosteriorEncoder
from pyhash.methods.ridge import solve_ridge
from pyhash.methods.state import Arrays, Chunk, Fields, Matrix, State, Sums, restore_state, store_state

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash.checks import Features

Views = Mapping[str, Any]
Projector = Callable[[Any], NDArray[Any]]


class HashingMethod(Parameters, ABC):
    """A model that gives every modality codes in one Hamming space.

    A subclass says how to learn from a chunk; views, labels, feature maps, encoders and files are here. What was
    learned is one object that is never changed, only replaced: a call that raises, or is interrupted, leaves the model
    as it was.
    """

    n_bits: int
    feature_maps: Mapping[str, Any] | None
    is_supervised: ClassVar[bool] = True
    _state: State | None = None
    _codes: NDArray[np.uint8] | None = None
    _fingerprint: str | None = None

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

    def _default_map(self) -> Any:
        """The feature map of modalities for which the user names none."""

    def _ridges(self, modalities: list[str]) -> dict[str, float]:
        """The ridge of each modality: of its projection, and of the label scores behind posterior codes."""
        return per_modality("xi", getattr(self, "xi"), modalities, exclusive=True)  # noqa: B009

    def _n_classes(self, layers: list[Features]) -> list[int]:
        """Classes of each layer of labels, coarse to fine."""
        n_classes = getattr(self, "n_classes", None)
        return [count_classes(layers[0]) if n_classes is None else check_integer("n_classes", n_classes, 1)]

    def _label_layers(self, labels: Any, n: int) -> list[Features]:
        """Labels as a list of arrays of `n` rows, one a layer; values are not looked at yet."""
        return label_layers(labels, 1, n)

    def _label_matrices(self, layers: list[Features], n_classes: list[int], first_row: int) -> list[Matrix]:
        """Labels as 0/1 matrices (n, c_k), checked."""
        return label_matrices(layers, [], n_classes, first_row)

    def _solve(self, state: State, modality: str) -> Matrix:
        """The projection (n_mapped, n_bits) of a modality: ``(X'X + xi I)^{-1} X'B``."""
        sums = state.sums[modality]
        return solve_ridge(sums.XX, sums.XB, state.ridge[modality])

    # --- what every method has ----------------------------------------------------------------------------------------

    @property
    def codes_(self) -> NDArray[np.uint8]:
        """Packed codes (n, ceil(n_bits / 8)) uint8 of the rows of the last ``fit`` or ``partial_fit``; read only."""
        if self._codes is None:
            raise NotFittedError(
                "codes_ are those of the last fit or partial_fit, and this model has made none (files do not keep them)"
            )
        return self._codes

    @property
    def fingerprint(self) -> str:
        """What tells this model's codes from those of others: 32 hexadecimal digits.

        Made of the class, the modalities and the codes of the first chunk, or of all data in ``fit``. It stays as the
        model learns further and when it is saved: the codes of all chunks belong together.
        """
        self._learned()
        if self._fingerprint is None:
            raise NotFittedError(f"this {type(self).__name__} has no fingerprint: call fit first")
        return self._fingerprint

    @property
    def modalities_(self) -> dict[str, int]:
        """The modalities learned, with their numbers of features."""
        return dict(self._learned().n_features)

    @property
    def n_samples_seen_(self) -> int:
        """Rows learned so far."""
        return self._learned().n_samples

    @property
    def encoders_(self) -> dict[str, str]:
        """The encoder that each modality is encoded by, "bits" or "posterior": what ``encoder="auto"`` chose."""
        return {modality: self._encoder_of(modality) for modality in self._learned().n_features}

    def fit(self, views: Views, labels: Any = None) -> Self:
        """Learns whole data from the start.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. Data frames count as arrays.
        labels : array_like or scipy.sparse
            Class indices (n,), one class a row, or a 0/1 matrix (n, n_classes) with at least one label a row. Methods
            without labels ignore them.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError, ValueError
            If a parameter, a view or the labels are not as they must be; the model is as it was before then.
        """
        rows = check_views(views, {})
        layers = self._layers_of(labels, _n_rows(rows))
        state, signs = self._advance(None, rows, layers, self._classes_of(layers), 0)
        self._take(state, pack(signs), None)
        return self

    def project(self, X: ArrayLike, *, modality: str) -> NDArray[np.float32]:
        """Projections of samples of one modality: codes before the sign.

        Parameters
        ----------
        X : array_like or scipy.sparse of shape (n, n_features)
            Real and finite.
        modality : str
            One of the modalities learned.

        Returns
        -------
        ndarray of shape (n, n_bits), float32
            Under the encoder "posterior" the expected code, in [-1, 1].

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError, ValueError
            If the modality is unknown, or X has another number of columns or values that are not finite.
        """
        state = self._learned()
        if modality not in state.n_features:
            raise ValueError(f"modality must be one of {', '.join(map(repr, state.n_features))}, got {modality!r}")
        return self._project(state, as_rows("X", X), modality, self._encoder_of(modality))

    def encode(self, X: ArrayLike, *, modality: str) -> NDArray[np.uint8]:
        """Packed codes of samples of one modality: ``sgn(project(X))``.

        Parameters
        ----------
        X, modality
            As for ``project``.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``project``.
        """
        return pack(self.project(X, modality=modality))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes parameters and what was learned to a file, whole or not at all; ``pyhash.load`` reads it.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If a feature map is not one of pyhash's: files hold no code.
        OSError
            If the file cannot be written; an existing one is then as it was.
        """
        state = self._learned()
        self._check_continuity(state)
        own_fields, arrays = self._own_to_file(state.own)
        fields = {**store_state(state, self._n_bits_of(state), arrays), **own_fields}
        for m, name in enumerate(state.n_features):
            arrays[f"W.{m}"] = self._weights(state, name)
        parameters = {name: store_parameter(name, value, arrays) for name, value in self.get_params().items()}
        header = {"parameters": parameters, "state": fields, "fingerprint": self.fingerprint}
        write_archive(path, type(self).__name__, header, arrays)

    @classmethod
    def from_archive(cls, archive: Archive) -> Self:
        """The model of a file; see ``pyhash.load``."""
        with archive.taken_for(cls.__name__):
            parameters = {
                name: restore_parameter(stored, archive.arrays) for name, stored in archive.field("parameters").items()
            }
            model = cls(**parameters)
            state = restore_state(archive)
            for m, (name, d) in enumerate(state.n_mapped.items()):
                state.solved["bits", name] = archive.array(f"W.{m}", np.float64, (d, None))
            model._state = dataclasses.replace(state, own=model._own_from_file(archive, state))
            model._fingerprint = str(archive.field("fingerprint"))
        return model

    # --- within -------------------------------------------------------------------------------------------------------

    def _learned(self) -> State:
        if self._state is None:
            raise NotFittedError(f"this {type(self).__name__} has not learned anything yet: call fit first")
        return self._state

    def _take(self, state: State, codes: NDArray[np.uint8], fingerprint: str | None) -> None:
        codes.flags.writeable = False
        if fingerprint is None:
            fingerprint = _fingerprint_of_codes(type(self).__name__, state.n_features, codes)
        # One call, which no interrupt can divide as it could several assignments.
        self.__dict__.update(_state=state, _codes=codes, _fingerprint=fingerprint)

    def _layers_of(self, labels: Any, n: int) -> list[Features]:
        if not self.is_supervised:
            return []
        if labels is None:
            raise TypeError(f"labels must be given: {type(self).__name__} learns from them")
        return self._label_layers(labels, n)

    def _classes_of(self, layers: list[Features]) -> list[int]:
        return self._n_classes(layers) if self.is_supervised else []

    def _rng(self, stream: int) -> np.random.Generator:
        # A stream of its own for each chunk: what a chunk draws does not depend on how it came here.
        return np.random.default_rng([check_integer("seed", getattr(self, "seed", 0), 0), stream])

    def _encoder(self) -> str:
        if not self.is_supervised:
            return "bits"
        return check_choice("encoder", getattr(self, "encoder"), (*ENCODERS, "auto"))  # noqa: B009

    def _encoder_of(self, modality: str) -> str:
        encoder = self._encoder()
        if encoder != "auto":
            return encoder
        trial = self._learned().trial
        return "bits" if trial is None else trial.choice(modality)

    def _check_continuity(self, state: State) -> None:
        """Refuses parameters that what was learned can no longer take."""
        n_bits = self._n_bits_of(state)
        if check_n_bits(self.n_bits) != n_bits:
            raise ValueError(f"n_bits must stay {n_bits} once chunks were learned, got {self.n_bits}")

    def _n_bits_of(self, state: State) -> int:
        if state.label_sets is not None:
            return int(state.label_sets.code_sums.shape[1])
        return int(self._weights(state, next(iter(state.n_features))).shape[1])

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
        own, B = self._learn(state.own, chunk, self._rng(1 + state.n_chunks))
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
        return State(
            n_features={name: int(x.shape[1]) for name, x in rows.items()},
            n_mapped=n_mapped,
            maps=maps,
            n_chunks=0,
            n_samples=0,
            sums={name: Sums.empty(d, n_bits, n_classes[-1]) for name, d in n_mapped.items()} if supervised else {},
            ridge={},
            label_sets=LabelSets.empty(n_classes[-1], n_bits) if supervised else None,
            own=self._begin(n_mapped, n_classes, self._rng(0)),
        )

    def _maps(self, modalities: list[str]) -> dict[str, Any]:
        given = check_feature_maps(self.feature_maps)
        unknown = [name for name in given if name not in modalities]
        if unknown:
            raise ValueError(
                f"feature_maps must be for modalities of the views, {', '.join(map(repr, modalities))}, "
                f"got one for {unknown[0]!r}"
            )
        return {name: given[name] if name in given else self._default_map() for name in modalities}

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
        too_large = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if too_large.size:
            raise ValueError(
                f"X must give projections that float32 can hold, {name_rows(too_large)} of it holds too large values"
            )
        return out

    def _projector(self, state: State, modality: str, encoder: str) -> tuple[Projector, int]:
        if encoder == "bits":
            W = self._weights(state, modality)
            return (lambda X: cast("Matrix", X @ W)), W.shape[1]
        key = ("posterior", modality)
        sets = state.label_sets
        if sets is None or len(sets.counts) == 0:
            raise ValueError(
                f"encoder must be 'bits' for this {type(self).__name__}: its file is older than posterior encoding"
            )
        if key not in state.solved:
            sums = state.sums[modality]
            weights = solve_ridge(sums.XX, sums.XL, state.ridge[modality])
            state.solved[key] = PosteriorEncoder(weights, sets)
        return state.solved[key], sets.code_sums.shape[1]

    def _weights(self, state: State, modality: str) -> Matrix:
        """The projection of a modality, solved once when it is first needed."""
        key = ("bits", modality)
        if key not in state.solved:
            state.solved[key] = self._solve(state, modality)
        weights: Matrix = state.solved[key]
        return weights


def _fingerprint_of_codes(name: str, n_features: Mapping[str, int], codes: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(json.dumps([name, dict(n_features), list(codes.shape)]).encode())
    digest.update(codes.tobytes())
    return digest.hexdigest()[:32]


def check_views(views: object, n_features: Mapping[str, int]) -> dict[str, Features]:
    """Views in a form whose rows can be sliced; `n_features` are the modalities learned, empty before any."""
    if not isinstance(views, Mapping):
        raise TypeError(f"views must be a mapping of modality names to features, got {type(views).__name__}")
    if not views:
        raise ValueError("views must hold at least one modality, got none")
    for name in views:
        if not isinstance(name, str):
            raise TypeError(f"views must have names of type str, got {name!r}")
    if n_features:
        missing = [name for name in n_features if name not in views]
        unknown = [name for name in views if name not in n_features]
        if missing or unknown:
            wrong = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is unknown"
            raise ValueError(f"views must be {', '.join(map(repr, n_features))} as learned before, {wrong}")
    rows = {name: as_rows(f"views[{name!r}]", views[name]) for name in (n_features or views)}
    n_rows = {name: shape_of_features(f"views[{name!r}]", x, n_features.get(name))[0] for name, x in rows.items()}
    if len(set(n_rows.values())) > 1:
        shown = ", ".join(f"{name!r} has {n}" for name, n in n_rows.items())
        raise ValueError(f"views must have equally many rows, {shown}")
    if not all(n_rows.values()):
        raise ValueError("views must have at least one row, got none")
    return rows


class OnlineMethod(HashingMethod):
    """A method that learns chunk by chunk."""

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
        layers = self._layers_of(labels, _n_rows(rows))
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
        n = _n_rows(rows)
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
        learned = cast("LabelSets", state.label_sets).n_classes
        n_classes = getattr(self, "n_classes", None)
        if n_classes not in (None, learned):
            raise ValueError(f"n_classes must stay {learned} once chunks were learned, got {n_classes}")
        return [learned]


def _n_rows(rows: Mapping[str, Features]) -> int:
    return int(next(iter(rows.values())).shape[0])


def _with_progress(chunks: range, progress: bool | None, name: str) -> Any:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    return tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
