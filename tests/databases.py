"""Databases that hold tables of codes, seen as their users see them, each in the same few calls."""

import tempfile
from contextlib import contextmanager

import numpy as np
import pytest

from pyhash import interop


class DuckDB:
    """In memory, or in a file."""

    name = "duckdb"

    def __init__(self, path=":memory:"):
        import duckdb

        self.connection = duckdb.connect(path)

    def table(self, name="items", **names):
        return interop.DuckDBTable(self.connection, name, **names)

    def content(self, n_bits, name="items"):
        rows = self.connection.execute(f'SELECT * FROM "{name}"').fetchnumpy()
        words = np.stack([rows[f"code{i}"] for i in range((n_bits + 63) // 64)], axis=1)
        return np.asarray(rows["id"]), interop.from_words(np.asarray(words), n_bits)

    def search(self, query, k, n_bits):
        words = interop.to_words(query[None], n_bits)[0].tolist()
        distance = " + ".join(f"bit_count(xor(code{i}, ?))::INTEGER" for i in range(len(words)))
        sql = f"SELECT id, {distance} AS distance FROM items ORDER BY distance, id LIMIT {k}"
        return self.connection.execute(sql, words).fetchall()

    def spoil(self, n_bits):
        """Remove a row, change a code, and add a row of id -77."""
        rows = self.connection.execute("SELECT id FROM items ORDER BY id").fetchall()
        self.connection.execute("DELETE FROM items WHERE id = ?", rows[0])
        self.connection.execute("UPDATE items SET code0 = xor(code0, 1) WHERE id = ?", rows[1])
        zeros = ", 0" * ((n_bits + 63) // 64)
        self.connection.execute(f"INSERT INTO items VALUES (-77{zeros})")

    def repeat(self):
        self.connection.execute("INSERT INTO items SELECT * FROM items LIMIT 1")

    def drop(self, name="items"):
        self.connection.execute(f'DROP TABLE "{name}"')

    def close(self):
        self.connection.close()


class Lance:
    """In a folder."""

    name = "lancedb"

    def __init__(self, path):
        import lancedb

        self.connection = lancedb.connect(path)

    def table(self, name="items", **names):
        return interop.LanceTable(self.connection, name, **names)

    def content(self, n_bits, name="items"):
        rows = self.connection.open_table(name).to_arrow()
        values = np.array(rows["code"].to_pylist(), dtype=np.uint8).reshape(len(rows), (n_bits + 7) // 8)
        return rows["id"].to_numpy(), interop.from_msb_bytes(values, n_bits)

    def search(self, query, k, n_bits):
        table = self.connection.open_table("items")
        vector = interop.to_msb_bytes(query[None], n_bits)[0]
        rows = table.search(vector, vector_column_name="code").distance_type("hamming").limit(k).to_arrow()
        return list(zip(rows["id"].to_pylist(), rows["_distance"].to_pylist(), strict=True))

    def spoil(self, n_bits):
        table = self.connection.open_table("items")
        ids = sorted(table.to_arrow()["id"].to_pylist())
        table.delete(f"id = {ids[0]}")
        code = table.search().where(f"id = {ids[1]}").to_list()[0]["code"]
        table.update(where=f"id = {ids[1]}", values={"code": [code[0] ^ 128, *code[1:]]})
        table.add([{"id": -77, "code": [0] * len(code)}])

    def repeat(self):
        table = self.connection.open_table("items")
        table.add(table.to_arrow().slice(0, 1))

    def drop(self, name="items"):
        self.connection.drop_table(name)

    def close(self):
        self.connection.drop_all_tables()


class Postgres:
    """On a server that all tests of a process share; tables are dropped."""

    name = "postgres"

    def __init__(self, where):
        import psycopg

        self.connection = psycopg.connect(**where, autocommit=True)

    def table(self, name="items", **names):
        return interop.PostgresTable(self.connection, name, **names)

    def content(self, n_bits, name="items"):
        from psycopg import sql

        query = sql.SQL("SELECT id, code::text FROM {}").format(sql.Identifier(name))
        rows = self.connection.execute(query).fetchall()
        return np.array([i for i, _ in rows], np.int64), interop.from_bit_strings([code for _, code in rows], n_bits)

    def search(self, query, k, n_bits):
        (bits,) = interop.to_bit_strings(query[None], n_bits)
        sql = "SELECT id, code <~> %s FROM items ORDER BY code <~> %s, id LIMIT %s"
        return self.connection.execute(sql, (bits, bits, k)).fetchall()

    def spoil(self, n_bits):
        rows = self.connection.execute("SELECT id FROM items ORDER BY id").fetchall()
        self.connection.execute("DELETE FROM items WHERE id = %s", rows[0])
        self.connection.execute("UPDATE items SET code = ~code WHERE id = %s", rows[1])
        self.connection.execute("INSERT INTO items VALUES (-77, %s)", ("0" * n_bits,))

    def repeat(self):
        self.connection.execute("ALTER TABLE items DROP CONSTRAINT items_pkey")
        self.connection.execute("INSERT INTO items SELECT * FROM items LIMIT 1")

    def drop(self, name="items"):
        from psycopg import sql

        self.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))

    def close(self):
        for (name,) in self.connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            self.drop(name)
        self.connection.close()


KINDS = {each.name: each for each in (DuckDB, Lance, Postgres)}


@contextmanager
def opened(name, request):
    """Open an empty database; `request` is that of a test, for the server."""
    with tempfile.TemporaryDirectory(prefix="pyhash-database-") as folder:
        if name == "postgres":
            database = Postgres(request.getfixturevalue("postgres"))
        else:
            pytest.importorskip(name)
            database = DuckDB() if name == "duckdb" else Lance(folder)
        try:
            yield database
        finally:
            database.close()
