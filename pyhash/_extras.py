"""Packages of extras, which are imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, what: str, extra: str) -> Any:
    """Return a module; where its package is not installed, raise an ImportError that names the extra.

    Other errors of the import pass: those of a package that is there and cannot be loaded.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ImportError(f"{what} need {package}: pip install 'pyhash-crossmodal[{extra}]'") from None
