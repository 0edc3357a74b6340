"""Columns of a payload with few different values: filters, and classes of a map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 200
MAX_INTEGER = 2**53  # numbers of JavaScript beyond are rounded
_MAX_LENGTH = 100  # of a value in characters


@dataclass(frozen=True)
class Classes:
    """The different values of a column, and the rows that have each.

    Attributes
    ----------
    column : str
    values : list of str, int or bool
        Ascending.
    rows : list of ndarray of int64
        Ascending rows for each value. Where the column holds lists, a row may have several values.
    """

    column: str
    values: list[Any]
    rows: list[NDArray[np.int64]]

    @cached_property
    def _numbers(self) -> dict[tuple[type, Any], int]:
        return {(type(value), value): number for number, value in enumerate(self.values)}

    def rows_with(self, value: Any) -> NDArray[np.int64] | None:
        """Return the rows that have a value, None if none has."""
        number = self._numbers.get((type(value), value))  # with the type: 1 is not True
        return None if number is None else self.rows[number]


def classes_of(column: str, values: Any) -> Classes | None:
    """Return the classes of a pyarrow.ChunkedArray; None if it has not 2 to 200 short values, most of them repeated."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, rows = values.type, np.arange(len(values))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        # A null list can have values beneath it, which the one function leaves out and the other counts.
        rows, values = np.flatnonzero(values.is_valid().to_numpy()), values.drop_null()
        rows = rows[pc.list_parent_indices(values).to_numpy()]
        values, kind = pc.list_flatten(values), kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return None
    is_known = values.is_valid().to_numpy()
    rows, values = rows[is_known], values.drop_null()
    distinct = values.unique().to_pylist()
    if not 2 <= len(distinct) <= min(MAX_CLASSES, len(rows) // 2) or not all(map(_can_be_sent, distinct)):
        return None
    distinct.sort()
    numbers = pc.index_in(values, value_set=pa.array(distinct, kind)).to_numpy()
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(distinct)))
    return Classes(column, distinct, [np.unique(part) for part in np.split(rows[order], ends[:-1])])


def _can_be_sent(value: Any) -> bool:
    """Return whether the page shows a value whole, and sends it back as it is."""
    return len(str(value)) <= _MAX_LENGTH and (isinstance(value, str) or abs(value) <= MAX_INTEGER)
