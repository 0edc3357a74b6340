"""Links and names in the Markdown pages of a checkout."""

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("tests/**/*.md"),
        *ROOT.glob(".github/**/*.md"),
        *ROOT.glob("recipes/*.md"),
    }
)

pytestmark = pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="needs a checkout, not only its tests")


def prose(page):
    """The text of a page without code blocks and code spans."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`]*`", "`code`", text)


def anchors(page):
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page, root=ROOT):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(root) or not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    assert list(broken_links(page)) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# A title, with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n\n[a](other.md) [b](other.md#a-title-with-code) [c](#here) [d](https://example.org/none)\n"
        "`[e](none.md)` [f](none.md)\n[g](other.md#none) [h](#none) [i](../outside.md)\n\n```\n[j](none.md)\n```\n"
    )
    assert list(broken_links(page, tmp_path)) == ["none.md", "other.md#none", "#none", "../outside.md"]


def unknown_names(text):
    for name in sorted(set(re.findall(r"(?<!//)\bpyhash(?:\.\w+)+", text))):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_exist(page):
    if page.name != "CHANGELOG.md":  # which also lists names of the past
        assert list(unknown_names(page.read_text("utf-8"))) == []


def test_unknown_names_are_found():
    text = "`pyhash.CodeIndex`, pyhash.comparison.compare(...), pyhash.methods.base and pyhash.evaluation.compare."
    assert list(unknown_names(text)) == ["pyhash.evaluation.compare", "pyhash.methods.base"]
