"""The pictures that queries are made of."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict


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
