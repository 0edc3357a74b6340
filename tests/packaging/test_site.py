"""The documentation site holds everything; read from its sources, without a build."""

import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pyhash import plotting

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

if not (ROOT / "tools" / "site").exists():
    pytest.skip("needs a checkout, not only its tests", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from tools.site import api, check, signatures  # noqa: E402

DISPLAYS = sorted(name for name in plotting.__all__ if inspect.isclass(getattr(plotting, name)))


def test_every_public_name_has_one_page():
    pages = Counter(id(name.value) for name in api.public_names())
    assert set(pages.values()) == {1}
    assert len({name.page.lower() for name in api.public_names()}) == len(pages)  # files where case does not count
    for module in api.public_modules():
        for name in sys.modules[module].__all__:
            value = getattr(sys.modules[module], name)
            assert inspect.ismodule(value) or name == "__version__" or id(value) in pages, f"{module}.{name}"


def test_names_stand_under_the_shortest_path():
    paths = {name.path: name.module for name in api.public_names()}
    assert paths["pyhash.BOCH"] == "pyhash.methods"
    assert paths["pyhash.CodeIndex"] == "pyhash"
    assert paths["pyhash.search.Hits"] == "pyhash.search"
    assert "pyhash.methods.BOCH" not in paths


def test_every_name_is_listed_and_described_once():
    texts = dict(api.pages())
    listed = Counter(re.findall(r":py:obj:`(.*?)`", "".join(texts.values())))
    assert listed == {name.path: 1 for name in api.public_names()}
    for name in api.public_names():
        assert len(re.findall(r"^\.\. (?:auto\w+|py:data):: ", texts[f"names/{name.page}.rst"], re.M)) == 1
        assert name.summary, name.path


def test_pages_of_names_that_are_gone_are_removed(tmp_path):
    api.write_pages(tmp_path)
    kept = (tmp_path / "names" / "pyhash.BOCH.rst").stat().st_mtime_ns
    (tmp_path / "names" / "pyhash.Gone.rst").write_text("gone")
    api.write_pages(tmp_path)
    assert not (tmp_path / "names" / "pyhash.Gone.rst").exists()
    assert (tmp_path / "names" / "pyhash.BOCH.rst").stat().st_mtime_ns == kept


def test_every_page_is_in_the_contents():
    listed = set()
    for page in DOCS.rglob("*.md"):
        for block in re.findall(
            r"^```\{toctree\}\n(?:---\n.*?^---\n)?(.*?)^```$", page.read_text("utf-8"), re.M | re.S
        ):
            for entry in block.split():
                found = {path for suffix in (".md", ".ipynb") for path in page.parent.glob(entry + suffix)} - {page}
                assert found or "*" in entry, f"{page}: {entry}"
                listed |= found
    pages = {
        path for suffix in ("*.md", "*.ipynb") for path in DOCS.rglob(suffix) if ".ipynb_checkpoints" not in path.parts
    }
    assert pages - listed == {DOCS / "index.md"}


@pytest.mark.parametrize("name", DISPLAYS)
def test_every_display_has_a_picture(name):
    page = (DOCS / "displays.md").read_text("utf-8")
    assert f"`pyhash.plotting.{name}`" in page
    assert f"](figures/displays/{name}.svg)" in page
    assert (DOCS / "figures" / "displays" / f"{name}.svg").exists()


def written_on(picture):
    """Return the words on a picture; matplotlib names the text of each group of letters."""
    return re.findall(r"<!-- (.*?) -->", picture.read_text("utf-8"))


@pytest.mark.slow("learns small models for nine pictures")
def test_pictures_of_displays_are_those_of_the_script(tmp_path):
    """`make figures` draws them anew. Outlines differ by release of matplotlib; the words and ticks do not."""
    subprocess.run([sys.executable, DOCS / "figures" / "displays.py", tmp_path], check=True)
    assert sorted(path.stem for path in tmp_path.iterdir()) == DISPLAYS
    for path in tmp_path.iterdir():
        assert written_on(path) == written_on(DOCS / "figures" / "displays" / path.name), path.name
        assert len(written_on(path)) > 5


@pytest.mark.parametrize(
    ("expanded", "written"),
    [
        (
            "(x: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~numpy.int8]])",
            "(x: ~numpy.typing.NDArray[~numpy.int8])",
        ),
        (
            "~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[~numpy.floating[~typing.Any]]]",
            "~numpy.typing.NDArray[~numpy.floating[~typing.Any]]",
        ),
        ("(k: int = 1)", "(k: int = 1)"),
    ],
)
def test_arrays_in_signatures_are_as_in_the_source(expanded, written):
    assert signatures.shorten(expanded) == written


def test_faults_of_built_pages_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "other.html").write_text('<h1 id="top">x</h1>')
    (tmp_path / "sub" / "page.html").write_text(
        '<link rel="stylesheet" href="../style.css"><a href="../other.html#top">1</a><a href="#here">2</a>'
        '<a href="https://example.org/">3</a><img src="https://example.org/a.png"><a href="../none.html">4</a>'
        f'<a href="../other.html#none">5</a><p id="here">{ROOT}/docs</p><script src="//cdn.example.org/x.js"></script>'
        "<div><blockquote>formula</blockquote></div>"
    )
    (tmp_path / "style.css").write_text("@import url(https://example.org/font.css); a { background: url(none.png) }")
    faults = list(check.faults(tmp_path))
    assert sorted(fault.partition(": ")[2] for fault in faults) == sorted(
        [
            "loads https://example.org/a.png",
            "loads //cdn.example.org/x.js",
            "loads https://example.org/font.css",
            "no file ../none.html",
            "no file none.png",
            "no anchor ../other.html#none",
            f"holds the path {ROOT}",
        ]
    )
