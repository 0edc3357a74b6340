"""The feature maps of a stream, fitted on its first chunk on a worker, with all the columns that they ever take on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyhash.distributed.cluster import compute
from pyhash.distributed.label_pass import ChunkLabels, label_matrices_of
from pyhash.methods.contract import n_rows_of
from pyhash.methods.online import check_first_rows
from pyhash.methods.parts.feature_maps import FeatureMap, RBFAnchors
from pyhash.methods.parts.state import State
from pyhash.methods.parts.unmapped_rows import UnmappedRows

if TYPE_CHECKING:
    from distributed import Client

    from pyhash.distributed.chunk_sources import ChunkRows, ChunkSource
    from pyhash.methods.linear import Settings
    from pyhash.methods.online import OnlineMethod


class FittedMaps(NamedTuple):
    """Maps, in a state without sums, and which rows of the stream their anchors are, by modality."""

    state: State[Any]
    anchors: dict[str, NDArray[np.int64]]


def fit_maps(
    model: OnlineMethod[Any, Any], settings: Settings, source: ChunkSource, labels: ChunkLabels, client: Client | None
) -> FittedMaps:
    """Return the maps of a stream; `labels` are those of the first chunk.

    Maps that grow take on the rows that they would take on as the chunks come.
    """
    from dask import delayed

    maps: FittedMaps = compute(delayed(_fitted, pure=False)(model, settings, source.rows(range(1))[0], labels), client)
    grow, growing = delayed(_grown, pure=False), None
    for i in _growing_chunks(maps.state, source):
        (rows,) = source.rows(range(i, i + 1))
        growing = grow(model, maps if growing is None else growing, rows, i, int(source.starts[i]))
    return maps if growing is None else compute(growing, client)


def _fitted(model: OnlineMethod[Any, Any], settings: Settings, rows: ChunkRows, labels: ChunkLabels) -> FittedMaps:
    matrices = label_matrices_of(labels)
    first = UnmappedRows.of_chunk(rows.views, matrices, len(matrices[0]), 0, rows.present)
    first.check_values()
    check_first_rows(first, rows.views)
    state = model._empty_state(settings, first)
    return _with_anchors(replace(state, sums={}, layers={}), first, {}, state.maps)


def _growing_chunks(state: State[Any], source: ChunkSource) -> list[int]:
    """Return the numbers of the chunks of which some rows join a map."""
    n_columns, found = dict(state.n_mapped), []
    maps = {name: of for name, of in state.maps.items() if isinstance(of, FeatureMap) and of.can_grow}
    for i in range(1, len(source.n_rows)):
        joining = {name: of.n_joining(n_columns[name], source.n_with(i, name)) for name, of in maps.items()}
        if any(joining.values()):
            found.append(i)
        n_columns = {name: n + joining.get(name, 0) for name, n in n_columns.items()}
    return found


def _grown(model: OnlineMethod[Any, Any], maps: FittedMaps, rows: ChunkRows, i: int, start: int) -> FittedMaps:
    chunk = UnmappedRows.of_chunk(rows.views, [], n_rows_of(rows.views), start, rows.present)
    state = model._grow(replace(maps.state, n_chunks=i), chunk)
    grown = {name: of for name, of in state.maps.items() if of is not maps.state.maps[name]}
    return _with_anchors(replace(state, n_chunks=0), chunk, maps.anchors, grown)


def _with_anchors(
    state: State[Any], chunk: UnmappedRows, before: dict[str, NDArray[np.int64]], grown: dict[str, Any]
) -> FittedMaps:
    """Return maps with the numbers of all their anchors, of which those that joined last are in the chunk."""
    anchors = dict(before)
    for name, feature_map in grown.items():
        if isinstance(feature_map, RBFAnchors):
            drawn = chunk.numbers[chunk.anchors(name, feature_map)]
            anchors[name] = np.concatenate([before.get(name, drawn[:0]), drawn])
    return FittedMaps(state, anchors)
