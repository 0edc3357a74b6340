"""Check built pages: python -m tools.site.check FOLDER. Links and anchors within the site lead somewhere; nothing is
loaded from elsewhere, so that pages work offline; no page holds a path of this machine, or takes a formula for a
quotation.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_NOT_LOADED = {"canonical", "search", "author", "prev", "next", "index", "copyright"}


class _Page(HTMLParser):
    """The links, what the browser loads, and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.quotes = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.quotes += tag == "blockquote"
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif _LOADED.get(tag) in given and given.get("rel", "") not in _NOT_LOADED:
            self.loaded.append(given[_LOADED[tag]])


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text("utf-8"))


def _is_elsewhere(url: str) -> bool:
    return bool(urlsplit(url).scheme or urlsplit(url).netloc)


def _missing(page: Path, url: str) -> str | None:
    """Return what a link within the site lacks."""
    parts = urlsplit(url)
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not file.is_file():
        return f"no file {url}"
    anchor = unquote(parts.fragment)
    if anchor and file.suffix == ".html" and anchor not in _page(file).anchors:
        return f"no anchor {url}"
    return None


def faults(folder: Path) -> Iterator[str]:
    """Yield the faults of all pages and style sheets of a built site."""
    folder = folder.resolve()
    for path in sorted((*folder.rglob("*.html"), *folder.rglob("*.css"))):
        if path.name == "webpack-macros.html":  # a template of the theme
            continue
        name, text = path.relative_to(folder), path.read_text("utf-8")
        page = _page(path) if path.suffix == ".html" else None
        loaded = page.loaded if page else re.findall(r"url\(['\"]?(.*?)['\"]?\)", text)
        loaded = [url for url in loaded if not url.startswith("data:")]
        for url in sorted({*loaded, *(page.links if page else ())}):
            if not _is_elsewhere(url):
                if fault := _missing(path, url):
                    yield f"{name}: {fault}"
            elif url in loaded:
                yield f"{name}: loads {url}"
        if str(ROOT) in text:
            yield f"{name}: holds the path {ROOT}"
        if page and page.quotes and name.parts[0] == "api":
            yield f"{name}: a formula or list of a docstring stands as a quotation; end the line before it with ::"


def main(folder: str) -> int:
    """Print all faults; return the exit code."""
    found = list(faults(Path(folder)))
    print(*found, sep="\n", end="\n" if found else "")
    n_pages = sum(1 for _ in Path(folder).rglob("*.html"))
    print(f"{n_pages} pages, {len(found)} faults")
    return 1 if found or not n_pages else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
