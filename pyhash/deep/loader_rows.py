"""Training rows of a torch DataLoader."""

from __future__ import annotations

import operator
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler

from pyhash._inputs.checks import as_rows
from pyhash._inputs.tensors import tensor_values
from pyhash.deep.array_view import Transform, backbone_input, flattened, float32_rows
from pyhash.deep.interrupts import deferred_interrupts
from pyhash.deep.networks.inputs import Input, as_specified, make_input, n_features_of, spec_of
from pyhash.deep.rows import Batches, RowNumbers, TrainingBatches, TrainingRows
from pyhash.deep.transforms import CollatedBoth, Place, TransformedItems, views_of_item


class LoaderRows(TrainingRows):
    """Rows of the data set of a DataLoader, read by its worker processes and collate function.

    Samplers of the user's own choose the batches. Else they are chosen as for arrays: the same seed gives the same.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        backbones: Collection[str],
        transform: Mapping[str, Transform] | None = None,
        eval_transform: Mapping[str, Transform] | None = None,
    ) -> None:
        _check_loader(loader)
        self._backbones = backbones
        self._loader = loader
        self._dataset: Dataset[Any] | None = (
            TransformedItems(loader.dataset, transform or {}, eval_transform or {})
            if transform or eval_transform
            else None
        )
        self._has_transform = bool(transform)
        self.eval_transform = dict(eval_transform or {})
        self._kept: _Reader | None = None  # while its processes persist
        self.n = len(loader.dataset)  # type: ignore[arg-type]
        if self.n == 0:
            raise ValueError("views must have at least one row, got a DataLoader whose data set is empty")
        self.batch_size = loader.batch_size if loader.batch_size is not None and loader.batch_size > 1 else None
        try:
            self._look_at_first()
        except BaseException:
            self.close()
            raise

    def _look_at_first(self) -> None:
        with _own_random_state(), closing(self._read([np.arange(1)])) as read:
            views = views_of_item(next(read)[0])
        if not views:
            raise ValueError("views must hold at least one modality, got none")
        converted = {name: self._converted(f"views[{name!r}]", name, rows) for name, rows in views.items()}
        self.specs = {name: spec_of(x) for name, x in converted.items()}
        self.first = {name: self._as_input(name, x) for name, x in converted.items()}
        for name in views:
            if not n_features_of(self.specs[name]):
                raise ValueError(f"views[{name!r}] must have items of at least one number")
        self.widths = {name: n_features_of(spec) for name, spec in self.specs.items()}
        self.bags = dict.fromkeys(self.specs, False)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return list(self.specs)

    def close(self) -> None:
        """Stop worker processes that persist."""
        if self._kept is not None:
            self._kept.stop()
            self._kept = None

    def labels(self) -> NDArray[Any]:
        """Return the labels that the items hold."""
        batches = [np.arange(start, min(start + 1024, self.n)) for start in range(0, self.n, 1024)]
        found = []
        with _own_random_state(), closing(self._read(batches)) as read:
            for batch, _ in read:
                if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                    raise TypeError("labels must be given, or be in the items of the DataLoader: (views, label)")
                found.append(_as_array("labels", batch[1]))
        return np.concatenate(found)

    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers."""
        with closing(self._read(rows)) as read:
            for numbers, (batch, _) in zip(rows, read, strict=True):
                yield self._inputs(batch, len(numbers))

    def training_batches(self, rows: Sequence[RowNumbers]) -> TrainingBatches:
        """Yield, of each batch of row numbers, the inputs to train on and those to evaluate, each item read once."""
        with closing(self._read(rows, is_trained=self._has_transform)) as read:
            for numbers, (batch, trained) in zip(rows, read, strict=True):
                inputs = self._inputs(batch, len(numbers))
                yield inputs if trained is None else self._inputs(trained, len(numbers)), inputs

    def own_batches(self, epoch: int, batch_size: int) -> list[RowNumbers] | None:
        """Return the batches of an epoch that a sampler of the user's gives."""
        order: Any = self._loader.sampler if self._loader.batch_size is not None else self._loader.batch_sampler
        if _is_of_torch(order):
            return None
        if hasattr(order, "set_epoch"):
            order.set_epoch(epoch)
        with _own_random_state():
            drawn = list(order)
        if self._loader.batch_size is not None:
            numbers = self._checked(drawn)
            return [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
        return [self._checked(batch) for batch in drawn]

    def _checked(self, drawn: Sequence[Any]) -> RowNumbers:
        try:
            numbers = np.array([operator.index(row) for row in drawn], dtype=np.int64)
        except TypeError:
            raise TypeError(
                "views must be a DataLoader whose sampler gives row numbers, or whose batch sampler gives lists of "
                f"them, got {drawn!r:.80}"
            ) from None
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < self.n):
            raise ValueError(
                f"views must be a DataLoader whose sampler gives row numbers from 0 to {self.n - 1}, "
                f"got {numbers.min()} to {numbers.max()}"
            )
        return numbers

    def _inputs(self, batch: Any, n: int) -> dict[str, Input]:
        views = views_of_item(batch)
        return {name: self._input(name, views, n) for name in self.specs}

    def _input(self, name: str, views: Mapping[str, Any], n: int) -> Input:
        what = f"views[{name!r}] of a batch"
        if name not in views:
            raise ValueError(f"{what} must be there for {n} rows, got none")
        x = as_specified(what, self._converted(what, name, views[name]), self.specs[name])
        check_n_rows(what, x, n)
        return self._as_input(name, x)

    def _converted(self, what: str, name: str, rows: Any) -> Input:
        """Return rows as tensors of the shapes that they have."""
        if name in self._backbones:
            return backbone_input(what, rows)
        if isinstance(rows, Mapping):
            raise TypeError(f"{what} must be rows of features, got a dict: only a backbone takes one")
        features = as_rows(what, rows if isinstance(rows, torch.Tensor) else np.asarray(rows))
        flat = float32_rows(what, name, flattened(features), None)
        return make_input(flat.reshape(features.shape), as_bags=False)

    def _as_input(self, name: str, x: Input) -> Input:
        """Return features with one axis a row; what a backbone takes as it is."""
        return x if name in self._backbones or not isinstance(x, torch.Tensor) else x.flatten(1)

    def _read(self, rows: Sequence[RowNumbers], is_trained: bool = False) -> Generator[tuple[Any, Any], None, None]:
        """Yield batches to evaluate, each with the same items to train on or None."""
        places: Sequence[Any] = [batch.tolist() for batch in rows]
        if self._dataset is not None:
            places = [[Place(row, is_trained) for row in batch] for batch in places]
        reader = self._kept or _Reader(self._loader, self._dataset)
        self._kept = reader if reader.persists else None
        try:
            for batch in reader.read(places):
                yield batch if self._dataset is not None else (batch, None)
        finally:
            if not reader.persists:
                reader.stop()


