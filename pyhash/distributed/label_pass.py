"""One pass over the labels of a stream, in order: the codes of all rows, where they depend on labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class CodedChunk:
    """Labels and codes of the rows of a chunk, small enough to be sent."""

    labels: list[Any]  # csr_array of bool (n, c_k) of each layer, coarse to fine
    codes: NDArray[np.uint8]  # packed

    @property
    def matrices(self) -> list[Matrix]:
        """Labels of each layer as matrices (n, c_k) of 0 and 1."""
        return _matrices(self.labels)


def read_labels(
    model: OnlineMethod[Any, Any], settings: Settings, source: ChunkSource
) -> tuple[Settings, list[list[Any]]]:
    """Return the settings with all classes, and the labels of each chunk by layer, as ``CodedChunk`` has them.

    Raises
    ------
    TypeError, ValueError
        As ``OnlineMethod.fit``, for labels.
    ValueError
        If a row has no label.
    """
    from scipy.sparse import csr_array

    chunks: list[list[Any]] = []
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
    model: OnlineMethod[Any, Any], settings: Settings, state: State[Any], labels: list[list[Any]]
) -> tuple[State[Any], list[CodedChunk]]:
    """Return a state without sums over features after a pass over labels, and the codes of each chunk."""
    coded = []
    for layers in labels:
        if state.n_chunks and settings.decay > 0:
            state = state.scaled(1.0 - settings.decay)
        matrices = _matrices(layers)
        chunk = Chunk({}, matrices, {}, {}, state.label_sets, Recorder(state.n_chunks + 1) if settings.record else None)
        state, signs = model._learn_codes(settings, state, chunk)
        coded.append(CodedChunk(layers, pack(signs)))
    return state, coded


def _matrices(layers: list[Any]) -> list[Matrix]:
    return [layer.toarray().astype(np.float64) for layer in layers]
