import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from pyhash import load

HERE = Path(__file__).parent
FILES = HERE / "methods_v1"
NAMES = ("seoch", "dsfh")

pytestmark = pytest.mark.usefixtures("one_blas_thread")


@pytest.fixture(scope="module")
def golden():
    """The module that wrote the files; loaded by path, since tests are not a package."""
    spec = importlib.util.spec_from_file_location("make_methods_golden", HERE / "make_methods_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected():
    return json.loads((FILES / "expected.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_files_from_before_some_parameters_answer_as_they_did(golden, expected, name):
    model = load(FILES / f"{name}.npz")
    assert model.fingerprint == expected[name]["fingerprint"]
    for view, rows in golden.data()[0].items():
        np.testing.assert_allclose(model.project(rows, modality=view), expected[name]["projections"][view], rtol=1e-5)
    new = {"seoch": {"restart": False, "record": False}, "dsfh": {"instance_level": True, "gamma": 1.0}}[name]
    assert new.items() <= model.get_params().items()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_learns_the_same_codes_as_then(golden, expected, name):
    views, labels = golden.data()
    model = golden.models()[name].fit(views, labels, **({"chunk_size": 25} if name == "seoch" else {}))
    assert model.codes_.tolist() == expected[name]["codes"]


def test_an_online_model_learns_on(golden, tmp_path):
    views, labels = golden.data()
    model = load(FILES / "seoch.npz").partial_fit(views, labels)
    assert model.n_samples_seen_ == 120
    model.save(tmp_path / "seoch")
    again = load(tmp_path / "seoch")
    for view, rows in views.items():
        np.testing.assert_array_equal(again.project(rows, modality=view), model.project(rows, modality=view))
