"""The items of a retriever as the page shows them: values of JSON types."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._html import picture_type
from pyhash.codes import pack, unpack
from pyhash.encoders import open_picture
from pyhash.explore.class_map import class_map
from pyhash.explore.classes import MAX_INTEGER, Classes, classes_of
from pyhash.explore.replies import RefusedError
from pyhash.explore.search_request import SearchRequest
from pyhash.retriever import Retriever

_MAX_TEXT = 1000  # characters of a value that are shown
_MAX_LIST = 50
_TAKES = {"text": "words", "image": "picture"}


class Collection:
    """A retriever that is searched, and never changed; methods may run on several threads.

    Parameters
    ----------
    retriever : Retriever
    name : str
        Name of its folder, which the page shows.
    """

    def __init__(self, retriever: Retriever, name: str) -> None:
        self._retriever, self._name = retriever, name
        self._ids = np.sort(retriever.index.ids)
        self._payload = retriever.payload  # its rows are in the order of the ids
        # A column with the name of a modality holds the items themselves.
        labels = [name for name in self._payload.column_names if name not in retriever.modalities]
        found = [classes_of(column, self._payload[column]) for column in labels]
        self._classes = {classes.column: classes for classes in found if classes is not None}
        self._modalities = retriever.modalities_of(self._ids)
        self._groups = _masks_by_value(self._modalities)
        self._maps: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Return what the page needs to know to make its form."""
        retriever = self._retriever
        return {
            "name": self._name,
            "n_items": len(self._ids),
            "n_bits": retriever.index.n_bits,
            "method": type(retriever.model).__name__,
            "modalities": [{"name": name, "takes": self._takes(name)} for name in retriever.modalities],
            "filters": [
                {
                    "column": column,
                    "values": [
                        {"value": value, "count": len(rows)}
                        for value, rows in zip(classes.values, classes.rows, strict=True)
                    ],
                }
                for column, classes in self._classes.items()
            ],
        }

    def warm_up(self) -> None:
        """Make the first query as fast as the next: load the encoders, and solve for the projections."""
        samples = {"words": "", "picture": np.full((8, 8, 3), 255, np.uint8)}
        for name in self._retriever.modalities:
            kind = self._takes(name)
            if kind is not None:
                with suppress(Exception):  # which a query tells
                    self._retriever.project({name: [samples[kind]]})

    def evaluation(self) -> dict[str, Any] | None:
        """Return the measurements that the folder holds, None where there are none."""
        return self._retriever.evaluation

    def class_map(self, column: str) -> dict[str, Any]:
        """Return the classes of a column as points; computed once."""
        classes = self._classes_of(column)
        with self._lock:
            if column not in self._maps:
                self._maps[column] = class_map(classes, self._retriever.index, self._ids)
            return self._maps[column]

    def picture(self, number: int, column: str) -> bytes:
        """Return the picture of an item in a column."""
        row = self._row(number)
        value = None
        if row is not None and column in self._payload.column_names:
            value = self._payload[column][row].as_py()
        if not isinstance(value, bytes):
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such picture")
        return value

    def check_picture(self, data: bytes) -> None:
        """Raise RefusedError unless the bytes are a picture that can be a query."""
        if picture_type(data) is None:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the picture must be a PNG, JPEG, GIF or WebP file")
        _told(lambda: open_picture(data, "the picture"))

    def search(self, request: SearchRequest, picture_sent: Callable[[str], bytes]) -> dict[str, Any]:
        """Return the answers of a search, and the query's bits with their weights.

        `picture_sent` returns the picture of a name that the request gives.
        """
        allowed = self._rows_with(request.where)
        projection = self._projection(request, picture_sent)
        if projection is None:  # some items, from all over the ids
            rows = np.flatnonzero(allowed)
            rows = rows[np.linspace(0, len(rows) - 1, min(request.k, len(rows))).astype(np.int64)]
            return {"query": None, "answers": self._shown(rows, None)}
        index = self._retriever.index
        bits = pack(projection)
        if request.like is not None:
            allowed &= self._ids != request.like
        answers = []
        for group in self._groups:
            searched = allowed & group
            if not searched.any():
                continue
            ids = None if searched.all() else self._ids[searched]
            if request.weighted:
                hits = index.search_weighted(projection, request.k, allowed=ids)
            else:
                hits = index.search(bits, request.k, allowed=ids)
            answers += self._shown(np.searchsorted(self._ids, hits.ids[0]), hits.distances[0])
        weights = np.minimum(np.abs(projection[0]), 1.0) if request.weighted else np.ones(index.n_bits)
        return {"query": {"bits": _bit_strings(bits, index.n_bits)[0], "weights": weights.tolist()}, "answers": answers}

    # --- a search -----------------------------------------------------------------------------------------------------

    def _projection(
        self, request: SearchRequest, picture_sent: Callable[[str], bytes]
    ) -> NDArray[np.float32] | NDArray[np.int8] | None:
        """Return the query (1, n_bits) as a projection, None where there is none."""
        if request.like is not None:
            row = self._row(request.like)
            if row is None:
                raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no item {request.like}")
            index = self._retriever.index
            return unpack(index.reconstruct([request.like]), n_bits=index.n_bits)
        items: dict[str, Any] = {}
        for key, texts in (("words", request.words), ("picture", request.pictures)):
            for name, text in texts.items():
                # A text that reached a modality of pictures would be the path of a file.
                if name not in self._retriever.modalities or self._takes(name) != key:
                    raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name[:80]!r} is no modality that takes {key}")
                items[name] = [picture_sent(text) if key == "picture" else text]
        return _told(lambda: self._project(items)) if items else None

    def _project(self, items: dict[str, Any]) -> NDArray[np.float32]:
        for name, item in items.items():
            encoder = self._retriever.encoders[name]
            # A row of zeros would find anything.
            if encoder is not None and encoder.is_sparse and encoder.encode(item).nnz == 0:
                raise ValueError(f"no word of {item[0]!r} is among those that the model knows")
        return self._retriever.project(items)

    def _shown(self, rows: NDArray[np.int64], distances: NDArray[Any] | None) -> list[dict[str, Any]]:
        """Return the items of some rows; with distances, as answers in the order of their ranks."""
        ids = self._ids[rows]
        index = self._retriever.index
        bits = _bit_strings(index.reconstruct(ids), index.n_bits)
        shown = []
        for i, row in enumerate(rows.tolist()):
            values = {name: self._payload[name][row].as_py() for name in self._payload.column_names}
            is_picture = {name: isinstance(value, bytes) for name, value in values.items()}
            shown.append(
                {
                    "id": str(ids[i]),  # see MAX_INTEGER
                    "rank": None if distances is None else i + 1,
                    "distance": None if distances is None else distances[i].item(),
                    "bits": bits[i],
                    "modalities": self._modalities[row],
                    "pictures": [n for n, value in values.items() if is_picture[n] and picture_type(value)],
                    "payload": {n: _plain(value) for n, value in values.items() if not is_picture[n]},
                }
            )
        return shown

    def _rows_with(self, where: dict[str, Any]) -> NDArray[np.bool_]:
        """Return which rows have all of the values."""
        rows = np.ones(len(self._ids), bool)
        for column, value in where.items():
            having = np.zeros(len(self._ids), bool)
            found = self._classes_of(column).rows_with(value)
            if found is not None:
                having[found] = True
            rows &= having
        return rows

    # --- what the retriever holds -------------------------------------------------------------------------------------

    def _takes(self, name: str) -> str | None:
        """Return "words" or "picture", what a query of a modality is; None where it is features."""
        return _TAKES.get(self._retriever.kinds[name] or "")

    def _row(self, number: int) -> int | None:
        """Return the row of an id, None where there is none."""
        if not -(2**63) <= number < 2**63:
            return None
        row = int(np.searchsorted(self._ids, number))
        return row if row < len(self._ids) and self._ids[row] == number else None

    def _classes_of(self, column: str) -> Classes:
        if column not in self._classes:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"{column[:80]!r} is no column with few different values")
        return self._classes[column]


def _masks_by_value(values: Sequence[Hashable]) -> list[NDArray[np.bool_]]:
    """Return which rows have each different value, in the order of their first rows."""
    numbers: dict[Hashable, int] = {}
    of_rows = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
    return [of_rows == number for number in range(len(numbers))]


def _bit_strings(codes: NDArray[np.uint8], n_bits: int) -> list[str]:
    """Return codes as strings of 0 and 1, the first bit first."""
    digits = (unpack(codes, n_bits=n_bits) > 0) + np.uint8(ord("0"))
    return [row.tobytes().decode("ascii") for row in digits.astype(np.uint8)]


def _told(call: Callable[[], Any]) -> Any:
    """Return what a call returns; what it raises for wrong or missing things is told to the user."""
    try:
        return call()
    except (ValueError, TypeError) as error:
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    except (ImportError, OSError) as error:
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


def _plain(value: Any) -> Any:
    """Return a value of a payload in JSON types, cut where it is long."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "…"
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value[:_MAX_LIST]]
    return str(value)
