"""The file of results: a line of JSON for each finished combination, on disk before the next one starts.

The scores of queries are in a file for each combination, which is on disk before the line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import sync_directory
from pyhash._inputs.paths import check_path
from pyhash.comparison.query_scores import QueryScores
from pyhash.comparison.records import Record

RESULTS = "results.jsonl"
_LOCK = "lock"


class ResultLines:
    """Records in a file; open it with ``open_results``.

    Attributes
    ----------
    records : dict of str to dict
        Records of the file by their key.
    query_scores : QueryScores
        Scores of each query of the records.
    n_dropped : int
        1 if the file ended within a line, as after a crash, else 0. That line is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.query_scores = QueryScores(path.parent)
        self.n_dropped = _drop_broken_end(path)
        self.records: dict[str, Record] = {record["key"]: record for record in _read(path)}

    def append(self, record: Record, per_query: NDArray[np.float64]) -> None:
        """Write a record and the scores of its queries; they are on disk when the call returns."""
        self.query_scores.add(record["key"], per_query)
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
    """Open the results of a folder, which is created if missing; lock them against other processes."""
    folder = check_path("out", directory)
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

    # The system releases the lock when the process ends, even after a crash. The file stays.
    with open(folder / _LOCK, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"{folder} must have one writer at a time, another comparison writes to it") from None
        yield


def _drop_broken_end(path: Path) -> int:
    """Remove an incomplete last line; return how many lines were removed."""
    if not path.exists():
        return 0
    whole = path.read_bytes()
    end = whole.rfind(b"\n") + 1
    if end == len(whole):
        return 0
    os.truncate(path, end)
    return 1


def _read(path: Path) -> list[Record]:
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
            record["key"], record["scores"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} must hold a record in every line, line {number} is not one: {error}") from None
        records.append(record)
    return records
