"""Files of the payload of a Retriever: what is read from them."""

import numpy as np
import pytest

from pyhash.retriever.arrow_messages import read_plain_table

pa = pytest.importorskip("pyarrow")

WORDS = pa.array([["x"], None, ["y", "x"], []], pa.list_(pa.dictionary(pa.int8(), pa.string())))
TABLES = {
    "plain": pa.table({"a": [1, 2], "b": ["x", None]}),
    "batches": pa.concat_tables([pa.table({"a": [n]}) for n in range(5)]),
    "dictionaries": pa.table({"words": WORDS}),
    "no columns": pa.table({}),
    "no rows": pa.table({"a": pa.array([], pa.int8())}),
}


def written(path, table, compression=None):
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer,
    ):
        writer.write_table(table)
    return path


def read(path):
    with pa.memory_map(str(path)) as source:
        return read_plain_table(source)


@pytest.mark.parametrize("name", TABLES)
def test_tables_come_back(name, tmp_path):
    assert read(written(tmp_path / "t.arrow", TABLES[name])).equals(TABLES[name])


def test_values_stay_in_the_file(tmp_path):
    path = written(tmp_path / "t.arrow", pa.table({"a": np.arange(1 << 20)}))
    before = pa.total_allocated_bytes()
    table = read(path)
    assert pa.total_allocated_bytes() - before < 1 << 16
    assert table["a"][-1].as_py() == (1 << 20) - 1


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize(
    "table", [pa.table({"a": [bytes(1 << 20)]}), TABLES["dictionaries"]], ids=["rows", "dictionary"]
)
def test_compressed_files_are_refused(compression, table, tmp_path):
    path = written(tmp_path / "t.arrow", table, compression)
    with pytest.raises(ValueError, match="it is compressed"):
        read(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "t.arrow").write_bytes(b"PAR1" * 10)
    with pytest.raises(ValueError, match="no file of Arrow"):
        read(tmp_path / "t.arrow")
