"""All rows of several shards by ascending id, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pyhash.distributed.placement import Placement

_LEAST = 1024  # rows to ask a shard for: fewer are not worth a call


def merged_blocks(placement: Placement, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield ids and codes of all shards, up to `size` rows at a time, by ascending id."""
    unfinished = set(range(len(placement.shards)))
    after: dict[int, int | None] = dict.fromkeys(unfinished)
    ids: dict[int, NDArray[np.int64]] = {}
    codes: dict[int, NDArray[np.uint8]] = {}
    share = max(size // len(unfinished), _LEAST)
    while unfinished or ids:
        wanted = {s: after[s] for s in unfinished if s not in ids}
        for s, block in placement.ask_each("block", wanted, share).items():
            if block is None:
                unfinished.discard(s)
            else:
                ids[s], codes[s] = block
                after[s] = int(block[0][-1])
        if not ids:
            return
        # No shard has an id that was not asked for up to the least of the last ones. Those finished have none at all.
        last = min(int(own[-1]) for own in ids.values())
        parts = {s: int(np.searchsorted(own, last, side="right")) for s, own in ids.items()}
        block_ids = np.concatenate([ids[s][:n] for s, n in parts.items()])
        block_codes = np.concatenate([codes[s][:n] for s, n in parts.items()])
        for s, n in parts.items():
            ids[s], codes[s] = ids[s][n:], codes[s][n:]
            if not len(ids[s]):
                del ids[s], codes[s]
        order = np.argsort(block_ids)
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            yield block_ids[rows], block_codes[rows]
