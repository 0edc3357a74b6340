"""The manifest of a sharded index: which generation of each shard counts, as of the last commit."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash._inputs.checks import check_integer, check_n_bits
from pyhash.distributed.routing import ROUTING

FORMAT = "pyhash-shards"
VERSION = 1
SHARDS_MANIFEST = "shards.json"
MAX_SHARDS = 1 << 16
_MAX_NUMBER = 10**15
_SHARD_NAME = r"shard-[0-9]{4,5}-[0-9a-f]{12}"
_OWN_NAME = rf"{_SHARD_NAME}|\.{re.escape(SHARDS_MANIFEST)}\.[0-9a-f]{{8}}\.partial"


def is_own_name(name: str) -> bool:
    """Return whether the making of a sharded index may have left an entry of this name in a folder."""
    return re.fullmatch(_OWN_NAME, name) is not None


def shard_name(number: int, mark: str) -> str:
    """Return the name of a shard's directory; `mark`, 12 hexadecimal digits, tells apart those of other indexes."""
    return f"shard-{number:04d}-{mark}"


@dataclass(frozen=True)
class ShardEntry:
    """A shard as the manifest names it.

    Attributes
    ----------
    name : str
        Of its directory, in one of the folders of the index.
    generation : int
        Of the ``CodeIndex`` there.
    n : int
        Codes.
    greatest_id : int or None
        None where there are no codes.
    """

    name: str
    generation: int
    n: int
    greatest_id: int | None

    def __post_init__(self) -> None:
        # Names become paths: only those that are made here are accepted.
        if not isinstance(self.name, str) or not re.fullmatch(_SHARD_NAME, self.name):
            raise ValueError(f"name of a shard must be like {shard_name(0, '0' * 12)}, got {self.name!r}")
        check_integer("generation", self.generation, 1, _MAX_NUMBER)
        check_integer("n", self.n, 0, _MAX_NUMBER)
        if (self.greatest_id is None) != (self.n == 0):
            raise ValueError(f"greatest_id must be given where there are codes, got {self.greatest_id!r} for {self.n}")
        if self.greatest_id is not None:
            check_integer("greatest_id", self.greatest_id, -(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True)
class ShardsManifest:
    """The content of one commit of a sharded index.

    Attributes
    ----------
    n_bits : int
        Length of a code in bits.
    fingerprint : str or None
        Of the model that made the codes.
    generation : int
        The number of commits; the making of the index is the first.
    routing : str
        The function that decides the shard of an id.
    shards : tuple of ShardEntry
        In the order of their numbers, which routing gives.
    """

    n_bits: int
    fingerprint: str | None
    generation: int
    routing: str
    shards: tuple[ShardEntry, ...]

    def __post_init__(self) -> None:
        check_n_bits(self.n_bits)
        if self.fingerprint is not None and not isinstance(self.fingerprint, str):
            raise TypeError(f"fingerprint must be a string or None, got {self.fingerprint!r}")
        check_integer("generation", self.generation, 1, _MAX_NUMBER)
        if self.routing != ROUTING:
            raise ValueError(f"routing must be {ROUTING!r}, got {self.routing!r}")
        check_integer("number of shards", len(self.shards), 1, MAX_SHARDS)
        if len({shard.name for shard in self.shards}) < len(self.shards):
            raise ValueError("shards must have different names")

    def to_bytes(self) -> bytes:
        """Return the content of its file. It ends with the crc32 of all bytes before, so no flipped bit passes."""
        return checked_json(FORMAT, VERSION, asdict(self))

    @classmethod
    def read(cls, path: Path) -> ShardsManifest:
        """Read and check a manifest.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ModelFormatError
            If it is damaged, of another format, or written by a newer version.
        """
        return read_checked_json(path, FORMAT, VERSION, "a manifest of shards", cls._of)

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> ShardsManifest:
        shards = fields.pop("shards", None)
        if not isinstance(shards, list) or not all(isinstance(shard, dict) for shard in shards):
            raise TypeError(f"shards must be a list of objects, got {shards!r}")
        return cls(**fields, shards=tuple(ShardEntry(**shard) for shard in shards))
