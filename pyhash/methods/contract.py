"""The contract of all methods: learning, projections, codes, files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._files.archive import Archive
from pyhash._files.npz import write_archive
from pyhash._inputs.checks import as_rows, check_choice, check_n_bits, shape_of_features
from pyhash._inputs.labels import name_rows
from pyhash.codes import pack
from pyhash.errors import NotFittedError
from pyhash.methods.parts.arrays import Arrays, Fields
from pyhash.methods.parts.encoder_trial import ENCODERS, EncoderTrial
from pyhash.methods.parts.feature_maps import check_feature_maps
from pyhash.methods.parts.hierarchy import label_layers
from pyhash.methods.parts.parameters import Parameters, restore_parameter, store_parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features

Views = Mapping[str, Any]


class FittedState(Protocol):
    """State of a model that has learned; it is never changed, only replaced."""

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each modality, as the user gives it."""

    @property
    def n_samples(self) -> int:
        """Number of rows learned."""

    @property
    def trial(self) -> EncoderTrial | None:
        """Trial of both encoders, where one was made."""


class HashingMethod(Parameters, ABC):
    """A model that gives every modality codes in one Hamming space.

    A subclass implements learning, projection, and the content of its files. The learned state is one object that is
    never changed, only replaced: a call that raises, or is interrupted, leaves the model unchanged.
    """

    n_bits: int
    feature_maps: Mapping[str, Any] | None
    is_supervised: ClassVar[bool] = True
    _state: Any = None  # a FittedState; each subclass names its type
    _codes: NDArray[np.uint8] | None = None
    _fingerprint: str | None = None

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, views: Views, labels: Any = None) -> Self:
        """Learn whole data from scratch.

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
        """

    @abstractmethod
    def _project(self, state: Any, rows: Features, modality: str, encoder: str) -> NDArray[np.float32]:
        """Return projections (n, n_bits) of rows whose values are not checked yet."""

    @abstractmethod
    def _n_bits_of(self, state: Any) -> int:
        """Return the length of the learned codes."""

    @abstractmethod
    def _to_file(self, state: Any) -> tuple[Fields, Arrays]:
        """Return the state as header fields and arrays."""

    @abstractmethod
    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> FittedState:
        """Return the state of a file, every dtype and shape checked."""

    def _stored_params(self) -> dict[str, Any]:
        """Return the parameters that a file keeps."""
        return self.get_params()

    @classmethod
    def _from_stored_params(cls, parameters: dict[str, Any]) -> Self:
        """Return an unfitted model with the parameters of a file."""
        return cls(**parameters)

    @staticmethod
    def _write(path: str | os.PathLike[str], kind: str, fields: Fields, arrays: Arrays) -> None:
        """Write a file, whole or not at all."""
        write_archive(path, kind, fields, arrays)

    def _default_map(self) -> Any:
        """Return the feature map of modalities for which the user names none."""

    # --- what every method has ----------------------------------------------------------------------------------------

    @property
    def codes_(self) -> NDArray[np.uint8]:
        """Packed codes (n, ceil(n_bits / 8)) uint8 of the rows of the last ``fit`` or ``partial_fit``; read-only."""
        if self._codes is None:
            raise NotFittedError(
                "codes_ are those of the last fit or partial_fit, and this model has made none (files do not keep them)"
            )
        return self._codes

    @property
    def fingerprint(self) -> str:
        """Identity of the model whose codes belong together: 32 hexadecimal digits.

        A hash of the class, the modalities and the codes of the first chunk, or of all data in ``fit``. It does not
        change when the model learns further or is saved.
        """
        self._fitted_state()
        if self._fingerprint is None:
            raise NotFittedError(f"this {type(self).__name__} has no fingerprint: call fit first")
        return self._fingerprint

    @property
    def modalities_(self) -> dict[str, int]:
        """The learned modalities with their numbers of features."""
        return dict(self._fitted_state().n_features)

    @property
    def n_samples_seen_(self) -> int:
        """Number of rows learned so far."""
        return int(self._fitted_state().n_samples)

    @property
    def encoders_(self) -> dict[str, str]:
        """Encoder of each modality, "bits" or "posterior"; for ``encoder="auto"`` the one that was chosen."""
        state = self._fitted_state()
        encoder = self._encoder_in(state)
        return {modality: _chosen(encoder, state, modality) for modality in state.n_features}

    def project(self, X: ArrayLike, *, modality: str) -> NDArray[np.float32]:
        """Return the projections of samples of one modality: codes before the sign.

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
        TypeError
            If X does not hold real numbers.
        ValueError
            If the modality is unknown.
        ValueError
            If X has another number of columns than the learned modality.
        ValueError
            If X has values that are not finite, or too large to be projected.
        """
        state = self._fitted_state()
        check_modality(state, modality)
        return self._project(state, as_rows("X", X), modality, self._encoder_of(modality))

    def encode(self, X: ArrayLike, *, modality: str) -> NDArray[np.uint8]:
        """Return the packed codes of samples of one modality: ``sgn(project(X))``.

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

    def check_n_features(self, n: int, n_features: Mapping[str, int]) -> None:
        """Raise ValueError if `n` rows of so many features, by modality, are known to be too few for `n_bits`.

        By default any number is enough. ``compare`` asks before the first run.
        """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and the learned state to a file, whole or not at all; ``pyhash.load`` reads it.

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
        ValueError
            If a parameter is out of range, or does not fit what was learned.
        OSError
            If the file cannot be written; an existing file is unchanged.
        """
        state = self._fitted_state()
        self._check_continuity(state)
        fields, arrays = self._to_file(state)
        parameters = {name: store_parameter(name, value, arrays) for name, value in self._stored_params().items()}
        header = {"parameters": parameters, "state": fields, "fingerprint": self.fingerprint}
        self._write(path, type(self).__name__, header, arrays)

    @classmethod
    def from_archive(cls, archive: Archive, backbones: Mapping[str, Any] | None = None) -> Self:
        """Return the model of a file; see ``pyhash.load``."""
        with archive.taken_for(cls.__name__):
            parameters = {
                name: restore_parameter(stored, archive.arrays) for name, stored in archive.field("parameters").items()
            }
            model = cls._from_stored_params(parameters)
            model._state = model._from_file(archive, backbones)
            model._check_continuity(model._state)
            model._fingerprint = _check_fingerprint(archive.field("fingerprint"))
        return model

    # --- within -------------------------------------------------------------------------------------------------------

    def _fitted_state(self) -> Any:
        if self._state is None:
            raise NotFittedError(f"this {type(self).__name__} has not learned anything yet: call fit first")
        return self._state

    def _take(self, state: FittedState, codes: NDArray[np.uint8], fingerprint: str | None) -> None:
        codes.flags.writeable = False
        if fingerprint is None:
            fingerprint = _fingerprint_of_codes(type(self).__name__, state.n_features, codes)
        # One call, which no interrupt can divide as it could several assignments.
        self.__dict__.update(_state=state, _codes=codes, _fingerprint=fingerprint)

    def _layers_of(self, labels: Any, n: int, n_layers: int = 1) -> list[Features]:
        """Return labels as arrays of `n` rows, one a layer; none for methods without labels."""
        if not self.is_supervised:
            return []
        if labels is None:
            raise TypeError(f"labels must be given: {type(self).__name__} learns from them")
        return label_layers(labels, n_layers, n)

    def _encoder(self) -> str:
        if not self.is_supervised:
            return "bits"
        return check_choice("encoder", getattr(self, "encoder"), (*ENCODERS, "auto"))  # noqa: B009

    def _encoder_in(self, state: Any) -> str:
        """Return the parameter `encoder`, where what was learned serves it."""
        return self._encoder()

    def _encoder_of(self, modality: str) -> str:
        state = self._fitted_state()
        return _chosen(self._encoder_in(state), state, modality)

    def _check_continuity(self, state: Any) -> None:
        """Raise an error if a parameter is invalid or does not fit what was learned."""
        self._check_length(check_n_bits(self.n_bits), state)

    def _check_length(self, n_bits: int, state: Any) -> None:
        learned = self._n_bits_of(state)
        if n_bits != learned:
            raise ValueError(f"n_bits must stay {learned} once chunks were learned, got {n_bits}")

    def _maps(self, modalities: list[str]) -> dict[str, Any]:
        given = check_feature_maps(self.feature_maps)
        unknown = [name for name in given if name not in modalities]
        if unknown:
            raise ValueError(
                f"feature_maps must be for modalities of the views, {', '.join(map(repr, modalities))}, "
                f"got one for {unknown[0]!r}"
            )
        return {name: given[name] if name in given else self._default_map() for name in modalities}


