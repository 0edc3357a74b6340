"""Training rows of arrays, in memory or mapped from files."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash.deep.array_view import ArrayView, Transform
from pyhash.deep.networks.inputs import (
    ROWS_LOOKED_AT,
    Input,
    InputSpec,
    TensorSpec,
    as_specified,
    is_bag_of_words,
    make_input,
    n_features_of,
    spec_of,
    specs_of_tensors,
)

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

RowNumbers = NDArray[np.int64]
Batches = Generator[dict[str, Input], None, None]
TrainingBatches = Generator[tuple[dict[str, Input], dict[str, Input]], None, None]

# Rows that are encoded at a time, and the values of pictures among them.
ROWS_PER_BLOCK = 1024
_VALUES_PER_BLOCK = 2**22
# What one token counts: as many values as a backbone may make of it.
_VALUES_PER_TOKEN = 256


def rows_per_block(specs: Collection[InputSpec], most: int = ROWS_PER_BLOCK) -> int:
    """Return how many rows are converted or encoded at a time; fewer if they are pictures or long texts."""
    tensors = [each for spec in specs for each in specs_of_tensors(spec)]
    return min([most, *(max(1, _VALUES_PER_BLOCK // _values_of(each)) for each in tensors)])


def _values_of(spec: TensorSpec) -> int:
    if spec.dtype.is_floating_point:
        return max(1, n_features_of(spec)) if len(spec.shape) > 1 else 1
    return max(1, n_features_of(spec) * _VALUES_PER_TOKEN)


class TrainingRows(ABC):
    """Rows of all modalities, read a batch at a time.

    Attributes
    ----------
    n : int
    specs : dict of str to InputSpec
        What a row of each modality is, as the user gives it.
    widths : dict of str to int
        Of a row after its feature map.
    first : dict of str to Input
        The first row.
    bags : dict of str to bool
        Whether a modality's rows are bags of words.
    batch_size : int or None
        Rows of a batch, where the user's data says so.
    """

    n: int
    specs: dict[str, InputSpec]
    widths: dict[str, int]
    first: dict[str, Input]
    bags: dict[str, bool]
    batch_size: int | None = None

    @abstractmethod
    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers, to evaluate; close the generator if not all are taken."""

    def training_batches(self, rows: Sequence[RowNumbers]) -> TrainingBatches:
        """Yield, of each batch of row numbers, the inputs to train on and those to evaluate, each item read once.

        Both are the same object where nothing is transformed for training.
        """
        with closing(self.batches(rows)) as batches:
            for inputs in batches:
                yield inputs, inputs

    def own_batches(self, epoch: int, batch_size: int) -> list[RowNumbers] | None:
        """Return the batches of an epoch, counted from 1, where the user's data has an order of its own; else None."""
        return None


class ArrayRows(TrainingRows):
    """Rows of arrays: features in memory are mapped once, all else a batch at a time."""

    def __init__(self, views: Mapping[str, ArrayView], transform: Mapping[str, Transform] | None = None) -> None:
        self.n = next(iter(views.values())).n
        self._views = dict(views)
        self._features: dict[str, Features] = {}  # of those that are mapped already
        self._trained = {
            name: dataclasses.replace(views[name], transform=each) for name, each in (transform or {}).items()
        }
        self.specs, self.widths, self.first, self.bags = {}, {}, {}, {}
        for name, view in views.items():
            self._look_at(name, view)

    def _look_at(self, name: str, view: ArrayView) -> None:
        """Set what is known of a modality; wrong values show before anything is learned."""
        self.bags[name] = False
        first = view.inputs(slice(0, 1), as_bags=False)
        is_transformed = view.transform is not None or name in self._trained
        if view.has_backbone:
            spec = spec_of(first)
            self.specs[name], self.first[name], self.widths[name] = spec, first, n_features_of(spec)
            if not is_transformed:
                size = rows_per_block([spec], ROWS_LOOKED_AT)
                for start in range(0, self.n, size) if _has_floats(view.values) else ():
                    view.inputs(slice(start, start + size), start)
            return
        self.first[name] = first
        if is_transformed:
            self.widths[name] = view.features(slice(0, 1)).shape[1]
            self.specs[name] = TensorSpec((self.widths[name],))
            return
        self.specs[name] = TensorSpec((int(view.values.shape[1]),))
        blocks = (
            view.features(slice(start, start + ROWS_LOOKED_AT), start) for start in range(0, self.n, ROWS_LOOKED_AT)
        )
        block = next(blocks)
        self.widths[name], self.bags[name] = int(block.shape[1]), is_bag_of_words(block)
        if _stays_as_it_is(view.values):
            del block  # a large part of what is in use at once
            for _ in blocks:
                pass
        else:
            self._features[name] = _joined([block, *blocks])

    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers."""
        for batch in rows:
            yield {name: self._input(name, batch) for name in self._views}

    def training_batches(self, rows: Sequence[RowNumbers]) -> TrainingBatches:
        """Yield, of each batch of row numbers, the inputs to train on and those to evaluate."""
        for batch, inputs in zip(rows, self.batches(rows), strict=True):
            trained = {
                name: as_specified(view.what, view.inputs(batch, as_bags=False), self.specs[name])
                for name, view in self._trained.items()
            }
            yield {**inputs, **trained} if trained else inputs, inputs

    def _input(self, name: str, batch: RowNumbers) -> Input:
        if name in self._features:
            return make_input(self._features[name][batch], self.bags[name])
        return self._views[name].inputs(batch, as_bags=self.bags[name])


def _has_floats(values: Any) -> bool:
    if isinstance(values, Mapping):
        return any(_has_floats(part) for part in values.values())
    return not isinstance(values, list) and values.dtype.kind == "f"


def _stays_as_it_is(rows: Features) -> bool:
    """Return whether rows are converted a batch at a time: those of files, and those of uint8, to save memory."""
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


def query_inputs(view: ArrayView, spec: InputSpec, size: int) -> Iterator[tuple[slice, Input]]:
    """Yield blocks of rows, and these as networks take them, checked and mapped."""
    for start in range(0, view.n, size):
        block = slice(start, min(start + size, view.n))
        if view.has_backbone or view.transform is not None:
            yield block, as_specified(view.what, view.inputs(block, start, as_bags=False), spec)
        else:
            yield block, view.inputs(block, start)
