"""The manifest of a Retriever's folder: which files are one commit."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash._inputs.checks import check_integer, check_n_bits
from pyhash.retriever.payload_part import StoredPart

FORMAT = "pyhash-retriever"
VERSION = 1
MANIFEST = "retriever.json"
EVALUATION = "evaluation.json"

_NUMBER = r"[0-9]{8,16}"
_MODEL_FILE = rf"model-{_NUMBER}\.(?:npz|safetensors)"
_ITEMS_FILE = rf"items-{_NUMBER}\.npz"
_ENCODER_FILE = rf"encoder-[0-9]{{2}}-{_NUMBER}\.json"
_PAYLOAD_FILE = r"payload-[0-9]{8}\.arrow"
_ANY = f"{_MODEL_FILE}|{_ITEMS_FILE}|{_ENCODER_FILE}|{_PAYLOAD_FILE}"
# All that a writer ever makes beside the index and may leave behind; nothing else is ever deleted.
_OWN_FILE = rf"{_ANY}|\.(?:{_ANY}|{re.escape(MANIFEST)}|{re.escape(EVALUATION)})\.[0-9a-f]{{8}}\.partial"


def is_own_file(name: str) -> bool:
    """Return whether a writer makes files of this name, which a manifest names."""
    return re.fullmatch(_OWN_FILE, name) is not None


@dataclass(frozen=True)
class StoredEncoder:
    """The encoder of a modality, as the manifest describes it.

    Attributes
    ----------
    modality : str
    name, version, kind : str or None
        Of the encoder; None where items are rows of features.
    by_name : bool
        Whether ``make_encoder`` makes it by its name.
    file : str or None
        The file with its state, where it has one.
    """

    modality: str
    name: str | None = None
    version: str | None = None
    kind: str | None = None
    by_name: bool = False
    file: str | None = None

    def __post_init__(self) -> None:
        texts = (self.name, self.version, self.kind)
        if not isinstance(self.modality, str) or not isinstance(self.by_name, bool):
            raise TypeError("encoders must have a modality of type str, and by_name of type bool")
        if any(text is not None for text in texts) and not all(isinstance(text, str) for text in texts):
            raise TypeError(f"encoders must have name, version and kind of type str, got {texts}")
        _check_name("encoders", self.file, _ENCODER_FILE, optional=True)


@dataclass(frozen=True)
class RetrieverManifest:
    """The content of one commit.

    Attributes
    ----------
    generation : int
        The number of the commit, from 1.
    index_generation : int
        The generation of the index.
    model, items : str
        Names of files.
    model_crc, items_crc : int
        The crc32 of these files.
    n_bits, seed, batch_size : int
    method : str
        Its name.
    encoders : tuple of StoredEncoder
        By modality, in the order of the modalities.
    payload : tuple of StoredPart
        By ascending number.
    next_part : int
        Number of the next part of the payload.
    """

    generation: int
    index_generation: int
    model: str
    items: str
    model_crc: int
    items_crc: int
    n_bits: int
    method: str
    seed: int
    batch_size: int
    encoders: tuple[StoredEncoder, ...]
    payload: tuple[StoredPart, ...]
    next_part: int

    def __post_init__(self) -> None:
        check_integer("generation", self.generation, 1)
        check_integer("index_generation", self.index_generation, 1)
        check_n_bits(self.n_bits)
        check_integer("seed", self.seed, 0)
        check_integer("batch_size", self.batch_size, 1)
        # The names become paths: only those that a writer makes are accepted.
        _check_name("model", self.model, _MODEL_FILE)
        _check_name("items", self.items, _ITEMS_FILE)
        check_integer("model_crc", self.model_crc, 0, 0xFFFF_FFFF)
        check_integer("items_crc", self.items_crc, 0, 0xFFFF_FFFF)
        if not isinstance(self.method, str):
            raise TypeError(f"method must be a str, got {self.method!r}")
        modalities = [encoder.modality for encoder in self.encoders]
        if not modalities or len(set(modalities)) < len(modalities):
            raise ValueError(f"encoders must be of different modalities, got {modalities}")
        numbers = [0, *(part.number for part in self.payload), check_integer("next_part", self.next_part, 1)]
        if any(one >= other for one, other in pairwise(numbers)):
            raise ValueError(f"payload must have ascending numbers below next_part, got {numbers[1:]}")

    @property
    def files(self) -> set[str]:
        """The names of all files beside the index that are part of the commit."""
        states = {encoder.file for encoder in self.encoders if encoder.file is not None}
        return {self.model, self.items, *states, *(part.file for part in self.payload)}

    def to_bytes(self) -> bytes:
        """Return the content of its file."""
        return checked_json(FORMAT, VERSION, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RetrieverManifest | None:
        """Return the manifest of a folder, None where it has none.

        Raises
        ------
        ModelFormatError
            If it is damaged, of another format, or written by a newer version.
        """
        try:
            return read_checked_json(folder / MANIFEST, FORMAT, VERSION, "a manifest of a Retriever", cls._of)
        except FileNotFoundError:
            return None

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> RetrieverManifest:
        encoders, payload = fields.pop("encoders", ()), fields.pop("payload", ())
        return cls(
            encoders=tuple(StoredEncoder(**encoder) for encoder in encoders),
            payload=tuple(StoredPart(**part) for part in payload),
            **fields,
        )


def _check_name(what: str, name: object, pattern: str, *, optional: bool = False) -> None:
    if name is None and optional:
        return
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        raise ValueError(f"{what} must name a file that a writer makes, got {name!r}")
