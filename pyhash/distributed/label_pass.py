"""One pass over the labels of a stream, in order: the codes of all rows, where they depend on labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.labels import name_rows
from pyhash.codes import pack
from pyhash.methods.parts.history import Recorder
from pyhash.methods.parts.state import Chunk, State

if TYPE_CHECKING:
    from pyhash.distributed.chunk_sources import ChunkSource
    from pyhash.methods.linear import Settings
    from pyhash.methods.online import OnlineMethod
    from pyhash.methods.parts.arrays import Matrix


# Labels of a chunk: a csr_array of bool (n, c_k) for each layer, coarse to fine. They are small enough to be sent.
ChunkLabels: TypeAlias = list[Any]


def label_matrices_of(labels: ChunkLabels) -> list[Matrix]:
    """Return the labels of a chunk as matrices (n, c_k) of 0 and 1."""
    return [layer.toarray().astype(np.float64) for layer in labels]


def is_labelled(labels: ChunkLabels) -> NDArray[np.bool_]:
    """Return which rows of a chunk have a label in the finest layer."""
    labelled: NDArray[np.bool_] = np.diff(labels[-1].indptr) > 0
    return labelled


def read_labels(
    model: OnlineMethod[Any, Any], settings: Settings, source: ChunkSource
) -> tuple[Settings, list[ChunkLabels]]:
    """Return the settings with all classes, and the labels of each chunk.

    Raises
    ------
    TypeError, ValueError
        As ``OnlineMethod.fit``, for labels.
    ValueError
        If a row has no label.
    """
    from scipy.sparse import csr_array

    chunks: list[ChunkLabels] = []
    for labels, slices in source.labels():
        settings, layers = model._with_labels(settings, None, labels, slices[-1].stop)
        for part in slices:
            first = int(source.starts[len(chunks)])
            matrices = model._label_matrices(settings, [layer[part] for layer in layers], first, allow_unlabelled=True)
            unlabelled = np.flatnonzero(~matrices[0].any(axis=1))
            if unlabelled.size:
                raise ValueError(
                    f"labels must give every row a label, none in {name_rows(unlabelled, first)}: codes of rows "
                    "without one depend on features; learn the others, then encode these"
                )
            chunks.append([csr_array(matrix.astype(bool)) for matrix in matrices])
    for layers in chunks:
        for layer, size in zip(layers, settings.classes.sizes, strict=True):
            layer.resize(layer.shape[0], size)  # classes that only later chunks show
    return settings, chunks


def learn_codes(
    model: OnlineMethod[Any, Any], settings: Settings, state: State[Any], chunks: list[ChunkLabels]
) -> tuple[State[Any], list[NDArray[np.uint8]]]:
    """Return a state without sums over features after the labels of more chunks, and the packed codes of each chunk."""
    codes = []
    for labels in chunks:
        if state.n_chunks and settings.decay > 0:
            state = state.scaled(1.0 - settings.decay)
        recorder = Recorder(state.n_chunks + 1) if settings.record else None
        chunk = Chunk({}, label_matrices_of(labels), {}, {}, state.label_sets, recorder)
        state, signs = model._learn_codes(settings, state, chunk)
        codes.append(pack(signs))
    return state, codes
