"""Tables of LanceDB, whose codes are searched by the distance "hamming"."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyhash._extras import require
from pyhash._inputs.checks import n_bytes_of
from pyhash.interop.code_table import BLOCK_ROWS, STATE_TABLE, CodeTable, check_columns
from pyhash.interop.msb import from_msb_bytes, to_msb_bytes

if TYPE_CHECKING:
    from pyhash.interop.code_table import Ids, Rows

# Ids that one condition lists: LanceDB reads lists of numbers slowly.
_LISTED = 10_000


class LanceTable(CodeTable):
    """A table of LanceDB for ``sync``; needs lancedb and pyarrow (extra ``[lancedb]``).

    A code is kept as its bytes, the first bit in the most significant place, as ``to_msb_bytes`` gives them.

    Parameters
    ----------
    connection : lancedb.DBConnection
        As ``lancedb.connect`` returns.
    name : str
        Of the table. ``sync`` makes it where there is none, with a column ``id`` of int64 and a column ``code`` of
        fixed_size_list<uint8>; one that you have made may have more columns.
    id_column, code_column : str
        Names of the columns.

    Raises
    ------
    ImportError
        If lancedb or pyarrow is not installed.
    TypeError
        If `connection` is of another kind, such as an asynchronous one.
        If a name is not a string.
    ValueError
        If a name is empty or holds characters that LanceDB does not take in it.

    See Also
    --------
    sync : makes it equal to an index.

    Notes
    -----
    Each sync makes a few versions of the table: rows are added, then changed, then removed. It sees by the version that
    others changed the table or optimized it, and then compares every row.

    Examples
    --------
    >>> from pyhash import interop
    >>> connection = lancedb.connect("items.lancedb")  # doctest: +SKIP
    >>> interop.sync(index, interop.LanceTable(connection, "items"))  # doctest: +SKIP
    SyncResult(added=1000, removed=0, changed=0, n_compared=0)
    """

    def __init__(self, connection: Any, name: str, *, id_column: str = "id", code_column: str = "code") -> None:
        super().__init__(name, id_column, code_column)
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError(f"name must be of letters, digits and _ - . for LanceDB, got {name!r}")
        for argument, column in (("id_column", id_column), ("code_column", code_column)):
            if re.search('[."`]', column):
                raise ValueError(f"{argument} must be without dots and quotes for LanceDB, got {column!r}")
        lancedb = require("lancedb", "tables of LanceDB", "lancedb")
        _pyarrow()
        if not isinstance(connection, lancedb.DBConnection):
            raise TypeError(f"connection must be a lancedb.DBConnection, got {type(connection).__name__}")
        self.connection = connection

    @contextmanager
    def session(self, n_bits: int) -> Iterator[_LanceSession]:
        """Return a context in which the table is read and changed, step by step."""
        yield _LanceSession(self, n_bits)


class _LanceSession:
    def __init__(self, table: LanceTable, n_bits: int) -> None:
        pyarrow = _pyarrow()
        self._connection, self._n_bits, self._key = table.connection, n_bits, table.name
        self._columns = [table.id_column, table.code_column]
        self._code_type = pyarrow.list_(pyarrow.uint8(), n_bytes_of(n_bits))
        fields = zip(self._columns, (pyarrow.int64(), self._code_type), strict=True)
        self._schema = pyarrow.schema([pyarrow.field(name, kind, nullable=False) for name, kind in fields])
        states = pyarrow.schema([("table_name", pyarrow.string()), ("state", pyarrow.string())])
        self._states, _ = self._opened(STATE_TABLE, states)
        self._table, is_new = self._opened(table.name, self._schema)
        if is_new:  # the state may be that of a table that was dropped
            self._states.delete(self._is_own())
        else:
            found = {field.name: field.type for field in self._table.schema}
            check_columns(table.name, n_bits, found, dict(zip(self._columns, self._schema.types, strict=True)))

    def state(self) -> str | None:
        found = self._states.search().where(self._is_own()).to_list()
        return found[0]["state"] if found else None

    def set_state(self, text: str) -> None:
        merge = self._states.merge_insert("table_name").when_matched_update_all().when_not_matched_insert_all()
        merge.execute([{"table_name": self._key, "state": text}])

    def mark(self) -> str:
        return f"version {self._table.version} of {self._table.count_rows()} rows"

    def rows(self) -> Generator[Rows, None, None]:
        return self._read_rows(self._table.search())

    def rows_of(self, ids: Ids) -> Generator[Rows, None, None]:
        for condition in self._conditions(ids):
            yield from self._read_rows(self._table.search().where(condition))

    def ids(self) -> Generator[Ids, None, None]:
        for batch in self._table.search().select(self._columns[:1]).to_batches(BLOCK_ROWS):
            yield batch.column(0).to_numpy()

    def insert(self, blocks: Iterable[Rows]) -> None:
        self._table.add(self._reader(blocks))

    def update(self, blocks: Iterable[Rows]) -> None:
        self._table.merge_insert(self._columns[0]).when_matched_update_all().execute(self._reader(blocks))

    def delete(self, blocks: Iterable[Ids]) -> None:
        for ids in blocks:
            for condition in self._conditions(ids):
                self._table.delete(condition)

    def _opened(self, name: str, schema: Any) -> tuple[Any, bool]:
        """Return a table, and whether it was made."""
        try:
            return self._connection.open_table(name), False
        except (ValueError, FileNotFoundError):
            return self._connection.create_table(name, schema=schema), True

    def _is_own(self) -> str:
        return f"table_name = '{self._key}'"  # LanceDB has no parameters; names of tables have no quotes

    def _conditions(self, ids: Ids) -> Iterator[str]:
        for begin in range(0, len(ids), _LISTED):
            listed = ", ".join(map(str, ids[begin : begin + _LISTED].tolist()))
            yield f"`{self._columns[0]}` IN ({listed})"

    def _read_rows(self, query: Any) -> Generator[Rows, None, None]:
        for batch in query.select(self._columns).to_batches(BLOCK_ROWS):
            ids, codes = (batch.column(name) for name in self._columns)
            msb_bytes = codes.flatten().to_numpy().reshape(len(ids), self._code_type.list_size)
            yield ids.to_numpy(), from_msb_bytes(msb_bytes, self._n_bits)

    def _reader(self, blocks: Iterable[Rows]) -> Any:
        """Return rows as a stream of Arrow."""
        pyarrow = _pyarrow()

        def batches() -> Iterator[Any]:
            for ids, codes in blocks:
                values = pyarrow.array(to_msb_bytes(codes, self._n_bits).ravel())
                rows = pyarrow.FixedSizeListArray.from_arrays(values, self._code_type.list_size)
                yield pyarrow.record_batch([pyarrow.array(ids), rows], schema=self._schema)

        return pyarrow.RecordBatchReader.from_batches(self._schema, batches())


def _pyarrow() -> Any:
    return require("pyarrow", "tables of LanceDB", "lancedb")