def _chosen(encoder: str, state: FittedState, modality: str) -> str:
    """Return the encoder of a modality: for "auto" the one that did better in the trial."""
    if encoder != "auto":
        return encoder
    return "bits" if state.trial is None else state.trial.choice(modality)


def _fingerprint_of_codes(name: str, n_features: Mapping[str, int], codes: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(json.dumps([name, dict(n_features), list(codes.shape)]).encode())
    digest.update(codes.tobytes())
    return digest.hexdigest()[:32]


def _check_fingerprint(fingerprint: object) -> str:
    if not isinstance(fingerprint, str) or re.fullmatch("[0-9a-f]{32}", fingerprint) is None:
        raise ValueError(f"fingerprint must be 32 hexadecimal digits, got {fingerprint!r}")
    return fingerprint


def check_views(views: object, n_features: Mapping[str, int]) -> dict[str, Features]:
    """Return views in a form whose rows can be sliced; `n_features` are the learned modalities, empty before any."""
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


def check_modality(state: FittedState, modality: object) -> None:
    """Refuse a modality that was not learned."""
    if not isinstance(modality, str):
        raise TypeError(f"modality must be the name of a modality, got {modality!r}")
    if modality not in state.n_features:
        raise ValueError(f"modality must be one of {', '.join(map(repr, state.n_features))}, got {modality!r}")


def refuse_overflow(projections: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return projections of X; raise ValueError if some are not finite."""
    too_large = np.flatnonzero(~np.isfinite(projections).all(axis=1))
    if too_large.size:
        raise ValueError(
            f"X must give projections that float32 can hold, got values that are too large in {name_rows(too_large)}"
        )
    return projections


def n_rows_of(rows: Mapping[str, Features]) -> int:
    """Return the number of rows of views that have equally many."""
    return int(next(iter(rows.values())).shape[0])
