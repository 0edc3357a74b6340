import copy
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

import pyhash
from pyhash import SHOH, CodeIndex, ModelFormatError
from pyhash._files import archive as archives
from pyhash._files.atomic import atomic_file
from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive


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
        (lambda h: h.update(version=99), "format version 99, this pyhash reads up to 2: install a newer pyhash"),
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
    with pytest.raises(ModelFormatError, match="must be numbers or text, got Python objects"):
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


# --- what is there already ---

posix = pytest.mark.skipif(os.name != "posix", reason="posix only")


def write(path, content=b"new"):
    with atomic_file(path) as file:
        file.write(content)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o755, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, umask, mode):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    path.chmod(mode)
    SHOH(8).partial_fit({"x": np.eye(3)}, [0, 1, 2]).save(path)
    assert path.stat().st_mode & 0o7777 == mode
    assert pyhash.load(path).n_bits == 8
    assert os.listdir(tmp_path) == ["model"]


@posix
def test_nobody_else_can_open_a_private_file_while_it_is_written(tmp_path, umask):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with atomic_file(path) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        file.write(b"secret")


@posix
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, umask, absolute):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "model", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target if absolute else "store/model")
    (tmp_path / "second").symlink_to("link")
    write(tmp_path / "second")
    assert link.is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert target.read_bytes() == link.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "store") == ["model"]
    assert sorted(os.listdir(tmp_path)) == ["link", "second", "store"]


@posix
def test_a_failed_write_through_a_link_leaves_its_target(tmp_path):
    (tmp_path / "model").write_bytes(b"old")
    (tmp_path / "link").symlink_to("model")

    def write_and_fail():
        with atomic_file(tmp_path / "link") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert (tmp_path / "link").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["link", "model"]


@posix
def test_links_to_nothing(tmp_path):
    """As ``open`` has it: the file is made where its folder exists."""
    (tmp_path / "link").symlink_to("new")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() == b"new"
    (tmp_path / "astray").symlink_to("no/such/folder")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "astray")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "loop")
    assert sorted(os.listdir(tmp_path)) == ["astray", "link", "loop", "new"]


@posix
def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("folder", "link"):
        with pytest.raises(IsADirectoryError, match="folder"):
            write(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match=r"Not a regular file.*pipe"):
        write(tmp_path / "pipe")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_what_is_raised_before_the_rename_leaves_the_old_file(path):
    before = path.read_bytes()

    def refuse():
        raise KeyError("no")

    def write_and_refuse():
        with atomic_file(path, before_rename=refuse) as file:
            file.write(b"new")

    with pytest.raises(KeyError):
        write_and_refuse()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# --- archives that are made to harm ---


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", ["header.json", "codes.npy", "ids.npy"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(path, name, method):
    members = members_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content, method if member == name else zipfile.ZIP_STORED)
    with pytest.raises(ModelFormatError, match=f"must not be compressed, its member '{name}' is"):
        CodeIndex.open(path)


@pytest.mark.parametrize("name", ["header.json", "codes.npy"])
def test_small_files_that_unpack_to_much_take_no_memory(path, name):
    """Zeros to the size of 256 MB in 256 kB."""
    members = members_of(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            with archive.open(member, "w") as file:
                file.write(content)
                for _ in range(256 if member == name else 0):
                    file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 19
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match="must not be compressed"):
            CodeIndex.open(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_members_of_one_name_are_refused(path):
    members = members_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("codes.npy", members["codes.npy"])
    with pytest.raises(ModelFormatError, match=r"has two members 'codes\.npy'"):
        CodeIndex.open(path)


def test_encrypted_members_are_refused(path):
    whole = bytearray(path.read_bytes())
    start = whole.index(b"PK\x01\x02")  # the first entry of the directory at the end
    whole[start + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(ModelFormatError, match=r"must not be encrypted, its member 'header\.json' is"):
        CodeIndex.open(path)


def test_members_that_overlap_are_refused(path):
    """Many entries of the directory that share the same bytes."""
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo("codes.npy")
        for i in range(20):
            again = copy.copy(info)
            again.filename = again.orig_filename = f"more{i}.npy"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    with pytest.raises(ModelFormatError, match="its members are larger than the file"):
        CodeIndex.open(path)


@pytest.mark.parametrize("shape", [[10**12, 2], [10**30, 2], [2**63, 2], [0, 2], [-1, 2], [True, 2], [2.0, 2], ["x"]])
def test_sizes_that_the_file_does_not_have_are_refused_before_memory_is_taken(path, shape):
    """The header of the file and that of the array agree."""
    members = members_of(path)
    header = json.loads(members["header.json"])
    header["arrays"]["codes"] = ["|u1", shape]
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {tuple(shape)!r}}}".encode().ljust(117) + b"\n"
    members |= {
        "header.json": json.dumps(header).encode(),
        "codes.npy": b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(400),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match=str(path)):
            CodeIndex.open(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_headers_are_of_a_size(path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_HEADER_BYTES", 1000)
    CodeIndex.open(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must take at most 1000 bytes as JSON, got"):
        write_archive(path, "CodeIndex", {"n_bits": 8, "more": "x" * 1000}, {})
    assert path.read_bytes() == before
    monkeypatch.undo()
    write_archive(path, "CodeIndex", {"n_bits": 8, "more": "x" * 1000}, {})
    monkeypatch.setattr(archives, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(ModelFormatError, match="has a header of more than 1000 bytes"):
        CodeIndex.open(path)


@pytest.mark.parametrize("error", [IndexError, KeyError, OverflowError, ZeroDivisionError, TypeError])
def test_content_that_does_not_fit_together_is_a_format_error(path, error):
    def take():
        with read_archive(path).taken_for("model"):
            raise error("trial.scores")

    with pytest.raises(ModelFormatError, match=r"file is not a valid model: .*trial\.scores"):
        take()


MODEL = SHOH(8).partial_fit({"x": np.eye(3)}, [0, 1, 2])


@pytest.mark.parametrize("wrong", [b"file", 3, None])
@pytest.mark.parametrize(
    "call",
    [
        pyhash.load,
        MODEL.save,
        pyhash.datasets.load_npz,
        pyhash.datasets.load_mat,
        lambda path: pyhash.datasets.save_npz(path, pyhash.datasets.make_hierarchical(20)),
    ],
    ids=["load", "save", "load_npz", "load_mat", "save_npz"],
)
def test_paths_of_another_type_are_refused(tmp_path, monkeypatch, call, wrong):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=r"^path must be a str or an os\.PathLike of str, got "):
        call(wrong)
    assert os.listdir() == []


@pytest.mark.parametrize("call", [pyhash.load, MODEL.save, CodeIndex.open, CodeIndex(8).save])
@pytest.mark.parametrize(
    ("wrong", "message"), [("", "not be empty"), ("a\0b", r"not contain a null byte, got 'a\\x00b'")]
)
def test_paths_that_name_no_file_are_refused(tmp_path, monkeypatch, call, wrong, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^path must {message}$"):
        call(wrong)
    assert os.listdir() == []


@pytest.mark.parametrize("saved", [MODEL, CodeIndex(8)], ids=["model", "index"])
def test_saving_through_a_dangling_link_makes_its_target(tmp_path, saved):
    (tmp_path / "link").symlink_to("target")
    saved.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    type(saved).open(tmp_path / "target") if isinstance(saved, CodeIndex) else pyhash.load(tmp_path / "target")
