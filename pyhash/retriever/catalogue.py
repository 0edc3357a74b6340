"""What a Retriever knows of its items beside their codes: modalities and payload, by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.retriever.filters import matching_rows
from pyhash.retriever.payload_part import PayloadPart
from pyhash.retriever.payload_tables import arrow, fitted, with_schema

Ids = NDArray[np.int64]

# A part of the payload is joined to the next one that is not much smaller, so that there are few parts, and rows are
# copied seldom.
_GROWTH = 2
_MAX_JOINED_BYTES = 1 << 28  # parts beyond are not joined to others: what they hold is much to copy


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items by id; never changed, only replaced.

    Attributes
    ----------
    names : tuple of str
        All modalities.
    ids : ndarray of shape (n,), int64
        Ascending.
    masks : ndarray of shape (n,), uint32
        Bit m: the item was added with modality m of `names`.
    numbers : ndarray of shape (n,), int32
        The number of the part that has the item's payload, 0 where it has none.
    parts : tuple of PayloadPart
        By ascending number.
    schema : pyarrow.Schema or None
        The columns of all parts; None before the first.
    next_number : int
        Of the next part.
    """

    names: tuple[str, ...]
    ids: Ids
    masks: NDArray[np.uint32]
    numbers: NDArray[np.int32]
    parts: tuple[PayloadPart, ...] = ()
    schema: Any = None
    next_number: int = 1

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> Catalogue:
        """Return a catalogue without items."""
        return cls(names, np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    def has_the_rows_of(self, other: Catalogue) -> bool:
        """Return whether nothing but the form of the payload's parts may differ from another catalogue."""
        return self.ids is other.ids and self.masks is other.masks and self.numbers is other.numbers

    # --- changes ------------------------------------------------------------------------------------------------------

    def added(self, ids: Ids, masks: NDArray[np.uint32], payload: Any) -> Catalogue:
        """Return the catalogue with new items; `payload` is a pyarrow.Table, or None.

        Raises
        ------
        TypeError
            If a column of the payload does not have the type of the items before.
        """
        parts, schema, number = self.parts, self.schema, 0
        if payload is not None and payload.num_columns and len(ids):
            table, schema = fitted(payload, arrow().schema([]) if schema is None else schema)
            number = self.next_number
            parts = (*parts, PayloadPart.of(number, ids, table))
        all_ids = np.concatenate([self.ids, ids])
        all_masks = np.concatenate([self.masks, masks])
        numbers = np.concatenate([self.numbers, np.full(len(ids), number, dtype=np.int32)])
        if np.any(all_ids[1:] <= all_ids[:-1]):
            order = np.argsort(all_ids)
            all_ids, all_masks, numbers = all_ids[order], all_masks[order], numbers[order]
        grown = Catalogue(self.names, all_ids, all_masks, numbers, parts, schema, self.next_number + (number > 0))
        return grown.tidied(among_stored=False)

    def without(self, ids: Ids) -> Catalogue:
        """Return the catalogue without items."""
        keep = ~np.isin(self.ids, ids)
        return replace(self, ids=self.ids[keep], masks=self.masks[keep], numbers=self.numbers[keep])

    def tidied(self, *, among_stored: bool = True) -> Catalogue:
        """Return the same items, their payload in fewer parts, without most of what nobody has any more.

        Parts that are on disk stay as they are unless `among_stored`.
        """
        tidy = self._without_waste() if among_stored else self
        while len(tidy.parts) > 1:
            one, other = tidy.parts[-2:]
            is_final = (one.stored is not None and not among_stored) or one.table.nbytes > _MAX_JOINED_BYTES
            if is_final or len(one) >= _GROWTH * len(other):
                break
            tidy = tidy._rewritten(tidy.parts[-2:])
        return tidy

    def _without_waste(self) -> Catalogue:
        """Return the same without the parts of which less than half of the rows are in use, which are rewritten."""
        if not self.parts:
            return self
        used = np.bincount(self.numbers, minlength=self.next_number)
        wasteful = [part for part in self.parts if 2 * used[part.number] < len(part)]
        return self._rewritten(wasteful) if wasteful else self

    def _rewritten(self, parts: Sequence[PayloadPart]) -> Catalogue:
        """Return the same with some parts as one new part, without the rows that nobody has any more."""
        pa = arrow()
        gone = [part.number for part in parts]
        kept = tuple(part for part in self.parts if part.number not in gone)
        of_parts = [part.only(self.ids[self.numbers == part.number]) for part in parts]
        ids = np.concatenate([ids for ids, _ in of_parts])
        if not len(ids):
            return replace(self, parts=kept)
        table = pa.concat_tables([with_schema(table, self.schema) for _, table in of_parts]).combine_chunks()
        numbers = np.where(np.isin(self.numbers, gone), np.int32(self.next_number), self.numbers)
        joined = PayloadPart.of(self.next_number, ids, table)
        return replace(self, numbers=numbers, parts=(*kept, joined), next_number=self.next_number + 1)

    # --- looks --------------------------------------------------------------------------------------------------------

    def payloads_of(self, ids: Ids) -> list[dict[str, Any]]:
        """Return the payload of each of some distinct ids as a dict of all columns; nulls where it has none."""
        found: list[dict[str, Any]] = [{} for _ in ids]
        if self.schema is None:
            return found
        nothing: dict[str, Any] = dict.fromkeys(self.schema.names)
        rows, is_there = self._rows(ids)
        numbers = np.where(is_there, self.numbers[rows], 0) if len(self.ids) else np.zeros(len(ids), np.int32)
        found = [dict(nothing) for _ in ids]
        for part in self.parts:
            chosen = np.flatnonzero(numbers == part.number)
            chosen = chosen[np.argsort(ids[chosen])]
            for i, values in zip(chosen, part.values(part.rows_of(ids[chosen]).tolist()), strict=True):
                found[i].update(values)
        return found

    def modalities_of(self, ids: Ids) -> list[tuple[str, ...]]:
        """Return the modalities that each id was added with; none for ids that there are not."""
        rows, is_there = self._rows(ids)
        masks = np.where(is_there, self.masks[rows], 0) if len(self.ids) else np.zeros(len(ids), np.uint32)
        sets = {mask: tuple(n for m, n in enumerate(self.names) if mask >> m & 1) for mask in set(masks.tolist())}
        return [sets[mask] for mask in masks.tolist()]

    def matching(self, where: object) -> Ids:
        """Return the ids whose payload a filter lets through, ascending.

        Raises
        ------
        TypeError
            If `where` is neither a mapping of columns to values nor an expression of Arrow.
        ValueError
            If no item has a payload, there is no such column, or a value does not fit its type.
        """
        if self.schema is None:
            raise ValueError("where must be None: no item has a payload")
        pa = arrow()
        found = []
        for part in self.parts:
            ids = self.ids[self.numbers == part.number]
            rows = part.rows_of(ids)
            table = with_schema(part.table, self.schema)
            found.append(ids[matching_rows(table, where)[rows]])
        bare = self.ids[self.numbers == 0]
        # An item without a payload counts as one whose values are all null.
        nulls = pa.Table.from_pylist([dict.fromkeys(self.schema.names)], schema=self.schema)
        if matching_rows(nulls, where)[0]:
            found.append(bare)
        return np.sort(np.concatenate(found))

    def table(self) -> Any:
        """Return the payload as a pyarrow.Table, rows as `ids`."""
        pa = arrow()
        if self.schema is None:
            return pa.Table.from_pylist([{}] * len(self), schema=pa.schema([]))
        of_parts = [part.only(self.ids[self.numbers == part.number]) for part in self.parts]
        bare = self.ids[self.numbers == 0]
        nulls = pa.Table.from_arrays([pa.nulls(len(bare), kind) for kind in self.schema.types], schema=self.schema)
        whole = pa.concat_tables([*(with_schema(table, self.schema) for _, table in of_parts), nulls])
        order = np.argsort(np.concatenate([*(ids for ids, _ in of_parts), bare]))
        return whole if np.all(order[1:] > order[:-1]) else whole.take(order)

    def _rows(self, ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the row of each id, and whether it is there."""
        if not len(self.ids):
            return np.zeros(len(ids), dtype=np.intp), np.zeros(len(ids), dtype=bool)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return rows, self.ids[rows] == ids


def is_filter(where: object) -> bool:
    """Return whether `where` restricts a search."""
    return not (where is None or (isinstance(where, Mapping) and not where))
