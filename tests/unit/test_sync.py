"""Tables of DuckDB, LanceDB and PostgreSQL, kept equal to an index."""

import re
import sys
import tempfile
from contextlib import suppress

import databases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhash import CodeIndex, codes, interop

LENGTHS = [1, 12, 64, 100, 200]
_SLOW = pytest.mark.slow("imports LanceDB for seconds, and writes files at every step")
DATABASES = ["duckdb", "postgres", pytest.param("lancedb", marks=_SLOW)]


@pytest.fixture(params=DATABASES)
def database(request):
    with databases.opened(request.param, request) as opened:
        yield opened


def random_codes(rng, n, n_bits):
    """Some of them equal, and opposite ones among them."""
    bits = rng.integers(0, 2, size=(n, n_bits))
    bits[: n // 4] = bits[0] if n else 0
    bits[n // 4 : n // 3] = 1 - bits[0] if n else 0
    return codes.pack(bits)


def index_of(rng, n, n_bits, ids=None):
    index = CodeIndex(n_bits)
    index.add(random_codes(rng, n, n_bits), ids)
    return index


def assert_equal(database, index, name="items"):
    ids, found = database.content(index.n_bits, name)
    order = np.argsort(ids)
    np.testing.assert_array_equal(ids[order], index.ids)
    np.testing.assert_array_equal(found[order], index.codes)


# --- what a table holds, and what its database finds ---


@pytest.mark.parametrize("n_bits", LENGTHS)
def test_the_database_finds_what_the_index_finds(database, rng, n_bits):
    index = index_of(rng, 300, n_bits, rng.permutation(1000)[:300] - 500 + (1 << 40))
    assert interop.sync(index, database.table()) == (300, 0, 0, 0)
    assert_equal(database, index)
    for query in [*random_codes(rng, 3, n_bits), index.codes[0], index.codes[-1]]:
        for k in (1, 10, 300):
            rows = database.search(query, k, n_bits)
            hits = index.search(query[None], k)
            np.testing.assert_array_equal([distance for _, distance in rows], hits.distances[0])
            # Where ties reach beyond the k-th row, LanceDB keeps any of them: its rows need only be at their distance.
            everything = index.search(query[None], len(index))
            distance_of = dict(zip(everything.ids[0].tolist(), everything.distances[0].tolist(), strict=True))
            assert [distance_of[i] for i, _ in rows] == [distance for _, distance in rows]
            if database.name != "lancedb":
                assert [i for i, _ in rows] == hits.ids[0].tolist()


def test_an_empty_index_empties_the_table(database, rng):
    index, table = CodeIndex(12), database.table()
    assert interop.sync(index, table) == (0, 0, 0, 0)
    index.add(random_codes(rng, 5, 12))
    assert interop.sync(index, table)[:3] == (5, 0, 0)
    index.remove(index.ids)
    assert interop.sync(index, table)[:3] == (0, 5, 0)
    assert_equal(database, index)


def test_extreme_ids_and_codes_of_one_bit(database):
    index = CodeIndex(1)
    index.add(np.array([[0], [1], [1]], np.uint8), [-(2**63), 0, 2**63 - 1])
    interop.sync(index, database.table())
    assert_equal(database, index)


def test_a_table_of_lancedb_in_short(request, rng):
    with databases.opened("lancedb", request) as database:
        index, table = index_of(rng, 100, 12), database.table()
        interop.sync(index, table)
        index.upsert(random_codes(rng, 20, 12), np.arange(90, 110))
        index.remove(np.arange(30))
        assert interop.sync(index, table)[:2] == (10, 30)
        assert_equal(database, index)
        (query,) = random_codes(rng, 1, 12)
        distances = [distance for _, distance in database.search(query, 80, 12)]
        np.testing.assert_array_equal(distances, index.search(query[None], 80).distances[0])


# --- how much a sync reads and writes ---


def saved(index, folder):
    index.save(folder)
    return index


def test_a_sync_of_nothing_new_reads_and_writes_nothing(database, rng, tmp_path):
    index, table = saved(index_of(rng, 1000, 64), tmp_path / "index"), database.table()
    assert interop.sync(index, table) == (1000, 0, 0, 0)
    assert interop.sync(index, table) == (0, 0, 0, 0)
    assert interop.sync(CodeIndex.open(tmp_path / "index", mmap=True), table) == (0, 0, 0, 0)


def test_removed_rows_of_a_segment_are_known_without_reading(database, rng, tmp_path):
    index, table = saved(index_of(rng, 1000, 64), tmp_path / "index"), database.table()
    interop.sync(index, table)
    index.remove([3, 500, 999])
    assert interop.sync(index, table) == (0, 3, 0, 0)
    assert_equal(database, index)
    # Not committed: opened again, the index has them still.
    index.close()
    index = CodeIndex.open(tmp_path / "index")
    assert interop.sync(index, table) == (3, 0, 0, 0)
    assert_equal(database, index)


def test_new_rows_are_looked_up_and_no_others(database, rng, tmp_path):
    index, table = saved(index_of(rng, 1000, 64), tmp_path / "index"), database.table()
    interop.sync(index, table)
    index.upsert(~index.codes[[7, 8]], [7, 8])
    index.upsert(index.codes[[20]], [20])  # the same code, in another segment
    index.add(random_codes(rng, 10, 64))
    index.commit()
    assert interop.sync(index, table) == (10, 0, 2, 3)
    assert_equal(database, index)


def test_rows_removed_from_merged_segments_are_found_by_ids_alone(database, rng, tmp_path):
    index, table = saved(index_of(rng, 1000, 64), tmp_path / "index"), database.table()
    index.add(random_codes(rng, 50, 64))
    index.commit()
    assert interop.sync(index, table)[0] == 1050
    index.remove([1005, 1006, 2])
    index.add(random_codes(rng, 30, 64))
    assert index.stats()["n_segments"] == 2  # the second one is new: it has 48 of the 50 rows
    index.commit()
    assert interop.sync(index, table) == (30, 3, 0, 48 + 1050)
    assert_equal(database, index)
    index.compact()
    index.commit()
    assert interop.sync(index, table) == (0, 0, 0, 1077)
    assert interop.sync(index, table) == (0, 0, 0, 0)


def test_an_index_in_memory_is_compared_whole(database, rng):
    index, table = index_of(rng, 100, 12), database.table()
    interop.sync(index, table)
    index.upsert(random_codes(rng, 3, 12) ^ 1, [0, 1, 200])
    index.remove([50])
    interop.sync(index, table)
    assert_equal(database, index)
    assert interop.sync(index, table) == (0, 0, 0, 100)


def test_blocks_of_rows_join(database, rng, monkeypatch, tmp_path):
    for module in ("table_sync", "lancedb"):
        monkeypatch.setattr(f"pyhash.interop.{module}.BLOCK_ROWS", 7)
    monkeypatch.setattr("pyhash.interop.lancedb._LISTED", 3)
    monkeypatch.setattr("pyhash.interop.postgres_copy._READ_BYTES", 40)
    index, table = saved(index_of(rng, 100, 12), tmp_path / "index"), database.table()
    interop.sync(index, table)
    assert_equal(database, index)
    index.upsert(random_codes(rng, 20, 12), np.arange(90, 110))
    index.remove(np.arange(30))
    interop.sync(index, table)
    assert_equal(database, index)
    assert interop.sync(index, table, full=True) == (0, 0, 0, 80)


# --- tables that others made or changed ---


def test_full_repairs_what_others_changed(database, rng, tmp_path):
    index, table = saved(index_of(rng, 50, 64), tmp_path / "index"), database.table()
    interop.sync(index, table)
    database.spoil(64)
    assert interop.sync(index, table, full=True) == (1, 1, 1, 50)
    assert_equal(database, index)


def test_a_table_that_was_dropped_is_filled_again(database, rng, tmp_path):
    index, table = saved(index_of(rng, 50, 64), tmp_path / "index"), database.table()
    interop.sync(index, table)
    database.drop()
    assert interop.sync(index, table) == (50, 0, 0, 0)
    assert_equal(database, index)


def test_a_table_that_others_made_anew_may_have_codes_of_another_length(request, rng):
    with databases.opened("duckdb", request) as database:
        interop.sync(index_of(rng, 5, 12), database.table())
        database.connection.execute("CREATE OR REPLACE TABLE items (id BIGINT NOT NULL, code0 UBIGINT NOT NULL)")
        index = index_of(rng, 5, 16)
        assert interop.sync(index, database.table()) == (5, 0, 0, 0)
        assert_equal(database, index)


def test_two_tables_do_not_disturb_each_other(database, rng, tmp_path):
    one, other = (saved(index_of(rng, 20, n_bits), tmp_path / str(n_bits)) for n_bits in (12, 64))
    for _ in range(2):
        interop.sync(one, database.table("one"))
        interop.sync(other, database.table("other"))
    assert interop.sync(one, database.table("one")) == (0, 0, 0, 0)
    assert_equal(database, one, "one")
    assert_equal(database, other, "other")


def test_another_index_takes_the_table_over(database, rng, tmp_path):
    one, other = (saved(index_of(rng, n, 64), tmp_path / str(n)) for n in (20, 30))
    interop.sync(one, database.table())
    interop.sync(other, database.table())
    assert_equal(database, other)


def test_an_id_in_two_rows_is_refused(database, rng):
    index, table = index_of(rng, 5, 64), database.table()
    interop.sync(index, table)
    database.repeat()
    with pytest.raises(ValueError, match=r"table must have each id in one row, has \d"):
        interop.sync(index, table)
    assert len(database.content(64)[0]) == 6
    database.drop()
    interop.sync(index, table)
    assert_equal(database, index)


@pytest.mark.parametrize("n_bits", [8, 12, 130])
def test_codes_of_another_length_are_refused(database, rng, n_bits):
    table = database.table()
    index = index_of(rng, 5, 16)
    interop.sync(index, table)
    with pytest.raises(ValueError, match=rf"table .*must (have|hold) .*{n_bits} bits.*(has|holds) "):
        interop.sync(CodeIndex(n_bits), table)
    assert_equal(database, index)
    assert interop.sync(index, table)[:3] == (0, 0, 0)


def test_a_state_that_cannot_be_read_is_no_state(database, rng):
    index, table = index_of(rng, 5, 16), database.table()
    interop.sync(index, table)
    for text in ("", "3", "{", "[]", '{"version": 1}', '{"version": 99}', '{"version": 1, "masks": {"a": "*"}}'):
        with table.session(16) as session:
            session.set_state(text)
        assert interop.sync(index, table) == (0, 0, 0, 5)


def test_columns_and_tables_of_other_names(database, rng):
    name, columns = "it-em.s", {"id_column": "my id", "code_column": "the%code's"}
    if database.name != "lancedb":
        name = "it\"e%m's; DROP TABLE items; --"
        columns = {"id_column": 'an "id"; --', "code_column": '"%s co{}de'}
    index, table = index_of(rng, 20, 70), database.table(name, **columns)
    assert interop.sync(index, table)[:3] == (20, 0, 0)
    index.upsert(~index.codes[:2] & 63, [0, 50])
    index.remove([7])
    assert interop.sync(index, table)[:3] == (1, 1, 1)
    assert interop.sync(index, table, full=True)[:3] == (0, 0, 0)
    with table.session(70) as session:
        blocks = list(session.rows())
    ids, found = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = np.argsort(ids)
    np.testing.assert_array_equal(ids[order], index.ids)
    np.testing.assert_array_equal(found[order], index.codes)
    database.drop(name.replace('"', '""') if database.name == "duckdb" else name)


def test_other_columns_stay(database, rng):
    if database.name == "lancedb":
        import pyarrow as pa

        fields = [("id", pa.int64()), ("code", pa.list_(pa.uint8(), 2)), ("title", pa.string())]
        items = database.connection.create_table("items", schema=pa.schema(fields))
        items.add([{"id": 1, "code": [255, 240], "title": "one"}, {"id": 9, "code": [0, 0], "title": "nine"}])
    else:
        kinds = ("UBIGINT", "code0", "0") if database.name == "duckdb" else ("bit(12)", "code", "'000000000000'")
        database.connection.execute(
            f"CREATE TABLE items (title text, {kinds[1]} {kinds[0]} NOT NULL, id bigint NOT NULL)"
        )
        database.connection.execute(f"INSERT INTO items VALUES ('one', {kinds[2]}, 1), ('nine', {kinds[2]}, 9)")
    index = index_of(rng, 3, 12)
    index.upsert(np.array([[1, 1]], np.uint8), [1])
    assert interop.sync(index, database.table()) == (2, 1, 1, 2)
    if database.name == "lancedb":
        rows = database.connection.open_table("items").to_arrow().to_pylist()
        titles = {row["id"]: row["title"] for row in rows}
    else:
        titles = dict(database.connection.execute("SELECT id, title FROM items").fetchall())
    assert titles == {0: None, 1: "one", 2: None}


# --- failures ---


class Died(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


@pytest.mark.parametrize("step", ["delete", "update", "insert", "set_state"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sync_that_fails_leaves_the_table_or_is_repeated(database, rng, tmp_path, step, when, monkeypatch):
    index, table = saved(index_of(rng, 60, 64), tmp_path / "index"), database.table()
    interop.sync(index, table)
    before = database.content(64)
    index.upsert(~index.codes[:10], np.arange(55, 65))
    index.remove(np.arange(5))
    index.commit()
    with table.session(64) as session:
        cls = type(session)
    whole = getattr(cls, step)

    def failing(self, *args):
        if when == "after":
            whole(self, *args)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(cls, step, failing)
        with pytest.raises(Died):
            interop.sync(index, table)
    if database.name != "lancedb":
        for old, new in zip(before, database.content(64), strict=True):
            np.testing.assert_array_equal(np.sort(new, axis=0), np.sort(old, axis=0))
    # What the failed sync added must not stay where the index removes it before the next.
    index.remove([60, 61])
    index.commit()
    interop.sync(index, table)
    assert_equal(database, index)
    assert interop.sync(index, table, full=True)[:3] == (0, 0, 0)


def test_rows_that_fail_on_their_way_leave_the_connection_in_order(database, rng, monkeypatch):
    index, table = index_of(rng, 30, 64), database.table()

    def blocks(self, task):
        yield index.ids[:10], index.codes[:10]
        raise OSError("the disk of the index fails")

    with monkeypatch.context() as patch:
        patch.setattr("pyhash.interop.table_sync._Comparison._blocks", blocks)
        with pytest.raises((OSError, RuntimeError), match="the disk of the index fails"):
            interop.sync(index, table)
    interop.sync(index, table)
    assert_equal(database, index)


# --- wrong arguments, and packages that are missing ---


def test_wrong_arguments(database):
    index, table = CodeIndex(8), database.table()
    with pytest.raises(TypeError, match="index must be a CodeIndex, got ndarray"):
        interop.sync(np.zeros((3, 1), np.uint8), table)
    with pytest.raises(TypeError, match="table must be a PostgresTable, a DuckDBTable or a LanceTable, got str"):
        interop.sync(index, "items")
    with pytest.raises(TypeError, match="full must be a bool, got 1"):
        interop.sync(index, table, full=1)
    with pytest.raises(TypeError, match=r"connection must be a .*, got str"):
        type(table)("dbname=items", "items")
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        database.table(3)
    for argument in ("name", "id_column", "code_column"):
        for value in ("", "a\0b"):
            with pytest.raises(ValueError, match=rf"{argument} must .* got {re.escape(repr(value))}"):
                database.table(**{argument: value})


@pytest.mark.parametrize("name", ["duckdb", "postgres"])
def test_a_table_in_another_schema(request, rng, name):
    with databases.opened(name, request) as database:
        database.connection.execute("CREATE SCHEMA other")
        try:
            index = index_of(rng, 5, 12)
            for schema in (None, "other"):
                assert interop.sync(index, database.table(schema=schema)) == (5, 0, 0, 0)
            database.connection.execute("DELETE FROM other.items WHERE id < 2")
            assert interop.sync(index, database.table(schema="other"), full=True) == (2, 0, 0, 3)
            assert interop.sync(index, database.table()) == (0, 0, 0, 5)
        finally:
            database.connection.execute("DROP SCHEMA other CASCADE")


def test_a_sync_of_postgresql_is_part_of_the_transaction_that_is_open(request, rng):
    with databases.opened("postgres", request) as database:
        index, table = index_of(rng, 5, 12), database.table()
        with database.connection.transaction(force_rollback=True):
            assert interop.sync(index, table)[0] == 5
        assert interop.sync(index, table)[0] == 5
        assert_equal(database, index)


@_SLOW
def test_names_that_lancedb_does_not_take(request):
    with databases.opened("lancedb", request) as database:
        with pytest.raises(ValueError, match=r"name must be of letters, digits and _ - \. for LanceDB, got 'it ems'"):
            database.table("it ems")
        for argument in ("id_column", "code_column"):
            for value in ("a.b", "a`b", 'a"b'):
                with pytest.raises(ValueError, match=f"{argument} must be without dots and quotes"):
                    database.table(**{argument: value})


@pytest.mark.parametrize(
    ("missing", "make", "extra"),
    [
        ("psycopg", interop.PostgresTable, "postgres"),
        ("duckdb", interop.DuckDBTable, "duckdb"),
        ("pyarrow", interop.DuckDBTable, "duckdb"),
        ("lancedb", interop.LanceTable, "lancedb"),
        pytest.param("pyarrow", interop.LanceTable, "lancedb", marks=_SLOW),
    ],
)
def test_without_a_package_the_extra_is_named(monkeypatch, missing, make, extra):
    if missing != "lancedb" and make is interop.LanceTable:
        pytest.importorskip("lancedb")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=re.escape(f"need {missing}: pip install 'pyhash-crossmodal[{extra}]'")):
        make(None, "items")


# --- random histories ---


class History:
    """An index in a folder that lives, and a table that follows."""

    def __init__(self, n_bits, seed, folder):
        self.rng, self.folder, self.index = np.random.default_rng(seed), folder, CodeIndex(n_bits)
        self.index.save(folder)

    def some_ids(self):
        ids = self.index.ids
        return self.rng.choice(ids, size=self.rng.integers(0, min(len(ids), 8) + 1), replace=False)

    def add(self):
        self.index.add(random_codes(self.rng, int(self.rng.integers(0, 12)), self.index.n_bits))

    def upsert(self):
        ids = np.union1d(self.some_ids(), self.rng.integers(-5, 60, 4))
        self.index.upsert(random_codes(self.rng, len(ids), self.index.n_bits), ids)

    def remove(self):
        self.index.remove(self.some_ids())

    def replace_with_the_same(self):
        ids = self.some_ids()
        self.index.upsert(self.index.reconstruct(ids), ids)

    def compact(self):
        self.index.compact()

    def commit(self):
        self.index.commit()

    def open_again(self):
        self.index.close()
        self.index = CodeIndex.open(self.folder, mmap=bool(self.rng.integers(2)))


STEPS = ["add", "upsert", "remove", "replace_with_the_same", "compact", "commit", "open_again", "sync", "fail"]


def follow(database, steps, n_bits, seed):
    with tempfile.TemporaryDirectory() as folder:
        history, table = History(n_bits, seed, f"{folder}/index"), database.table()
        with table.session(n_bits) as session:
            cls = type(session)
        for step in [*steps, "sync"]:
            if step == "sync":
                before = database.content(n_bits)[0]
                done = interop.sync(history.index, table)
                assert len(before) + done.added - done.removed == len(history.index)
                assert_equal(database, history.index)
            elif step == "fail":
                with pytest.MonkeyPatch.context() as patch:

                    def failing(self, *args):
                        raise Died

                    patch.setattr(cls, history.rng.choice(["delete", "update", "insert", "set_state"]), failing)
                    with suppress(Died):
                        interop.sync(history.index, table)
            else:
                getattr(history, step)()
        history.index.close()
        database.drop()


histories = given(
    steps=st.lists(st.sampled_from(STEPS), max_size=30),
    n_bits=st.sampled_from([1, 9, 64, 100]),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=20)
@histories
def test_a_table_of_duckdb_follows_any_history(request, steps, n_bits, seed):
    with databases.opened("duckdb", request) as database:
        follow(database, steps, n_bits, seed)


@pytest.mark.slow("hundreds of syncs, in files and with a server")
@pytest.mark.parametrize("name", databases.KINDS)
@settings(max_examples=40)
@histories
def test_tables_follow_any_history(request, name, steps, n_bits, seed):
    with databases.opened(name, request) as database:
        follow(database, steps, n_bits, seed)
