"""Columns as a data frame of pandas or polars, whichever is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, TypeAlias

from pyhash._inputs.checks import check_choice

Library: TypeAlias = Literal["pandas", "polars"]
_LIBRARIES = ("pandas", "polars")


def make_frame(columns: Mapping[str, Sequence[Any]], library: Library | None = None) -> Any:
    """Return a data frame; without `library` of pandas, or of polars where pandas is not installed.

    Raises
    ------
    ImportError
        If the library is not installed, or neither is.
    ValueError
        If `library` is neither None nor one of the two.
    """
    wanted = _LIBRARIES if library is None else (check_choice("library", library, _LIBRARIES),)
    for name in wanted:
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            return module.DataFrame(dict(columns))
    raise ImportError(f"data frames need {' or '.join(wanted)}: pip install {wanted[0]}")
