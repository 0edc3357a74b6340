"""Training rows of a torch DataLoader."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from pyhash._inputs.tensors import tensor_values
from pyhash.deep.interrupts import deferred_interrupts
from pyhash.deep.networks.inputs import Input, make_input
from pyhash.deep.rows import Batches, RowNumbers, TrainingRows, float32_rows


class LoaderRows(TrainingRows):
    """Rows of the data set of a DataLoader, read by its worker processes and collate function.

    The batches are chosen here, as for arrays: the same seed gives the same batches.
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
        """Return the labels that the items hold."""
        batches = [np.arange(start, min(start + 1024, self.n)) for start in range(0, self.n, 1024)]
        found = []
        with _own_random_state(), closing(self._read(batches)) as read:
            for batch in read:
                if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                    raise TypeError("labels must be given, or be in the items of the DataLoader: (views, label)")
                found.append(_as_array("labels", batch[1]))
        return np.concatenate(found)

    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers."""
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

    def _read(self, rows: Sequence[RowNumbers]) -> Generator[Any, None, None]:
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
            # Its own, else it would draw a number from the stream that networks use.
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
                # Explicit, since a traceback that is kept would keep the processes.
                with deferred_interrupts():
                    batches._shutdown_workers()


def _own_random_state() -> AbstractContextManager[None]:
    """Restore torch's random numbers after the block, in which data sets may draw some."""
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
    return {name: _as_array(f"views[{name!r}]", rows) for name, rows in views.items()}


def _as_array(name: str, batch: Any) -> NDArray[Any]:
    """Return a batch as an array; tensors may require gradients and be of any floating type."""
    return tensor_values(name, batch) if isinstance(batch, torch.Tensor) else np.asarray(batch)
