"""The index of a stream folder."""

from __future__ import annotations

from pyhash.index.owned_index import OwnedIndex


class StreamIndex(OwnedIndex):
    """The index of a stream folder; rows may be removed from it."""

    owner = "StreamFolder"
