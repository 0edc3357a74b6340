"""The contract of every method: what it learns from, what it gives, how it is kept."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash.checks import as_rows, check_features, check_integer, shape_of_features
from pyhash.codes import pack
from pyhash.errors import NotFittedError
from pyhash.files import Archive, write_archive
from pyhash.labels import name_rows
from pyhash.methods.parameters import Parameters, restore_parameter, store_parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash.checks import Features

Views = Mapping[str, Any]
Fields = dict[str, Any]
Arrays = dict[str, NDArray[Any]]

# Rows that are projected at a time: the float64 copy of a block stays small.
_ROWS_PER_BLOCK = 8192


class HashingMethod(Parameters, ABC):
    """A model that gives every modality codes in one Hamming space.

    Subclasses say how to learn, how to project and what to keep; checks of views, encoding and files are here.
    """

    n_bits: int
    _codes: NDArray[np.uint8] | None = None
    _fingerprint: str | None = None

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, views: Views, labels: Any) -> Self:
        """Learns from whole data."""

    @abstractmethod
    def _n_features(self) -> dict[str, int]:
        """Columns of each modality learned; empty before any."""

    @abstractmethod
    def _projection(self, modality: str) -> NDArray[np.float64]:
        """The learned (n_features, n_bits) projection of a modality."""

    @abstractmethod
    def _state_to_file(self) -> tuple[Fields, Arrays]:
        """The learned state as header fields and arrays."""

    @abstractmethod
    def _state_from_file(self, archive: Archive) -> None:
        """Takes the learned state of a file, checking every dtype and shape."""

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
        self._check_fitted()
        if self._fingerprint is None:
            raise NotFittedError(f"this {type(self).__name__} has no fingerprint: call fit first")
        return self._fingerprint

    @property
    def modalities_(self) -> dict[str, int]:
        """The modalities learned, with their numbers of features."""
        self._check_fitted()
        return dict(self._n_features())

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

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError, ValueError
            If the modality is unknown, or X has another number of columns or values that are not finite.
        """
        self._check_fitted()
        n_features = self._n_features()
        if modality not in n_features:
            raise ValueError(f"modality must be one of {', '.join(map(repr, n_features))}, got {modality!r}")
        rows = as_rows("X", X)
        n, _ = shape_of_features("X", rows, n_features[modality])
        projection = self._projection(modality)
        out = np.empty((n, projection.shape[1]), dtype=np.float32)
        for start in range(0, n, _ROWS_PER_BLOCK):
            block = check_features("X", rows[start : start + _ROWS_PER_BLOCK], start)
            with np.errstate(over="ignore", invalid="ignore"):
                out[start : start + _ROWS_PER_BLOCK] = block @ projection
        too_large = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if too_large.size:
            raise ValueError(
                f"X must give projections that float32 can hold, {name_rows(too_large)} of it holds too large values"
            )
        return out

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
        OSError
            If the file cannot be written; an existing one is then as it was.
        """
        self._check_fitted()
        fields, arrays = self._state_to_file()
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
            model._state_from_file(archive)
            model._fingerprint = str(archive.fields.get("fingerprint") or _fingerprint_of_file(archive))
        return model

    def _check_fitted(self) -> None:
        if not self._n_features():
            raise NotFittedError(f"this {type(self).__name__} has not learned anything yet: call fit first")


def _fingerprint_of_codes(name: str, n_features: Mapping[str, int], codes: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(json.dumps([name, dict(n_features), list(codes.shape)]).encode())
    digest.update(codes.tobytes())
    return digest.hexdigest()[:32]


def _fingerprint_of_file(archive: Archive) -> str:
    """Of a file from before there were fingerprints: made of all that it holds."""
    digest = hashlib.sha256(archive.kind.encode())
    for name in sorted(archive.arrays):
        digest.update(archive.arrays[name].tobytes())
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
    """A method that learns chunk by chunk.

    What it has learned is one object that is never changed, only replaced: a call that raises, or is interrupted,
    leaves the model as it was.
    """

    _state: Any = None

    @abstractmethod
    def _begin(self, n_features: dict[str, int], labels: list[Features]) -> Any:
        """The state before the first chunk; `labels` are the first chunk's or, in ``fit``, all."""

    @abstractmethod
    def _learn(
        self, state: Any, views: dict[str, Features], labels: list[Features], first_row: int
    ) -> tuple[Any, NDArray[np.int8]]:
        """The state after a chunk, and the chunk's signs; `state` is not changed."""

    @abstractmethod
    def _label_layers(self, labels: Any, n: int) -> list[Features]:
        """Labels as a list of arrays of `n` rows, which ``_learn`` takes slices of; values are not looked at yet."""

    def partial_fit(self, views: Views, labels: Any) -> Self:
        """Learns one chunk of a stream; it happens whole or, if it raises, not at all.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. The first chunk fixes the modalities and their widths.
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
        rows = check_views(views, {} if self._state is None else self._state.n_features)
        layers = self._label_layers(labels, _n_rows(rows))
        state = self._begin(_widths(rows), layers) if self._state is None else self._state
        state, signs = self._learn_chunk(state, rows, layers, 0)
        self._take(state, pack(signs), self._fingerprint)
        return self

    def fit(self, views: Views, labels: Any, *, chunk_size: int | None = 2000, progress: bool | None = None) -> Self:
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
        layers = self._label_layers(labels, n)
        size = n if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        state, packed = self._begin(_widths(rows), layers), []
        for start in _with_progress(range(0, n, size), progress, type(self).__name__):
            chunk = slice(start, start + size)
            state, signs = self._learn_chunk(
                state, {name: x[chunk] for name, x in rows.items()}, [layer[chunk] for layer in layers], start
            )
            packed.append(pack(signs))
        self._take(state, np.concatenate(packed), None)
        return self

    def _take(self, state: Any, codes: NDArray[np.uint8], fingerprint: str | None) -> None:
        codes.flags.writeable = False
        if fingerprint is None:
            fingerprint = _fingerprint_of_codes(type(self).__name__, state.n_features, codes)
        # One call, which no interrupt can divide as it could several assignments.
        self.__dict__.update(_state=state, _codes=codes, _fingerprint=fingerprint)

    def _learn_chunk(
        self, state: Any, rows: dict[str, Features], layers: list[Features], first_row: int
    ) -> tuple[Any, NDArray[np.int8]]:
        checked = {name: check_features(f"views[{name!r}]", x, first_row) for name, x in rows.items()}
        return self._learn(state, checked, layers, first_row)


def _n_rows(rows: Mapping[str, Features]) -> int:
    return int(next(iter(rows.values())).shape[0])


def _widths(rows: Mapping[str, Features]) -> dict[str, int]:
    return {name: int(x.shape[1]) for name, x in rows.items()}


def _with_progress(chunks: range, progress: bool | None, name: str) -> Any:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    return tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
