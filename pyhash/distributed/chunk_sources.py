"""Where the chunks of a stream come from: rows of dask arrays, or functions that load one chunk each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_integer, shape_of_features
from pyhash._inputs.chunks import cut
from pyhash.distributed.cluster import compute
from pyhash.distributed.row_pieces import check_dask_rows, cut_rows, is_dask_array
from pyhash.methods.contract import check_equally_many, check_views, n_rows_of
from pyhash.methods.parts.unmapped_rows import check_present

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

    from pyhash._inputs.checks import Features

Marks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class ChunkRows:
    """Rows of a chunk: features, and which rows have a modality; modalities without an entry have all or none."""

    views: dict[str, Features]
    present: Marks


class ChunkSource(ABC):
    """Chunks of a stream in a fixed order, whose features are loaded in tasks.

    Attributes
    ----------
    n_features : dict of str to int
        Number of features of each modality.
    n_rows : list of int
        Number of rows of each chunk.
    chunks_per_task : int
        How many chunks a task should sum up, so that it takes longer than its scheduling; not by the workers there are.
    """

    n_features: dict[str, int]
    n_rows: list[int]
    chunks_per_task: int

    @abstractmethod
    def labels(self) -> Iterator[tuple[Any, list[slice]]]:
        """Iterate over labels, each of some chunks, with the slices that cut them into these chunks."""

    @abstractmethod
    def present(self, i: int) -> Marks:
        """Return which rows of a chunk have a modality, as ``ChunkRows``."""

    @abstractmethod
    def rows(self, chunks: range) -> list[Delayed]:
        """Return tasks that give the ``ChunkRows`` of some neighbouring chunks."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Number of the first row of each chunk, and the number of all rows."""
        return np.cumsum([0, *self.n_rows])

    def n_with(self, i: int, modality: str) -> int:
        """Return how many rows of a chunk have a modality."""
        mark = self.present(i).get(modality)
        return self.n_rows[i] if mark is None else int(np.count_nonzero(mark))


def make_source(views: Any, labels: Any, present: Any, chunk_size: object, client: Client | None) -> ChunkSource:
    """Return the source of what ``fit`` is given.

    Raises
    ------
    TypeError
        If `views` is neither a mapping of dask arrays nor a list of functions.
    """
    if isinstance(views, Mapping):
        return ArrayChunks(views, labels, present, check_integer("chunk_size", chunk_size, 1), client)
    if not isinstance(views, Sequence) or not all(map(callable, views)):
        raise TypeError(
            "views must be a mapping of modality names to dask arrays, or a list of functions that load a chunk each, "
            f"got {type(views).__name__}"
        )
    for name, value in (("labels", labels), ("present", present)):
        if value is not None:
            raise TypeError(f"{name} must be None where views are functions, which return them too")
    return LoadedChunks(list(views), client)


# --- rows of dask arrays ----------------------------------------------------------------------------------------------

# Bytes of features that a task takes, and the number of tasks that there should be if this makes fewer.
_BYTES_PER_TASK, _LEAST_TASKS = 1 << 24, 64


