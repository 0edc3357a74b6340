"""The manifest of an index directory: which files count, as of a commit."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash._inputs.checks import check_bool, check_integer, check_n_bits

FORMAT = "pyhash-index"
VERSION = 2  # 1 where no segment has tables: older releases read those
MANIFEST = "manifest.json"
PREPARED = "prepared.json"
_MAX_NUMBER = 10**15  # of generations, segments and rows: beyond use, and no size computed from it overflows
_MAX_CRC = (1 << 32) - 1

_NUMBER = "(?:[0-9]{8}|[1-9][0-9]{8,15})"
_SEGMENT_NAME = f"segment-({_NUMBER})"
_ALIVE_NAME = rf"(segment-{_NUMBER})\.alive-({_NUMBER})\.npy"
_TABLES_NAME = rf"(segment-{_NUMBER})\.tables-({_NUMBER})\.npy"
# All that a writer ever makes and may leave behind; nothing else is ever deleted.
_SEGMENT_FILE = rf"segment-{_NUMBER}\.(?:codes|ids|alive-{_NUMBER}|tables-{_NUMBER})\.npy"
_PARTIAL = rf"\.(?:{re.escape(MANIFEST)}|{re.escape(PREPARED)})\.[0-9a-f]{{8}}\.partial"
_OWN_FILE = rf"{_SEGMENT_FILE}|{_PARTIAL}|{re.escape(PREPARED)}"


def is_own_file(name: str) -> bool:
    """Return whether a writer makes files of this name."""
    return re.fullmatch(_OWN_FILE, name) is not None


def segment_name(number: int) -> str:
    """Return the name of a segment."""
    return f"segment-{number:08d}"


def alive_name(segment: str, generation: int) -> str:
    """Return the name of the file with a segment's row mask, as a commit writes it."""
    return f"{segment}.alive-{generation:08d}.npy"


def tables_name(segment: str, generation: int) -> str:
    """Return the name of the file with a segment's substring tables, as a commit writes it."""
    return f"{segment}.tables-{generation:08d}.npy"


@dataclass(frozen=True)
class StoredTables:
    """The substring tables of a segment as the manifest names them.

    Attributes
    ----------
    name : str
        Their file: bytes, as the core laid them out.
    size : int
        Their number.
    crc : int
        crc32 of the whole file.
    n_tables : int
        Tables over runs of bits.
    with_codes : bool
        Whether they hold a copy of the codes.
    """

    name: str
    size: int
    crc: int
    n_tables: int
    with_codes: bool

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1, _MAX_NUMBER)
        check_integer("crc", self.crc, 0, _MAX_CRC)
        check_integer("n_tables", self.n_tables, 1, _MAX_NUMBER)
        check_bool("with_codes", self.with_codes)


