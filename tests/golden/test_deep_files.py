"""Files of deep models give what they gave when they were written."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from pyhash import load

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.glob("deep_v*"))


@pytest.fixture(scope="module")
def golden():
    """The module that wrote the files; loaded by path, since tests are not a package."""
    spec = importlib.util.spec_from_file_location("make_deep_golden", HERE / "make_deep_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["dhsl", "sdch"])
@pytest.mark.parametrize("version", VERSIONS)
def test_deep_files_of_every_version_answer_as_they_did(golden, version, name):
    expected = json.loads((HERE / version / "expected.json").read_text())[name]
    views, _ = golden.data()
    backbones = {"pictures": golden.backbone()} if name == "sdch" else None
    model = load(HERE / version / f"{name}.safetensors", backbones=backbones)
    assert model.fingerprint == expected["fingerprint"]
    assert model.encoders_ == expected["encoders"]
    for encoder, projections in expected["projections"].items():
        model.set_params(encoder=encoder)
        for modality, rows in projections.items():
            found = model.project(views[modality], modality=modality)
            np.testing.assert_allclose(found, rows, rtol=1e-4, atol=1e-5)


def test_there_is_a_version():
    assert "deep_v1" in VERSIONS
