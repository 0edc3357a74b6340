"""The file that a comparison grows: one line of JSON for each combination, kept whatever happens to the next."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyhash._files.atomic import sync_directory

RESULTS = "results.jsonl"
_LOCK = "lock"


class ResultLines:
    """Records by their key, in a file; use ``open_results``.

    Attributes
    ----------
    records : dict of str to dict
        What the file holds.
    n_dropped : int
        1 if the file ended within a line, as a crash leaves it, else 0: that line is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_dropped = _drop_broken_end(path)
        self.records = {record["key"]: record for record in _read(path)}

    def append(self, record: dict[str, Any]) -> None:
        """Writes a record; on disk when this returns."""
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        is_new = not self.path.exists()
        with open(self.path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_directory(self.path.parent)
        self.records[record["key"]] = record


@contextmanager
def open_results(directory: str | os.PathLike[str]) -> Iterator[ResultLines]:
    """The results of a folder, which is made where it is missing; no other process may write them meanwhile."""
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder} cannot be written: {error.strerror}") from error
    with _locked(folder):
        yield ResultLines(folder / RESULTS)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl

    # The kernel's lock ends with the process, however it ends; the file stays.
    with open(folder / _LOCK, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"{folder} must have one writer at a time, another comparison writes to it") from None
        yield


def _drop_broken_end(path: Path) -> int:
    """Cuts off what follows the last end of a line; returns how many lines that were."""
    if not path.exists():
        return 0
    whole = path.read_bytes()
    end = whole.rfind(b"\n") + 1
    if end == len(whole):
        return 0
    os.truncate(path, end)
    return 1


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
            record["key"], record["scores"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} must hold a record in every line, line {number} is none: {error}") from None
        records.append(record)
    return records
