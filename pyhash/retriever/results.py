"""What a search of a Retriever finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pyhash.retriever.catalogue import Catalogue


@dataclass(frozen=True)
class Result:
    """One item that a search found.

    Attributes
    ----------
    rank : int
        1 for the nearest.
    id : int
    distance : int or float
        In bits; weighted by the query where the search was.
    payload : dict
        The values of the item by column; None where it has none. Empty where no item has a payload.
    modalities : tuple of str
        Those that the item was added with.
    """

    rank: int
    id: int
    distance: int | float
    payload: dict[str, Any]
    modalities: tuple[str, ...]


class Results(Sequence[Result]):
    """The items that a search found for one query, nearest first.

    Payloads are read at the first look at a result, as they were at the time of the search.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
    distances : ndarray of shape (n,)
        int32 bits, or float64 where the search was weighted.
    """

    def __init__(
        self,
        ids: NDArray[np.int64],
        distances: NDArray[np.int32] | NDArray[np.float64],
        catalogue: Catalogue,
    ) -> None:
        self.ids, self.distances = ids, distances
        self._catalogue = catalogue
        self._results: list[Result] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        if self._results is None:
            self._results = [
                Result(rank, number, distance, payload, modalities)
                for rank, (number, distance, payload, modalities) in enumerate(
                    zip(
                        self.ids.tolist(),
                        self.distances.tolist(),
                        self._catalogue.payloads_of(self.ids),
                        self._catalogue.modalities_of(self.ids),
                        strict=True,
                    ),
                    start=1,
                )
            ]
        return self._results[index]

    def __repr__(self) -> str:
        lines = [f"Results with {len(self)} items"]
        lines += [f"  {r.rank:>3}  {r.distance:>8.6g}  id {r.id}" for r in self[:10]]
        if len(self) > 10:
            lines.append(f"  and {len(self) - 10} more")
        return "\n".join(lines)