@dataclass(frozen=True)
class StoredSegment:
    """A segment as the manifest names it.

    Attributes
    ----------
    name : str
        Its files are ``<name>.codes.npy`` and ``<name>.ids.npy``.
    n : int
        Rows, removed ones included.
    codes_crc, ids_crc : int
        crc32 of the whole files.
    alive : str or None
        File of the mask of rows that are still there; None where all are.
    alive_crc : int or None
        crc32 of that file.
    tables : StoredTables or None
        Its substring tables, where there are any.
    """

    name: str
    n: int
    codes_crc: int
    ids_crc: int
    alive: str | None = None
    alive_crc: int | None = None
    tables: StoredTables | None = None

    def __post_init__(self) -> None:
        # Names become paths: only those that a writer makes are accepted.
        if not isinstance(self.name, str) or not re.fullmatch(_SEGMENT_NAME, self.name):
            raise ValueError(f"name of a segment must be like segment-00000001, got {self.name!r}")
        check_integer("n", self.n, 0, _MAX_NUMBER)
        check_integer("codes_crc", self.codes_crc, 0, _MAX_CRC)
        check_integer("ids_crc", self.ids_crc, 0, _MAX_CRC)
        if self.tables is not None:
            self._check_own_name("tables", self.tables.name, _TABLES_NAME, tables_name(self.name, 1))
        if self.alive is None and self.alive_crc is None:
            return
        self._check_own_name("alive", self.alive, _ALIVE_NAME, alive_name(self.name, 1))
        check_integer("alive_crc", self.alive_crc, 0, _MAX_CRC)

    def _check_own_name(self, field: str, name: object, pattern: str, example: str) -> None:
        match = re.fullmatch(pattern, name) if isinstance(name, str) else None
        if match is None or match[1] != self.name:
            raise ValueError(f"{field} must be like {example}, got {name!r}")

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.name.removeprefix("segment-"))

    @property
    def codes_file(self) -> str:
        """The name of the file with the codes."""
        return f"{self.name}.codes.npy"

    @property
    def ids_file(self) -> str:
        """The name of the file with the ids."""
        return f"{self.name}.ids.npy"

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all its files."""
        alive = () if self.alive is None else (self.alive,)
        tables = () if self.tables is None else (self.tables.name,)
        return (self.codes_file, self.ids_file, *alive, *tables)

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> StoredSegment:
        """Return the segment of an object in the manifest."""
        tables = fields.pop("tables", None)
        if tables is not None and not isinstance(tables, dict):
            raise TypeError(f"tables must be an object, got {tables!r}")
        return cls(**fields, tables=None if tables is None else StoredTables(**tables))

    def to_fields(self) -> dict[str, Any]:
        """Return it as an object in the manifest; one without tables is as version 1 had it."""
        fields = asdict(self)
        if self.tables is None:
            del fields["tables"]
        return fields


@dataclass(frozen=True)
class Manifest:
    """The content of one commit; generation 0 is an index that was never committed, and has no file.

    Attributes
    ----------
    n_bits : int
        Length of a code in bits.
    fingerprint : str or None
        Of the model that made the codes.
    generation : int
        The number of the commit. It grows from one to the next, by more than 1 where a prepared one was given up.
    next_segment : int
        The least number that no segment has had.
    segments : tuple of StoredSegment
    """

    n_bits: int
    fingerprint: str | None
    generation: int
    next_segment: int
    segments: tuple[StoredSegment, ...]

    def __post_init__(self) -> None:
        check_n_bits(self.n_bits)
        if self.fingerprint is not None and not isinstance(self.fingerprint, str):
            raise TypeError(f"fingerprint must be a string or None, got {self.fingerprint!r}")
        check_integer("generation", self.generation, 0, _MAX_NUMBER)
        check_integer("next_segment", self.next_segment, 1, _MAX_NUMBER)
        if len({segment.name for segment in self.segments}) < len(self.segments):
            raise ValueError("segments must have different names")
        for segment in self.segments:
            if segment.number >= self.next_segment:
                raise ValueError(f"next_segment must be above {segment.name}, got {self.next_segment}")

    @property
    def files(self) -> set[str]:
        """The names of the files of all segments."""
        return {name for segment in self.segments for name in segment.files}

    def to_bytes(self) -> bytes:
        """Return the content of its file. It ends with the crc32 of all bytes before, so no flipped bit passes."""
        fields = {**asdict(self), "segments": [segment.to_fields() for segment in self.segments]}
        version = VERSION if any(segment.tables is not None for segment in self.segments) else 1
        return checked_json(FORMAT, version, fields)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ModelFormatError
            If it is damaged, of another format, or written by a newer version.
        """
        return read_checked_json(path, FORMAT, VERSION, "a manifest of an index", cls._of)

    @classmethod
    def _of(cls, fields: dict[str, Any]) -> Manifest:
        check_integer("generation", fields.get("generation"), 1)
        segments = fields.pop("segments", None)
        if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
            raise TypeError(f"segments must be a list of objects, got {segments!r}")
        return cls(**fields, segments=tuple(StoredSegment.of_fields(segment) for segment in segments))
