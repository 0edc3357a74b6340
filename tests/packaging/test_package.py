import ast
import doctest
import functools
import graphlib
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.version import Version

import pyhash

MODULES = ["scipy", "torch", "safetensors", "matplotlib", "tqdm", "sklearn", "pandas", "polars", "h5py", "dask"]


def run(code, **options):
    return subprocess.check_output([sys.executable, "-c", code], text=True, **options).split()


def test_import_is_light():
    loaded = run(f"import sys, pyhash; print(*[m for m in {MODULES} if m in sys.modules])")
    assert loaded == []


def test_the_first_names_load_only_what_they_need():
    code = "import sys; from pyhash import CodeIndex, SHOH, codes, evaluation; SHOH(8); CodeIndex(8); "
    assert run(code + f"print(*[m for m in {MODULES} if m in sys.modules])") == []


_SCORE = """
import sys
import numpy as np
import pyhash  # loads the table of the methods' names, and no method
before = set(sys.modules)
from pyhash import evaluation
rows = np.array([[1], [2], [3]], dtype=np.uint8)
labels = [0, 1, 1]
evaluation.mean_average_precision(rows, rows, labels, labels)
evaluation.precision_at(rows, rows, labels, labels, top_n=2)
evaluation.precision_recall_curve(rows, rows, labels, labels)
evaluation.ndcg(rows, rows, labels, labels)
evaluation.class_distances(rows, labels, n_bits=8)
folders = {name.split(".")[1] for name in set(sys.modules) - before if name.startswith("pyhash.")}
methods = {name for name in sys.modules if name.startswith("pyhash.methods.")} - {"pyhash.methods.registry"}
print(*sorted(folders - {"evaluation", "codes"}), *methods, *(name for name in %s if name in sys.modules))
"""


def test_scores_load_no_method_and_no_plot():
    assert run(_SCORE % MODULES) == ["_core", "_inputs"]


_FIRST_NAMES = """
import sys
import numpy
before = set(sys.modules)
import pyhash
pyhash.SHOH, pyhash.CodeIndex
print(*set(sys.modules) - before)
"""


def test_the_first_names_load_few_modules():
    """What a part of the calls needs loads at the first of them: scores, zip files, checksums, other engines."""
    loaded = set(run(_FIRST_NAMES))
    assert {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) <= {"pyhash", "numpy"}
    assert loaded.isdisjoint({"hashlib", "logging", "secrets", "shutil", "socket", "zipfile"})
    folders = {name.split(".")[1] for name in loaded if name.startswith("pyhash.")}
    assert folders == {"_core", "_files", "_inputs", "_lazy", "codes", "errors", "index", "methods", "search"}
    assert len(loaded) < 100  # 83 with Python 3.11


_IMPORT_SECONDS = """
import time
start = time.process_time()
import numpy
middle = time.process_time()
import pyhash
pyhash.SHOH, pyhash.CodeIndex
print(middle - start, time.process_time() - middle)
"""


def test_import_takes_less_time_than_that_of_numpy(tmp_path):
    """The best of several runs each, in CPU time: a busy machine slows both. It is 0.4 to 0.6 of that of numpy."""
    # Modules are compiled once, in the first run, as on a user's machine.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    runs = [tuple(map(float, run(_IMPORT_SECONDS, env=environment))) for _ in range(6)]
    of_numpy, of_pyhash = map(min, zip(*runs, strict=True))
    assert of_pyhash < of_numpy


