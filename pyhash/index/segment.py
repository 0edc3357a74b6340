"""Runs of rows that never change: what an index is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.threads import resolve_n_threads
from pyhash.errors import ModelFormatError
from pyhash.index.layout import AUTO, Layout
from pyhash.index.manifest import StoredSegment
from pyhash.index.segment_files import SegmentArrays, SegmentContent, Tables
from pyhash.search.allowed import check_allowed
from pyhash.search.row_mask import (
    RowMask,
    Rows,
    bytes_of_mask,
    is_in_mask,
    last_row_of_mask,
    mask_of_bytes,
    mask_of_rows,
    mask_without,
    rows_of_mask,
)

Codes: TypeAlias = NDArray[np.uint8]
Ids: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segment:
    """Codes and ids by ascending id, so that the core's ties by row are ties by id.

    Never changed: rows that are removed are masked in a segment of the same arrays, which shares their layouts too.

    Attributes
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), uint8
    ids : ndarray of shape (n,), int64
    alive : row mask or None
        The rows that are left; None: all.
    n_alive : int
        Their number.
    layout : Layout
        What searches may build.
    lean : bool
        Whether codes and ids are mapped from files, and no layouts are made in memory.
    stored : StoredSegment or None
        The form on disk that has these codes and ids.
    code_set : _core.CodeSet
        The codes, with the layouts that searches have made.
    """

    codes: Codes
    ids: Ids
    alive: RowMask | None = None
    n_alive: int = -1
    layout: Layout = AUTO
    lean: bool = False
    stored: StoredSegment | None = None
    code_set: _core.CodeSet = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        # An array made read only stays what it was for everyone who holds it.
        self.codes.flags.writeable = self.ids.flags.writeable = False
        if self.n_alive < 0:
            n = len(self.ids) if self.alive is None else len(rows_of_mask(self.alive, len(self.ids)))
            object.__setattr__(self, "n_alive", n)
        if self.code_set is None:
            code_set = _core.CodeSet(self.codes, self.lean, self.layout.name, self.layout.bytes_per_code)
            object.__setattr__(self, "code_set", code_set)

    @classmethod
    def of_stored(cls, arrays: SegmentArrays, stored: StoredSegment, layout: Layout, *, lean: bool) -> Segment:
        """Return a segment of a directory.

        Raises
        ------
        ModelFormatError
            If tables are not of these codes.
        """
        alive = None if arrays.alive is None else mask_of_bytes(arrays.alive, len(arrays.ids))
        segment = cls(arrays.codes, arrays.ids, alive, layout=layout, lean=lean, stored=stored)
        form = stored.tables
        if form is not None and arrays.tables is not None:
            try:
                segment.code_set.use_tables(form.n_tables, form.with_codes, arrays.tables)
            except ValueError as error:
                raise ModelFormatError(f"{form.name} does not hold tables of {stored.codes_file}: {error}") from error
        return segment

    def content(self) -> SegmentContent:
        """Return the segment as a directory takes it, with the tables that searches have built, or must have."""
        alive = None if self.alive is None else bytes_of_mask(self.alive, len(self.ids))
        if self.layout.name == "multi-index":
            self.code_set.build_tables(resolve_n_threads(None))
        tables = self.code_set.tables()
        return SegmentContent(self.codes, self.ids, alive, self.stored, None if tables is None else Tables(*tables))

    @property
    def key(self) -> str | None:
        """What tells codes and ids from those of any other segment of the directory; None: not committed yet."""
        form = self.stored
        return None if form is None else f"{form.name} {form.n} {form.codes_crc:08x} {form.ids_crc:08x}"

    @property
    def tables_file(self) -> str | None:
        """The name of the file with its tables; None where they are not on disk."""
        return None if self.stored is None or self.stored.tables is None else self.stored.tables.name

    def rows_with(self, ids: Ids) -> Rows:
        """Return the row of each id, -1 where it is not among those alive."""
        if not len(self.ids):
            return np.full(len(ids), -1, dtype=np.intp)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found = self.ids[rows] == ids
        return np.where(found & self.is_alive(rows), rows, -1)

    def is_alive(self, rows: Rows) -> NDArray[np.bool_]:
        """Return for each of the rows whether it is left."""
        return np.ones(len(rows), dtype=np.bool_) if self.alive is None else is_in_mask(self.alive, rows)

    def alive_rows(self) -> Rows:
        """Return the rows that are left."""
        n = len(self.ids)
        return np.arange(n) if self.alive is None else rows_of_mask(self.alive, n)

    def alive_ids(self) -> Ids:
        """Return the ids of the rows that are left."""
        return self.ids if self.alive is None else self.ids[self.alive_rows()]

    def alive_codes(self) -> Codes:
        """Return the codes of the rows that are left."""
        return self.codes if self.alive is None else self.codes[self.alive_rows()]

    def without(self, rows: Rows) -> Segment:
        """Return the segment with these rows removed too, which are alive now."""
        alive = mask_of_rows(slice(None), len(self.ids)) if self.alive is None else self.alive
        return replace(self, alive=mask_without(alive, rows), n_alive=self.n_alive - len(rows))

    def greatest_id(self) -> int:
        """Return the greatest id alive; there must be one."""
        return int(self.ids[-1 if self.alive is None else last_row_of_mask(self.alive)])


Segments: TypeAlias = tuple[Segment, ...]


def merge_segments(segments: Segments, layout: Layout = AUTO) -> Segment:
    """Return one segment of all rows that are left."""
    parts = sorted((s for s in segments if s.n_alive), key=lambda s: int(s.ids[0]))
    codes = np.concatenate([s.alive_codes() for s in parts])
    ids = np.concatenate([s.alive_ids() for s in parts])
    if not np.all(ids[1:] > ids[:-1]):
        order = np.argsort(ids, kind="stable")
        codes, ids = codes[order], ids[order]
    return Segment(codes, ids, layout=layout)


def tidy_segments(segments: Segments, layout: Layout) -> Segments:
    """Drop empty segments, rewrite half-empty ones, and join the last ones until each is twice as large as the next.

    So there are few segments, and a row is copied few times, however small the additions: about log2(n) of both.
    """
    kept = [s if s.lean or 2 * s.n_alive >= len(s.ids) else merge_segments((s,), layout) for s in segments if s.n_alive]
    if not kept:
        return ()
    first = len(kept) - 1
    n_joined = kept[first].n_alive
    while first > 0 and kept[first - 1].n_alive < 2 * n_joined:
        first -= 1
        n_joined += kept[first].n_alive
    joined = kept[first] if first == len(kept) - 1 else merge_segments(tuple(kept[first:]), layout)
    return (*kept[:first], joined)


def with_rows(segments: Segments, codes: Codes, ids: Ids, layout: Layout) -> Segments:
    """Return the segments with rows of new ids."""
    if not len(ids):
        return segments
    order: Any = slice(None) if np.all(ids[1:] > ids[:-1]) else np.argsort(ids)
    new = Segment(np.array(codes[order]), np.array(ids[order]), layout=layout)
    return tidy_segments((*segments, new), layout)


def without_ids(segments: Segments, ids: Ids) -> tuple[Segments, NDArray[np.bool_]]:
    """Return the segments without the rows of these ids, and for each id whether it had none."""
    left, missing = [], np.ones(len(ids), dtype=np.bool_)
    for segment in segments:
        rows = segment.rows_with(ids)
        here = rows >= 0
        left.append(segment.without(rows[here]) if here.any() else segment)
        missing &= ~here
    return tuple(left), missing


def masks_of_allowed(segments: Segments, allowed: ArrayLike) -> list[RowMask]:
    """Return for each segment the mask of the rows that are allowed and alive; ids that there are not allow nothing."""
    given = check_allowed(allowed, sum(segment.n_alive for segment in segments), "ids")
    if given.dtype == np.bool_ and len(segments) == 1:
        return [mask_of_rows(segments[0].alive_rows()[given], len(segments[0].ids))]
    if given.dtype == np.bool_:
        ids = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(s.alive_ids() for s in segments)]))[given]
    else:
        ids = given[given <= np.iinfo(np.int64).max].astype(np.int64)
    masks = []
    for segment in segments:
        rows = segment.rows_with(ids)
        masks.append(mask_of_rows(rows[rows >= 0], len(segment.ids)))
    return masks
