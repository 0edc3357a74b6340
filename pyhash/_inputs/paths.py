"""Checks of paths."""

from __future__ import annotations

import os
from pathlib import Path


def check_path(name: str, path: object) -> Path:
    """Return a str or a path-like of str as a Path; refuse bytes, file descriptors and what names no file."""
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if isinstance(text, str):
            if not text:
                raise ValueError(f"{name} must not be empty")
            if "\0" in text:
                raise ValueError(f"{name} must not contain a null byte, got {text!r}")
            return Path(text)
    raise TypeError(f"{name} must be a str or an os.PathLike of str, got {path!r}")
