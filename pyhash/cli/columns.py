"""Which columns of data are what: kept in a folder, so that later commands need not be told again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyhash._files.atomic import atomic_file
from pyhash._files.checked_json import checked_json, read_checked_json

COLUMNS = "columns.json"
_FORMAT, _VERSION = "pyhash-columns", 1


@dataclass(frozen=True)
class Columns:
    """Names of columns, or of arrays.

    Attributes
    ----------
    views : mapping of str to str
        The column of each modality.
    labels, ids : str or None
    """

    views: Mapping[str, str] = field(default_factory=dict)
    labels: str | None = None
    ids: str | None = None

    def __post_init__(self) -> None:
        names = [*self.views.items(), *((name, name) for name in (self.labels, self.ids) if name is not None)]
        if not all(isinstance(name, str) for pair in names for name in pair):
            raise TypeError(f"names of columns must be of type str, got {names}")


def write_columns(folder: Path, columns: Columns) -> None:
    """Write names of columns into a folder."""
    with atomic_file(folder / COLUMNS) as file:
        file.write(checked_json(_FORMAT, _VERSION, asdict(columns)))


def read_columns(folder: Path) -> Columns:
    """Return the names of columns that a folder keeps, none where it keeps none.

    Raises
    ------
    ModelFormatError
        If the file is damaged.
    """

    def of_fields(fields: dict[str, Any]) -> Columns:
        return Columns(**fields)

    try:
        return read_checked_json(folder / COLUMNS, _FORMAT, _VERSION, "a list of columns", of_fields)
    except FileNotFoundError:
        return Columns()
