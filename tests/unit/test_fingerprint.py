"""An index knows the model that made its codes, and takes no other's."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pyhash import SHOH, CodeIndex, load
from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive

GOLDEN = Path(__file__).parents[1] / "golden"
CHUNK = {"x": np.eye(6)}, [0, 1, 2, 3, 4, 5]
ROW = np.zeros((1, 2), np.uint8)


@pytest.fixture(scope="module")
def model():
    return SHOH(16, seed=1).partial_fit(*CHUNK)


@pytest.fixture(scope="module")
def other():
    return SHOH(16, seed=2).partial_fit(*CHUNK)


@pytest.fixture
def index(model):
    index = CodeIndex(16)
    index.add(model.codes_, model=model)
    return index


def test_an_empty_index_takes_the_model_of_the_first_codes(model, index):
    assert index.fingerprint == model.fingerprint
    by_upsert = CodeIndex(16)
    assert by_upsert.fingerprint is None
    by_upsert.upsert(ROW, [0], model=model.fingerprint)
    assert by_upsert.fingerprint == model.fingerprint


def test_it_may_be_said_at_the_beginning(model, other):
    index = CodeIndex(16, model=model)
    assert index.fingerprint == model.fingerprint
    with pytest.raises(ValueError, match="model must be the one whose codes the index holds"):
        index.add(ROW, model=other)
    index.add(ROW)  # nobody says of whom


def test_another_models_codes_and_queries_are_refused(index, model, other):
    message = f"holds, of model {model.fingerprint}, got {other.fingerprint}$"
    before = index.ids.tolist()
    for call in (
        lambda: index.add(ROW, model=other),
        lambda: index.upsert(ROW, [0], model=other.fingerprint),
        lambda: index.search(ROW, 1, model=other),
        lambda: index.search_weighted(np.ones((1, 16)), 1, model=other),
        lambda: index.search_radius(ROW, 1, model=other.fingerprint),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert index.ids.tolist() == before
    np.testing.assert_array_equal(index.codes, model.codes_)


def test_the_same_model_is_welcome_as_it_learns_on(index):
    model = SHOH(16, seed=1).partial_fit(*CHUNK)
    model.partial_fit({"x": np.eye(6)[::-1]}, [5, 4, 3, 2, 1, 0])
    index.add(model.codes_, model=model)
    assert index.search(model.codes_, 1, model=model).ids.shape == (6, 1)
    assert index.search_weighted(np.ones((1, 16)), 1, model=model.fingerprint).ids.shape == (1, 1)
    assert index.search_radius(ROW, 16, model=model).offsets.tolist() == [0, 12]


def test_codes_of_unknown_origin_stay_unknown(model):
    index = CodeIndex(16)
    index.add(ROW)
    for call in (lambda: index.add(ROW, model=model), lambda: index.search(ROW, 1, model=model)):
        with pytest.raises(
            ValueError, match="model must be None: the index holds codes that were added without their model, got"
        ):
            call()
    assert (len(index), index.fingerprint) == (1, None)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (SHOH(8).partial_fit(*CHUNK), ValueError, "model must make codes of n_bits=16, got one of 8"),
        (7, TypeError, "model must be a fitted model or its fingerprint, got int"),
        (SHOH(16), TypeError, "model must be a fitted model or its fingerprint, got SHOH"),
    ],
)
def test_what_is_no_model(index, wrong, error, message):
    for call in (lambda: CodeIndex(16, model=wrong), lambda: index.add(ROW, model=wrong)):
        with pytest.raises(error, match=message):
            call()
    assert len(index) == 6


def test_a_refused_call_takes_no_model(model):
    index = CodeIndex(16)
    with pytest.raises(ValueError, match="ids must be unique"):
        index.add(np.zeros((2, 2), np.uint8), [1, 1], model=model)
    assert index.fingerprint is None


@pytest.mark.parametrize("mmap", [False, True])
def test_it_is_kept_on_disk(index, model, other, tmp_path, mmap):
    index.save(tmp_path / "index")
    again = CodeIndex.open(tmp_path / "index", mmap=mmap)
    assert again.fingerprint == model.fingerprint
    with pytest.raises(ValueError, match=f"of model {model.fingerprint}"):
        again.search(ROW, 1, model=other)
    CodeIndex(16).save(tmp_path / "unknown")
    assert CodeIndex.open(tmp_path / "unknown").fingerprint is None


def test_a_file_from_before_has_a_stable_one(tmp_path):
    model = load(GOLDEN / "v1" / "shoh.npz")
    assert model.fingerprint == "5b9ba1b25f1f9378c83165bb6354f39f"
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").fingerprint == model.fingerprint
    shutil.copy(GOLDEN / "v1" / "shoh.npz", tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").fingerprint == model.fingerprint


def test_files_from_before_differ_as_their_models_do(tmp_path, monkeypatch):
    archive = read_archive(GOLDEN / "v1" / "shoh.npz")
    assert "fingerprint" not in archive.fields
    monkeypatch.setattr("pyhash._files.archive.VERSION", archive.version)  # which the files then have too
    found = set()
    for change in (0.0, 1.0, 0.0):
        arrays = {**archive.arrays, "E": archive.arrays["E"] + change}
        write_archive(tmp_path / "model", archive.kind, archive.fields, arrays)
        found.add(load(tmp_path / "model").fingerprint)
    assert len(found) == 2
