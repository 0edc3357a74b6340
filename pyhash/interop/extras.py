"""Packages of other engines, which are imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, what: str, extra: str) -> Any:
    """Return a module; where it is not installed, raise an ImportError that names the extra."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ImportError(f"{what} need {package}: pip install 'pyhash-crossmodal[{extra}]'") from None
