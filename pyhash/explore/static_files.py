"""The files of the page: a fixed table of addresses."""

from __future__ import annotations

from importlib.resources import files

from pyhash.explore.replies import Reply

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NAMES = (
    "index.html",
    "style.css",
    "icon.svg",
    "main.js",
    "address.js",
    "answers.js",
    "api.js",
    "bits.js",
    "chart.js",
    "elements.js",
    "form.js",
    "map.js",
    "quality.js",
)


def static_files() -> dict[str, Reply]:
    """Return the files by their addresses; / is the page."""
    folder = files("pyhash.explore") / "static"
    replies = {
        f"/{name}": Reply((folder / name).read_bytes(), f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
        for name in _NAMES
    }
    return {"/": replies["/index.html"], **replies}
