"""The codes of a stream, chunk after chunk, and the sums over its features, side by side and joined in a tree."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyhash.codes import unpack
from pyhash.distributed.label_pass import ChunkLabels, is_labelled, label_matrices_of, learn_codes
from pyhash.methods.parts.feature_sums import FeatureSums, LayerSums, UnlabelledSums
from pyhash.methods.parts.state import State
from pyhash.methods.parts.sums import Sums
from pyhash.methods.parts.unmapped_rows import UnmappedRows

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from pyhash.distributed.chunk_sources import ChunkRows, ChunkSource
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
    """What a worker needs to learn from chunks: the maps of all rows, and how the method codes and sums."""

    model: OnlineMethod[Any, Any]  # unfitted
    settings: Settings
    state: State[Any]  # with maps, without sums
    has_unlabelled: bool  # whether rows without a label in the finest layer are summed up apart

    @classmethod
    def of(
        cls, model: OnlineMethod[Any, Any], settings: Settings, state: State[Any], labels: list[ChunkLabels]
    ) -> Plan:
        """Return the plan for chunks with such labels."""
        has_unlabelled = not all(is_labelled(of_chunk).all() for of_chunk in labels)
        return cls(model, settings, state, has_unlabelled and state.label_sets is not None)

    def empty_state(self) -> State[Any]:
        """Return the state with sums of no rows."""
        sizes, widths = self.settings.classes.sizes, self.state.n_mapped.items()
        sums = {name: FeatureSums.empty(d, self.settings.n_bits, sizes[-1]) for name, d in widths}
        layers = {name: LayerSums.empty(d, sizes) for name, d in widths} if self.model._keeps_layer_sums else {}
        unlabelled = {name: UnlabelledSums.empty(d) for name, d in widths} if self.has_unlabelled else {}
        return replace(self.state, sums=sums, layers=layers, unlabelled=unlabelled)


class Learned(NamedTuple):
    """Tasks whose results are what is learned of a stream."""

    state: Delayed  # without maps and sums over features
    codes: list[Delayed]  # lists of the packed codes of chunks
    sums: Delayed  # StreamSums
    held: list[Delayed]  # lists of UnmappedRows


def learn_stream(plan: Plan, source: ChunkSource, labels: list[ChunkLabels], held: NDArray[np.int64] | None) -> Learned:
    """Return the tasks of a stream: codes one chunk after another, sums as soon as the codes of their rows are there.

    Parameters
    ----------
    plan, source, labels
        The maps; the chunks; their labels.
    held : ndarray
        Numbers of rows whose features are given too, ascending; by default none. They are in the sums.
    """
    from dask import delayed

    held = np.zeros(0, dtype=np.int64) if held is None else held
    # Which rows are summed up together, and the order of sums, depend on the chunks alone.
    shared, add = delayed(plan, pure=False, traverse=False), delayed(_sum_chunks, pure=False, nout=2)
    code = delayed(_code_chunks, pure=False, nout=2)
    state = delayed(replace(plan.state, maps={}), pure=False, traverse=False)
    codes: list[Delayed] = []
    starts, n_chunks, parts, rows = source.starts, len(labels), [], []
    for first in range(0, n_chunks, source.chunks_per_task):
        chunks = range(first, min(first + source.chunks_per_task, n_chunks))
        of_chunks = labels[chunks.start : chunks.stop]
        state, of_codes = code(shared, state, of_chunks)
        codes.append(of_codes)
        begin, end = np.searchsorted(held, [starts[chunks.start], starts[chunks.stop]])
        sums, taken = add(
            shared,
            source.rows(chunks),
            of_chunks,
            of_codes,
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
    return Learned(state, codes, parts[0], rows)


def _code_chunks(
    plan: Plan, state: State[Any], labels: list[ChunkLabels]
) -> tuple[State[Any], list[NDArray[np.uint8]]]:
    return learn_codes(plan.model, plan.settings, state, labels)


def _sum_chunks(
    plan: Plan,
    chunks: list[ChunkRows],
    labels: list[ChunkLabels],
    codes: list[NDArray[np.uint8]],
    starts: NDArray[np.int64],
    n_later: int,
    held: NDArray[np.int64],
) -> tuple[StreamSums, list[UnmappedRows]]:
    """Return the sums over some chunks, as they weigh after `n_later` more, and the rows of them that are held back."""
    model, settings, state, taken = plan.model, plan.settings, plan.empty_state(), []
    kept = 1.0 - settings.decay
    for rows, of_labels, of_codes, start in zip(chunks, labels, codes, starts.tolist(), strict=True):
        if kept < 1:
            state = state.scaled(kept)
        n = len(of_codes)
        unmapped = UnmappedRows.of_chunk(rows.views, label_matrices_of(of_labels), n, start, rows.present)
        if unmapped.present:
            unmapped.check_values()
        chunk = model._chunk(settings, state, unmapped)
        with model._computable():
            state = model._add_features(settings, state, chunk, unpack(of_codes, settings.n_bits))
        of_held = held[(held >= start) & (held < start + n)]
        if len(of_held):
            taken.append(unmapped.take(of_held - start))
    sums = StreamSums(state.sums, state.layers, state.unlabelled)
    return sums.scaled(kept**n_later) if kept < 1 else sums, taken


def _join(parts: Sequence[StreamSums]) -> StreamSums:
    return functools.reduce(StreamSums.plus, parts)
