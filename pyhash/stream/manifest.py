"""The manifest of a stream folder: which files are one commit, and the offset after it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash._inputs.checks import check_integer

FORMAT = "pyhash-stream"
VERSION = 1
MANIFEST = "stream.json"

_MODEL_FILE = r"model-[0-9]{8,16}\.npz"
# All that a writer ever makes beside the index and may leave behind; nothing else is ever deleted.
_OWN_FILE = rf"{_MODEL_FILE}|\.(?:{_MODEL_FILE}|{re.escape(MANIFEST)})\.[0-9a-f]{{8}}\.partial"


def model_name(generation: int) -> str:
    """Return the name of the file with the model of a commit."""
    return f"model-{generation:08d}.npz"


def is_own_file(name: str) -> bool:
    """Return whether a writer makes files of this name."""
    return re.fullmatch(_OWN_FILE, name) is not None


@dataclass(frozen=True)
class StreamManifest:
    """The content of one commit.

    Attributes
    ----------
    generation : int
        The number of the commit, from 1.
    model : str
        The name of the model's file.
    index_generation : int
        The generation of the index.
    n_chunks : int
        Chunks learned so far.
    offset : value of JSON
        Where the source goes on; None before the first chunk.
    """

    generation: int
    model: str
    index_generation: int
    n_chunks: int
    offset: Any

    def __post_init__(self) -> None:
        check_integer("generation", self.generation, 1)
        check_integer("index_generation", self.index_generation, 1)
        check_integer("n_chunks", self.n_chunks, 0)
        # The name becomes a path: only those that a writer makes are accepted.
        if not isinstance(self.model, str) or not re.fullmatch(_MODEL_FILE, self.model):
            raise ValueError(f"model must be like {model_name(1)}, got {self.model!r}")

    @property
    def files(self) -> set[str]:
        """The names of the files beside the index that are part of the commit."""
        return {self.model}

    def to_bytes(self) -> bytes:
        """Return the content of its file."""
        return checked_json(FORMAT, VERSION, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> StreamManifest | None:
        """Return the manifest of a folder, None where it has none.

        Raises
        ------
        ModelFormatError
            If it is damaged, of another format, or written by a newer version.
        """
        path = folder / MANIFEST
        try:
            return read_checked_json(
                path, FORMAT, VERSION, "a manifest of a stream folder", lambda fields: cls(**fields)
            )
        except FileNotFoundError:
            return None
