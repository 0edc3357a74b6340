"""Rows and ids on standard input."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from pyhash._extras import require

FORMATS = ("lines", "jsonl", "csv")
STANDARD_INPUT = "standard input"


def read_lines() -> Iterator[str]:
    """Yield the lines of standard input that are not blank, as they come."""
    if sys.stdin is None:  # the caller closed it
        return
    try:
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{STANDARD_INPUT} must be UTF-8: {error}") from error


def read_table(format: str | None, column: str) -> Any:
    """Return standard input as a pyarrow.Table; lines of text become the column of this name.

    `format` is one of ``FORMATS``; None: JSON lines if the first line begins with a brace, else lines of text.
    """
    pa = require("pyarrow", "rows on standard input", "arrow")
    lines = list(read_lines())
    if not lines:
        raise ValueError(f"{STANDARD_INPUT} must hold at least one row, got none")
    if format is None:
        format = "jsonl" if lines[0].lstrip().startswith("{") else "lines"
    if format == "lines":
        return pa.table({column: lines})
    if format == "csv":
        from pyarrow import csv

        return csv.read_csv(io.BytesIO("\n".join(lines).encode()))
    return _table_of_json(pa, lines)


def _table_of_json(pa: Any, lines: list[str]) -> Any:
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{STANDARD_INPUT} must hold a JSON object on each line, line {number} is not: {error}"
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{STANDARD_INPUT} must hold a JSON object on each line, got {line[:40]!r} on line {number}"
            )
        rows.append(row)
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, OverflowError) as error:
            raise ValueError(f"{STANDARD_INPUT} must hold values of one type in {name!r}: {error}") from error
    if not columns:
        raise ValueError(f"{STANDARD_INPUT} must hold objects with at least one name, got empty ones")
    return pa.table(columns)
