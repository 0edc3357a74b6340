"""Damaged MATLAB files of version 5 to 7 are refused: scipy's reader would read beyond the ends of its buffers.

``python tests/unit/test_mat5_structure.py SEED COUNT`` reads COUNT mutated files; the tests do so in a process of their
own, which a crash would end.
"""

import io
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array, issparse

from pyhash.datasets import mat5_structure
from pyhash.datasets.mat5_structure import check_mat5_structure
from pyhash.datasets.matlab import MatSource

MATRIX, COMPRESSED = 14, 15


def variables():
    rng = np.random.default_rng(0)
    words = np.empty((2, 2), dtype=object)
    words[:] = [["a tag", "another"], ["", "näme"]]
    captions = np.empty((3, 1), dtype=object)
    captions[:, 0] = [np.array(["one line", "of two"]), words, np.array([], dtype="U1")]
    return {
        "doubles": rng.standard_normal((5, 3)),
        "singles": np.float32(rng.standard_normal((2, 2, 2))),
        "bytes": np.arange(5, dtype=np.uint8)[None],
        "small": np.array([[7]], dtype=np.int16),
        "complex": rng.standard_normal((2, 2)) * 1j,
        "logical": rng.random((2, 3)) < 0.5,
        "empty": np.zeros((0, 4)),
        "sparse": csc_array(np.eye(4)),
        "sparse_complex": csc_array(np.eye(3) * 1j),
        "text": "a text",
        "captions": captions,
        "record": {"field": 1.0, "other": "x"},
    }


def saved(*, compressed=False, names=None):
    file = io.BytesIO()
    chosen = variables() if names is None else {name: variables()[name] for name in names}
    savemat(file, chosen, do_compression=compressed)
    return file.getvalue()


def element(kind, data, order=">"):
    """An element with its padding, as the format describes it."""
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(name, array_class, dimensions, *content, flags=0, order=">"):
    head = element(6, struct.pack(order + "II", flags | array_class, 0), order)
    head += element(5, struct.pack(f"{order}{len(dimensions)}i", *dimensions), order) + element(1, name, order)
    return element(MATRIX, head + b"".join(content), order)


def big_endian():
    """Files of the other byte order, which scipy reads and does not write."""
    number = element(9, struct.pack(">6d", *range(6)))
    word = array(b"", 4, (1, 2), struct.pack(">HHBBH", 2, 16, 97, 98, 0))
    elements = [
        array(b"doubles", 6, (2, 3), number),
        array(b"cell", 1, (1, 2), word, word),
        array(b"sparse", 5, (3, 1), element(5, struct.pack(">2i", 0, 2)), element(5, struct.pack(">2i", 0, 2)),
              element(9, struct.pack(">2d", 1, 2))),
    ]  # fmt: skip
    deflated = zlib.compress(array(b"deflated", 6, (2, 3), number))
    elements.append(struct.pack(">II", COMPRESSED, len(deflated)) + deflated)
    return b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + b"".join(elements)


FILES = [saved(), saved(compressed=True), saved(names=["captions"]), saved(names=["sparse", "doubles"]), big_endian()]


def read_all(path):
    """All that a user's call can reach."""
    source = MatSource(path)
    return {
        name: source.read(name)
        for name, variable in source.variables.items()
        if variable.kind in ("numbers", "sparse", "texts")
    }


