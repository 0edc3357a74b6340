"""Training rows: of arrays, of files mapped into memory, or of a torch DataLoader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from pyhash._inputs.checks import as_rows, check_features, is_sparse
from pyhash._inputs.labels import name_rows
from pyhash.deep.interrupts import deferred_interrupts
from pyhash.deep.networks.inputs import ROWS_LOOKED_AT, Input, as_float32, is_bag_of_words, make_input, scaled_pictures
from pyhash.methods.contract import Views, check_views, n_rows_of
from pyhash.methods.parts.feature_maps import apply_map

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

Rows = NDArray[np.int64]
Batches = Generator[dict[str, Input], None, None]

# Rows that are encoded at a time, and the values of pictures among them.
ROWS_PER_BLOCK = 1024
_VALUES_PER_BLOCK = 2**22


def rows_per_block(shapes: Collection[tuple[int, ...]], most: int = ROWS_PER_BLOCK) -> int:
    """How many rows of these shapes are converted or encoded at a time: of pictures fewer."""
    largest = max((int(np.prod(shape)) for shape in shapes if len(shape) > 1), default=1)
    return min(most, max(1, _VALUES_PER_BLOCK // largest))


class TrainingRows(ABC):
    """Rows of all modalities, read a batch at a time.

    Attributes
    ----------
    n : int
    shapes : dict of str to tuple of int
        Of a row of each modality, as the user gives it.
    widths : dict of str to int
        Of a row after its feature map.
    bags : dict of str to bool
        Whether a modality's rows are bags of words.
    """

    n: int
    shapes: dict[str, tuple[int, ...]]
    widths: dict[str, int]
    bags: dict[str, bool]

    @abstractmethod
    def batches(self, rows: Sequence[Rows]) -> Batches:
        """The inputs of each of several batches, given by their row numbers; who may not take all has to close it."""


class ArrayRows(TrainingRows):
    """Rows of arrays: what is in memory is mapped once, what lies in files a batch at a time."""

    def __init__(
        self,
        views: Mapping[str, Features],
        shapes: Mapping[str, tuple[int, ...]],
        maps: Mapping[str, Any],
        pictures: Collection[str],
    ) -> None:
        self.shapes = dict(shapes)
        self.n = n_rows_of(views)
        self._maps: dict[str, Any] = dict.fromkeys(views)
        self._rows: dict[str, Features] = {}
        self._pictures = pictures
        self.widths, self.bags = {}, {}
        for name, rows in views.items():
            size, is_picture = rows_per_block([shapes[name]], ROWS_LOOKED_AT), name in pictures
            blocks = (
                float32_rows(f"views[{name!r}]", name, rows[start : start + size], maps[name], is_picture, start)
                for start in range(0, self.n, size)
            )
            first = next(blocks)
            self.widths[name] = int(first.shape[1])
            self.bags[name] = not is_picture and is_bag_of_words(first)
            if _stays_as_it_is(rows):
                self._rows[name], self._maps[name] = rows, maps[name]
                del first  # of pictures a large part of what is in use at once
                for _ in blocks:  # wrong values show before anything is learned
                    pass
            else:
                self._rows[name] = _joined([first, *blocks])

    def batches(self, rows: Sequence[Rows]) -> Batches:
        """The inputs of each of several batches, given by their row numbers."""
        for batch in rows:
            yield {name: self._input(name, batch) for name in self._rows}

    def _input(self, name: str, batch: Rows) -> Input:
        rows = self._rows[name][batch]
        if _stays_as_it_is(self._rows[name]):
            rows = float32_rows(f"views[{name!r}]", name, rows, self._maps[name], name in self._pictures)
        return make_input(rows, self.bags[name])


def _stays_as_it_is(rows: Features) -> bool:
    """Whether rows are converted when they are needed: those of files, and those of 8 bits, a quarter as large so."""
    if is_sparse(rows):
        return False
    base = rows
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base is not None or rows.dtype == np.uint8


def _joined(blocks: list[Features]) -> Features:
    if len(blocks) == 1:
        return blocks[0]
    if is_sparse(blocks[0]):
        from scipy.sparse import csr_array, vstack

        return csr_array(vstack(blocks))
    return np.concatenate(blocks)


def query_inputs(
    modality: str, rows: Features, feature_map: Any, is_picture: bool, size: int
) -> Iterator[tuple[slice, Input]]:
    """Rows X block by block, checked, mapped, as networks take them."""
    for start in range(0, rows.shape[0], size):
        block = slice(start, min(start + size, rows.shape[0]))
        converted = float32_rows("X", modality, rows[block], feature_map, is_picture, start)
        yield block, make_input(converted, not is_picture and is_bag_of_words(converted))


def float32_rows(
    what: str, modality: str, rows: Features, feature_map: Any, is_picture: bool, first_row: int = 0
) -> Features:
    """Rows as networks take them: real, finite, mapped; `first_row` is the number of the first in the user's data."""
    if is_picture and rows.dtype == np.uint8:
        rows = scaled_pictures(rows)
    checked = check_features(what, rows, first_row, keep_float32=feature_map is None)
    converted = as_float32(apply_map(modality, feature_map, checked))
    finite = np.isfinite(converted.data if is_sparse(converted) else converted)
    if not finite.all():
        dense = converted.toarray() if is_sparse(converted) else converted
        too_large = np.flatnonzero(~np.isfinite(dense).all(axis=1))
        raise ValueError(
            f"{what} must have values that float32 can hold, {name_rows(too_large, first_row)} of it have larger ones"
        )
    return converted


