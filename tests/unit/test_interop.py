import gc
import re
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhash import CodeIndex, codes, interop

LENGTHS = [1, 7, 8, 12, 64, 100]
GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "vector-databases.md"


def import_or_skip(name):
    with warnings.catch_warnings():
        # What SWIG makes warns where Python is 3.12 or newer.
        warnings.filterwarnings("ignore", "builtin type [Ss]w", DeprecationWarning)
        return pytest.importorskip(name)


@pytest.fixture
def faiss():
    return import_or_skip("faiss")


def random_bits(rng, n, n_bits):
    return rng.integers(0, 2, size=(n, n_bits), dtype=np.uint8)


def whole(n_bits):
    return 8 * ((n_bits + 7) // 8)


# Each form: to it, from it, and the bits of one of its values, read as the engine reads them.
FORMS = {
    "msb_bytes": (
        interop.to_msb_bytes,
        interop.from_msb_bytes,
        lambda value, n_bits: np.unpackbits(value)[:n_bits],
    ),
    "bit_strings": (
        interop.to_bit_strings,
        interop.from_bit_strings,
        lambda value, n_bits: [int(character) for character in value],
    ),
    "pgvector_bytes": (
        interop.to_pgvector_bytes,
        interop.from_pgvector_bytes,
        lambda value, n_bits: np.unpackbits(np.frombuffer(value, np.uint8, offset=4))[
            : struct.unpack(">i", value[:4])[0]
        ],
    ),
    "milvus_bytes": (
        lambda packed, n_bits: interop.to_milvus_bytes(packed, whole(n_bits)),
        lambda values, n_bits: interop.from_milvus_bytes(values, whole(n_bits)),
        lambda value, n_bits: [value[i // 8] >> (i % 8) & 1 for i in range(n_bits)],
    ),
    "words": (
        interop.to_words,
        interop.from_words,
        lambda value, n_bits: [int(value[i // 64]) >> (i % 64) & 1 for i in range(n_bits)],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@given(
    n=st.integers(0, 20), n_bits=st.one_of(st.sampled_from(LENGTHS), st.integers(1, 140)), seed=st.integers(0, 2**32)
)
def test_bits_stay_in_place_and_come_back(form, n, n_bits, seed):
    there, back, bits_of = FORMS[form]
    bits = random_bits(np.random.default_rng(seed), n, n_bits)
    packed = codes.pack(bits)
    before = packed.copy()
    values = there(packed, n_bits)
    assert len(values) == n
    for value, row in zip(values, bits, strict=True):
        np.testing.assert_array_equal(bits_of(value, n_bits), row)
    returned = back(values, n_bits)
    np.testing.assert_array_equal(returned, packed)
    assert returned.dtype == np.uint8
    assert returned.flags.writeable
    assert returned.flags.c_contiguous
    np.testing.assert_array_equal(packed, before)


@pytest.mark.parametrize("n_bits", LENGTHS)
def test_msb_bytes_are_what_packbits_makes_by_default(rng, n_bits):
    bits = random_bits(rng, 17, n_bits)
    msb_bytes = interop.to_msb_bytes(codes.pack(bits), n_bits)
    np.testing.assert_array_equal(msb_bytes, np.packbits(bits, axis=1))
    assert msb_bytes.dtype == np.uint8
    np.testing.assert_array_equal(interop.from_msb_bytes(msb_bytes.view(np.int8), n_bits), codes.pack(bits))


@pytest.mark.parametrize("n_bits", LENGTHS)
def test_distances_stay(rng, n_bits):
    packed = codes.pack(random_bits(rng, 9, n_bits))
    msb_bytes = interop.to_msb_bytes(packed, n_bits)
    here = np.unpackbits(packed[:, None] ^ packed, axis=2).sum(axis=2)
    np.testing.assert_array_equal(np.unpackbits(msb_bytes[:, None] ^ msb_bytes, axis=2).sum(axis=2), here)


def test_known_values():
    packed = codes.pack([[1, -1, -1, -1, -1, -1, -1, -1, 1, 1, -1, -1]])
    assert packed.tolist() == [[0b1, 0b11]]
    assert interop.to_msb_bytes(packed, 12).tolist() == [[0b10000000, 0b11000000]]
    assert interop.to_bit_strings(packed, 12) == ["100000001100"]
    assert interop.to_pgvector_bytes(packed, 12) == [b"\0\0\0\x0c\x80\xc0"]
    assert interop.to_milvus_bytes(packed, 16) == [b"\x01\x03"]
    assert interop.to_words(packed, 12).tolist() == [[0b1100000001]]
    last = codes.pack([[-1] * 127 + [1]])
    assert interop.to_words(last, 128).tolist() == [[0, 1 << 63]]
    np.testing.assert_array_equal(interop.from_words([[0, -(1 << 63)]], 128), last)


def test_elasticsearch_examples_of_bits_bytes_and_hexadecimal_digits_agree():
    """The pair of signed bytes and bits that its documentation of bit vectors shows."""
    packed = interop.from_bit_strings(["1000000100000000000000010010101001111111"])
    msb_bytes = interop.to_msb_bytes(packed, 40)
    assert msb_bytes.view(np.int8).tolist() == [[-127, 0, 1, 42, 127]]
    assert msb_bytes[0].tobytes().hex() == "8100012a7f"


def test_strings_say_how_long_codes_are():
    assert interop.from_bit_strings(iter(["001", "100"])).tolist() == [[4], [1]]
    assert interop.from_bit_strings([], n_bits=12).shape == (0, 2)


def test_any_bytes_like_is_taken():
    for kind in (bytes, bytearray, memoryview):
        assert interop.from_milvus_bytes([kind(b"\x01")], 8).tolist() == [[1]]
        assert interop.from_pgvector_bytes(iter([kind(b"\0\0\0\x04\x90")]), 4).tolist() == [[9]]


@pytest.mark.parametrize(
    "to", [interop.to_msb_bytes, interop.to_bit_strings, interop.to_pgvector_bytes, interop.to_words]
)
def test_codes_are_checked(to):
    with pytest.raises(TypeError, match="codes must be packed codes of dtype uint8, got int64"):
        to([[1, 2]], 16)
    with pytest.raises(ValueError, match=r"codes must have shape \(n, 3\) for n_bits=20, got \(2, 2\)"):
        to(np.zeros((2, 2), np.uint8), 20)
    with pytest.raises(ValueError, match="codes must have zero padding bits for n_bits=3, row 1"):
        to(np.array([[7], [8]], np.uint8), 3)
    with pytest.raises(ValueError, match="n_bits must be an integer from 1"):
        to(np.zeros((2, 1), np.uint8), 0)
    with pytest.raises(TypeError, match="n_bits must be an integer from 1"):
        to(np.zeros((2, 1), np.uint8), "8")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: interop.from_msb_bytes([[1]], 8), TypeError, "msb_bytes must be of dtype uint8 or int8, got int64"),
        (
            lambda: interop.from_msb_bytes(np.zeros(2, np.uint8), 16),
            ValueError,
            r"msb_bytes must have shape \(n, 2\) for n_bits=16, got \(2,\)",
        ),
        (
            lambda: interop.from_msb_bytes(np.array([[0xE0], [0x10]], np.uint8), 3),
            ValueError,
            "msb_bytes must have zero padding bits for n_bits=3, row 1",
        ),
        (lambda: interop.from_bit_strings("0101"), TypeError, "strings must be an iterable of str, .* got str"),
        (lambda: interop.from_bit_strings(7), TypeError, "strings must be an iterable of str, .* got int"),
        (lambda: interop.from_bit_strings(["0", b"1"]), TypeError, "strings must .* row 1 is of type bytes"),
        (lambda: interop.from_bit_strings([]), ValueError, "n_bits must be given where strings is empty"),
        (lambda: interop.from_bit_strings([""]), ValueError, "n_bits must be an integer from 1"),
        (
            lambda: interop.from_bit_strings(["01", "011"]),
            ValueError,
            "strings must be of 2 characters for n_bits=2, row 1 is of 3",
        ),
        (
            lambda: interop.from_bit_strings(["01"], 3),
            ValueError,
            "strings must be of 3 characters for n_bits=3, row 0",
        ),
        (lambda: interop.from_bit_strings(["01", "1x"]), ValueError, "strings must hold 0 and 1 only, row 1 holds 'x'"),
        (lambda: interop.from_bit_strings(["0 1"]), ValueError, "strings must hold 0 and 1 only, row 0 holds ' '"),
        (lambda: interop.from_bit_strings(["1\u0661"]), ValueError, "strings must hold 0 and 1 only"),
        (lambda: interop.from_pgvector_bytes(b"\0\0\0\x04\x90", 4), TypeError, "values must be an iterable of bytes"),
        (lambda: interop.from_pgvector_bytes(["1001"], 4), TypeError, "values must .* row 0 is of type str"),
        (
            lambda: interop.from_pgvector_bytes([b"\0\0\0\x04\x90", b"\0\0\0\x05\x90"], 4),
            ValueError,
            r"values must begin with b'\\x00\\x00\\x00\\x04' for n_bits=4, row 1 begins with b'\\x00\\x00\\x00\\x05'",
        ),
        (
            lambda: interop.from_pgvector_bytes([b"\0\0\0\x04\x90\0"], 4),
            ValueError,
            "values must be of 5 bytes for n_bits=4, row 0 is of 6",
        ),
        (
            lambda: interop.from_pgvector_bytes([b"\0\0\0\x04\x98"], 4),
            ValueError,
            "values must have zero padding bits for n_bits=4, row 0",
        ),
        (
            lambda: interop.to_milvus_bytes(np.zeros((1, 2), np.uint8), 12),
            ValueError,
            "n_bits must be a multiple of 8 for Milvus, got 12; give n_bits=16 and dim=16",
        ),
        (lambda: interop.to_milvus_bytes([[1]], 8), TypeError, "codes must be packed codes of dtype uint8"),
        (lambda: interop.from_milvus_bytes([b"\0\0"], 12), ValueError, "n_bits must be a multiple of 8 for Milvus"),
        (lambda: interop.from_milvus_bytes([b"\0"], 16), ValueError, "values must be of 2 bytes for n_bits=16, row 0"),
        (lambda: interop.from_words([[1.0]], 8), TypeError, "words must be of dtype uint64 or int64, got float64"),
        (lambda: interop.from_words([1], 8), ValueError, r"words must have shape \(n, 1\) for n_bits=8, got \(1,\)"),
        (lambda: interop.from_words([[1]], 65), ValueError, r"words must have shape \(n, 2\) for n_bits=65"),
        (lambda: interop.from_words([[0], [16]], 4), ValueError, "words must have zero padding bits .*, row 1 has"),
        (lambda: interop.from_words([[0], [256]], 8), ValueError, "words must have zero padding bits .*, row 1 has"),
        (lambda: interop.from_milvus_bytes([3], 8), TypeError, "values must .* row 0 is of type int"),
        (lambda: interop.from_milvus_bytes(3, 8), TypeError, "values must .* got int"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- FAISS ---


def sorted_hits(distances, ids):
    """Hits of each query by distance, then id."""
    order = np.lexsort((ids, distances), axis=1)
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(ids, order, axis=1)


@pytest.mark.parametrize("n_bits", LENGTHS)
@pytest.mark.parametrize("with_ids", [False, True])
def test_faiss_finds_the_same(faiss, rng, n_bits, with_ids):
    packed = codes.pack(random_bits(rng, 50, n_bits))
    ids = rng.permutation(1000)[:50] + (1 << 40) if with_ids else None
    queries = codes.pack(random_bits(rng, 7, n_bits))
    index = interop.to_faiss_index(packed, ids, n_bits)
    assert type(index) is (faiss.IndexBinaryIDMap if with_ids else faiss.IndexBinaryFlat)
    assert (index.d, index.ntotal) == (whole(n_bits), 50)
    own = CodeIndex(n_bits)
    own.add(packed, ids)
    hits = own.search(queries, 50)
    distances, found = sorted_hits(*index.search(queries, 50))
    np.testing.assert_array_equal(distances, hits.distances)
    np.testing.assert_array_equal(found, hits.ids)


def test_faiss_needs_no_map_for_ids_from_0_on(faiss, rng):
    packed = codes.pack(random_bits(rng, 3, 12))
    for ids in (None, [0, 1, 2], np.arange(3, dtype=np.uint8)):
        assert type(interop.to_faiss_index(packed, ids, 12)) is faiss.IndexBinaryFlat
    assert type(interop.to_faiss_index(packed, [0, 2, 1], 12)) is faiss.IndexBinaryIDMap


def test_a_faiss_map_owns_what_it_stands_on(faiss, rng):
    packed = codes.pack(random_bits(rng, 2000, 64))
    indexes = [interop.to_faiss_index(packed, np.arange(2000) + i, 64) for i in (5, 6)]
    assert indexes[0].own_fields
    gc.collect()
    held = [np.ones(packed.size, np.uint8) for _ in range(50)]  # would take the place of codes that were freed
    for i, index in zip((5, 6), indexes, strict=True):
        vars(index).pop("referenced_objects", None)  # by which Python would keep it
        gc.collect()
        distances, _ = index.search(packed, 1)
        assert not distances.any()
        np.testing.assert_array_equal(interop.from_faiss_index(index, 64)[1], np.arange(2000) + i)
    assert len(held) == 50
    del indexes, index
    gc.collect()  # frees each once


@pytest.mark.parametrize("n_bits", LENGTHS)
@pytest.mark.parametrize("ids", [None, [7, -3, 1 << 62]])
def test_faiss_files_come_back(faiss, rng, tmp_path, n_bits, ids):
    packed = codes.pack(random_bits(rng, 3, n_bits))
    path = str(tmp_path / "codes.faiss")
    faiss.write_index_binary(interop.to_faiss_index(packed, ids, n_bits), path)
    read = faiss.read_index_binary(path)
    gc.collect()
    returned, returned_ids = interop.from_faiss_index(read, n_bits)
    np.testing.assert_array_equal(returned, packed)
    np.testing.assert_array_equal(returned_ids, [0, 1, 2] if ids is None else ids)
    assert returned_ids.dtype == np.int64
    del read
    gc.collect()
    np.testing.assert_array_equal(returned, packed)


def test_faiss_index_of_nothing(faiss):
    for ids in (None, []):
        index = interop.to_faiss_index(np.empty((0, 2), np.uint8), ids, 12)
        assert index.ntotal == 0
        assert [len(part) for part in interop.from_faiss_index(index, 12)] == [0, 0]


def test_wrong_input_for_faiss(faiss):
    packed = np.zeros((2, 2), np.uint8)
    with pytest.raises(TypeError, match="codes must be packed codes of dtype uint8"):
        interop.to_faiss_index([[1, 2]], None, 16)
    with pytest.raises(TypeError, match="ids must be integers, got dtype float64"):
        interop.to_faiss_index(packed, [0.0, 1.0], 16)
    with pytest.raises(ValueError, match=r"ids must have shape \(2,\), one for each code, got \(3,\)"):
        interop.to_faiss_index(packed, [1, 2, 3], 16)
    with pytest.raises(ValueError, match="ids must be unique, 5 was given 2 times"):
        interop.to_faiss_index(np.zeros((3, 1), np.uint8), [5, 1, 5], 8)
    with pytest.raises(ValueError, match="ids must fit int64, got 9223372036854775808"):
        interop.to_faiss_index(packed, np.array([0, 2**63], np.uint64), 16)
    with pytest.raises(TypeError, match=r"index must be an IndexBinaryFlat, .* got IndexBinaryHNSW"):
        interop.from_faiss_index(faiss.IndexBinaryHNSW(16, 8), 16)
    over = faiss.IndexBinaryIDMap(faiss.IndexBinaryHNSW(16, 8))
    with pytest.raises(TypeError, match="got IndexBinaryIDMap over IndexBinaryHNSW"):
        interop.from_faiss_index(over, 16)
    with pytest.raises(TypeError, match=r"index must be an IndexBinaryFlat, .* got CodeIndex"):
        interop.from_faiss_index(CodeIndex(16), 16)
    with pytest.raises(ValueError, match="index must have d=8 for n_bits=8, got d=16"):
        interop.from_faiss_index(interop.to_faiss_index(packed, None, 16), 8)
    with pytest.raises(ValueError, match="index must have zero padding bits for n_bits=12, row 1"):
        interop.from_faiss_index(interop.to_faiss_index(np.array([[1, 1], [1, 128]], np.uint8), None, 16), 12)


def test_without_faiss_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    for call in (
        lambda: interop.to_faiss_index(np.zeros((1, 1), np.uint8), None, 8),
        lambda: interop.from_faiss_index(None, 8),
    ):
        with pytest.raises(ImportError, match=re.escape("pip install 'pyhash-crossmodal[bench]'")):
            call()


# --- usearch ---


@pytest.mark.parametrize("n_bits", LENGTHS)
def test_usearch_finds_the_same(rng, n_bits):
    usearch = import_or_skip("usearch.index")
    packed, queries = codes.pack(random_bits(rng, 50, n_bits)), codes.pack(random_bits(rng, 7, n_bits))
    index = usearch.Index(ndim=n_bits, metric="hamming", dtype="b1")
    index.add(np.arange(50), interop.to_msb_bytes(packed, n_bits))
    matches = index.search(interop.to_msb_bytes(queries, n_bits), 50, exact=True)
    own = CodeIndex(n_bits)
    own.add(packed)
    hits = own.search(queries, 50)
    distances, found = sorted_hits(matches.distances, matches.keys.astype(np.int64))
    np.testing.assert_array_equal(distances, hits.distances)
    np.testing.assert_array_equal(found, hits.ids)


# --- the guide ---


def blocks_of(heading, language):
    """The blocks of the guide in a language, from a heading to the next."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```", section[1], re.M | re.S)


def python_of(heading):
    return "\n".join(blocks_of(heading, "python"))


def run_guide(heading):
    """Run the blocks of a section; return its names."""
    namespace = {}
    exec(python_of("Codes for the examples"), namespace)
    exec(python_of(heading), namespace)
    return namespace


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
@pytest.mark.parametrize(("heading", "module"), [("FAISS", "faiss"), ("usearch", "usearch.index")])
def test_the_guide_shows_what_happens(heading, module, tmp_path, monkeypatch):
    import_or_skip(module)
    monkeypatch.chdir(tmp_path)
    namespace = run_guide(heading)
    expected = namespace["index"].search(namespace["queries"], k=10)
    np.testing.assert_array_equal(namespace["distances"], expected.distances)


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
@pytest.mark.parametrize("heading", ["Elasticsearch", "Vespa"])
def test_the_guide_makes_digits_that_come_back(heading):
    namespace = run_guide(heading)
    lines = namespace["lines"]
    digits = [line["code"] if "code" in line else line["fields"]["code"]["values"] for line in lines]
    msb_bytes = np.array([list(bytes.fromhex(row)) for row in digits], dtype=np.uint8)
    np.testing.assert_array_equal(interop.from_msb_bytes(msb_bytes, 64), namespace["codes"])


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
def test_the_guide_keeps_a_table_equal():
    pytest.importorskip("duckdb")
    names = run_guide("Keep a table equal to an index")
    for name in ("first", "second"):
        shown = re.search(rf"^{name} = .*# (.*)$", python_of("Keep a table equal to an index"), re.M)[1]
        assert repr(names[name]) == shown


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
def test_the_guide_searches_duckdb(tmp_path, monkeypatch):
    pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    names = run_guide("DuckDB")
    expected = names["index"].search(names["queries"][:1], k=10)
    assert names["hits"] == list(zip(expected.ids[0].tolist(), expected.distances[0].tolist(), strict=True))
    names["connection"].close()


@pytest.mark.slow("imports LanceDB")
@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
def test_the_guide_searches_lancedb(tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.chdir(tmp_path)
    names = run_guide("LanceDB")
    expected = names["index"].search(names["queries"][:1], k=10)
    assert [hit["_distance"] for hit in names["hits"]] == expected.distances[0].tolist()


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not beside the tests")
def test_the_guide_searches_postgresql(postgres, monkeypatch):
    import psycopg

    connect = psycopg.connect
    monkeypatch.setattr(psycopg, "connect", lambda _, **options: connect(**postgres, **options))
    before, *others = blocks_of("PostgreSQL", "sql")
    with connect(**postgres, autocommit=True) as connection:
        connection.execute(before)
        try:
            names = run_guide("PostgreSQL")
            names["connection"].close()
            expected = names["index"].search(names["queries"][:1], k=10)
            assert names["hits"] == list(zip(expected.ids[0].tolist(), expected.distances[0].tolist(), strict=True))
            connection.execute("CREATE TABLE pictures AS SELECT id, id::text AS title FROM items")
            for block in others:
                connection.execute(block)
        finally:
            connection.execute("DROP TABLE IF EXISTS items, pictures, pyhash_sync")
