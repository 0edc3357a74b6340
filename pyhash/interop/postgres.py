"""Tables of PostgreSQL, whose codes pgvector searches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyhash._extras import require
from pyhash.interop.code_table import STATE_TABLE, CodeTable, check_columns, check_identifier
from pyhash.interop.pgvector import to_bit_strings
from pyhash.interop.postgres_copy import copied, ids_of_copy, rows_of_copy

if TYPE_CHECKING:
    from pyhash.interop.code_table import Ids, Rows


class PostgresTable(CodeTable):
    """A table of PostgreSQL for ``sync``; needs psycopg (extra ``[postgres]``).

    Codes are of PostgreSQL's own type ``bit(n)``, which the operator ``<~>`` of pgvector compares.

    Parameters
    ----------
    connection : psycopg.Connection
        A sync takes place within the transaction that is open, if there is one: commit it. Else it takes one of its
        own.
    name : str
        Of the table, without quotes. ``sync`` makes it where there is none, as ``(id bigint PRIMARY KEY, code bit(n)
        NOT NULL)``; one that you have made may have more columns.
    schema : str, optional
        By default the table is looked for along the search path, and made in the first schema there.
    id_column, code_column : str
        Names of the columns.

    Raises
    ------
    ImportError
        If psycopg is not installed.
    TypeError
        If `connection` is of another kind, such as an asynchronous one.
        If a name is not a string.
    ValueError
        If a name is empty or holds a NUL character.

    See Also
    --------
    sync : makes it equal to an index.

    Notes
    -----
    A sync keeps others from writing to the table until its transaction ends, not from reading. It sees by the file of
    the table that others replaced or truncated it, not that they changed rows: see `full` of ``sync``.

    Examples
    --------
    >>> from pyhash import interop
    >>> connection = psycopg.connect("dbname=items")  # doctest: +SKIP
    >>> interop.sync(index, interop.PostgresTable(connection, "items"))  # doctest: +SKIP
    SyncResult(added=1000, removed=0, changed=0, n_compared=0)
    """

    def __init__(
        self, connection: Any, name: str, *, schema: str | None = None, id_column: str = "id", code_column: str = "code"
    ) -> None:
        super().__init__(name, id_column, code_column)
        self.schema = None if schema is None else check_identifier("schema", schema)
        if not isinstance(connection, _psycopg().Connection):
            raise TypeError(f"connection must be a psycopg.Connection, got {type(connection).__name__}")
        self.connection = connection

    @property
    def path(self) -> tuple[str, ...]:
        """Schema, where it is given, and name."""
        return (self.name,) if self.schema is None else (self.schema, self.name)

    @contextmanager
    def session(self, n_bits: int) -> Iterator[_PostgresSession]:
        """Return a context in which the table is read and changed: a transaction, or part of the one that is open."""
        with self.connection.transaction():
            yield _PostgresSession(self, n_bits)


class _PostgresSession:
    """The table within a transaction.

    Queries are composed of quoted parts and have no parameters, beside which a "%" in a name would mean something.
    """

    def __init__(self, table: PostgresTable, n_bits: int) -> None:
        psycopg = _psycopg()
        self._sql, self._n_bits = psycopg.sql, n_bits
        # Whatever kind of cursor and of row the connection makes by default.
        self._cursor = psycopg.Cursor(table.connection, row_factory=psycopg.rows.tuple_row)
        self._parts = {
            "table": self._sql.Identifier(*table.path),
            "key": self._sql.Literal(table.name),
            "id": self._sql.Identifier(table.id_column),
            "code": self._sql.Identifier(table.code_column),
            "type": self._sql.SQL("bit({})").format(n_bits),
        }
        is_new = self._resolve() is None
        if is_new:
            self._run("CREATE TABLE {table} ({id} bigint PRIMARY KEY, {code} {type} NOT NULL)")
        self._oid, schema = self._resolve() or (0, "")
        self._parts["table"] = self._sql.Identifier(schema, table.name)
        self._parts["states"] = self._sql.Identifier(schema, STATE_TABLE)
        self._run("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        self._check_columns(table)
        self._run("CREATE TABLE IF NOT EXISTS {states} (table_name text PRIMARY KEY, state text NOT NULL)")
        if is_new:  # the state may be that of a table that was dropped
            self._run("DELETE FROM {states} WHERE table_name = {key}")

    def state(self) -> str | None:
        row = self._run("SELECT state FROM {states} WHERE table_name = {key}").fetchone()
        return None if row is None else str(row[0])

    def set_state(self, text: str) -> None:
        query = "INSERT INTO {states} VALUES ({key}, {text}) ON CONFLICT (table_name) DO UPDATE SET state = {text}"
        self._run(query, text=self._sql.Literal(text))

    def mark(self) -> str:
        # The number of the file with the rows: another one after TRUNCATE, and for another table of this name.
        (number,) = self._run("SELECT pg_relation_filenode({oid})", oid=self._oid).fetchone()
        return f"file {number}"

    def rows(self) -> Generator[Rows, None, None]:
        with self._copy("COPY (SELECT {id}, {code} FROM {table}) TO STDOUT (FORMAT BINARY)") as copy:
            yield from rows_of_copy(copy, self._n_bits)

    def rows_of(self, ids: Ids) -> Generator[Rows, None, None]:
        query = "COPY (SELECT {id}, {code} FROM {table} WHERE {id} = ANY ({ids})) TO STDOUT (FORMAT BINARY)"
        with self._copy(query, ids=self._array(ids)) as copy:
            yield from rows_of_copy(copy, self._n_bits)

    def ids(self) -> Generator[Ids, None, None]:
        with self._copy("COPY (SELECT {id} FROM {table}) TO STDOUT (FORMAT BINARY)") as copy:
            yield from ids_of_copy(copy)

    def insert(self, blocks: Iterable[Rows]) -> None:
        with self._copy("COPY {table} ({id}, {code}) FROM STDIN (FORMAT BINARY)") as copy:
            for data in copied(blocks, self._n_bits):
                copy.write(data)

    def update(self, blocks: Iterable[Rows]) -> None:
        query = (
            "UPDATE {table} AS old SET {code} = new.code FROM unnest({ids}, {codes}::{type}[]) AS new (id, code) "
            "WHERE old.{id} = new.id"
        )
        for ids, codes in blocks:
            strings = "{" + ",".join(to_bit_strings(codes, self._n_bits)) + "}"
            self._run(query, ids=self._array(ids), codes=strings)

    def delete(self, blocks: Iterable[Ids]) -> None:
        for ids in blocks:
            self._run("DELETE FROM {table} WHERE {id} = ANY ({ids})", ids=self._array(ids))

    def _resolve(self) -> tuple[int, str] | None:
        """Return oid and schema of the table, if there is one."""
        query = (
            "SELECT c.oid::bigint, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.oid = to_regclass({quoted})"
        )
        row: tuple[int, str] | None = self._run(query, quoted=self._parts["table"].as_string(self._cursor)).fetchone()
        return row

    def _check_columns(self, table: PostgresTable) -> None:
        query = (
            "SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END "
            "FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped"
        )
        found = dict(self._run(query, oid=self._oid).fetchall())
        wanted = {table.id_column: "bigint NOT NULL", table.code_column: f"bit({self._n_bits}) NOT NULL"}
        check_columns(table.name, self._n_bits, found, wanted)

    def _run(self, query: str, **values: Any) -> Any:
        return self._cursor.execute(self._composed(query, values))

    def _copy(self, query: str, **values: Any) -> Any:
        return self._cursor.copy(self._composed(query, values))

    def _composed(self, query: str, values: dict[str, Any]) -> Any:
        return self._sql.SQL(query).format(**self._parts, **values)  # values that are no parts become literals

    def _array(self, ids: Ids) -> Any:
        return self._sql.SQL("{}::bigint[]").format("{" + ",".join(map(str, ids.tolist())) + "}")


def _psycopg() -> Any:
    return require("psycopg", "tables of PostgreSQL", "postgres")