_WITHOUT = """
import sys
sys.modules[{missing!r}] = None  # as where it is not installed
import pyhash
from pyhash.cli.main import main
from pyhash.methods import make_method
asked = [lambda: pyhash.load({folder!r} + "/deep")]
if {missing!r} == "torch":
    asked += [lambda: pyhash.deep, lambda: make_method("dhsl", n_bits=8)]
for ask in asked:
    try:
        ask()
    except ImportError as error:
        print("extra" if "pip install" in str(error) and "pyhash-crossmodal[deep]" in str(error) else error)
X = [[0.0, 1.0], [1.0, 0.0]] * 4
pyhash.LEMON(8).fit({{"x": X}}, [0, 1] * 4).save({folder!r} + "/lemon")
print("lemon", len(pyhash.load({folder!r} + "/lemon").encode(X, modality="x")))
if {missing!r} == "torch":
    print("exit", main(["bench", "--data", "multilabel", "--methods", "dhsl", "--out", {folder!r}, "--no-charts"]))
"""


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("torch", "extra extra extra lemon 8 exit 1"),
        ("safetensors", "extra lemon 8"),
        ("accelerate", "extra lemon 8"),
    ],
)
def test_without_an_extra_one_error_names_it_and_the_rest_works(missing, said, tmp_path):
    from pyhash.deep import DHSL, TrainingOptions

    X = [[0.0, 1.0], [1.0, 0.0]] * 4
    training = TrainingOptions(epochs=1, validation_fraction=0.0)
    DHSL(8, hidden=[4], training=training).fit({"x": X}, [0, 1] * 4).save(tmp_path / "deep")
    printed = " ".join(run(_WITHOUT.format(missing=missing, folder=str(tmp_path))))
    assert re.sub(r"Dataset\(.*split random ", "", printed) == said


def test_every_public_name_is_there():
    for name in pyhash.__all__:
        assert getattr(pyhash, name) is not None
    assert set(pyhash.__all__) <= set(dir(pyhash))
    with pytest.raises(AttributeError, match="module 'pyhash' has no attribute 'SHOHH'"):
        pyhash.SHOHH  # noqa: B018


