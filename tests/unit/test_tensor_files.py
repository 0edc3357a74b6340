import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

import pyhash
from pyhash import ModelFormatError
from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive
from pyhash._files.safetensors import read_tensor_file, write_tensor_file

READERS = [read_tensor_file, read_archive]
FIELDS = {"n_bits": 16, "widths": [8, 4], "name": "é", "rate": 0.1, "nothing": None}
DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
]


def some_arrays():
    return {
        "image.weight": np.arange(60, dtype=np.float32).reshape(20, 3),
        "bias": np.array([0.5, -1.0]),
        "steps": np.array(7),
        "codes": np.arange(40, dtype=np.uint8).reshape(20, 2),
    }


@pytest.fixture
def path(tmp_path):
    write_tensor_file(tmp_path / "file", "SDCH", FIELDS, some_arrays())
    return tmp_path / "file"


def assert_equal_content(archive):
    assert (archive.kind, archive.fields) == ("SDCH", FIELDS)
    assert list(archive.arrays) == list(some_arrays())
    for name, array in some_arrays().items():
        assert archive.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(archive.arrays[name], array, strict=True)


@pytest.mark.parametrize("reader", READERS)
def test_what_was_written_is_read(path, reader):
    archive = reader(path)
    assert archive.path == path
    assert_equal_content(archive)
    archive.arrays["codes"][0] = 1  # the reader's own
    assert_equal_content(reader(str(path)))


def test_any_program_can_read_the_tensors(path):
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(some_arrays())
        np.testing.assert_array_equal(file.get_tensor("bias"), [0.5, -1.0])
        assert set(file.metadata()) == {"pyhash"}
        assert json.loads(file.metadata()["pyhash"])["kind"] == "SDCH"


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_dtype_and_layout_come_back(tmp_path, rng, dtype):
    full = rng.integers(0, 2, size=(6, 4, 5)).astype(dtype)
    arrays = {
        "whole": full,
        "scalar": full[0, 0, 0].reshape(()),
        "empty": full[:0],
        "no columns": full[:, :, :0],
        "turned": full.T,
        "strided": full[::2, ::-1],
        "fortran": np.asfortranarray(full[0]),
        "spread": np.broadcast_to(full[0], (3, 4, 5)),
        "swapped": full.astype(full.dtype.newbyteorder(">")),
    }
    write_tensor_file(tmp_path / "file", "SDCH", {}, arrays)
    found = read_archive(tmp_path / "file").arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].shape, found[name].dtype) == (array.shape, np.dtype(dtype)), name


def test_values_that_are_no_numbers_come_back_to_the_bit(tmp_path):
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324])
    write_tensor_file(tmp_path / "file", "SDCH", {}, {"values": values})
    assert read_archive(tmp_path / "file").arrays["values"].tobytes() == values.tobytes()


def test_a_file_without_arrays(tmp_path):
    write_tensor_file(tmp_path / "file", "SDCH", {"a": 1}, {})
    archive = read_archive(tmp_path / "file")
    assert (archive.fields, archive.arrays) == ({"a": 1}, {})


def test_both_forms_hold_the_same(tmp_path, path):
    write_archive(tmp_path / "zip", "SDCH", FIELDS, some_arrays())
    assert_equal_content(read_archive(tmp_path / "zip"))
    assert (tmp_path / "zip").read_bytes()[:4] == b"PK\x03\x04"
    with pytest.raises(ModelFormatError, match="zip is not a whole pyhash file"):
        read_tensor_file(tmp_path / "zip")


def test_a_length_that_looks_like_a_zip_does_not_mislead(tmp_path):
    """The first bytes are the length of the header; "PK" is 19280 of them."""
    write_tensor_file(tmp_path / "file", "SDCH", {"padding": ""}, {"a": np.arange(3)})
    length = int.from_bytes((tmp_path / "file").read_bytes()[:8], "little")
    write_tensor_file(tmp_path / "file", "SDCH", {"padding": "x" * (19_280 - length)}, {"a": np.arange(3)})
    assert (tmp_path / "file").read_bytes().startswith(b"PK")
    assert read_archive(tmp_path / "file").arrays["a"].tolist() == [0, 1, 2]


# --- damage -----------------------------------------------------------------------------------------------------------


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in [*range(12), *range(12, len(whole), 13), len(whole) - 1]:
        path.write_bytes(whole[:length])
        for reader in READERS:
            with pytest.raises(ModelFormatError, match="is not a whole pyhash file") as caught:
                reader(path)
            assert str(path) in str(caught.value)


def test_more_than_the_file_is_noticed(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelFormatError, match="is not a whole pyhash file"):
        read_archive(path)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_every_damaged_byte_is_noticed_or_harmless(path, flip):
    whole = path.read_bytes()
    data = 8 + int.from_bytes(whole[:8], "little")
    accepted = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        try:
            archive = read_archive(path)
        except ModelFormatError as error:
            assert str(path) in str(error)  # noqa: PT017 - the other half is below
        else:
            accepted.append(place)
            assert_equal_content(archive)
    # Spaces between entries, and hexadecimal digits in large letters, mean the same; nothing among the data does.
    assert all(place < data for place in accepted)
    assert len(accepted) < 0.1 * len(whole)


def test_a_flipped_bit_of_the_data_is_named_as_such(path):
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(
        ModelFormatError, match="file is not a whole pyhash file: its content does not have its checksum"
    ):
        pyhash.load(path)


def test_arrays_that_changed_places_are_noticed(path):
    """Same dtype, same shape, same bytes over all."""
    write_tensor_file(path, "SDCH", {}, {"a": np.array([1, 2]), "b": np.array([3, 4])})
    rewrite(path, arrays={"a": np.array([3, 4]), "b": np.array([1, 2])})
    with pytest.raises(ModelFormatError, match="does not have its checksum"):
        read_archive(path)


