"""Rows to learn from, before their feature maps: some may lack a modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import as_array
from pyhash._inputs.labels import name_rows
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.feature_maps import RBFAnchors, check_rows
from pyhash.methods.parts.feature_rows import FeatureRows, by_modalities

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


def check_present(present: object, views: Mapping[str, Any], n: int) -> dict[str, NDArray[np.bool_]]:
    """Return by modality which of n rows have it, as a user gives it; modalities without an entry have all."""
    if present is None:
        return {}
    if not isinstance(present, Mapping):
        raise TypeError(f"present must be a mapping of modality names to bool arrays, got {type(present).__name__}")
    marks: dict[str, NDArray[np.bool_]] = {}
    for name, mark in present.items():
        what = f"present[{name!r}]"
        if name not in views:
            raise ValueError(
                f"present must be for modalities of the views, {', '.join(map(repr, views))}, got {name!r}"
            )
        array = as_array(what, mark)
        if array.dtype != bool:
            raise TypeError(f"{what} must be of dtype bool, got {array.dtype}")
        if array.shape != (n,):
            raise ValueError(f"{what} must have shape ({n},), a value for each row, got {array.shape}")
        if views[name] is None and array.any():
            raise ValueError(
                f"{what} must be False in all rows where views[{name!r}] is None, got {int(array.sum())} True"
            )
        marks[name] = array
    has_any = np.zeros(n, dtype=bool)
    for name, x in views.items():
        if x is not None:
            has_any |= marks.get(name, True)
    if not has_any.all():
        raise ValueError(f"present must give every row a modality, none in {name_rows(np.flatnonzero(~has_any))}")
    return marks


@dataclass(frozen=True)
class UnmappedRows:
    """Rows of a chunk.

    A modality that no row has is not in ``views``. Where some rows lack one, ``views`` has rows of any values for them.
    """

    views: dict[str, Features]  # (n, n_features)
    labels: list[Matrix]  # 0/1 (n, c_k) of each layer, coarse to fine; empty for methods without labels
    numbers: NDArray[np.int64]  # of the rows in the user's data
    first_row: int  # number of the chunk's first row in the user's data, though it may be taken out
    present: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # (n,), of modalities that some rows lack

    @classmethod
    def of_chunk(
        cls,
        views: Mapping[str, Features],
        labels: list[Matrix],
        n: int,
        first_row: int = 0,
        present: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> UnmappedRows:
        """Return the n rows of a chunk; `present` (n,) says which of them have a modality, by default all."""
        marks = {name: mark for name, mark in (present or {}).items() if name in views and not mark.all()}
        some = {name: x for name, x in views.items() if name not in marks or marks[name].any()}
        return cls(
            some,
            labels,
            np.arange(first_row, first_row + n),
            first_row,
            {name: mark for name, mark in marks.items() if name in some},
        )

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Rows that have a label in the finest layer; only for methods with labels."""
        return np.flatnonzero(self.labels[-1].any(axis=1))

    def take(self, chosen: NDArray[np.int64]) -> UnmappedRows:
        """Return some of the rows."""
        taken = UnmappedRows.of_chunk(
            {name: x[chosen] for name, x in self.views.items()},
            [matrix[chosen] for matrix in self.labels],
            len(chosen),
            self.first_row,
            {name: mark[chosen] for name, mark in self.present.items()},
        )
        return replace(taken, numbers=self.numbers[chosen])

    def has(self, modality: str) -> NDArray[np.bool_]:
        """Return which rows (n,) have a modality."""
        if modality in self.present:
            return self.present[modality]
        return np.full(self.n, modality in self.views)

    def features(self, modality: str) -> Features:
        """Return the features of the rows that have a modality, one of the views."""
        x = self.views[modality]
        return x[self.present[modality]] if modality in self.present else x

    def anchors(self, modality: str, feature_map: RBFAnchors) -> NDArray[np.int64]:
        """Return which rows became anchors of a map when it was fitted to them or grew with them, from 0."""
        return np.flatnonzero(self.has(modality))[feature_map.drawn_rows]

    def mapped(self, modality: str, feature_map: Any) -> FeatureRows:
        """Return the rows of a modality after its map."""
        return FeatureRows(modality, self.views[modality], feature_map, self.first_row, self.present.get(modality))

    def check_values(self) -> None:
        """Raise unless all features are real and finite; errors name rows by their number.

        Only for rows as the user gives them, before some are taken out.
        """
        for name, x in self.views.items():
            check_rows(f"views[{name!r}]", x, self.first_row, self.present.get(name))

    def by_modalities(self) -> list[tuple[list[str], NDArray[np.int64]]]:
        """Return the sets of modalities that rows have, and the rows of each."""
        return by_modalities({name: self.has(name) for name in self.views})
