"""The table of methods: a method that has one line in it is found everywhere."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import pyhash
from pyhash import deep, load, methods
from pyhash.methods.contract import HashingMethod
from pyhash.methods.linear import LinearMethod
from pyhash.methods.recipes import METHOD_NAMES, make_method
from pyhash.methods.registry import METHODS, method_class, modules_of_classes, names_of_classes

# A whole method: the first bits of the labels' own codes.
TOY = """
import numpy as np
from pyhash.methods.linear import LinearMethod

class Toy(LinearMethod):
    def __init__(self, n_bits=8, *, xi=1.0, feature_maps=None, encoder="bits", seed=0):
        self.n_bits, self.xi, self.feature_maps, self.encoder, self.seed = n_bits, xi, feature_maps, encoder, seed

    def _learn(self, settings, own, chunk, rng):
        codes = rng.choice([-1, 1], size=(chunk.finest.shape[1], settings.n_bits))
        return None, np.where(chunk.finest @ codes > 0, 1, -1).astype(np.int8)
"""
VIEWS, LABELS = {"x": np.repeat(np.eye(4), 5, axis=0)}, np.repeat(np.arange(4), 5)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The module of a method that is a file and a line of the table."""
    (tmp_path / "toy_method.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "toy", "toy_method.Toy")
    yield
    sys.modules.pop("toy_method", None)


def test_a_line_of_the_table_is_enough(toy, tmp_path):
    assert "toy" in METHOD_NAMES
    model = make_method("toy+posterior", n_bits=6, seed=3).fit(VIEWS, LABELS)
    assert (type(model).__name__, model.n_bits, model.seed, model.encoder) == ("Toy", 6, 3, "posterior")
    assert issubclass(method_class("toy"), LinearMethod)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.encode(VIEWS["x"], modality="x"), model.encode(VIEWS["x"], modality="x"))
    with pytest.raises(ValueError, match=r"name must begin with one of .*, dhsl, toy, got 'tol'; did you mean 'toy'"):
        make_method("tol", n_bits=6)


def test_a_line_of_the_table_makes_the_public_names(tmp_path):
    """In an interpreter whose table has one line more before the packages read it."""
    (tmp_path / "toy.py").write_text(TOY)
    code = f"""
import importlib
import pyhash
from pyhash.methods import registry
registry.METHODS["toy"] = "pyhash.methods.toy.Toy"
for package in (pyhash.methods, pyhash):
    importlib.reload(package)
    assert "Toy" in package.__all__ and "Toy" in dir(package)
pyhash.methods.__path__.append({str(tmp_path)!r})  # where the file of the method is
assert pyhash.Toy is pyhash.methods.Toy
print(pyhash.Toy.__name__)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "Toy\n"


def test_the_table_and_the_public_classes_agree():
    for name, path in METHODS.items():
        method = method_class(name)
        assert issubclass(method, HashingMethod)
        assert f"{method.__module__}.{method.__name__}" == path
        public = deep if path.startswith("pyhash.deep.") else methods
        assert method.__name__ in public.__all__
        assert getattr(public, method.__name__) is method
    assert len(names_of_classes()) == len(METHODS)
    assert modules_of_classes("pyhash.deep").keys() <= set(deep.__all__)
    assert set(methods.__all__) <= set(pyhash.__all__)


@pytest.mark.parametrize("package", [methods, pyhash])
def test_type_checkers_see_the_public_names(package):
    """Names that load when they are first used, and the imports that say so to type checkers."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {node.target.id for node in block.body if isinstance(node, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    seen |= set(import_module(node.module).__all__)
                elif alias.asname == alias.name:
                    seen.add(alias.name)
                    assert getattr(import_module(node.module), alias.name) is getattr(package, alias.name)
    missing = set(package.__all__) - seen
    assert not missing, f"add to the TYPE_CHECKING block of {package.__name__}: {', '.join(sorted(missing))}"
    assert seen - {"deep", "distributed"} <= set(package.__all__)


def test_names_that_are_not_there():
    for package in (pyhash, methods):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'SHOHH'"):
            package.SHOHH  # noqa: B018
    with pytest.raises(KeyError, match="lemmon"):
        method_class("lemmon")
