"""The items of several modalities, row by row, as users give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import as_rows, is_iterable, is_sparse
from pyhash._inputs.frames import is_frame, is_series, series_objects
from pyhash._inputs.labels import name_rows
from pyhash._inputs.named_labels import is_missing
from pyhash.methods.parts.feature_rows import by_modalities

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class ItemRows:
    """Rows of items. Not every row has an item of every modality, but each has one.

    Attributes
    ----------
    n : int
        Number of rows.
    items : dict of str to list, array or csr_array
        The items that there are, by modality; without the modalities that no row has.
    positions : dict of str to ndarray of shape (n,), int64
        For each row the position of its item in `items`, -1 where it has none.
    """

    n: int
    items: dict[str, Any]
    positions: dict[str, NDArray[np.int64]]

    @classmethod
    def of(cls, what: str, given: object, is_features: Mapping[str, bool]) -> ItemRows:
        """Return items as rows, checked; errors call them `what`.

        `is_features` has the modalities that there may be, and whether items are rows of features already.

        Raises
        ------
        TypeError
            If they are not a mapping of modalities to sequences.
        ValueError
            If a modality is unknown, numbers of rows differ, there is no row, or a row has no item.
        """
        if not isinstance(given, Mapping):
            raise TypeError(f"{what} must be a mapping of modalities to items, got {type(given).__name__}")
        for name in given:
            if name not in is_features:
                raise ValueError(f"{what} must be of the modalities {', '.join(map(repr, is_features))}, got {name!r}")
        columns = {
            name: _column(f"{what}[{name!r}]", items, is_features[name])
            for name, items in given.items()
            if items is not None
        }
        if not columns:
            raise ValueError(f"{what} must hold items of at least one modality, got none")
        lengths = {name: len(positions) for name, (_, positions) in columns.items()}
        n = next(iter(lengths.values()))
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
            raise ValueError(f"{what} must have equally many rows, {shown}")
        if n == 0:
            raise ValueError(f"{what} must have at least one row, got none")
        lacking = np.all([positions < 0 for _, positions in columns.values()], axis=0)
        if lacking.any():
            raise ValueError(
                f"{what} must give every row an item of some modality, none in {name_rows(np.flatnonzero(lacking))}"
            )
        columns = {name: column for name, column in columns.items() if np.any(column[1] >= 0)}
        return cls(
            n,
            {name: items for name, (items, _) in columns.items()},
            {name: positions for name, (_, positions) in columns.items()},
        )

    def has(self, name: str) -> NDArray[np.bool_]:
        """Return which rows (n,) have an item of a modality."""
        return self.positions[name] >= 0 if name in self.positions else np.zeros(self.n, dtype=bool)

    def take(self, name: str, rows: slice | NDArray[np.int64]) -> Any:
        """Return the items of a modality of the given rows, those that there are."""
        positions = self.positions[name][rows]
        positions = positions[positions >= 0]
        items = self.items[name]
        return [items[i] for i in positions] if isinstance(items, list) else items[positions]

    def by_modalities(self) -> list[tuple[list[str], NDArray[np.int64]]]:
        """Return the sets of modalities that rows have, and the rows of each."""
        present = {name: self.has(name) for name in self.items}
        if all(has.all() for has in present.values()):
            return [(list(present), np.arange(self.n))]
        return by_modalities(present)


def _column(what: str, items: Any, is_features: bool) -> tuple[Any, NDArray[np.int64]]:
    """Return the items of one modality without those that are missing, and the position of each row's, or -1."""
    if is_features:
        return _feature_column(what, items)
    entries = _entries(what, items)
    kept = [i for i, item in enumerate(entries) if not is_missing(item)]
    return entries if len(kept) == len(entries) else [entries[i] for i in kept], _positions(len(entries), kept)


def _feature_column(what: str, items: Any) -> tuple[Features, NDArray[np.int64]]:
    kept: Sequence[int]
    if isinstance(items, (list, tuple)) and any(row is None for row in items):
        kept = [i for i, row in enumerate(items) if row is not None]
        n, items = len(items), [items[i] for i in kept]
        if not kept:
            return np.empty((0, 1)), _positions(n, kept)
        rows = as_rows(what, items)
    else:
        rows = as_rows(what, items)
        if rows.ndim < 2:
            raise ValueError(f"{what} must have shape (n, n_features), got {rows.shape}")
        n = rows.shape[0]
        kept = range(n)
    return rows, _positions(n, kept)


def _entries(what: str, items: Any) -> list[Any]:
    one = isinstance(items, (str, bytes, Mapping)) or hasattr(items, "__fspath__") or not is_iterable(items)
    if one or is_sparse(items) or (is_frame(items) and not is_series(items)):
        raise TypeError(f"{what} must be a sequence with an item for each row, got one {type(items).__name__}")
    if is_series(items):
        objects = series_objects(items)
        return list(items) if objects is None else list(objects)
    if hasattr(items, "to_pylist"):  # of pyarrow
        return list(items.to_pylist())
    entries: Iterable[Any] = items
    return list(entries)


def _positions(n: int, kept: Sequence[int]) -> NDArray[np.int64]:
    positions = np.full(n, -1, dtype=np.int64)
    positions[kept] = np.arange(len(kept))
    return positions


def spread(features: Features, n: int, rows: NDArray[np.intp]) -> Features:
    """Return features at the given rows of `n`, ascending; the others are zero."""
    if len(rows) == n:
        return features
    if not is_sparse(features):
        whole = np.zeros((n, *features.shape[1:]), dtype=features.dtype)
        whole[rows] = features
        return whole
    from scipy.sparse import csr_array

    lengths = np.zeros(n, dtype=np.int64)
    lengths[rows] = np.diff(features.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return csr_array((features.data, features.indices, indptr), shape=(n, features.shape[1]))
