import json
import os
import zipfile

import numpy as np
import pytest

import pyhash
from pyhash import SHOH, CodeIndex, ModelFormatError
from pyhash._files.atomic import atomic_file
from pyhash._files.npz import write_archive


def write_index(path, n_bits, codes):
    """An index as version 0.1 wrote it: in a single file."""
    write_archive(path, "CodeIndex", {"n_bits": n_bits}, {"codes": codes, "ids": np.arange(len(codes))})


@pytest.fixture
def path(tmp_path):
    write_index(tmp_path / "file", 16, (np.arange(400) % 256).astype(np.uint8).reshape(200, 2))
    return tmp_path / "file"


def test_what_was_written_is_read(path):
    index = CodeIndex.open(path)
    assert (index.n_bits, index.fingerprint) == (16, None)
    assert np.array_equal(index.ids, np.arange(200))
    assert np.array_equal(index.codes.ravel(), np.arange(400) % 256)


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in [0, 1, 10, 100, *range(200, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError, match="is not a whole pyhash file") as caught:
            CodeIndex.open(path)
        assert str(path) in str(caught.value)


def test_every_damaged_byte_is_noticed_or_harmless(path):
    """Flips every byte in turn: the file is refused, or opens as it was (the byte meant nothing)."""
    whole = path.read_bytes()
    ids, codes = CodeIndex.open(path).ids, CodeIndex.open(path).codes
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            index = CodeIndex.open(path)
        except ModelFormatError:
            refused += 1
        else:
            assert np.array_equal(index.ids, ids)
            assert np.array_equal(index.codes, codes)
    assert refused > 0.9 * len(whole)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100), b"\x80\x04N."])
@pytest.mark.parametrize("opener", [pyhash.load, CodeIndex.open])
def test_foreign_files(tmp_path, content, opener):
    (tmp_path / "foreign").write_bytes(content)
    with pytest.raises(ModelFormatError, match="foreign is not a whole pyhash file"):
        opener(tmp_path / "foreign")


def test_an_npz_of_another_program(tmp_path):
    np.savez(tmp_path / "other.npz", codes=np.zeros((2, 2)))
    with pytest.raises(ModelFormatError, match=r"other.npz is not a pyhash file: it has no header.json"):
        CodeIndex.open(tmp_path / "other.npz")


def rewrite(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"])
    change(header)
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(version=99), "format version 99, this pyhash reads up to 1: install a newer pyhash"),
        (lambda h: h.update(version="1"), "no valid format version"),
        (lambda h: h.update(format="other"), "its header names another format"),
        (lambda h: h.update(kind="SHOH"), "holds a SHOH, not a CodeIndex"),
        (lambda h: h.pop("kind"), "has no 'kind' in its header"),
        (lambda h: h["fields"].pop("n_bits"), "has no field 'n_bits'"),
        (
            lambda h: h["fields"].update(n_bits=24),
            r"array 'codes' must be uint8 of shape \('any', 3\), got uint8 of shape",
        ),
        (lambda h: h["fields"].update(n_bits="x"), "is not a valid index: n_bits must be an integer"),
        (lambda h: h["arrays"].pop("ids"), "has no array 'ids'"),
        (lambda h: h["arrays"].update(ids=["<i8", [3]]), "array 'ids' is not the one that the header describes"),
        (lambda h: h["arrays"].update(ids=5), "does not describe array 'ids' in its header"),
        (lambda h: h["arrays"].update(ids=["<i8"]), "does not describe array 'ids' in its header"),
        (lambda h: h["arrays"].update(more=["<i8", [3]]), "is not a whole pyhash file"),
    ],
)
def test_headers_are_checked(path, change, message):
    rewrite(path, change)
    with pytest.raises(ModelFormatError, match=message) as caught:
        CodeIndex.open(path)
    assert str(path) in str(caught.value)


def test_ids_of_a_file_are_checked(path):
    write_archive(path, "CodeIndex", {"n_bits": 8}, {"codes": np.zeros((2, 1), np.uint8), "ids": np.array([3, 3])})
    with pytest.raises(ModelFormatError, match="is not a valid index: ids must be unique"):
        CodeIndex.open(path)


def test_no_pickle_is_ever_loaded(path):
    with zipfile.ZipFile(path) as archive:
        header = archive.read("header.json")
    np.savez(path.with_suffix(".npz"), codes=np.array([{}], dtype=object), ids=np.zeros(1))
    with zipfile.ZipFile(path.with_suffix(".npz"), "a") as archive:
        archive.writestr("header.json", header)
    with pytest.raises(ModelFormatError, match="allow_pickle=False"):
        CodeIndex.open(path.with_suffix(".npz"))


def test_a_missing_file_is_missing(tmp_path):
    for opener in (pyhash.load, CodeIndex.open):
        with pytest.raises(FileNotFoundError):
            opener(tmp_path / "nothing")


def test_load_refuses_an_index(path):
    with pytest.raises(ModelFormatError, match="holds a CodeIndex, not a model"):
        pyhash.load(path)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_other(path, error):
    before = path.read_bytes()

    def write_and_fail():
        with atomic_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_index(path, 8, np.zeros((0, 1), np.uint8))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("c", "d"):
        write_index(tmp_path / name, 8, np.ones((3, 1), np.uint8))
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()
    for name in ("a", "b"):
        SHOH(8).partial_fit({"x": np.eye(3)}, [0, 1, 2]).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_get_the_permissions_that_the_user_asks_for(tmp_path):
    if os.name != "posix":
        pytest.skip("posix only")
    before = os.umask(0o027)
    try:
        write_index(tmp_path / "file", 8, np.zeros((0, 1), np.uint8))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
