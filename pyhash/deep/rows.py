"""Training rows of arrays, in memory or mapped from files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_features, is_sparse
from pyhash._inputs.labels import name_rows
from pyhash.deep.networks.inputs import ROWS_LOOKED_AT, Input, as_float32, is_bag_of_words, make_input, scaled_pictures
from pyhash.methods.contract import n_rows_of
from pyhash.methods.parts.feature_maps import apply_map

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

RowNumbers = NDArray[np.int64]
Batches = Generator[dict[str, Input], None, None]
TrainingBatches = Generator[tuple[dict[str, Input], dict[str, Input]], None, None]

# Rows that are encoded at a time, and the values of pictures among them.
ROWS_PER_BLOCK = 1024
_VALUES_PER_BLOCK = 2**22


def rows_per_block(shapes: Collection[tuple[int, ...]], most: int = ROWS_PER_BLOCK) -> int:
    """Return how many rows of these shapes are converted or encoded at a time; fewer if they are pictures."""
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
    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers; close the generator if not all are taken."""

    def training_batches(self, rows: Sequence[RowNumbers]) -> TrainingBatches:
        """Yield, of each batch of row numbers, the inputs to train on and those to evaluate, each item read once.

        Both are the same object where nothing is transformed for training.
        """
        with closing(self.batches(rows)) as batches:
            for inputs in batches:
                yield inputs, inputs


class ArrayRows(TrainingRows):
    """Rows of arrays: those in memory are mapped once, those of files a batch at a time."""

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

    def batches(self, rows: Sequence[RowNumbers]) -> Batches:
        """Yield the inputs of each batch of row numbers."""
        for batch in rows:
            yield {name: self._input(name, batch) for name in self._rows}

    def _input(self, name: str, batch: RowNumbers) -> Input:
        rows = self._rows[name][batch]
        if _stays_as_it_is(self._rows[name]):
            rows = float32_rows(f"views[{name!r}]", name, rows, self._maps[name], name in self._pictures)
        return make_input(rows, self.bags[name])


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


def query_inputs(
    what: str, modality: str, rows: Features, feature_map: Any, is_picture: bool, size: int
) -> Iterator[tuple[slice, Input]]:
    """Yield blocks of rows, and these as networks take them, checked and mapped; errors call them `what`."""
    for start in range(0, rows.shape[0], size):
        block = slice(start, min(start + size, rows.shape[0]))
        converted = float32_rows(what, modality, rows[block], feature_map, is_picture, start)
        yield block, make_input(converted, not is_picture and is_bag_of_words(converted))


def float32_rows(
    what: str, modality: str, rows: Features, feature_map: Any, is_picture: bool, first_row: int = 0
) -> Features:
    """Return rows as float32, checked and mapped; `first_row` is the number of the first in the user's data."""
    if is_picture and rows.dtype == np.uint8:
        rows = scaled_pictures(rows)
    checked = check_features(what, rows, first_row, keep_float32=feature_map is None)
    converted = as_float32(apply_map(what, modality, feature_map, checked))
    finite = np.isfinite(converted.data if is_sparse(converted) else converted)
    if not finite.all():
        dense = converted.toarray() if is_sparse(converted) else converted
        too_large = np.flatnonzero(~np.isfinite(dense).all(axis=1))
        raise ValueError(
            f"{what} must have values that float32 can hold, got larger ones in {name_rows(too_large, first_row)}"
        )
    return converted
