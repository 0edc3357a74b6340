import json
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


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_every_version_answer_as_they_did(golden, version):
    expected = json.loads((HERE / version / "expected.json").read_text())
    views, _ = golden.data()
    model = load(HERE / version / "shoh.npz")
    assert model.encode(views["text"], modality="text").tolist() == expected["encoded_text"]
    index = CodeIndex.open(HERE / version / "index.npz")
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
