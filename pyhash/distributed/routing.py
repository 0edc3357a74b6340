"""Which shard holds an id: a fixed function of the id, so that every process finds it without asking."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ROUTING = "splitmix64"  # the name of ``shard_of_ids`` in manifests; another function would need another name


def shard_of_ids(ids: NDArray[np.int64], n_shards: int) -> NDArray[np.intp]:
    """Return the shard of each id, from 0 to n_shards - 1.

    The bits of the id are mixed (the finalizer of splitmix64), so that runs of ids and multiples of any number spread
    evenly; the upper 32 bits of the result, as a fraction of 2**32, choose the shard.
    """
    x = ids.astype(np.uint64)  # a copy; negative ids modulo 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    shards: NDArray[np.uint64] = (x >> np.uint64(32)) * np.uint64(n_shards) >> np.uint64(32)
    return shards.astype(np.intp)


def rows_by_shard(ids: NDArray[np.int64], n_shards: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each shard that has any of the ids, and the positions of these ids, ascending."""
    shards = shard_of_ids(ids, n_shards)
    order = np.argsort(shards, kind="stable")
    bounds = np.searchsorted(shards[order], np.arange(n_shards + 1))
    for shard in range(n_shards):
        if bounds[shard] < bounds[shard + 1]:
            yield shard, order[bounds[shard] : bounds[shard + 1]]
