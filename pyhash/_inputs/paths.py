"""Checks of paths."""

from __future__ import annotations

import os
from pathlib import Path


def check_path(name: str, path: object) -> Path:
    """Return a str or a path-like of str as a Path; refuse bytes and file descriptors."""
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if isinstance(text, str):
            return Path(text)
    raise TypeError(f"{name} must be a str or an os.PathLike of str, got {path!r}")