def rewrite(path, change=lambda header: None, arrays=None):
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["pyhash"])
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    change(header)
    path.write_bytes(save(kept if arrays is None else arrays, {"pyhash": json.dumps(header)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(version=99), "format version 99, this pyhash reads up to 2: install a newer pyhash"),
        (lambda h: h.update(version="1"), "no valid format version"),
        (lambda h: h.update(format="other"), "its header names another format"),
        (lambda h: h.pop("kind"), "has no 'kind' in its header"),
        (lambda h: h["arrays"].update(bias=["<f8", [3]]), "array 'bias' is not the one that the header describes"),
        (lambda h: h["arrays"].update(bias=["<f4", [2]]), "array 'bias' is not the one that the header describes"),
        (lambda h: h["arrays"].update(bias=5), "does not describe array 'bias' in its header"),
        (lambda h: h["arrays"].update(more=["<i8", [3]]), "is not a whole pyhash file: .*more"),
        (lambda h: h["arrays"].pop("bias"), "does not have its checksum"),
        (lambda h: h["fields"].update(n_bits=17), "does not have its checksum"),
        (lambda h: h.update(kind="DHSL"), "does not have its checksum"),
        (lambda h: h.pop("sha256"), "does not have its checksum"),
        (lambda h: h.update(sha256=3), "does not have its checksum"),
    ],
)
def test_headers_are_checked(path, change, message):
    rewrite(path)
    assert_equal_content(read_archive(path))
    rewrite(path, change)
    for reader in READERS:
        with pytest.raises(ModelFormatError, match=message) as caught:
            reader(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_another_program(tmp_path, metadata):
    (tmp_path / "other.safetensors").write_bytes(save({"weight": np.ones(3)}, metadata))
    for reader in [*READERS, pyhash.load]:
        with pytest.raises(
            ModelFormatError, match=r"other.safetensors is not a pyhash file: it has no 'pyhash' in its metadata"
        ):
            reader(tmp_path / "other.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": "pyhash"}', "\\ud800", "[" * 100_000])
def test_headers_that_are_none(tmp_path, text):
    (tmp_path / "file").write_bytes(save({"weight": np.ones(3)}, {"pyhash": text}))
    with pytest.raises(ModelFormatError, match=str(tmp_path / "file")):
        read_archive(tmp_path / "file")


@pytest.mark.parametrize("reader", READERS)
def test_what_cannot_be_opened_is_no_damaged_file(tmp_path, reader):
    with pytest.raises(FileNotFoundError):
        reader(tmp_path / "nothing")
    with pytest.raises(OSError, match="directory"):
        reader(tmp_path)


def test_load_refuses_kinds_that_are_no_models(tmp_path):
    write_tensor_file(tmp_path / "file", "CodeIndex", {}, {})
    with pytest.raises(ModelFormatError, match="holds a CodeIndex, not a model"):
        pyhash.load(tmp_path / "file")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_equal_content_gives_equal_bytes(tmp_path, path):
    """In another process too, where names are hashed otherwise."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_tensor_files as t; "
        "t.write_tensor_file(sys.argv[2], 'SDCH', t.FIELDS, t.some_arrays())"
    )
    for seed in ("1", "2"):
        again = tmp_path / f"again{seed}"
        subprocess.run(
            [sys.executable, "-c", code, os.path.dirname(__file__), str(again)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert again.read_bytes() == path.read_bytes()
    write_tensor_file(path, "SDCH", FIELDS, {name: np.asarray(a, order="F") for name, a in some_arrays().items()})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("fields", "arrays", "error", "message"),
    [
        ({"a": float("nan")}, {}, ValueError, "not JSON compliant"),
        ({"a": [float("inf")]}, {}, ValueError, "not JSON compliant"),
        ({"a": object()}, {}, TypeError, "not JSON serializable"),
        (
            {},
            {"a": np.ones(2, complex)},
            TypeError,
            r"arrays\['a'\] must be of a dtype that safetensors has, got complex128",
        ),
        ({}, {"a": np.array(["x"])}, TypeError, r"arrays\['a'\] must be of a dtype that safetensors has, got <U1"),
        ({}, {"a": np.array([{}])}, TypeError, r"arrays\['a'\] must be of a dtype that safetensors has, got object"),
        ({}, {"__metadata__": np.ones(2)}, ValueError, "arrays must not be named '__metadata__'"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file_and_no_other(path, fields, arrays, error, message):
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        write_tensor_file(path, "SDCH", fields, arrays)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_tensor_file(path, "SDCH", {}, {})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# --- without safetensors ----------------------------------------------------------------------------------------------


def test_without_safetensors_the_extra_is_named(tmp_path, path, monkeypatch):
    write_archive(tmp_path / "zip", "SDCH", FIELDS, some_arrays())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for reader in [*READERS, pyhash.load]:
        with pytest.raises(ImportError) as caught:
            reader(path)
        assert str(caught.value) == f'reading {path} needs safetensors: pip install "pyhash-crossmodal[deep]"'
    before = path.read_bytes()
    with pytest.raises(ImportError, match=r"writing .*file needs safetensors: pip install"):
        write_tensor_file(path, "SDCH", {}, {})
    assert path.read_bytes() == before
    assert_equal_content(read_archive(tmp_path / "zip"))
    with pytest.raises(FileNotFoundError):
        read_tensor_file(tmp_path / "nothing")


def test_importing_pyhash_does_not_load_safetensors():
    code = "import sys; import pyhash._files.safetensors; sys.exit('safetensors' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