class _Reader:
    """A DataLoader like the user's, for batches that are chosen here."""

    def __init__(self, loader: DataLoader[Any], dataset: Dataset[Any] | None) -> None:
        has_workers = loader.num_workers > 0
        self.persists = has_workers and loader.persistent_workers
        own = {} if not has_workers else {
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
            "persistent_workers": loader.persistent_workers,
        }  # fmt: skip
        self._places: list[Any] = []
        self._loader: DataLoader[Any] = DataLoader(
            loader.dataset if dataset is None else dataset,
            batch_sampler=self._places,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn if dataset is None else CollatedBoth(loader.collate_fn),
            # Where nothing can be pinned for, torch warns of it.
            pin_memory=loader.pin_memory and torch.cuda.is_available(),
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            # Its own, else it would draw a number from the stream that networks use.
            generator=torch.Generator().manual_seed(torch.initial_seed()),
            **own,
        )
        self._batches: Any = None

    def read(self, places: Sequence[Any]) -> Generator[Any, None, None]:
        """Yield the batches at these places."""
        self._places[:] = places
        with deferred_interrupts():
            self._batches = iter(self._loader)
        yield from self._batches

    def stop(self) -> None:
        """Stop the worker processes.

        Explicit, since a traceback that is kept would keep them.
        """
        if self._loader.num_workers and self._batches is not None:
            with deferred_interrupts():
                self._batches._shutdown_workers()


def check_n_rows(what: str, x: Input, n: int) -> None:
    """Raise a ValueError unless all tensors have n rows."""
    parts = x.values() if isinstance(x, dict) else []
    for part in parts:
        check_n_rows(what, part, n)
    if isinstance(x, torch.Tensor) and len(x) != n:
        raise ValueError(f"{what} must have {n} rows, got shape {tuple(x.shape)}")


def _own_random_state() -> AbstractContextManager[None]:
    """Restore torch's random numbers after the block, in which data sets may draw some."""
    return torch.random.fork_rng(devices=[])


def _check_loader(loader: DataLoader[Any]) -> None:
    dataset: Dataset[Any] = loader.dataset
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TypeError("views must be a DataLoader over a data set with rows by number, got one over a stream")
    if loader.batch_sampler is None:
        raise TypeError("views must be a DataLoader that makes batches, got one with batch_size=None")


def _is_of_torch(order: Any) -> bool:
    """Return whether a sampler only says in which way every row is taken once: in order or shuffled.

    Those of a DistributedSampler are taken by one of several processes, among which batches are divided here.
    """
    if type(order) is DistributedSampler:
        return True
    if type(order) is RandomSampler:
        return not order.replacement and order.num_samples == len(order.data_source)
    return type(order) is SequentialSampler


def _as_array(name: str, batch: Any) -> NDArray[Any]:
    """Return a batch as an array; tensors may require gradients and be of any floating type."""
    return tensor_values(name, batch) if isinstance(batch, torch.Tensor) else np.asarray(batch)
