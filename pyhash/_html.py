"""HTML that notebooks show: everything is escaped, there are no scripts, and the colours are those of the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

N_ROWS = 10
N_COLUMNS = 20
N_TABLE_ROWS = 100  # of a table that is the answer itself
MAX_TEXT = 200
MAX_PICTURE_BYTES = 1 << 18

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")

# Borders and colours follow the text, so that they suit light and dark pages.
_STYLE = """
.pyhash-html { font-family: system-ui, sans-serif; font-size: 0.9em; line-height: 1.4; }
.pyhash-html p { margin: 0.3em 0; }
.pyhash-html table { border-collapse: collapse; margin: 0.4em 0; display: block; overflow-x: auto; }
.pyhash-html th, .pyhash-html td { padding: 0.15em 0.7em; text-align: left; vertical-align: middle;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, 0.35); background: none; color: inherit; }
.pyhash-html caption { caption-side: top; text-align: left; font-style: italic; color: inherit; padding: 0; }
.pyhash-html img { max-width: 6em; max-height: 6em; display: block; margin: 0; }
.pyhash-html summary { cursor: pointer; }
.pyhash-html .pyhash-note { opacity: 0.75; }
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def picture_type(data: bytes) -> str | None:
    """Return the media type of a PNG, JPEG, GIF or WebP file by its first bytes; None for all else, as SVG."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def text(value: Any, max_length: int = MAX_TEXT) -> Html:
    """Return a value as HTML: escaped, cut where it is long; numbers of bytes for bytes."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    if isinstance(value, bytes):
        return Html(f"{len(value):,} bytes")
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(each) for each in value[:max_length])
    shown = str(value)
    return Html(escape(shown if len(shown) <= max_length else shown[:max_length] + "…"))


def picture(data: bytes, description: str) -> Html:
    """Return a picture, or its size where browsers do not show it or it is large."""
    kind = picture_type(data)
    if kind is None or len(data) > MAX_PICTURE_BYTES:
        return text(data)
    encoded = base64.b64encode(data).decode("ascii")
    return Html(f'<img alt="{text(description)}" src="data:{kind};base64,{encoded}">')


def bold(value: Any) -> Html:
    """Return a value in bold."""
    return Html(f"<strong>{text(value)}</strong>")


def note(value: Any) -> Html:
    """Return a value as a paragraph of lesser weight."""
    return Html(f'<p class="pyhash-note">{text(value, 10 * MAX_TEXT)}</p>')


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = "") -> Html:
    """Return a table; cells are values."""
    lines = [f"<caption>{text(caption)}</caption>"] if caption else []
    lines.append("<thead><tr>" + "".join(f'<th scope="col">{text(cell)}</th>' for cell in header) + "</tr></thead>")
    lines.append("<tbody>")
    lines += ["<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return Html("<table>" + "\n".join([*lines, "</tbody>"]) + "</table>")


def first_rows(header: Sequence[Any], rows: Sequence[Sequence[Any]], caption: str = "") -> Html:
    """Return a table of the first rows, and a line that says how many more there are."""
    return Html(table(header, rows[:N_ROWS], caption) + more(len(rows)))


def more(n: int, n_shown: int = N_ROWS) -> Html:
    """Return a line that says how many of `n` are not shown; nothing where all are."""
    return note(f"and {n - n_shown:,} more") if n > n_shown else Html("")


def properties(values: Mapping[str, Any]) -> Html:
    """Return a line of values, each after its name."""
    return Html("<p>" + " · ".join(f"{text(name)}: {text(value)}" for name, value in values.items()) + "</p>")


def details(summary: str, *parts: Html) -> Html:
    """Return parts that open at a click."""
    return Html(f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>")


def section(title: Any, *parts: Html) -> str:
    """Return what a notebook shows of an object: a title, then parts."""
    style = f"<style>{_STYLE}</style>"
    return f'<div class="pyhash-html">{style}<p>{bold(title)}</p>\n{"".join(parts)}</div>'
