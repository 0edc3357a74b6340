"""Sums over the features of a stream: summed up chunk by chunk on workers, and joined in a tree."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.codes import unpack
from pyhash.methods.parts.feature_sums import FeatureSums, LayerSums, UnlabelledSums
from pyhash.methods.parts.state import State
from pyhash.methods.parts.sums import Sums
from pyhash.methods.parts.unmapped_rows import UnmappedRows

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from pyhash.distributed.chunk_sources import ChunkRows, ChunkSource
    from pyhash.distributed.label_pass import CodedChunk
    from pyhash.methods.linear import Settings
    from pyhash.methods.online import OnlineMethod

_FAN_IN = 4


@dataclass(frozen=True)
class StreamSums(Sums):
    """All sums over features that a state keeps, by modality."""

    sums: dict[str, FeatureSums]
    layers: dict[str, LayerSums]
    unlabelled: dict[str, UnlabelledSums]


@dataclass(frozen=True)
class Plan:
    """What a worker needs to sum up chunks: the maps of all rows, and how the method sums."""

    model: OnlineMethod[Any, Any]  # unfitted
    settings: Settings
    state: State[Any]  # with maps, without sums
    has_unlabelled: bool  # whether rows without a label in the finest layer are summed up apart

    @classmethod
    def of(cls, model: OnlineMethod[Any, Any], settings: Settings, state: State[Any], coded: list[CodedChunk]) -> Plan:
        """Return the plan for chunks with such labels."""
        has_unlabelled = any((np.diff(of_chunk.labels[-1].indptr) == 0).any() for of_chunk in coded)
        return cls(model, settings, state, has_unlabelled and state.label_sets is not None)

    def empty_state(self) -> State[Any]:
        """Return the state with sums of no rows."""
        sizes, widths = self.settings.classes.sizes, self.state.n_mapped.items()
        sums = {name: FeatureSums.empty(d, self.settings.n_bits, sizes[-1]) for name, d in widths}
        layers = {name: LayerSums.empty(d, sizes) for name, d in widths} if self.model._keeps_layer_sums else {}
        unlabelled = {name: UnlabelledSums.empty(d) for name, d in widths} if self.has_unlabelled else {}
        return replace(self.state, sums=sums, layers=layers, unlabelled=unlabelled)


def sum_stream(
    plan: Plan, source: ChunkSource, coded: list[CodedChunk], held: NDArray[np.int64] | None
) -> tuple[Delayed, list[Delayed]]:
    """Return a task that gives the sums over all rows, and tasks that give lists of some rows as ``UnmappedRows``.

    Parameters
    ----------
    plan, source, coded
        The maps; the chunks; their labels and codes.
    held : ndarray
        Numbers of the rows that are given too, ascending; by default none. They are in the sums.
    """
    from dask import delayed

    held = np.zeros(0, dtype=np.int64) if held is None else held
    # Which rows are summed up together, and the order of sums, depend on the chunks alone.
    shared, add = delayed(plan, pure=False, traverse=False), delayed(_sum_chunks, pure=False, nout=2)
    starts, n_chunks, parts, rows = source.starts, len(coded), [], []
    for first in range(0, n_chunks, source.chunks_per_task):
        chunks = range(first, min(first + source.chunks_per_task, n_chunks))
        begin, end = np.searchsorted(held, [starts[chunks.start], starts[chunks.stop]])
        sums, taken = add(
            shared,
            source.rows(chunks),
            coded[chunks.start : chunks.stop],
            starts[chunks.start : chunks.stop],
            n_chunks - chunks.stop,
            held[begin:end],
        )
        parts.append(sums)
        if end > begin:
            rows.append(taken)
    join = delayed(_join, pure=False)
    while len(parts) > 1:
        parts = [join(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    return parts[0], rows


def _sum_chunks(
    plan: Plan,
    chunks: list[ChunkRows],
    coded: list[CodedChunk],
    starts: NDArray[np.int64],
    n_later: int,
    held: NDArray[np.int64],
) -> tuple[StreamSums, list[UnmappedRows]]:
    """Return the sums over some chunks, as they weigh after `n_later` more, and the rows of them that are held back."""
    model, settings, state, taken = plan.model, plan.settings, plan.empty_state(), []
    kept = 1.0 - settings.decay
    for rows, of_chunk, start in zip(chunks, coded, starts.tolist(), strict=True):
        if kept < 1:
            state = state.scaled(kept)
        n = len(of_chunk.codes)
        unmapped = UnmappedRows.of_chunk(rows.views, of_chunk.matrices, n, start, rows.present)
        if unmapped.present:
            unmapped.check_values()
        chunk = model._chunk(settings, state, unmapped)
        with model._computable():
            state = model._add_features(settings, state, chunk, unpack(of_chunk.codes, settings.n_bits))
        of_held = held[(held >= start) & (held < start + n)]
        if len(of_held):
            taken.append(unmapped.take(of_held - start))
    sums = StreamSums(state.sums, state.layers, state.unlabelled)
    return sums.scaled(kept**n_later) if kept < 1 else sums, taken


def _join(parts: Sequence[StreamSums]) -> StreamSums:
    return functools.reduce(StreamSums.plus, parts)
