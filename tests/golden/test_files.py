import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pyhash import CodeIndex, load

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.glob("v*"))


@pytest.fixture(scope="module")
def golden():
    """The module that wrote the files; loaded by path, since tests are not a package."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def open_index(folder):
    """A single file at first, a directory since v2."""
    return CodeIndex.open(folder / ("index.npz" if folder.name == "v1" else "index"))


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_every_version_answer_as_they_did(golden, version):
    expected = json.loads((HERE / version / "expected.json").read_text())
    views, _ = golden.data()
    model = load(HERE / version / "shoh.npz")
    assert model.encode(views["text"], modality="text").tolist() == expected["encoded_text"]
    index = open_index(HERE / version)
    hits = index.search_weighted(model.project(views["text"][:5], modality="text"), k=4)
    assert hits.ids.tolist() == expected["weighted_ids"]
    np.testing.assert_allclose(hits.distances, expected["weighted_distances"], rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_seed_learns_the_same_codes_as_then(golden, version, cpu_level):
    expected = json.loads((HERE / version / "expected.json").read_text())
    views, fine = golden.data()
    assert golden.model().fit(views, fine, chunk_size=25).codes_.tolist() == expected["codes"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_of_every_version_learns_on(golden, version):
    views, fine = golden.data()
    model = load(HERE / version / "shoh.npz").partial_fit(views, fine)
    assert model.n_samples_seen_ == 120
    assert [labels.tolist() for labels in model.classes_] == [[0, 1, 2], [0, 1, 2, 3, 4, 5]]
    model.add_classes(2, [1]).partial_fit(views, fine + 1)
    assert [len(labels) for labels in model.classes_] == [3, 7]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "v1"])
def test_a_directory_of_every_version_is_read(golden, version, mmap):
    expected = json.loads((HERE / version / "expected.json").read_text())
    model = load(HERE / version / "shoh.npz")
    index = CodeIndex.open(HERE / version / "index", mmap=mmap)
    index.verify()
    assert (index.stats()["n_segments"], index.stats()["n_removed"]) == (2, 2)
    assert index.ids.tolist() == expected["index_ids"]
    assert index.codes.tolist() == expected["index_codes"]
    assert index.fingerprint == model.fingerprint == expected["fingerprint"]
    hits = index.search(model.encode(golden.data()[0]["text"][:5], modality="text"), k=4, model=model)
    assert hits.ids.tolist() == expected["ids"]
    assert hits.distances.tolist() == expected["distances"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_index_of_every_version_goes_on(version, tmp_path):
    shutil.copytree(HERE / version, tmp_path / version)
    with open_index(tmp_path / version) as index:
        n = len(index)
        index.add(np.zeros((1, 3), np.uint8), [1000])
        index.remove(index.ids[:1])
        index.save(tmp_path / version / "index")
        index.upsert(np.ones((1, 3), np.uint8), [1000])
        index.commit()
    again = CodeIndex.open(tmp_path / version / "index")
    assert len(again) == n
    assert again.ids.tolist() == index.ids.tolist()
    assert again.reconstruct([1000]).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("mmap", [False, True])
def test_tables_of_the_third_version_are_used(mmap):
    index = CodeIndex.open(HERE / "v3" / "index", mmap=mmap)
    assert [of["n_tables"] > 1 for of in index.stats()["layouts"]] == [True, True]
    scan = CodeIndex.open(HERE / "v3" / "index", mmap=mmap, layout="scan")
    for k in (1, 5, len(index)):
        hits, wanted = index.search(index.codes, k), scan.search(index.codes, k)
        assert hits.ids.tolist() == wanted.ids.tolist()
        assert hits.distances.tolist() == wanted.distances.tolist()