def test_version_and_requirements():
    metadata = importlib.metadata.metadata("pyhash-crossmodal")
    assert pyhash.__version__ == metadata["Version"]
    assert Version(pyhash.__version__) >= Version("0.1.dev0")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    required = {re.split(r"[^\w-]", line)[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {"numpy", "scipy", "tqdm"}


def test_what_ships():
    package = files("pyhash")
    for name in ("py.typed", "_core.pyi", "evaluation/_ranks.pyx", "evaluation/_ranks.pyi"):
        assert package.joinpath(name).is_file(), name
    for name in ("emoji.npz", "emoji_text_deep.npz"):
        assert package.joinpath("datasets", "data", name).is_file(), name
    for name in ("index.html", "style.css", "main.js"):
        assert package.joinpath("explore", "static", name).is_file(), name
    notice = [path for path in importlib.metadata.files("pyhash-crossmodal") if path.name in ("LICENSE", "NOTICE")]
    assert len(notice) == 2
    text = next(path for path in notice if path.name == "NOTICE").read_text()
    for source in ("Noto", "Twemoji", "Fluent", "FxEmoji", "EmojiOne", "CLDR", "emojibase", "emojilib", "OpenMoji"):
        assert source in text


@pytest.mark.parametrize("missing", ["dask", "distributed"])
def test_without_dask_one_error_names_the_extra_and_the_rest_works(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None  # as where it is not installed
import pyhash
from pyhash import *
try:
    pyhash.distributed
except ImportError as error:
    print(error)
print(len(pyhash.CodeIndex(8)))
"""
    said = 'pyhash.distributed needs dask and distributed: pip install "pyhash-crossmodal[dask]"'
    assert " ".join(run(code)) == f"{said} 0"


# --- the code itself ---

ROOT = Path(pyhash.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# Each folder and module of the package has a layer of its own, lowest first; a layer imports from those before it.
LAYERS = [
    *(
        "_lazy",
        "_extras",
        "errors",
        "_html",
        "_inputs",
        "_frames",
        "_core",
        "codes",
        "_files",
        "search",
        "interop",
        "index",
    ),
    *(
        "encoders",
        "datasets",
        "evaluation",
        "methods",
        "deep",
        "stream",
        "distributed",
        "plotting",
        "comparison",
        "retriever",
        "hub",
        "explore",
        "cli",
    ),
]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("pyhash", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@functools.cache
def all_modules():
    return {module_of(source) for source in (*SOURCES, *ROOT.rglob("*.pyi"))}


@functools.cache
def imports_of(path):
    """Modules of the package that a file imports, also within functions and for types alone."""
    modules = all_modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyhash":
            # "from package import module" imports the module.
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & modules) or {node.module if node.module != "pyhash" else name for name in named}
    return {name for name in found if name.startswith("pyhash.")}


def test_every_folder_has_a_layer():
    names = {path.name if path.is_dir() else path.stem for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert names - {"__init__", "__pycache__"} <= set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers_point_downward_and_nothing_is_asserted(path):
    if path != ROOT / "__init__.py":
        layer = LAYERS.index(module_of(path).split(".")[1])
        for name in imports_of(path):
            assert LAYERS.index(name.split(".")[1]) <= layer, name
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: user input never meets an assert"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not any(name.split(".")[0] in ("pickle", "dill", "joblib") for name in names)


def test_modules_do_not_import_each_other():
    graph = {module_of(path): imports_of(path) - {module_of(path)} for path in SOURCES if path != ROOT / "__init__.py"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


def test_folders_do_not_import_each_other():
    """A folder within another counts as a folder of its own."""
    graph = {}
    for path in SOURCES:
        if path != ROOT / "__init__.py":
            folder = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
            for name in imports_of(path):
                to = name if (ROOT.parent / name.replace(".", "/")).is_dir() else name.rpartition(".")[0]
                graph.setdefault(folder, set()).add(to)
    graphlib.TopologicalSorter({folder: found - {folder, "pyhash"} for folder, found in graph.items()}).prepare()


def test_public_docstrings_are_whole():
    """Every public class and function of the package's main modules says what it takes and shows itself at work."""
    from pyhash import (
        codes,
        comparison,
        datasets,
        deep,
        distributed,
        encoders,
        evaluation,
        index,
        interop,
        methods,
        plotting,
        search,
    )
    from pyhash.methods.parts import descent

    modules = (codes, comparison, datasets, deep, distributed, encoders, evaluation, index, interop, methods)
    for module in (*modules, plotting, search, descent):
        for name in module.__all__:
            if not callable(getattr(module, name)):
                continue
            doc = getattr(module, name).__doc__ or ""
            is_result = "Attributes\n" in doc and "Parameters\n" not in doc
            assert is_result or "Examples\n" in doc or name in ("Dataset", "CollapseWarning"), (
                f"{module.__name__}.{name}"
            )


def test_every_parameter_is_documented():
    from pyhash import deep, methods

    classes = [getattr(module, name) for module in (methods, deep) for name in module.__all__]
    classes = [each for each in classes if isinstance(each, type) and not issubclass(each, Warning)]
    assert len(classes) >= 20
    for each in classes:
        documented = each.__doc__.split("Attributes\n")[0]
        for name in inspect.signature(each).parameters:
            assert re.search(rf"^    (\w+, )*{name}(, \w+)* :", documented, re.M), f"{each.__name__}.{name}"


GUIDES = [
    "README.md",
    "docs/datasets.md",
    "docs/index.md",
    "docs/methods.md",
    "docs/tutorial.md",
    *(
        f"docs/howto/{name}.md"
        for name in (
            "choosing-bits",
            "comparing-fairly",
            "deep-features",
            "encoders",
            "finding-one-thing",
            "layouts",
            "learning-on-a-cluster",
            "onnx",
            "own-data",
            "queries-of-several-modalities",
            "retriever",
            "scale-out",
            "scikit-learn",
            "stream-folder",
            "streams",
            "three-modalities",
            "watching-convergence",
        )
    ),
]


LONG_GUIDES = {"docs/howto/comparing-fairly.md", "docs/howto/deep-features.md", "docs/howto/streams.md"}


@pytest.mark.parametrize(
    "guide",
    [pytest.param(guide, marks=[pytest.mark.slow("learns much")] * (guide in LONG_GUIDES)) for guide in GUIDES],
)
def test_the_guides_show_what_happens(guide):
    """Beside the tests in a checkout and in the folder where a wheel is tested."""
    path = Path(__file__).parents[2] / guide
    failures, attempts = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert attempts >= 5
    assert failures == 0


def test_every_guide_with_examples_is_run():
    root = Path(__file__).parents[2]
    shown = [path for path in [root / "README.md", *root.glob("docs/**/*.md")] if ">>> " in path.read_text("utf-8")]
    assert {str(path.relative_to(root)) for path in shown} == set(GUIDES)
