"""What a search of a Retriever finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pyhash._frames import Library, make_frame
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

    def _repr_html_(self) -> str:
        from pyhash import _html

        shown = self[: _html.N_ROWS]
        names = list(shown[0].payload)[: _html.N_COLUMNS] if shown else []
        room = _html.MAX_PICTURE_BYTES * _html.N_ROWS  # for all pictures together

        def cell(name: str, value: Any) -> Any:
            nonlocal room
            if not isinstance(value, bytes) or len(value) > room:
                return value
            room -= len(value)
            return _html.picture(value, name)

        rows = [
            [result.rank, f"{result.distance:.4g}", result.id, *(cell(name, result.payload[name]) for name in names)]
            for result in shown
        ]
        parts = [_html.table(["rank", "distance", "id", *names], rows), _html.more(len(self))]
        if shown and len(shown[0].payload) > len(names):
            parts.append(_html.note(f"and {len(shown[0].payload) - len(names):,} more columns"))
        return _html.section(f"Results with {len(self):,} items", *parts)

    def to_frame(self, library: Library | None = None) -> Any:
        """Return the items as a data frame of pandas or polars: one row for each, nearest first.

        Parameters
        ----------
        library : {"pandas", "polars"}, optional
            By default pandas, or polars where pandas is not installed.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            Columns rank, id, distance and modalities, then those of the payload; "payload." stands before the name of
            a column that is one of the four.

        Raises
        ------
        ImportError
            If the library is not installed, or neither is.
        ValueError
            If `library` is none of the choices.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> texts, labels = ["red apple", "grey cat"] * 20, ["fruit", "cat"] * 20
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=16).learn({"text": texts}, labels)
        >>> ids = retriever.add({"text": texts[:2]}, payload={"words": texts[:2]})
        >>> retriever.search(text="cat").to_frame("pandas")["words"].tolist()
        ['grey cat', 'red apple']
        """
        columns: dict[str, list[Any]] = {
            name: [getattr(result, name) for result in self] for name in ("rank", "id", "distance")
        }
        columns["modalities"] = [list(result.modalities) for result in self]
        for name in () if self._catalogue.schema is None else self._catalogue.schema.names:
            columns[f"payload.{name}" if name in columns else name] = [result.payload[name] for result in self]
        return make_frame(columns, library)
