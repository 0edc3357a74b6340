"""Small JSON files that end with the crc32 of all bytes before, so that no flipped bit passes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pyhash._files.archive import check_version
from pyhash.errors import ModelFormatError

_CRC_MARK = b',\n "crc32": '
_OWN_FIELDS = {"format", "version", "crc32"}
_T = TypeVar("_T")


def checked_json(format: str, version: int, fields: Mapping[str, Any]) -> bytes:
    """Return the content of a file; equal fields give equal bytes.

    Raises
    ------
    TypeError
        If `fields` hold what JSON does not have.
    ValueError
        If `fields` hold NaN or infinity.
    """
    content = {"format": format, "version": version, **fields}
    body = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}").encode()
    return body + _end_of(body)


def read_checked_json(path: Path, format: str, version: int, what: str, make: Callable[[dict[str, Any]], _T]) -> _T:
    """Return what `make` makes of the fields of a file; its TypeError or ValueError says what is wrong with them.

    `version` is the newest that can be read; errors call the file `what`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ModelFormatError
        If it is damaged, of another format, of a newer version, or its fields are wrong.
    """
    try:
        raw = path.read_bytes()
    except IsADirectoryError as error:
        raise ModelFormatError(f"{path} is not {what}: it is a directory") from error
    try:
        content = json.loads(raw)
    except Exception as error:  # damaged JSON fails in many ways: syntax, text, digits, depth
        raise ModelFormatError(f"{path} is not a whole manifest: {error or type(error).__name__}") from error
    if not isinstance(content, dict) or content.get("format") != format:
        raise ModelFormatError(f"{path} is not {what}: it names another format")
    # Before the crc: a newer version may have another.
    check_version(path, content.get("version"), version)
    body, mark, _ = raw.rpartition(_CRC_MARK)
    if not mark or raw != body + _end_of(body):
        raise ModelFormatError(f"{path} is damaged: its crc32 is not that of its content")
    try:
        return make({name: value for name, value in content.items() if name not in _OWN_FIELDS})
    except (TypeError, ValueError) as error:
        raise ModelFormatError(f"{path} is not a valid manifest: {error}") from error


def _end_of(body: bytes) -> bytes:
    return _CRC_MARK + str(zlib.crc32(body)).encode() + b"\n}\n"
