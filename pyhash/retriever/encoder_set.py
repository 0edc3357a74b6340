"""The encoders of a Retriever by modality, made when they are needed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash.encoders import ENCODER_NAMES, Encoder, make_encoder
from pyhash.errors import ModelFormatError
from pyhash.retriever.manifest import StoredEncoder

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.retriever.item_rows import ItemRows

_STATE_FORMAT = "pyhash-encoder"
_STATE_VERSION = 1

# Modalities are keywords of ``search``, beside these.
_RESERVED = ("k", "where", "weighted", "like")
MAX_MODALITIES = 32


class EncoderSet(Mapping[str, "Encoder | None"]):
    """Encoders by modality, None where items are rows of features already.

    Those of a folder are made at the first look. A set is not changed, but for those: learning replaces it.
    """

    def __init__(self, made: Mapping[str, Encoder | None], stored: Mapping[str, tuple[StoredEncoder, Any]]) -> None:
        self._made = dict(made)
        self._stored = dict(stored)  # with the states, as values of JSON
        self._names = tuple(self._stored) or tuple(self._made)

    @classmethod
    def of(cls, given: object) -> EncoderSet:
        """Return the set that a user gives.

        Raises
        ------
        TypeError
            If it is not a mapping of str to encoders, their names or None.
        ValueError
            If there is none, more than 32, a modality has a name that ``search`` uses, or there is no such encoder.
        ImportError
            If the package of an encoder is not installed.
        """
        if not isinstance(given, Mapping):
            raise TypeError(f"encoders must be a mapping of modalities to encoders, got {type(given).__name__}")
        if not 1 <= len(given) <= MAX_MODALITIES:
            raise ValueError(f"encoders must be of 1 to {MAX_MODALITIES} modalities, got {len(given)}")
        for name in given:
            if not isinstance(name, str):
                raise TypeError(f"encoders must have modalities of type str, got {name!r}")
            if not name or name in _RESERVED:
                raise ValueError(f"encoders must have modalities with names other than {_RESERVED}, got {name!r}")
        return cls({name: _encoder(name, encoder) for name, encoder in given.items()}, {})

    @classmethod
    def opened(cls, folder: Path, stored: tuple[StoredEncoder, ...], given: object) -> EncoderSet:
        """Return the set of a folder; those that a user gives take the place of the stored ones.

        Raises
        ------
        TypeError, ValueError, ImportError
            As ``of``; also if a modality is not one of the folder, or one has an encoder and the other none.
        """
        of_folder = {each.modality: (each, _read_state(folder, each)) for each in stored}
        made: dict[str, Encoder | None] = {each.modality: None for each in stored if each.name is None}
        for name, encoder in ({} if given is None else cls.of(given)).items():
            if name not in of_folder:
                raise ValueError(f"encoders must be of the modalities {', '.join(map(repr, of_folder))}, got {name!r}")
            if (encoder is None) != (of_folder[name][0].name is None):
                wanted = "None, as in the folder" if encoder is not None else "an encoder, as in the folder"
                raise ValueError(f"encoders[{name!r}] must be {wanted}, got {encoder!r}")
            made[name] = encoder
        return cls(made, of_folder)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr({name: self.described(name).name for name in self})

    def __getitem__(self, name: str) -> Encoder | None:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _made(*self._stored[name])
        return self._made[name]

    @property
    def is_features(self) -> dict[str, bool]:
        """Whether items are rows of features already, by modality."""
        return {
            name: self._made[name] is None if name in self._made else self._stored[name][0].name is None
            for name in self
        }

    def described(self, name: str) -> StoredEncoder:
        """Return what a manifest says of the encoder of a modality, without making it."""
        if name not in self._made:
            return self._stored[name][0]
        encoder = self._made[name]
        if encoder is None:
            return StoredEncoder(name)
        return StoredEncoder(name, encoder.name, encoder.version, encoder.kind, by_name=_is_made_by_name(encoder))

    def state(self, name: str) -> Any:
        """Return the state of an encoder as values of JSON, None where it has none."""
        if name not in self._made:
            return self._stored[name][1]
        to_state = getattr(self._made[name], "to_state", None)
        return None if to_state is None else to_state()

    def made(self, name: str) -> Encoder | None:
        """Return the encoder of a modality, None where it was not made yet."""
        return self._made.get(name)

    # --- features -----------------------------------------------------------------------------------------------------

    def features(
        self, name: str, rows: ItemRows, chosen: slice | np.ndarray[Any, Any], batch_size: int, progress: bool = False
    ) -> Features:
        """Return the features of the items of a modality that chosen rows have."""
        items = rows.take(name, chosen)
        encoder = self[name]
        return items if encoder is None else encoder.encode(items, batch_size, progress)

    def refuse_unknown_words(self, rows: ItemRows) -> None:
        """Raise ValueError at a text without a word that its encoder knows: zeros would find anything."""
        for name in rows.items:
            encoder = self[name]
            if encoder is None or not encoder.is_sparse:
                continue
            texts = rows.take(name, slice(None))
            unknown = np.flatnonzero(np.diff(encoder.encode(texts).indptr) == 0)
            if unknown.size:
                raise ValueError(
                    f"{name} must have a word that the encoder {encoder.name!r} knows, got {texts[unknown[0]]!r}"
                )

    def learned(self, rows: ItemRows) -> EncoderSet:
        """Return the set after encoders that learn, such as BagOfWords, have learned from items."""
        made = {}
        for name in rows.items:
            encoder = self[name]
            if encoder is not None and hasattr(encoder, "partial_fit"):
                made[name] = copy.deepcopy(encoder).partial_fit(rows.take(name, slice(None)))
        return self if not made else EncoderSet({**self._made, **made}, self._stored)


def _encoder(name: str, given: object) -> Encoder | None:
    if given is None or isinstance(given, Encoder):
        return given
    if isinstance(given, str):
        # Some names are of models for both kinds.
        return make_encoder(given, kind=name if name in ("image", "text") else None)
    raise TypeError(f"encoders[{name!r}] must be an Encoder, its name or None, got {type(given).__name__}")


def _is_made_by_name(encoder: Encoder) -> bool:
    inner = getattr(encoder, "encoder", None)  # of one with a cache, which has its name
    if isinstance(inner, Encoder):
        return _is_made_by_name(inner)
    prefix, colon, _ = encoder.name.partition(":")
    return ENCODER_NAMES.get(prefix + colon) == f"{type(encoder).__module__}.{type(encoder).__qualname__}"


def _made(stored: StoredEncoder, state: Any) -> Encoder:
    """Return the encoder that a folder names; raise unless it is the same."""
    give = f"give it to open, encoders={{{stored.modality!r}: ...}}"
    if not stored.by_name or stored.name is None:
        raise ValueError(f"encoder {stored.name!r} of {stored.modality!r} cannot be made by its name: {give}")
    encoder = make_encoder(stored.name, kind=stored.kind)
    if state is not None:
        encoder = _with_state(encoder, stored, state)
    if encoder.version != stored.version:
        raise ValueError(
            f"encoder {stored.name!r} of {stored.modality!r} must be of version {stored.version!r}, which encoded the "
            f"items, the installed one is {encoder.version!r}: install that version, or, to use another all the same, "
            f"{give}"
        )
    return encoder


def _with_state(encoder: Any, stored: StoredEncoder, state: Any) -> Encoder:
    try:
        restored: Encoder = type(encoder).from_state(state)
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{stored.file} does not hold the state of encoder {stored.name!r}: {error}") from error
    return restored


def _read_state(folder: Path, stored: StoredEncoder) -> Any:
    if stored.file is None:
        return None
    what = "the state of an encoder"
    return read_checked_json(
        folder / stored.file, _STATE_FORMAT, _STATE_VERSION, what, lambda fields: fields.get("state")
    )


def state_bytes(state: Any) -> bytes:
    """Return the content of the file with the state of an encoder."""
    return checked_json(_STATE_FORMAT, _STATE_VERSION, {"state": state})
