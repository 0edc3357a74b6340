"""A model and an index that are committed as one: what is kept, by whom it is seen, and what errors leave."""

import copy
import json
import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pyhash import (
    BOCH,
    CCAITQ,
    LEMON,
    LSH,
    CodeIndex,
    IndexChangedError,
    IndexLockedError,
    ModelFormatError,
    NotFittedError,
    RBFAnchors,
    StreamChunk,
    StreamFolder,
    load,
)
from pyhash.datasets import make_hierarchical
from pyhash.methods import SHOH

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(240, n_classes=(3, 6), n_features={"image": 10, "text": 8}, seed=4)
LABELS = DATA.labels["level2"]
SIZE, N_CHUNKS = 40, 6
MAKE = {
    "lemon": lambda: LEMON(16, seed=1),
    "boch": lambda: BOCH(16, feature_maps={"image": RBFAnchors(12, grow=4)}, seed=1),
    "shoh": lambda: SHOH(16, hierarchy=DATA.hierarchy, encoder="auto", seed=1),
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """No test here cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def chunk(number):
    rows = slice(number * SIZE, (number + 1) * SIZE)
    return StreamChunk({name: x[rows] for name, x in DATA.views.items()}, LABELS[rows], offset={"next": number + 1})


def source(offset, end=N_CHUNKS):
    for number in range(0 if offset is None else offset["next"], end):
        yield chunk(number)


def until(end):
    return lambda offset: source(offset, end)


def model_bytes(model, tmp_path):
    model.save(tmp_path / "compared.npz")
    return (tmp_path / "compared.npz").read_bytes()


@cache
def learned_alone(name="lemon", end=N_CHUNKS):
    """What so many chunks teach a model and an index without a folder."""
    model, index = MAKE[name](), CodeIndex(16)
    for each in source(None, end):
        model.partial_fit(each.views, each.labels)
        index.add(model.codes_, model=model)
    with tempfile.TemporaryDirectory() as folder:
        stored = model_bytes(model, Path(folder))
    return stored, index.codes.tolist(), index.ids.tolist(), index.fingerprint


def held(stream, tmp_path):
    index = stream.index
    return model_bytes(stream.model, tmp_path), index.codes.tolist(), index.ids.tolist(), index.fingerprint


def files(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stream"


@pytest.fixture
def stream(path):
    """After three chunks."""
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        stream.run(until(3))
        yield stream


def assert_as_committed(stream, path, tmp_path, end):
    """In memory and on disk is what so many chunks teach."""
    wanted = learned_alone(end=end)
    for each in (stream, StreamFolder(path, read_only=True)):
        assert (each.n_chunks, each.offset) == (end, {"next": end})
        assert held(each, tmp_path) == wanted
        each.index.verify()


def assert_no_leftovers(path):
    manifest = json.loads((path / "stream.json").read_bytes())
    assert set(os.listdir(path)) == {"stream.json", "index", manifest["model"]}
    assert "prepared.json" not in os.listdir(path / "index")


# --- what is learned and kept ---


@pytest.mark.parametrize("commit_every", [1, 2, 4, 100])
@pytest.mark.parametrize("name", MAKE)
def test_a_stream_that_stops_ends_as_one_that_does_not(path, tmp_path, name, commit_every):
    for end in (1, 3, 4, N_CHUNKS):
        with StreamFolder(path, MAKE[name]()) as stream:
            before = stream.n_chunks
            assert stream.run(until(end), commit_every=commit_every) == end - before
            assert (stream.n_chunks, stream.offset) == (end, {"next": end})
    wanted = learned_alone(name)
    with StreamFolder(path) as stream:
        assert held(stream, tmp_path) == wanted
        assert stream.run(source) == 0
    queries = stream.model.encode(DATA.views["text"][:20], modality="text")
    hits = StreamFolder(path, read_only=True, mmap=True).index.search(queries, k=9)
    assert np.array_equal(hits.ids, stream.index.search(queries, k=9).ids)
    assert_no_leftovers(path)


def test_chunks_one_by_one(path, tmp_path):
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        assert (stream.offset, stream.n_chunks, len(stream.index)) == (None, 0, 0)
        for number in range(N_CHUNKS):
            each = chunk(number)
            assert stream.learn(each.views, each.labels, offset=each.offset) is stream
            assert_as_committed(stream, path, tmp_path, number + 1)
    assert_no_leftovers(path)


def test_ids_of_the_source(path):
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        for number, first in ((0, 500), (1, 100)):
            each = chunk(number)
            stream.learn(each.views, each.labels, offset=number + 1, ids=np.arange(first, first + SIZE))
        assert stream.index.ids.tolist() == [*range(100, 140), *range(500, 540)]
        assert np.array_equal(stream.index.reconstruct(np.arange(100, 140)), stream.model.codes_)


@pytest.mark.parametrize("offset", [0, -3, 2.5, "a", True, [1, "x", None], {"0": 5, "1": {"a": [2]}}, "", [], {}])
def test_offsets_come_back_as_they_were(path, offset):
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        stream.learn(chunk(0).views, chunk(0).labels, offset=offset)
        for kept in (stream.offset, StreamFolder(path, read_only=True).offset):
            assert kept == offset
            assert type(kept) is type(offset)


def test_an_offset_that_the_caller_changes_later_is_kept(path):
    offset = {"a": [1]}
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        stream.learn(chunk(0).views, chunk(0).labels, offset=offset)
        offset["a"].append(2)
        stream.offset["a"].append(3)
        assert stream.offset == {"a": [1]}
        stream.commit()
        assert stream.offset == StreamFolder(path, read_only=True).offset == {"a": [1]}


@pytest.mark.parametrize(
    ("offset", "error"),
    [
        (None, ValueError),
        ((1, 2), TypeError),
        ([(1, 2)], TypeError),
        ({0: 5}, TypeError),
        (np.int64(5), TypeError),
        (float("nan"), TypeError),
        (b"x", TypeError),
        ({"a": object()}, TypeError),
    ],
)
def test_offsets_that_would_not_come_back_are_refused(stream, path, tmp_path, offset, error):
    with pytest.raises(error, match="offset must"):
        stream.learn(chunk(3).views, chunk(3).labels, offset=offset)
    with pytest.raises(error, match="offset must"):
        stream.run(lambda _: [StreamChunk(chunk(3).views, chunk(3).labels, offset=offset)])
    assert_as_committed(stream, path, tmp_path, 3)


def test_rows_that_are_removed_stay_removed(stream, path, tmp_path):
    stream.index.remove([0, 5])
    stream.commit()
    assert (stream.n_chunks, stream.offset) == (3, {"next": 3})
    stream.run(source)
    later = StreamFolder(path, read_only=True)
    assert later.index.ids.tolist() == stream.index.ids.tolist() == [i for i in range(240) if i not in (0, 5)]
    assert held(later, tmp_path)[0] == learned_alone()[0]


def test_who_holds_a_model_sees_one_state(stream):
    model = stream.model
    codes = model.encode(DATA.views["text"], modality="text")
    stream.run(until(4))
    assert stream.model is not model
    assert model.n_samples_seen_ == 120
    assert np.array_equal(model.encode(DATA.views["text"], modality="text"), codes)


# --- new folders and existing ones ---


def test_a_fitted_model_and_its_index_go_on(path, tmp_path):
    model, index = MAKE["lemon"](), CodeIndex(16)
    for each in source(None, 2):
        model.partial_fit(each.views, each.labels)
        index.add(model.codes_, model=model)
    with StreamFolder(path, model, index) as stream:
        assert stream.offset is None
        assert len(stream.index) == 80
        stream.commit()
        stream.run(lambda _: source({"next": 2}))
        assert held(stream, tmp_path) == learned_alone()
    assert (model.n_samples_seen_, len(index)) == (80, 80)
    assert StreamFolder(path, read_only=True).n_chunks == 4


def test_a_fitted_model_goes_on_with_an_empty_index(path):
    model = MAKE["lemon"]().partial_fit(chunk(0).views, chunk(0).labels)
    with StreamFolder(path, model) as stream:
        stream.commit()
    with StreamFolder(path) as stream:
        assert (stream.offset, stream.n_chunks, len(stream.index)) == (None, 0, 0)
        stream.run(until(2))
        assert stream.model.fingerprint == model.fingerprint


def test_rows_that_lack_a_modality_or_a_label(path, tmp_path):
    def chunks(offset):
        for number in range(offset or 0, 4):
            each, labels, present = chunk(number), chunk(number).labels.copy(), None
            views = dict(each.views)
            if number == 1:
                present = {"text": np.arange(SIZE) % 2 == 0}
                labels[::5] = -1
            if number == 2:
                views["image"] = None
            yield StreamChunk(views, labels, offset=number + 1, present=present)

    model, index = MAKE["lemon"](), CodeIndex(16)
    for each in chunks(None):
        model.partial_fit(each.views, each.labels, present=each.present)
        index.add(model.codes_, model=model)
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        for number, each in enumerate(chunks(None)):
            if number < 2:
                stream.learn(each.views, each.labels, offset=each.offset, present=each.present)
    with StreamFolder(path) as stream:
        assert stream.run(chunks) == 2
        wanted = model_bytes(model, tmp_path), index.codes.tolist(), index.ids.tolist(), index.fingerprint
        assert held(stream, tmp_path) == wanted


def test_the_model_that_is_given_stays_unfitted(path):
    model = MAKE["lemon"]()
    with StreamFolder(path, model) as stream:
        stream.run(until(2))
    with pytest.raises(NotFittedError):
        model.encode(DATA.views["text"], modality="text")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LEMON(16), "model must have seed=1, as in the folder, got 0; without a model, the folder's own goes on"),
        (LEMON(32, seed=1), "model must have n_bits=16, as in the folder, got 32"),
        (LEMON(16, seed=1, feature_maps={"image": RBFAnchors(5)}), "model must have feature_maps=None"),
        (BOCH(16), "model must be a LEMON, as in the folder, got BOCH"),
        (LEMON(16, seed=1).partial_fit(chunk(0).views, chunk(0).labels), "must be None or unfitted for an existing"),
    ],
)
def test_another_model_than_that_of_the_folder(stream, path, model, message):
    stream.close()
    with pytest.raises(ValueError, match=message):
        StreamFolder(path, model)
    StreamFolder(path).close()  # is not locked


def test_parameters_are_compared_whatever_they_are(path):
    def make(n_anchors):
        maps = {"image": RBFAnchors(n_anchors)}
        return SHOH(16, hierarchy=DATA.hierarchy, feature_maps=maps, xi={"image": 0.1, "text": 0.2})

    for _ in range(2):
        with StreamFolder(path, make(8)) as stream:
            stream.run(until(2))
    with pytest.raises(ValueError, match="model must have feature_maps="):
        StreamFolder(path, make(9))


@pytest.mark.parametrize("n_bits", [16, 8])
def test_indexes_that_do_not_fit(path, n_bits):
    other = LEMON(n_bits, seed=5).partial_fit(chunk(0).views, chunk(0).labels)
    index = CodeIndex(n_bits)
    index.add(other.codes_, model=other)
    message = "index must be empty, or hold codes of the fitted model" if n_bits == 16 else "index must have n_bits=16"
    with pytest.raises(ValueError, match=message):
        StreamFolder(path, MAKE["lemon"](), index)
    assert not path.exists()
    StreamFolder(path, other, index).close()


def test_an_index_for_an_existing_folder_must_be_empty(stream, path):
    stream.close()
    index = CodeIndex(16)
    StreamFolder(path, index=index).close()
    index.add(stream.index.codes)
    with pytest.raises(ValueError, match="index must be empty or None for an existing stream folder, got 120 codes"):
        StreamFolder(path, index=index)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (CCAITQ(16), r"model must learn chunk by chunk, .* got a CCAITQ: CCAITQ learns whole data at once; fit it"),
        (LSH(16), "got a LSH: LSH learns whole data at once"),
        ("lemon", "got a str: it is no method"),
    ],
)
def test_models_that_do_not_learn_chunk_by_chunk(path, model, message):
    with pytest.raises(TypeError, match=message):
        StreamFolder(path, model)
    assert not path.exists()


@pytest.mark.slow("loads torch")
def test_deep_methods_do_not_learn_chunk_by_chunk(path):
    from pyhash.deep import SDCH

    with pytest.raises(TypeError, match="SDCH learns whole data at once; fit it, and add its codes_ to a CodeIndex"):
        StreamFolder(path, SDCH(16))


def test_wrong_arguments(path):
    for wrong in (5, b"x", None):
        with pytest.raises(TypeError, match="path must be"):
            StreamFolder(wrong, LEMON(16))
    with pytest.raises(TypeError, match="index must be a CodeIndex, got list"):
        StreamFolder(path, LEMON(16), [])
    for name in ("read_only", "mmap"):
        with pytest.raises(TypeError, match=f"{name} must be a bool, got 1"):
            StreamFolder(path, LEMON(16), **{name: 1})
    with pytest.raises(ValueError, match="n_bits must be"):
        StreamFolder(path, LEMON(0))
    with pytest.raises(ValueError, match="read_only must be False for a new folder"):
        StreamFolder(path, LEMON(16), read_only=True)
    assert not path.exists()


def test_folders_that_are_something_else(path, tmp_path):
    with pytest.raises(ModelFormatError, match=r"is not a stream folder: it has no stream\.json"):
        StreamFolder(path)
    with pytest.raises(FileNotFoundError):
        StreamFolder(path / "deeper", LEMON(16))
    path.mkdir()
    (path / "letter").touch()
    with pytest.raises(FileExistsError, match="must be a new or empty directory, it holds 'letter'"):
        StreamFolder(path, LEMON(16))
    (path / "letter").unlink()
    with CodeIndex(16) as index:
        index.add(np.zeros((1, 2), np.uint8))
        index.save(path / "index")
    before = files(path)
    with pytest.raises(FileExistsError, match="it holds an index with codes"):
        StreamFolder(path, LEMON(16))
    with pytest.raises(ModelFormatError, match="is not a stream folder"):
        StreamFolder(path)
    assert files(path) == before
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="must be a new or empty directory, it is a file"):
        StreamFolder(tmp_path / "file", LEMON(16))


def test_a_folder_without_a_commit_is_begun_anew(path, tmp_path):
    StreamFolder(path, LEMON(16, seed=7)).close()
    with pytest.raises(ModelFormatError, match=r"has no stream\.json; a new one needs a model"):
        StreamFolder(path)
    (path / "model-00000001.npz").touch()  # of a writer that died
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        with pytest.raises(NotFittedError):
            stream.commit()
        stream.run(source)
        assert_as_committed(stream, path, tmp_path, N_CHUNKS)
    assert_no_leftovers(path)


@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
@pytest.mark.parametrize("name", ["stream.json", "model-00000003.npz", "index/manifest.json"])
def test_damaged_files_are_named(stream, path, name, damage):
    stream.close()
    whole = (path / name).read_bytes()
    # In the first array of a model: zip files have bytes that say nothing.
    middle = whole.index(b"NUMPY") + 130 if b"NUMPY" in whole else len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "other": b"hello",
    }
    (path / name).write_bytes(damaged[damage])
    for read_only in (False, True):
        with pytest.raises(ModelFormatError, match=name.rpartition("/")[2]):
            StreamFolder(path, read_only=read_only)
    with pytest.raises(ModelFormatError):
        StreamFolder(path, MAKE["lemon"]())
    assert (path / name).read_bytes() == damaged[damage]


def test_missing_files_are_named(stream, path):
    stream.close()
    (path / "model-00000003.npz").rename(path / "aside")
    with pytest.raises(ModelFormatError, match=r"model-00000003.npz is missing, .*stream.json names it"):
        StreamFolder(path)
    LEMON(16).partial_fit(chunk(5).views, chunk(5).labels).save(path / "model-00000003.npz")
    with pytest.raises(ModelFormatError, match=r"model-00000003.npz is not the model whose codes .*index holds"):
        StreamFolder(path)
    (path / "aside").replace(path / "model-00000003.npz")
    StreamFolder(path).close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generation": 0}, "generation must be an integer >= 1, got 0"),
        ({"n_chunks": -1}, "n_chunks must be an integer >= 0, got -1"),
        ({"index_generation": "x"}, "index_generation must be an integer >= 1, got 'x'"),
        ({"model": "../model-00000001.npz"}, "model must be like model-00000001.npz, got '../model-00000001.npz'"),
        ({"model": None}, "model must be like model-00000001.npz, got None"),
        ({"more": 1}, "more"),
    ],
)
def test_manifests_are_checked(stream, path, fields, message):
    from pyhash._files.checked_json import checked_json, read_checked_json

    stream.close()
    content = read_checked_json(path / "stream.json", "pyhash-stream", 1, "a manifest", dict)
    (path / "stream.json").write_bytes(checked_json("pyhash-stream", 1, content | fields))
    with pytest.raises(ModelFormatError, match=message):
        StreamFolder(path)
    (path / "stream.json").write_bytes(checked_json("pyhash-stream", 2, content))
    with pytest.raises(ModelFormatError, match="install a newer pyhash"):
        StreamFolder(path)


# --- errors ---


@pytest.mark.parametrize("commit_every", [1, 2, 5])
@pytest.mark.parametrize("error", [OSError("broker is gone"), KeyboardInterrupt(), GeneratorExit()])
def test_what_a_source_raises_leaves_the_last_commit(path, tmp_path, error, commit_every):
    closed = []

    def failing(offset):
        try:
            yield from source(offset, 5)
            raise error
        finally:
            closed.append(True)

    with StreamFolder(path, MAKE["lemon"]()) as stream:
        stream.run(until(1))
        with pytest.raises(type(error)):
            stream.run(failing, commit_every=commit_every)
        assert closed
        end = 1 + 4 // commit_every * commit_every
        assert_as_committed(stream, path, tmp_path, end)
        assert stream.run(source) == N_CHUNKS - end
        assert_as_committed(stream, path, tmp_path, N_CHUNKS)


BAD = {
    "views": StreamChunk({"image": DATA.views["image"][:40], "text": np.full((40, 8), np.nan)}, LABELS[:40], 9),
    "labels": StreamChunk(chunk(3).views, LABELS[:3], 9),
    "ids": StreamChunk(chunk(3).views, chunk(3).labels, 9, ids=np.arange(40)),
    "too few ids": StreamChunk(chunk(3).views, chunk(3).labels, 9, ids=[500]),
}


@pytest.mark.parametrize("bad", BAD)
def test_wrong_chunks_change_nothing(stream, path, tmp_path, bad):
    """Also where the model has learned already when the index refuses the ids."""
    before, each = files(path), BAD[bad]
    with pytest.raises(ValueError, match="must"):
        stream.learn(each.views, each.labels, offset=each.offset, ids=each.ids)
    with pytest.raises(ValueError, match="must"):
        stream.run(lambda offset: iter([chunk(3), each]), commit_every=2)
    assert files(path) == before
    assert_as_committed(stream, path, tmp_path, 3)
    stream.run(source)
    assert_as_committed(stream, path, tmp_path, N_CHUNKS)


def test_wrong_sources(stream, path, tmp_path):
    with pytest.raises(TypeError, match="source must be a callable that takes an offset, got"):
        stream.run([chunk(3)])
    with pytest.raises(TypeError, match="source must return an iterable of StreamChunk, got NoneType"):
        stream.run(lambda offset: None)
    with pytest.raises(TypeError, match="source must give StreamChunk objects, got tuple"):
        stream.run(lambda offset: [(chunk(3).views, chunk(3).labels)])
    with pytest.raises(ValueError, match="commit_every must be an integer >= 1, got 0"):
        stream.run(source, commit_every=0)
    assert_as_committed(stream, path, tmp_path, 3)


class Steps:
    """The calls of os.fsync, os.replace and os.unlink; one of them fails, before or after its work."""

    def __init__(self, patch, fail_at=None, error=None, late=False):
        self.calls = []
        for name in ("fsync", "replace", "unlink"):
            patch.setattr(os, name, self._step(name, getattr(os, name), fail_at, error, late))

    def _step(self, name, function, fail_at, error, late):
        def step(file, *others, **options):
            self.calls.append((name, str(others[0]) if name == "replace" else ""))
            fails = len(self.calls) - 1 == fail_at
            if fails and not late:
                raise error
            try:
                function(file, *others, **options)
            finally:
                if fails:
                    raise error

        return step


ERRORS = {"full": OSError(28, "No space left on device"), "stop": KeyboardInterrupt()}


@pytest.mark.parametrize(
    ("error", "late"),
    [
        ("full", False),
        ("stop", True),
        *(
            pytest.param(*case, marks=pytest.mark.slow("as the other two"))
            for case in (("full", True), ("stop", False))
        ),
    ],
)
def test_a_commit_that_fails_at_any_step_leaves_one_of_two(stream, path, tmp_path, monkeypatch, error, late):
    """A full disk and Ctrl-C, before and after each fsync, rename and deletion; then the stream goes on."""
    each = chunk(3)
    with monkeypatch.context() as patch:
        calls = Steps(patch).calls
        with StreamFolder(tmp_path / "other", MAKE["lemon"]()) as other:
            other.run(until(3))
            calls.clear()
            other.learn(each.views, each.labels, offset=each.offset)
    moment = calls.index(("replace", str(tmp_path / "other" / "stream.json")))
    assert len(calls) > moment + 4 > 10
    stream.close()
    for fail_at in range(len(calls)):
        place = tmp_path / f"{fail_at}"
        shutil.copytree(path, place)
        with StreamFolder(place) as stream:
            with monkeypatch.context() as patch:
                steps, raised = Steps(patch, fail_at, ERRORS[error], late), False
                try:
                    stream.learn(each.views, each.labels, offset=each.offset)
                except type(ERRORS[error]):
                    raised = True
                assert [call[0] for call in steps.calls[: fail_at + 1]] == [call[0] for call in calls[: fail_at + 1]]
            # A file that cannot be deleted stays until the next commit, which may be no error.
            assert raised or (error == "full" and calls[fail_at][0] == "unlink"), calls[fail_at]
            committed = fail_at > moment or (fail_at == moment and late) or not raised
            assert_as_committed(stream, place, tmp_path, 4 if committed else 3)
            if not committed:
                assert os.listdir(place).count("model-00000004.npz") == 0
            stream.run(until(5))
            assert_as_committed(stream, place, tmp_path, 5)
            assert_no_leftovers(place)


# --- writers and readers ---


def test_one_writer_at_a_time(stream, path, tmp_path):
    for model in (None, MAKE["lemon"]()):
        with pytest.raises(IndexLockedError, match=f"locked by process {os.getpid()}"):
            StreamFolder(path, model)
    reader = StreamFolder(path, read_only=True)
    stream.run(until(4))
    assert reader.n_chunks == 3
    stream.close()
    with StreamFolder(path) as other:
        other.run(source)
        assert_as_committed(other, path, tmp_path, N_CHUNKS)


def test_the_lock_of_a_folder_without_a_commit(path):
    with StreamFolder(path, MAKE["lemon"]()) as stream:
        with pytest.raises(IndexLockedError):
            StreamFolder(path, MAKE["lemon"]())
        stream.run(until(1))
    assert StreamFolder(path, read_only=True).n_chunks == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_write(stream, path, tmp_path):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            stream.run(source)
        except IndexLockedError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert_as_committed(stream, path, tmp_path, 3)
    stream.run(until(4))


@pytest.mark.parametrize("lose", ["remove", "rename", "replace"])
def test_a_writer_that_lost_its_folder_writes_nothing(stream, path, tmp_path, lose):
    shutil.copytree(path, tmp_path / "aside")
    if lose == "remove":
        shutil.rmtree(path)
    else:
        path.rename(tmp_path / "renamed")
    if lose == "replace":
        shutil.copytree(tmp_path / "aside", path)
        StreamFolder(path).run(until(4))
    before = files(tmp_path)
    with pytest.raises((IndexChangedError, FileNotFoundError)):
        stream.run(source)
    assert files(tmp_path) == before
    assert stream.n_chunks == 3
    assert held(stream, tmp_path) == learned_alone(end=3)


def test_a_closed_folder_stays_in_memory_only(stream, path, tmp_path):
    stream.close()
    stream.close()
    for call in (lambda: stream.run(source), stream.commit, lambda: stream.learn({}, [], offset=1)):
        with pytest.raises(ValueError, match="must be open for writing, it is closed or was opened read-only"):
            call()
    assert held(stream, tmp_path) == learned_alone(end=3)
    assert_as_committed(StreamFolder(path), path, tmp_path, 3)


def test_readers_change_nothing(stream, path):
    reader = StreamFolder(path, read_only=True)
    for call in (lambda: reader.run(source), reader.commit, lambda: reader.learn({}, [], offset=1)):
        with pytest.raises(ValueError, match="must be open for writing"):
            call()
    for call in (lambda: reader.index.remove([0]), reader.index.compact, reader.index.lock):
        with pytest.raises(ValueError, match="index must not be changed: its StreamFolder was opened with read_only"):
            call()
    stream.run(until(4))


def test_the_index_stays_with_the_folder(stream, path, tmp_path):
    index = stream.index
    for call in (index.commit, index.prepare, index.close, lambda: index.save(tmp_path / "other")):
        with pytest.raises(ValueError, match="index must stay with its StreamFolder"):
            call()
    copy.copy(index).save(tmp_path / "other")
    assert CodeIndex.open(tmp_path / "other").ids.tolist() == index.ids.tolist()
    stream.run(until(4))


def test_an_index_that_was_committed_alone_is_refused(stream, path):
    stream.close()
    with CodeIndex.open(path / "index") as index:
        index.remove([0])
        index.commit()
    for read_only in (False, True):
        with pytest.raises(IndexChangedError, match=r"is not whole, its index was committed alone: .* has gone on"):
            StreamFolder(path, read_only=read_only)


@pytest.mark.parametrize("mmap", [False, True])
def test_readers_beside_a_writer_see_whole_commits(path, tmp_path, mmap):
    fingerprints, failures, stop = [], [], threading.Event()

    def write():
        try:
            with StreamFolder(path, MAKE["lemon"]()) as stream:
                for number in range(20):
                    each = chunk(number % N_CHUNKS)
                    stream.learn(each.views, each.labels, offset=number + 1)
                    fingerprints.append(stream.model.fingerprint)
        except BaseException as error:
            failures.append(error)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not stop.is_set():
        if fingerprints:
            reader = StreamFolder(path, read_only=True, mmap=mmap)
            n = reader.n_chunks
            assert reader.offset == n
            assert len(reader.index) == n * SIZE == reader.model.n_samples_seen_
            assert reader.index.fingerprint == reader.model.fingerprint == fingerprints[0]
            seen.add(n)
    thread.join()
    assert not failures
    assert len(seen) > 1


def test_a_relative_path_does_not_move(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with StreamFolder("stream", MAKE["lemon"]()) as stream:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        stream.run(until(2))
        assert repr(stream) == f"StreamFolder({str(tmp_path / 'stream')!r}) with 2 chunks, offset {{'next': 2}}"
    assert load(tmp_path / "stream" / "model-00000002.npz").n_samples_seen_ == 80
