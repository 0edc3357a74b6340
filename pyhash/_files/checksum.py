"""The checksum of a whole file."""

from __future__ import annotations

import zlib
from pathlib import Path

_BLOCK = 1 << 20  # bytes read at once


def file_checksum(path: Path) -> tuple[int, int]:
    """Return the size and the crc32 of a file."""
    n_bytes = crc = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            n_bytes, crc = n_bytes + len(block), zlib.crc32(block, crc)
    return n_bytes, crc
