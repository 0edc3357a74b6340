"""Tables of DuckDB, whose codes are searched by ``bit_count`` and ``xor``."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._extras import require
from pyhash.interop.code_table import STATE_TABLE, CodeTable, check_columns, check_identifier
from pyhash.interop.words import from_words, n_words_of, to_words

if TYPE_CHECKING:
    from pyhash.interop.code_table import Ids, Rows

# The name under which rows are handed to a query; it lives in the session alone.
_GIVEN = "pyhash_given"


class DuckDBTable(CodeTable):
    """A table of DuckDB for ``sync``; needs duckdb and pyarrow (extra ``[duckdb]``).

    A code is kept as unsigned 64-bit integers, a column each: ``code0``, ``code1``, ..., as ``to_words`` gives them.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A sync takes place in a transaction of its own, on a cursor of the connection.
    name : str
        Of the table, without quotes. ``sync`` makes it where there is none, as ``(id BIGINT NOT NULL, code0 UBIGINT
        NOT NULL, ...)``; one that you have made may have more columns.
    schema : str, optional
        By default the current one of the connection, now.
    id_column, code_column : str
        Names of the columns; that of codes without the number at its end.

    Raises
    ------
    ImportError
        If duckdb or pyarrow is not installed.
    TypeError
        If `connection` is of another kind.
        If a name is not a string.
    ValueError
        If a name is empty or holds a NUL character.

    See Also
    --------
    sync : makes it equal to an index.

    Notes
    -----
    A sync sees by the number of rows that others changed the table: see `full` of ``sync``.

    Examples
    --------
    >>> import duckdb
    >>> from pyhash import CodeIndex, codes, interop
    >>> index = CodeIndex(n_bits=2)
    >>> ids = index.add(codes.pack([[1, 1], [-1, 1]]))
    >>> connection = duckdb.connect()
    >>> interop.sync(index, interop.DuckDBTable(connection, "items"))
    SyncResult(added=2, removed=0, changed=0, n_compared=0)
    >>> connection.execute("SELECT id, code0 FROM items ORDER BY id").fetchall()
    [(0, 3), (1, 2)]
    """

    def __init__(
        self, connection: Any, name: str, *, schema: str | None = None, id_column: str = "id", code_column: str = "code"
    ) -> None:
        super().__init__(name, id_column, code_column)
        own_schema = None if schema is None else check_identifier("schema", schema)
        duckdb = require("duckdb", "tables of DuckDB", "duckdb")
        _pyarrow()
        if not isinstance(connection, duckdb.DuckDBPyConnection):
            raise TypeError(f"connection must be a duckdb.DuckDBPyConnection, got {type(connection).__name__}")
        self.connection = connection
        # Cursors, which have transactions of their own, begin in the default catalog and schema.
        ((self.catalog, current),) = connection.execute("SELECT current_catalog(), current_schema()").fetchall()
        self.schema = current if own_schema is None else own_schema

    @contextmanager
    def session(self, n_bits: int) -> Iterator[_DuckDBSession]:
        """Return a context in which the table is read and changed: a transaction."""
        with self.connection.cursor() as cursor:
            cursor.begin()
            try:
                yield _DuckDBSession(cursor, self, n_bits)
                cursor.commit()
            except BaseException:
                with suppress(Exception):  # where the commit failed, there is nothing to roll back
                    cursor.rollback()
                raise


class _DuckDBSession:
    def __init__(self, cursor: Any, table: DuckDBTable, n_bits: int) -> None:
        self._cursor, self._key, self._n_bits = cursor, table.name, n_bits
        beside = f"{_quoted(table.catalog)}.{_quoted(table.schema)}."
        self._table, self._states = beside + _quoted(table.name), beside + _quoted(STATE_TABLE)
        names = [f"{table.code_column}{i}" for i in range(n_words_of(n_bits))]
        self._id, self._words = _quoted(table.id_column), list(map(_quoted, names))
        self._columns = ", ".join([self._id, *self._words])
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {self._states} (table_name VARCHAR PRIMARY KEY, state VARCHAR)")
        where = "WHERE database_name = ? AND schema_name = ? AND table_name = ?"
        kind = "data_type || CASE WHEN is_nullable THEN '' ELSE ' NOT NULL' END"
        query = f"SELECT column_name, {kind} FROM duckdb_columns() {where}"
        found = dict(cursor.execute(query, [table.catalog, table.schema, table.name]).fetchall())
        if found:
            wanted = {table.id_column: "BIGINT NOT NULL", **dict.fromkeys(names, "UBIGINT NOT NULL")}
            check_columns(table.name, n_bits, found, wanted)
        else:
            columns = ", ".join([f"{self._id} BIGINT NOT NULL", *(f"{word} UBIGINT NOT NULL" for word in self._words)])
            cursor.execute(f"CREATE TABLE {self._table} ({columns})")
            # The state may be that of a table that was dropped.
            cursor.execute(f"DELETE FROM {self._states} WHERE table_name = ?", [self._key])

    def state(self) -> str | None:
        query = f"SELECT state FROM {self._states} WHERE table_name = ?"
        found = self._cursor.execute(query, [self._key]).fetchall()
        return found[0][0] if found else None

    def set_state(self, text: str) -> None:
        self._cursor.execute(f"INSERT OR REPLACE INTO {self._states} VALUES (?, ?)", [self._key, text])

    def mark(self) -> str:
        ((n,),) = self._cursor.execute(f"SELECT count(*) FROM {self._table}").fetchall()
        return f"{n} rows"

    def rows(self) -> Generator[Rows, None, None]:
        return self._read_rows(f"SELECT {self._columns} FROM {self._table}")

    def rows_of(self, ids: Ids) -> Generator[Rows, None, None]:
        with self._given(ids):
            query = f"SELECT {self._columns} FROM {self._table} WHERE {self._id} IN (SELECT id FROM {_GIVEN})"
            yield from self._read_rows(query)

    def ids(self) -> Generator[Ids, None, None]:
        for (ids,) in self._read(f"SELECT {self._id} FROM {self._table}"):
            yield ids

    def insert(self, blocks: Iterable[Rows]) -> None:
        words = ", ".join(self._given_words())
        for ids, codes in blocks:
            with self._given(ids, codes):
                self._cursor.execute(f"INSERT INTO {self._table} ({self._columns}) SELECT id, {words} FROM {_GIVEN}")

    def update(self, blocks: Iterable[Rows]) -> None:
        changes = ", ".join(
            f"{own} = {_GIVEN}.{given}" for own, given in zip(self._words, self._given_words(), strict=True)
        )
        query = f"UPDATE {self._table} AS old SET {changes} FROM {_GIVEN} WHERE old.{self._id} = {_GIVEN}.id"
        for ids, codes in blocks:
            with self._given(ids, codes):
                self._cursor.execute(query)

    def delete(self, blocks: Iterable[Ids]) -> None:
        for ids in blocks:
            with self._given(ids):
                self._cursor.execute(f"DELETE FROM {self._table} WHERE {self._id} IN (SELECT id FROM {_GIVEN})")

    def _given_words(self) -> list[str]:
        return [f"word{i}" for i in range(len(self._words))]

    @contextmanager
    def _given(self, ids: Ids, codes: Any = None) -> Iterator[None]:
        """Let queries read ids, and codes if given, as a table."""
        columns: dict[str, Any] = {"id": ids}
        if codes is not None:
            columns |= dict(zip(self._given_words(), to_words(codes, self._n_bits).T, strict=True))
        pyarrow = _pyarrow()
        self._cursor.register(_GIVEN, pyarrow.table({name: np.ascontiguousarray(a) for name, a in columns.items()}))
        try:
            yield
        finally:
            self._cursor.unregister(_GIVEN)

    def _read_rows(self, query: str) -> Generator[Rows, None, None]:
        for ids, *words in self._read(query):
            yield ids, from_words(np.stack(words, axis=1), self._n_bits)

    def _read(self, query: str) -> Iterator[list[Any]]:
        """Iterate over blocks of the result, as a list of columns."""
        for batch in _pyarrow().RecordBatchReader.from_stream(self._cursor.sql(query)):
            yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _pyarrow() -> Any:
    return require("pyarrow", "tables of DuckDB", "duckdb")
