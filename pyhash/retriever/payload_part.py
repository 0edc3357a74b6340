"""A part of the payload: the rows of some items, in memory or in a file of Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file
from pyhash._files.checksum import file_checksum
from pyhash._inputs.checks import check_integer
from pyhash.errors import ModelFormatError
from pyhash.retriever.arrow_messages import read_plain_table
from pyhash.retriever.payload_tables import ID, arrow

_BATCH = 65_536  # rows of a record batch


@dataclass(frozen=True)
class StoredPart:
    """The file of a part, as the manifest describes it."""

    number: int
    n: int
    n_bytes: int
    crc: int

    def __post_init__(self) -> None:
        check_integer("number", self.number, 1, 99_999_999)
        check_integer("n", self.n, 1)
        check_integer("n_bytes", self.n_bytes, 1)
        check_integer("crc", self.crc, 0, 0xFFFF_FFFF)

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"payload-{self.number:08d}.arrow"


@dataclass(frozen=True, eq=False)
class PayloadPart:
    """Rows of a payload, never changed.

    Attributes
    ----------
    number : int
        From 1; parts that are made later have greater ones.
    ids : ndarray of shape (n,), int64
        Ascending. Items that were removed, or have another row since, are among them.
    order : ndarray of shape (n,), int64
        The row of each of these ids in `table`. Tables stay as they come: to sort large ones takes memory.
    table : pyarrow.Table
    stored : StoredPart or None
        Its file, None where it is not on disk.
    """

    number: int
    ids: NDArray[np.int64]
    order: NDArray[np.int64]
    table: Any
    stored: StoredPart | None = None

    @classmethod
    def of(cls, number: int, ids: NDArray[np.int64], table: Any, stored: StoredPart | None = None) -> PayloadPart:
        """Return the part of a table, whose rows are those of distinct ids in any order."""
        order = np.argsort(ids)
        return cls(number, ids[order], order, table, stored)

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the row in the table of each id; ids are ascending, and all among those of the part."""
        return self.order if len(ids) == len(self) else self.order[np.searchsorted(self.ids, ids)]

    def only(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """Return the ids and the rows of some of the ids, in the order of the table."""
        pa = arrow()
        keep = np.zeros(len(self), dtype=bool)
        keep[self.rows_of(ids)] = True
        of_rows = np.empty_like(self.ids)
        of_rows[self.order] = self.ids
        return of_rows[keep], self.table if len(ids) == len(self) else self.table.filter(pa.array(keep))

    def values(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return rows as dicts."""
        # Slices: to take rows of columns in several batches would copy whole columns.
        return [self.table.slice(row, 1).to_pylist()[0] for row in rows]

    def write(self, folder: Path) -> StoredPart:
        """Write the part to its file, whole or not at all."""
        pa = arrow()
        ids = np.empty_like(self.ids)
        ids[self.order] = self.ids
        table = self.table.add_column(0, ID, pa.array(ids))
        stored = StoredPart(self.number, len(self), 1, 0)
        with atomic_file(folder / stored.file) as file:
            with pa.ipc.new_file(pa.PythonFile(_Kept(file), mode="w"), table.schema) as writer:
                writer.write_table(table, max_chunksize=_BATCH)
            file.flush()
            n_bytes, crc = file_checksum(folder / Path(file.name).name)
        return StoredPart(self.number, len(self), n_bytes, crc)

    @classmethod
    def read(cls, folder: Path, stored: StoredPart, *, check: bool) -> PayloadPart:
        """Return the part of a file, which is mapped; with `check`, all of it is read and checked before.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ModelFormatError
            If it is damaged.
        ImportError
            If pyarrow is not installed.
        """
        pa = arrow()
        path = folder / stored.file
        if path.stat().st_size != stored.n_bytes or (check and file_checksum(path) != (stored.n_bytes, stored.crc)):
            raise ModelFormatError(f"{path} is damaged: its size or crc32 is not that in the manifest")
        try:
            with pa.memory_map(str(path)) as source:
                table = read_plain_table(source)
            table.validate(full=check)
            ids = table[ID]
            if table.column_names.count(ID) != 1 or ids.type != pa.int64() or ids.null_count:
                raise ValueError(f"column {ID!r} must hold integers")
            values = np.concatenate([np.empty(0, dtype=np.int64), *(chunk.to_numpy() for chunk in ids.chunks)])
            part = cls.of(stored.number, values, table.drop_columns([ID]), stored)
            if len(part) != stored.n or np.any(part.ids[1:] == part.ids[:-1]):
                raise ValueError(f"column {ID!r} must hold {stored.n} distinct integers")
            return part
        except Exception as error:  # a damaged file fails in many ways
            raise ModelFormatError(f"{path} is not a whole payload: {error or type(error).__name__}") from error


class _Kept:
    """A file that the writer of Arrow does not close."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        """Leave the file open: ``atomic_file`` waits until it is on disk."""
