"""Values of parameters as text, in names of results and on the command line: 100, none, 0.2/0.8, image:0.1/text:1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIRST_LARGE = 2**53  # from here on, float64 does not hold every integer
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}


def value_text(value: Any) -> str:
    """Return the text of a value; that of an object of another type is its ``str``."""
    if hasattr(value, "tolist"):  # numbers and arrays of numpy
        value = value.tolist()
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, Mapping):
        return "/".join(f"{key}:{value_text(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return "/".join(value_text(entry) for entry in value)
    return str(value)


def parse_value(text: str) -> Any:
    """Return the value of a text: a number, true, false, none, a word, or several of these as a list or a mapping."""
    parts = text.split("/")
    if all(":" in part for part in parts):
        pairs = [part.partition(":") for part in parts]
        return {key: _parse_word(value) for key, _, value in pairs}
    return _parse_word(text) if len(parts) == 1 else [_parse_word(part) for part in parts]


def _parse_word(text: str) -> bool | int | float | str | None:
    if text in _WORDS:
        return _WORDS[text]
    try:
        number = float(text)
    except ValueError:
        return text
    # Whole numbers are integers in any form, as value_text writes them.
    return int(number) if number.is_integer() and abs(number) < _FIRST_LARGE else number