def mutated(rng, content):
    """A few bytes changed, near each other or not, or the end cut off."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(120, len(data)))
        data[place] = rng.choice([0, 1, 2, 4, 14, 15, 255, rng.integers(256)])
    if rng.random() < 0.1:
        del data[int(rng.integers(100, len(data))) :]
    return bytes(data)


def main(seed, count):
    """Read mutated files; what is no ValueError is not caught."""
    rng = np.random.default_rng(seed)
    n_refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.mat"
        for number in range(count):
            path.write_bytes(mutated(rng, FILES[number % len(FILES)]))
            try:
                for value in read_all(path).values():
                    if issparse(value):
                        value @ np.ones(value.shape[1])  # which trusts the matrix
            except ValueError as error:
                n_refused += "mutated.mat" in str(error)
    print(n_refused)


def test_whole_files_are_read(tmp_path):
    (tmp_path / "a.mat").write_bytes(saved(compressed=True))
    (tmp_path / "b.mat").write_bytes(saved())
    for name in "ab":
        read = read_all(tmp_path / f"{name}.mat")
        for key in ("doubles", "singles", "bytes", "small", "complex", "logical", "empty"):
            np.testing.assert_array_equal(read[key], variables()[key])
        np.testing.assert_array_equal(read["sparse"].toarray(), np.eye(4))
        assert read["captions"] == ["one line of two", "a tag another  näme", ""]
    (tmp_path / "c.mat").write_bytes(big_endian())
    read = read_all(tmp_path / "c.mat")
    np.testing.assert_array_equal(read["doubles"], [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(read["deflated"], read["doubles"])
    np.testing.assert_array_equal(read["sparse"].toarray(), [[1], [0], [2]])
    assert read["cell"] == ["ab", "ab"]


def test_mutated_files_are_refused_or_read():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "1", "400"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 100


NUMBERS = element(9, bytes(48))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array(b"x", 6, (2, 4), NUMBERS), "variable 1 has real part of 48 bytes, not of 8 numbers of 8"),
        (array(b"x", 6, (2, 3), NUMBERS, flags=0x800), "variable 1 has imaginary part of 8 bytes where 0 are left"),
        (array(b"x", 6, (2, 3), element(99, bytes(48))), "real part of type 99, which is no type of numbers"),
        (array(b"x", 6, (2, 3), NUMBERS, NUMBERS), "variable 1 has 56 bytes more than its content"),
        (array(b"x", 6, (2, -3), NUMBERS), "variable 1 has a dimension of -3"),
        (array(b"x", 6, (1,) * 40, NUMBERS), "dimensions of 160 bytes, at most 128 are possible"),
        (array(b"x", 99, (2, 3), NUMBERS), "variable 1 is of class 99, which does not exist"),
        (array(b"x", 1, (1 << 20, 1 << 10)), "variable 1 needs 1073741824 cells, and 0 bytes are left for them"),
        (array(b"x", 1, (1, 1), NUMBERS), "holds an element of type 9 in a cell, not an array"),
        (
            array(b"x", 1, (1, 1), array(b"", 2, (1, 1))),
            "x must be a cell of texts, got a cell that holds an array of class struct",
        ),
        (array(b"x", 4, (2, 9), element(4, bytes(8))), "a text of 8 bytes, which are not 18 characters of type 4"),
        (
            array(b"x", 5, (3, 3), element(5, bytes(8)), element(5, bytes(8)), NUMBERS),
            "starts of columns of 8 bytes, not of 4 numbers of 4",
        ),
        (array(b"x", 5, (1 << 30, 3)), "is sparse with 1073741824 rows, more than 268435456"),
        (struct.pack(">II", MATRIX, 1000), "variable 1 needs 1000 bytes, the file has 0 more"),
        (element(9, bytes(8)), "variable 1 is an element of type 9, not an array"),
        (struct.pack(">II", MATRIX, 0), "variable 1 has flags of 8 bytes where 0 are left"),
    ],
)
def test_what_contradicts_itself_is_named(content, message):
    file = io.BytesIO(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + content)
    with pytest.raises(ValueError, match=message):
        check_mat5_structure(file, "x")


START = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"


@pytest.mark.parametrize(
    ("variable", "name"),
    [(array(b"", 6, (2, 3), element(MATRIX, bytes(48))), "__function_workspace__"),
     (element(MATRIX, element(6, struct.pack(">II", 17, 0)) + element(1, b"x") * 3), "None")],
    ids=["unnamed", "opaque"],
)  # fmt: skip
def test_variables_without_a_name_are_checked_under_the_names_of_scipy(variable, name):
    file = io.BytesIO(START + variable)
    check_mat5_structure(file)
    with pytest.raises(
        ValueError, match=r"variable 1 has real part of type 14, |None is of class opaque, which is not"
    ):
        check_mat5_structure(file, name)


@pytest.mark.parametrize("values", [bytes([1, 1, 1]), struct.pack(">3d", 1, 1, 1)], ids=["bytes", "doubles"])
def test_sparse_logical_arrays_are_read(tmp_path, values):
    """MATLAB stores one byte for each entry, with the tag of doubles."""
    head = element(6, struct.pack(">II", 0x0200 | 5, 3)) + element(5, struct.pack(">2i", 4, 2)) + element(1, b"x")
    parts = element(5, struct.pack(">3i", 0, 3, 2)), element(5, struct.pack(">3i", 0, 2, 3)), element(9, values)
    (tmp_path / "a.mat").write_bytes(START + element(MATRIX, head + b"".join(parts)))
    read = read_all(tmp_path / "a.mat")["x"]
    np.testing.assert_array_equal(read.toarray(), [[1, 0], [0, 0], [0, 1], [1, 0]])


def test_a_sparse_logical_array_with_too_few_bytes_is_refused():
    parts = element(5, struct.pack(">3i", 0, 3, 2)), element(5, struct.pack(">3i", 0, 2, 3)), element(9, b"\x01\x01")
    head = element(6, struct.pack(">II", 0x0200 | 5, 3)) + element(5, struct.pack(">2i", 4, 2)) + element(1, b"x")
    file = io.BytesIO(START + element(MATRIX, head + b"".join(parts)))
    with pytest.raises(ValueError, match="real part of 2 bytes, not of multiples of 8"):
        check_mat5_structure(file, "x")


def test_a_cell_that_holds_a_struct_is_not_called_damaged(tmp_path):
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ["a text", {"field": 1.0}]
    savemat(tmp_path / "a.mat", {"x": cells})
    message = r"a\.mat: x must be a cell of texts, got a cell that holds an array of class struct"
    with pytest.raises(ValueError, match=message):
        read_all(tmp_path / "a.mat")


def test_cells_within_cells_have_a_limit():
    cell = array(b"", 6, (2, 3), NUMBERS)
    for _ in range(100):
        cell = array(b"x", 1, (1, 1), cell)
    file = io.BytesIO(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + cell)
    with pytest.raises(ValueError, match="cells within cells, more than 32 deep"):
        check_mat5_structure(file, "x")


def test_little_memory_is_used_for_what_a_compressed_variable_claims(tmp_path, monkeypatch):
    """32 MB of zeros in 32 KB; as they are taken, 256 MB would not be questioned."""
    monkeypatch.setattr(mat5_structure, "_MAX_UNQUESTIONED_BYTES", 1 << 24)
    n = 32 << 20
    compressor = zlib.compressobj(9)
    head = array(b"x", 6, (n // 8, 1))[8:] + struct.pack(">II", 9, n)
    parts = [compressor.compress(struct.pack(">II", MATRIX, len(head) + n) + head)]
    parts += [compressor.compress(bytes(1 << 20)) for _ in range(32)]
    deflated = b"".join([*parts, compressor.flush()])
    start = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"
    (tmp_path / "a.mat").write_bytes(start + struct.pack(">II", COMPRESSED, len(deflated)) + deflated)
    message = "more than 900 times as many bytes as are stored of it"
    with pytest.raises(ValueError, match=message):
        read_all(tmp_path / "a.mat")
    tracemalloc.start()
    try:
        with open(tmp_path / "a.mat", "rb") as file, pytest.raises(ValueError, match=message):
            check_mat5_structure(file, "x")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_compressed_variable_has_what_it_claims():
    whole = array(b"x", 6, (2, 3), NUMBERS)
    for inside, cut, message in (
        (whole + bytes(8), 0, "variable 1 has more than the .* bytes that it needs"),
        (whole[:-8], 0, "variable 1 ends after"),
        (whole, 4, "variable 1 is cut short: its checksum is missing"),
        (whole, 20, "variable 1 ends after"),
    ):
        deflated = zlib.compress(inside)
        deflated = deflated[: len(deflated) - cut]
        content = struct.pack(">II", COMPRESSED, len(deflated)) + deflated
        with pytest.raises(ValueError, match=message):
            check_mat5_structure(io.BytesIO(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + content), "x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
