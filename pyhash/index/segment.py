"""Runs of rows that never change: what an index is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash.index.manifest import StoredSegment
from pyhash.index.segment_files import SegmentContent
from pyhash.search import row_mask, rows_of_mask

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segment:
    """Codes and ids by ascending id, so that the core's ties by row are ties by id.

    Never changed: rows that are removed are masked in a segment of the same arrays, which shares their layouts too.
    """

    codes: Codes
    ids: Ids
    alive: NDArray[np.uint8] | None = None  # the core's mask; None: all rows are
    n_alive: int = -1
    lean: bool = False  # mapped from a file: no layouts in memory
    stored: StoredSegment | None = None
    code_set: _core.CodeSet = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        # An array made read only stays what it was for everyone who holds it.
        self.codes.flags.writeable = self.ids.flags.writeable = False
        if self.n_alive < 0:
            n = len(self.ids) if self.alive is None else len(rows_of_mask(self.alive, len(self.ids)))
            object.__setattr__(self, "n_alive", n)
        if self.code_set is None:
            object.__setattr__(self, "code_set", _core.CodeSet(self.codes, self.lean))

    @classmethod
    def of_stored(
        cls, codes: Codes, ids: Ids, alive: NDArray[np.uint8] | None, stored: StoredSegment, *, lean: bool
    ) -> Segment:
        """A segment of a directory; its mask there ends with the last row."""
        mask = None
        if alive is not None:
            mask = np.zeros((len(ids) + 511) // 512 * 64, dtype=np.uint8)
            mask[: len(alive)] = alive
        return cls(codes, ids, mask, lean=lean, stored=stored)

    def content(self) -> SegmentContent:
        """The segment as a directory takes it."""
        n_bytes = (len(self.ids) + 7) // 8
        return SegmentContent(self.codes, self.ids, None if self.alive is None else self.alive[:n_bytes], self.stored)

    def rows_with(self, ids: Ids) -> NDArray[np.intp]:
        """The row of each id, -1 where it is not among those alive."""
        if not len(self.ids):
            return np.full(len(ids), -1, dtype=np.intp)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found = self.ids[rows] == ids
        return np.where(found & self.is_alive(rows), rows, -1)

    def is_alive(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each of these rows is left."""
        if self.alive is None:
            return np.ones(len(rows), dtype=np.bool_)
        return (self.alive[rows // 8] >> (rows % 8).astype(np.uint8) & 1).astype(np.bool_)

    def alive_rows(self) -> NDArray[np.intp] | slice:
        """What selects the rows that are left."""
        return slice(None) if self.alive is None else rows_of_mask(self.alive, len(self.ids))

    def without(self, rows: NDArray[np.intp]) -> Segment:
        """The segment with these rows removed too; they are alive now."""
        alive = row_mask(np.arange(len(self.ids)), len(self.ids)) if self.alive is None else self.alive.copy()
        bits = (np.uint8(1) << (rows % 8).astype(np.uint8)).astype(np.uint8)
        np.bitwise_and.at(alive, rows // 8, ~bits)
        return replace(self, alive=alive, n_alive=self.n_alive - len(rows))

    def greatest_id(self) -> int:
        """The greatest id alive; there is one."""
        if self.alive is None:
            return int(self.ids[-1])
        byte = int(np.flatnonzero(self.alive)[-1])
        return int(self.ids[8 * byte + int(self.alive[byte]).bit_length() - 1])


def merged(segments: tuple[Segment, ...]) -> Segment:
    """One segment of all rows that are left."""
    parts = sorted((s for s in segments if s.n_alive), key=lambda s: int(s.ids[0]))
    codes = np.concatenate([s.codes[s.alive_rows()] for s in parts])
    ids = np.concatenate([s.ids[s.alive_rows()] for s in parts])
    if not np.all(ids[1:] > ids[:-1]):
        order = np.argsort(ids, kind="stable")
        codes, ids = codes[order], ids[order]
    return Segment(codes, ids)


def tidied(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Empty segments dropped, half-empty ones rewritten, the last ones joined until each is twice as large as the next.

    So there are few segments, and a row is copied few times, however small the additions: about log2(n) of both.
    """
    kept = [s if s.lean or 2 * s.n_alive >= len(s.ids) else merged((s,)) for s in segments if s.n_alive]
    if not kept:
        return ()
    first = len(kept) - 1
    n_joined = kept[first].n_alive
    while first > 0 and kept[first - 1].n_alive < 2 * n_joined:
        first -= 1
        n_joined += kept[first].n_alive
    joined = kept[first] if first == len(kept) - 1 else merged(tuple(kept[first:]))
    return (*kept[:first], joined)
