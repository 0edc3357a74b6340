"""Small pictures for the payload, so that a folder shows what it finds wherever it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from pyhash.encoders import open_picture

SIDE = 256  # pixels of the longer side, at most
_QUALITY = 85


def small_pictures(items: Sequence[Any], name: str) -> list[bytes | None]:
    """Return each picture as a JPEG file of at most 256 x 256 pixels, None for None; errors call the items `name`."""
    return [None if item is None else _small_picture(item, f"{name}[{i}]") for i, item in enumerate(items)]


def _small_picture(item: Any, name: str) -> bytes:
    picture = open_picture(item, name)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
