"""The notebooks of the documentation run, and show what they store."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

if not (ROOT / "tools" / "site").exists():
    pytest.skip("needs a checkout, not only its tests", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from tools.site.notebooks import NOTEBOOKS, executed  # noqa: E402

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def shown(notebook):
    """Return the outputs of each cell: their types, their words, and the numbers within."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            types, words, numbers = [], [], []
            for output in cell.outputs:
                contents = output.data if "data" in output else {output.name: output.text}
                types.append((output.output_type, sorted(contents)))
                for kind, content in sorted(contents.items()):
                    if not kind.startswith("image/"):
                        content = re.sub(r"base64,[\w+/=]+", "base64,", content)
                        words.append(_NUMBER.sub("0", content))
                        numbers += [float(number.replace(",", "")) for number in re.findall(r"\d+\.\d+", content)]
            cells.append((types, words, numbers))
    return cells


@pytest.mark.parametrize(
    "name",
    [
        "own-data.ipynb",
        pytest.param("quickstart.ipynb", marks=pytest.mark.slow("learns 3,000 rows twice")),
        pytest.param("compare-methods.ipynb", marks=pytest.mark.slow("compares three methods on all of the emoji")),
    ],
)
def test_a_notebook_shows_what_it_stores(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    import nbformat

    stored = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(stored)
    for before, now in zip(shown(stored), shown(executed(stored)), strict=True):
        assert "stderr" not in str(now[0])
        assert now[:2] == before[:2]
        assert now[2] == pytest.approx(before[2], abs=0.02)  # products of matrices differ by machine


def test_every_notebook_is_run():
    names = test_a_notebook_shows_what_it_stores.pytestmark[0].args[1]
    named = {name if isinstance(name, str) else name.values[0] for name in names}
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == named