def check_flat_views(views: Views, pictures: Collection[str]) -> tuple[dict[str, Features], dict[str, tuple[int, ...]]]:
    """Views with one row of numbers a sample, and the shapes of samples; `pictures` may have more than two axes."""
    if not isinstance(views, Mapping):
        return check_views(views, {}), {}  # refuses it
    flat, shapes = {}, {}
    for name, view in views.items():
        rows = as_rows(f"views[{name!r}]", view) if name in pictures else view
        if name in pictures and not is_sparse(rows) and rows.ndim > 2:
            shapes[name] = tuple(rows.shape[1:])
            rows = rows.reshape(rows.shape[0], -1)
        flat[name] = rows
    checked = check_views(flat, {})
    return checked, {name: shapes.get(name, (int(x.shape[1]),)) for name, x in checked.items()}


class LoaderRows(TrainingRows):
    """Rows of the data set of a DataLoader, with its worker processes and its way to collate.

    Which rows make a batch is decided here, as for arrays: the same seed gives the same batches.
    """

    def __init__(self, loader: DataLoader[Any], pictures: Collection[str]) -> None:
        _check_loader(loader)
        self._pictures = pictures
        self._loader = loader
        self.n = len(loader.dataset)  # type: ignore[arg-type]
        if self.n == 0:
            raise ValueError("views must have at least one row, got a DataLoader whose data set is empty")
        with _own_random_state(), closing(self._read([np.arange(1)])) as read:
            first = _views_of(next(read))
        if not first:
            raise ValueError("views must hold at least one modality, got none")
        self.shapes = {name: tuple(rows.shape[1:]) for name, rows in first.items()}
        for name, shape in self.shapes.items():
            if not shape or 0 in shape:
                raise ValueError(f"views[{name!r}] must have items of at least one number, got shape {shape}")
        self.widths = {name: int(np.prod(shape)) for name, shape in self.shapes.items()}
        self.bags = dict.fromkeys(self.shapes, False)

    def labels(self) -> NDArray[Any]:
        """The labels that the items hold, read once."""
        batches = [np.arange(start, min(start + 1024, self.n)) for start in range(0, self.n, 1024)]
        found = []
        with _own_random_state(), closing(self._read(batches)) as read:
            for batch in read:
                if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                    raise TypeError("labels must be given, or be in the items of the DataLoader: (views, label)")
                found.append(np.asarray(batch[1]))
        return np.concatenate(found)

    def batches(self, rows: Sequence[Rows]) -> Batches:
        """The inputs of each of several batches, given by their row numbers."""
        with closing(self._read(rows)) as read:
            for numbers, batch in zip(rows, read, strict=True):
                views = _views_of(batch)
                yield {name: self._input(name, views, len(numbers)) for name in self.shapes}

    def _input(self, name: str, views: Mapping[str, NDArray[Any]], n: int) -> Input:
        shape = (n, *self.shapes[name])
        if name not in views or views[name].shape != shape:
            got = f"one of shape {views[name].shape}" if name in views else "none"
            raise ValueError(f"views[{name!r}] of a batch must have shape {shape}, got {got}")
        flat = views[name].reshape(n, -1)
        return make_input(
            float32_rows(f"views[{name!r}] of a batch", name, flat, None, name in self._pictures), as_bags=False
        )

    def _read(self, rows: Sequence[Rows]) -> Generator[Any, None, None]:
        loader = self._loader
        own = {} if loader.num_workers == 0 else {
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
        }  # fmt: skip
        reader: DataLoader[Any] = DataLoader(
            loader.dataset,
            batch_sampler=[batch.tolist() for batch in rows],
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            # Its own, or it would draw a number from the stream that networks draw from.
            generator=torch.Generator().manual_seed(torch.initial_seed()),
            **own,
        )
        batches: Any = None
        try:
            with deferred_interrupts():
                batches = iter(reader)
            yield from batches
        finally:
            if loader.num_workers and batches is not None:
                # Not left to the collection of garbage: a traceback that is kept would keep the processes.
                with deferred_interrupts():
                    batches._shutdown_workers()


def _own_random_state() -> AbstractContextManager[None]:
    """What data sets draw within the block is not taken from torch's own random numbers."""
    return torch.random.fork_rng(devices=[])


def _check_loader(loader: DataLoader[Any]) -> None:
    dataset: Dataset[Any] = loader.dataset
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TypeError("views must be a DataLoader over a data set with rows by number, got one over a stream")
    order = loader.sampler if loader.batch_size is not None else loader.batch_sampler
    is_shuffled = isinstance(order, RandomSampler) and not order.replacement
    if not is_shuffled and not isinstance(order, SequentialSampler):
        got = "no batches" if order is None else f"the sampler {type(order).__name__}"
        raise TypeError(
            "views must be a DataLoader that makes batches in order or shuffled: every epoch learns every row once, "
            f"got one with {got}"
        )


def _views_of(batch: Any) -> dict[str, NDArray[Any]]:
    views = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(views, Mapping) or not all(isinstance(name, str) for name in views):
        raise TypeError(
            "views must be a DataLoader whose items are mappings of modality names to rows, or (mapping, label), "
            f"got items of {type(views).__name__}"
        )
    return {name: np.asarray(rows) for name, rows in views.items()}
