"""Rows of a user's data, as a Retriever takes them, in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash.cli.columns import Columns


@dataclass(frozen=True)
class Rows:
    """Some rows: items by modality, and what is known of each.

    Attributes
    ----------
    items : dict of str to list, array or csr_array
        Lists have None where a row has no item.
    labels : ndarray of shape (n,), object, or None
        A label, a frozenset of labels, or None where a row has none.
    ids : ndarray of shape (n,), int64, or None
    payload : dict of str to list or ndarray
    """

    items: dict[str, Any]
    labels: NDArray[np.object_] | None
    ids: NDArray[np.int64] | None
    payload: dict[str, Any]

    def __len__(self) -> int:
        return _n_rows(next(iter(self.items.values())))

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Return the rows at these positions."""
        return self._mapped(lambda values: _taken(values, rows))

    def has(self, modality: str) -> NDArray[np.bool_]:
        """Return which rows (n,) have an item of a modality."""
        values = self.items[modality]
        if not isinstance(values, list):
            return np.ones(len(self), dtype=bool)
        return np.array([item is not None for item in values])

    def _mapped(self, change: Callable[[Any], Any]) -> Rows:
        return Rows(
            {name: change(values) for name, values in self.items.items()},
            None if self.labels is None else change(self.labels),
            None if self.ids is None else change(self.ids),
            {name: change(values) for name, values in self.payload.items()},
        )


class RowSource(ABC):
    """Data that is read in chunks of rows.

    Attributes
    ----------
    name : str
        For messages.
    kinds : dict of str to str
        What the items of each modality are: "features", "text" or "image".
    n_rows : int or None
        None if it is known only when all are read.
    columns : Columns
        The columns that are read.
    """

    name: str
    kinds: dict[str, str]
    n_rows: int | None
    columns: Columns

    @abstractmethod
    def chunks(self, size: int) -> Iterator[Rows]:
        """Yield all rows in order, `size` at a time."""


class HeldOut(RowSource):
    """Every n-th row of a source, or all rows but these."""

    def __init__(self, source: RowSource, every: int, *, held_out: bool) -> None:
        self.name, self.kinds, self.columns = source.name, source.kinds, source.columns
        self._source, self._every, self._held_out = source, every, held_out
        n = source.n_rows
        self.n_rows = None if n is None else n // every if held_out else n - n // every

    def chunks(self, size: int) -> Iterator[Rows]:
        """Yield the rows in order."""
        start = 0
        for rows in self._source.chunks(size):
            is_held_out = np.arange(start + 1, start + len(rows) + 1) % self._every == 0
            start += len(rows)
            chosen = np.flatnonzero(is_held_out == self._held_out)
            if chosen.size:
                yield rows.take(chosen)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, of which there is at least one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return replace(
        first,
        items={name: _joined([part.items[name] for part in parts]) for name in first.items},
        labels=None if first.labels is None else _joined([part.labels for part in parts]),
        ids=None if first.ids is None else _joined([part.ids for part in parts]),
        payload={name: _joined([part.payload[name] for part in parts]) for name in first.payload},
    )


def _n_rows(values: Any) -> int:
    return int(values.shape[0]) if hasattr(values, "shape") else len(values)


def _taken(values: Any, rows: NDArray[np.intp]) -> Any:
    return [values[i] for i in rows] if isinstance(values, list) else values[rows]


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], list):
        return [value for part in parts for value in part]
    if is_sparse(parts[0]):
        from scipy.sparse import vstack

        return vstack(parts, format="csr")
    return np.concatenate(parts)