class ArrayChunks(ChunkSource):
    """Chunks of consecutive rows of dask arrays."""

    def __init__(
        self, views: Mapping[Any, Any], labels: Any, present: Any, chunk_size: int, client: Client | None
    ) -> None:
        if not views:
            raise ValueError("views must hold at least one modality, got none")
        for name in views:
            if not isinstance(name, str):
                raise TypeError(f"views must have names of type str, got {name!r}")
        self._views = {name: check_dask_rows(f"views[{name!r}]", x) for name, x in views.items()}
        self.n_features = {name: shape_of_features(f"views[{name!r}]", x)[1] for name, x in self._views.items()}
        check_equally_many(self._views)
        n = n_rows_of(self._views)
        if n == 0:
            raise ValueError("views must have at least one row, got none")
        if labels is None:
            raise TypeError("labels must be given with dask arrays")
        if _has_dask(labels) or _has_dask(present):
            labels, present = compute((labels, present), client)
        self._labels = labels
        self._present = check_present(present, self._views, n)
        self._chunks = cut(n, chunk_size)
        self.n_rows = [chunk.stop - chunk.start for chunk in self._chunks]
        bytes_per_chunk = chunk_size * sum(x.shape[1] * x.dtype.itemsize for x in self._views.values())
        most = max(1, len(self._chunks) // _LEAST_TASKS)
        self.chunks_per_task = min(max(1, _BYTES_PER_TASK // bytes_per_chunk), most)

    def labels(self) -> Iterator[tuple[Any, list[slice]]]:  # noqa: D102
        yield self._labels, self._chunks

    def present(self, i: int) -> Marks:  # noqa: D102
        return {name: mark[self._chunks[i]] for name, mark in self._present.items()}

    def rows(self, chunks: range) -> list[Delayed]:  # noqa: D102
        from dask import delayed

        bounds = self.starts[chunks.start : chunks.stop + 1].tolist()
        pieces = {name: cut_rows(x, bounds) for name, x in self._views.items()}
        make = delayed(ChunkRows, pure=False)
        return [
            make({name: of_view[k] for name, of_view in pieces.items()}, self.present(i)) for k, i in enumerate(chunks)
        ]


def _has_dask(value: Any) -> bool:
    """Return whether a value, or one of a list or mapping, is a dask array."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return any(map(is_dask_array, value)) if isinstance(value, (list, tuple)) else is_dask_array(value)


# --- chunks that functions load ---------------------------------------------------------------------------------------

Loader = Callable[[], Any]


class LoadedChunks(ChunkSource):
    """Chunks that functions load: each is called once for its labels and again for its features."""

    chunks_per_task = 1

    def __init__(self, loaders: list[Loader], client: Client | None) -> None:
        from dask import delayed

        if not loaders:
            raise ValueError("views must hold at least one function, got none")
        self._loaders = [delayed(loader, pure=False) for loader in loaders]
        describe = delayed(_described, pure=False)
        found = compute([describe(loader, i) for i, loader in enumerate(self._loaders)], client)
        self.n_features, self.n_rows = found[0][0], [n for _, n, _, _ in found]
        self._labels, self._present = [of for _, _, of, _ in found], [marks for _, _, _, marks in found]

    def labels(self) -> Iterator[tuple[Any, list[slice]]]:  # noqa: D102
        return ((labels, [slice(0, n)]) for labels, n in zip(self._labels, self.n_rows, strict=True))

    def present(self, i: int) -> Marks:  # noqa: D102
        marks: Marks = self._present[i]
        return marks

    def rows(self, chunks: range) -> list[Delayed]:  # noqa: D102
        from dask import delayed

        load = delayed(_loaded_rows, pure=False)
        return [load(self._loaders[i], i, self.n_features, self.n_rows[i]) for i in chunks]


def _loaded(loader: Loader, i: int, n_features: Mapping[str, int]) -> tuple[dict[str, Features], Any, Marks]:
    """Return the views of a chunk, its labels, and which rows have a modality; `n_features` are those of the first."""
    what = f"what views[{i}]() returns"
    found = loader()
    if not isinstance(found, tuple) or len(found) not in (2, 3):
        raise TypeError(f"{what} must be (views, labels) or (views, labels, present), got {type(found).__name__}")
    views, labels, present = (*found, None)[:3]
    try:
        checked = check_views(views, n_features, may_lack=i > 0)
        n = n_rows_of(checked)
        lacking = {name: np.zeros(n, dtype=bool) for name, x in views.items() if x is None}
        return checked, labels, check_present(present, views, n) | lacking
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from error


def _described(loader: Loader, i: int) -> tuple[dict[str, int], int, Any, Marks]:
    """Return the numbers of features of a chunk, its number of rows, its labels, and which rows have a modality."""
    views, labels, present = _loaded(loader, i, {})
    return {name: int(x.shape[1]) for name, x in views.items()}, n_rows_of(views), labels, present


def _loaded_rows(loader: Loader, i: int, n_features: Mapping[str, int], n: int) -> ChunkRows:
    views, _, present = _loaded(loader, i, n_features)
    if n_rows_of(views) != n:
        raise ValueError(f"views[{i}]() must return the same rows each time, got {n_rows_of(views)} where it had {n}")
    return ChunkRows(views, present)
