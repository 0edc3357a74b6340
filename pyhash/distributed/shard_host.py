"""The shards that one process holds open: what a worker does, and what this process does itself without workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.threads import resolve_n_threads
from pyhash.distributed.segment_cache import open_shared, share
from pyhash.errors import IndexLockedError
from pyhash.index.code_index import CodeIndex
from pyhash.index.searchable_codes import SearchableCodes, find_hits
from pyhash.index.segment import Segment, masks_of_allowed
from pyhash.index.segmented_codes import SegmentedCodes, blocks_after, look_up, segments_of
from pyhash.search.hits import HitLists
from pyhash.search.request import SearchRequest
from pyhash.search.row_mask import RowMask

_T = TypeVar("_T")
_PAUSE = 0.05  # seconds between two looks at a lock


@dataclass(frozen=True, eq=False)
class Change:
    """One call that changes a shard: the method of ``CodeIndex`` and its arguments, which were checked."""

    method: str
    arguments: tuple[NDArray[Any], ...] = ()

    def apply(self, index: CodeIndex) -> None:
        """Change the index."""
        getattr(index, self.method)(*self.arguments)


class ShardSize(NamedTuple):
    """What a client knows of a shard without asking."""

    n: int
    greatest_id: int | None


@dataclass(frozen=True)
class Opening:
    """A shard to open.

    Attributes
    ----------
    ticket : int
        The name under which it is then known; never used before.
    path : str
    generation : int
    mmap : bool
    changes : tuple of Change
        Made since that generation, and not committed.
    """

    ticket: int
    path: str
    generation: int
    mmap: bool
    changes: tuple[Change, ...]


class ShardHost:
    """Shards that are open in this process, each under a ticket.

    Methods take pairs (ticket, argument), one for each shard, and return a list of results in the same order. One
    thread calls them at a time.

    Parameters
    ----------
    n_threads : int
        For searches that do not say how many.
    patience : float
        Seconds to wait for the lock of a shard. The client has the lock of the whole index: so the holder is one that
        lost it, and ends soon.
    """

    def __init__(self, n_threads: int, patience: float = 0.0) -> None:
        self._n_threads, self._patience = n_threads, patience
        self._open: dict[int, SearchableCodes] = {}
        self._shared: dict[int, Opening] = {}

    def answer(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Return the result of a method, or the exception that it raised."""
        try:
            return getattr(self, method)(*arguments)
        except Exception as error:
            return error

    def open(self, shards: Sequence[Opening]) -> list[ShardSize | Exception]:
        """Open shards; where one cannot be opened, its result is the exception."""
        return [self.answer("_open_one", (shard,)) for shard in shards]

    def _open_one(self, shard: Opening) -> ShardSize:
        index = open_shared(shard.path, shard.generation, mmap=shard.mmap)
        try:
            for change in shard.changes:
                self._with_lock(change.apply, index)
        except BaseException:
            index.close()
            raise
        self._open[shard.ticket], self._shared[shard.ticket] = index, shard
        return _size(index)

    def close(self, tickets: Sequence[int]) -> None:
        """Close shards, without committing."""
        for ticket in tickets:
            index = self._open.pop(ticket, None)
            self._shared.pop(ticket, None)
            if isinstance(index, CodeIndex):
                index.close()

    def close_all(self) -> None:
        """Close all shards, without committing."""
        self.close(list(self._open))

    def freeze(self, shards: Sequence[tuple[int, int]]) -> list[None]:
        """Keep each shard as it is now, to be read under another ticket."""
        for ticket, frozen in shards:
            index = self._open[ticket]
            self._open[frozen] = SearchableCodes(index.n_bits, segments_of(index), index.fingerprint)
        return [None] * len(shards)

    # --- reading ------------------------------------------------------------------------------------------------------

    def search(
        self, shards: Sequence[tuple[int, NDArray[Any] | None]], request: SearchRequest, n_threads: int | None
    ) -> HitLists:
        """Return the hits in all these shards together; the argument of each is the ids allowed there, or None."""
        segments: list[Segment] = []
        masks: list[RowMask | None] = []
        for ticket, allowed in shards:
            own = segments_of(self._open[ticket])
            segments += own
            masks += [segment.alive for segment in own] if allowed is None else masks_of_allowed(own, allowed)
        return find_hits(segments, masks, replace(request, n_threads=n_threads or self._n_threads))

    def reconstruct(
        self, shards: Sequence[tuple[int, NDArray[np.int64]]]
    ) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """Return the codes of ids in each shard, and which of the ids are missing."""
        return [look_up(self._open[ticket], ids) for ticket, ids in shards]

    def missing(self, shards: Sequence[tuple[int, NDArray[np.int64]]]) -> list[NDArray[np.bool_]]:
        """Return which of the ids are missing in each shard."""
        return [look_up(self._open[ticket], ids)[1] for ticket, ids in shards]

    def ids(self, shards: Sequence[tuple[int, None]]) -> list[NDArray[np.int64]]:
        """Return all ids of each shard."""
        return [self._open[ticket].ids for ticket, _ in shards]

    def whole(self, shards: Sequence[tuple[int, None]]) -> list[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Return all ids and codes of each shard."""
        return [(self._open[ticket].ids, self._open[ticket].codes) for ticket, _ in shards]

    def block(
        self, shards: Sequence[tuple[int, int | None]], size: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.uint8]] | None]:
        """Return the next rows of each shard after an id, or from the first on (None); None where there are no more."""
        return [next(blocks_after(self._open[ticket], size, after), None) for ticket, after in shards]

    def stats(self, shards: Sequence[tuple[int, None]]) -> list[dict[str, Any]]:
        """Return what each shard consists of."""
        return [self._open[ticket].stats() for ticket, _ in shards]

    # --- writing ------------------------------------------------------------------------------------------------------

    def change(self, shards: Sequence[tuple[int, Change]]) -> list[ShardSize]:
        """Change each shard."""
        for ticket, change in shards:
            self._with_lock(change.apply, self._index(ticket))
        return [_size(self._open[ticket]) for ticket, _ in shards]

    def prepare(self, shards: Sequence[tuple[int, None]]) -> list[int]:
        """Prepare a commit of each shard; return the generations."""
        return [self._with_lock(self._index(ticket).prepare) for ticket, _ in shards]

    def publish(self, shards: Sequence[tuple[int, None]]) -> list[None]:
        """Commit what was prepared."""
        for ticket, _ in shards:
            index, opening = self._index(ticket), self._shared[ticket]
            index.commit()
            share(opening.path, index, mmap=opening.mmap)
        return [None] * len(shards)

    def verify(self, shards: Sequence[tuple[int, None]]) -> list[None]:
        """Check the files of each shard."""
        for ticket, _ in shards:
            self._index(ticket).verify()
        return [None] * len(shards)

    def _index(self, ticket: int) -> CodeIndex:
        index = self._open[ticket]
        if not isinstance(index, CodeIndex):
            raise TypeError("internal error in pyhash: a frozen shard cannot be changed")
        return index

    def _with_lock(self, act: Callable[..., _T], *arguments: Any) -> _T:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return act(*arguments)
            except IndexLockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)


def _size(index: SegmentedCodes) -> ShardSize:
    alive = [segment for segment in segments_of(index) if segment.n_alive]
    greatest = max((segment.greatest_id() for segment in alive), default=None)
    return ShardSize(sum(segment.n_alive for segment in alive), greatest)


def threads_of_worker(n_threads: int) -> int:
    """Return the threads for a search in a worker that Dask gives `n_threads`; PYHASH_NUM_THREADS there overrides."""
    import os

    return resolve_n_threads(None if os.environ.get("PYHASH_NUM_THREADS", "").strip() else n_threads)
