"""The items that encoders take."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, cast, get_args

import numpy as np

from pyhash._inputs.checks import check_choice, is_iterable

Kind = Literal["text", "image"]

_TEXTS = "texts (str)"
_PICTURES = "pictures (paths, PIL images, arrays of uint8, bytes of files)"


def check_kind(kind: object) -> Kind:
    """Return what the items of an encoder are; raise unless it is one of the choices."""
    return cast("Kind", check_choice("kind", kind, get_args(Kind)))


def is_pil_image(item: object) -> bool:
    """Return whether `item` is an image of PIL, without importing it."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(item, module.Image)


def listed_items(kind: Kind, items: object, name: str = "items") -> list[Any]:
    """Return items as a list; raise TypeError unless they are a collection of items of this kind."""
    what = _TEXTS if kind == "text" else _PICTURES
    if isinstance(items, (str, bytes, os.PathLike)) or is_pil_image(items) or not is_iterable(items):
        raise TypeError(f"{name} must be a sequence of {what}, got one {type(items).__name__}")
    if isinstance(items, np.ndarray) and items.ndim == 3 and items.shape[2] in (3, 4):
        raise TypeError(f"{name} must be a sequence of {what}, got one array of shape {items.shape}")
    # Columns of Arrow hold scalars of their own.
    rows = items.to_pylist() if hasattr(items, "to_pylist") else list(items)
    wanted = (str,) if kind == "text" else (str, os.PathLike, bytes, np.ndarray)
    for position, item in enumerate(rows):
        if not isinstance(item, wanted) and not (kind == "image" and is_pil_image(item)):
            one = "a str" if kind == "text" else "a path, a PIL image, an array of uint8 or the bytes of a file"
            raise TypeError(f"{name}[{position}] must be {one}, got {_shown(item)}")
    return rows


def _shown(item: object) -> str:
    return repr(item) if item is None or isinstance(item, (bool, int, float)) else type(item).__name__
