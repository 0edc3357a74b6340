"""Types of picture files, and the pictures that queries are made of."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def picture_type(data: bytes) -> str | None:
    """Return the media type of a PNG, JPEG, GIF or WebP file by its first bytes; None for all else, as SVG."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


class QueryPictures:
    """The pictures that were last sent as queries, by a name made from their bytes.

    Parameters
    ----------
    n_bytes : int
        The oldest are dropped where all together are larger; the newest is always kept.
    """

    def __init__(self, n_bytes: int = 1 << 26) -> None:
        self._n_bytes, self._pictures = n_bytes, OrderedDict[str, bytes]()
        self._lock = threading.Lock()

    def keep(self, data: bytes) -> str:
        """Keep a picture; return its name."""
        name = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            self._pictures[name] = data
            self._pictures.move_to_end(name)
            while len(self._pictures) > 1 and sum(map(len, self._pictures.values())) > self._n_bytes:
                self._pictures.popitem(last=False)
        return name

    def get(self, name: str) -> bytes | None:
        """Return a picture, or None if it was not sent or is no longer kept."""
        with self._lock:
            return self._pictures.get(name)
