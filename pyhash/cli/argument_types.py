"""Types of arguments: each makes a value of a text, or raises an error that says what the text must be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyhash._inputs.value_text import parse_value

PIPE = "-"


def integer(minimum: int) -> Callable[[str], int]:
    """Return the type of integers that are at least `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")
        return value

    return parse


def names(text: str) -> list[str]:
    """Return the names of a list such as image,text."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"must be names joined by commas, got {text!r}")
    return parts


def pairs(text: str) -> dict[str, str]:
    """Return the mapping of a list such as image=X1,text=X2."""
    parts = [part.partition("=") for part in text.split(",")]
    if not all(key.strip() and value.strip() for key, _, value in parts):
        raise argparse.ArgumentTypeError(f"must be such as image=X1,text=X2,labels=L, got {text!r}")
    return {key.strip(): value.strip() for key, _, value in parts}


def sweep(text: str) -> tuple[str, dict[str, list[Any]]]:
    """Return the method of lemon:alpha=1,1e2,beta=1,10, and the values of each parameter."""
    method, _, rest = text.partition(":")
    columns: dict[str, list[str]] = {}
    name = ""
    for part in rest.split(","):
        # A part without "=" is one more value of the parameter before it.
        *named, value = part.split("=", 1)
        name = named[0].strip() if named else name
        columns.setdefault(name, []).append(value.strip())
    if not method.strip() or not all(columns) or not all(all(column) for column in columns.values()):
        raise argparse.ArgumentTypeError(f"must be such as lemon:alpha=1,1e2,beta=1,10, got {text!r}")
    return method.strip(), {name: [parse_value(value) for value in column] for name, column in columns.items()}


def setting(text: str) -> tuple[str, dict[str, Any]]:
    """Return the method of lemon:alpha=1e2,beta=10, and the value of each parameter."""
    try:
        method, columns = sweep(text)
        return method, {name: value for name, (value,) in columns.items()}
    except (argparse.ArgumentTypeError, ValueError):
        raise argparse.ArgumentTypeError(f"must be such as lemon:alpha=1e2,beta=10, got {text!r}") from None


def directions(text: str) -> list[tuple[str, str]]:
    """Return the modalities of queries and database of a list such as image->text,text->image."""
    parts = [tuple(part.split("->")) for part in names(text)]
    if not all(len(pair) == 2 and all(pair) for pair in parts):
        raise argparse.ArgumentTypeError(f"must be such as 'image->text,image+text->text', got {text!r}")
    return [(query, database) for query, database in parts]


def weights(text: str) -> dict[str, float]:
    """Return the mapping to numbers of a list such as image=1,text=0.6."""
    try:
        return {view: float(weight) for view, weight in pairs(text).items()}
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"must be such as image=1,text=0.6, got {text!r}") from None


def fraction(text: str) -> float:
    """Return a number above 0, at most 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, got {text!r}")
    return share


def integers(minimum: int) -> Callable[[str], list[int]]:
    """Return the type of lists of integers that are at least `minimum`, such as 16,32."""

    def parse(text: str) -> list[int]:
        try:
            return [integer(minimum)(part.strip()) for part in text.split(",")]
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(f"must be integers >= {minimum} joined by commas, got {text!r}") from None

    return parse


def words(text: str) -> str:
    """Return a text of at least one word."""
    if not text.split():
        raise argparse.ArgumentTypeError("must hold at least one word")
    return text


def folder(text: str) -> Path:
    """Return the path of a folder to write."""
    # Path("") is the current folder: an unset variable of the shell would fill it with files.
    if not text:
        raise argparse.ArgumentTypeError("must name a folder, got ''")
    return Path(text)


def path(text: str) -> Path:
    """Return the path of a file or folder that exists."""
    if not text:
        raise argparse.ArgumentTypeError("must name a file or folder, got ''")
    return Path(text)


def data(text: str) -> Path | str:
    """Return the path of data, or ``PIPE``."""
    return PIPE if text == PIPE else path(text)


def ids(text: str) -> list[int] | str:
    """Return the ids of a list such as 1,2,3, or ``PIPE``."""
    if text == PIPE:
        return PIPE
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be integers joined by commas, or -, got {text!r}") from None


def parameters(text: str) -> dict[str, Any]:
    """Return the value of each parameter of a list such as alpha=1e2,beta=10."""
    try:
        return {name: parse_value(value) for name, value in pairs(text).items()}
    except (argparse.ArgumentTypeError, ValueError):
        raise argparse.ArgumentTypeError(f"must be such as alpha=1e2,beta=10, got {text!r}") from None


def codes_file(text: str) -> Path | str:
    """Return the path of a .npy or .npz file, or ``PIPE``."""
    if text != PIPE and not text.endswith((".npy", ".npz")):
        raise argparse.ArgumentTypeError(f"must end in .npy or .npz, or be -, got {text!r}")
    return PIPE if text == PIPE else Path(text)


def condition(text: str) -> tuple[str, str]:
    """Return the column and the value of a condition such as category=flower."""
    column, equals, value = text.partition("=")
    if not column or not equals:
        raise argparse.ArgumentTypeError(f"must be COLUMN=VALUE, such as category=flower, got {text!r}")
    return column, value
