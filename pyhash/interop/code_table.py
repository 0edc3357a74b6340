"""What ``sync`` needs of a table, whichever database holds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids: TypeAlias = NDArray[np.int64]
    Rows: TypeAlias = tuple[Ids, NDArray[np.uint8]]  # ids, and their packed codes

# Rows that are sent or looked up together.
BLOCK_ROWS = 65_536
# Beside the tables of codes, one table keeps what ``sync`` knows of each of them.
STATE_TABLE = "pyhash_sync"


class TableSession(Protocol):
    """A table while it is compared and changed; its changes count together where the database has transactions.

    What iterates over rows must be closed or at its end before the next call.
    """

    def state(self) -> str | None:
        """Return the text that the last ``set_state`` gave, or None."""

    def set_state(self, text: str) -> None:
        """Keep a text beside the table."""

    def mark(self) -> str:
        """Return a text that is another one after the table was replaced, or changed by others, as far as it shows."""

    def rows(self) -> Generator[Rows, None, None]:
        """Iterate over all rows, in any order."""

    def rows_of(self, ids: Ids) -> Generator[Rows, None, None]:
        """Iterate over those rows that have one of these ids; at most ``BLOCK_ROWS`` are asked for."""

    def ids(self) -> Generator[Ids, None, None]:
        """Iterate over the ids of all rows, in any order."""

    def insert(self, blocks: Iterable[Rows]) -> None:
        """Add rows whose ids the table does not have."""

    def update(self, blocks: Iterable[Rows]) -> None:
        """Replace the codes of rows that the table has."""

    def delete(self, blocks: Iterable[Ids]) -> None:
        """Remove rows."""


class CodeTable(ABC):
    """A table with a column of ids and one of codes.

    Parameters
    ----------
    name, id_column, code_column : str
        As they are, without quotes; this class's children quote them.

    Raises
    ------
    TypeError
        If one of them is not a string.
    ValueError
        If one of them is empty or holds a NUL character.
    """

    def __init__(self, name: str, id_column: str, code_column: str) -> None:
        self.name = check_identifier("name", name)
        self.id_column = check_identifier("id_column", id_column)
        self.code_column = check_identifier("code_column", code_column)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @abstractmethod
    def session(self, n_bits: int) -> AbstractContextManager[TableSession]:
        """Return a context in which the table is read and changed; it is made where there is none.

        Raises
        ------
        ValueError
            If the table does not fit codes of `n_bits`.
        """


def check_identifier(argument: str, value: object) -> str:
    """Return a name of a table, schema or column; raise unless it is a string that a database can have as a name."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a string, got {value!r}")
    if not value or "\0" in value:
        raise ValueError(f"{argument} must not be empty nor hold a NUL character, got {value!r}")
    return value


def check_columns(table: str, n_bits: int, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raise unless a table has these columns, of these types."""
    for column, kind in wanted.items():
        if found.get(column) != kind:
            raise ValueError(
                f"table {table} must have a column {column} of type {kind} for an index of {n_bits} bits, has "
                f"{found.get(column, 'none of this name')}"
            )
