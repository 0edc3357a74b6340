"""Calibration on rows of a whole stream that are held back from its sums."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash.codes import unpack
from pyhash.distributed.label_pass import ChunkLabels, is_labelled
from pyhash.methods.linear import CALIBRATION
from pyhash.methods.parts.calibration import Calibration, candidates_of
from pyhash.methods.parts.chunk_calibration import held_back, rows_to_hold
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.state import State

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.distributed.map_pass import FittedMaps
    from pyhash.methods.linear import Settings
    from pyhash.methods.parts.unmapped_rows import UnmappedRows


def rows_held_back(settings: Settings, labels: list[ChunkLabels], maps: FittedMaps) -> NDArray[np.int64]:
    """Return the numbers of the rows to hold back, ascending.

    With decay, they are of the last chunk, whose rows have their whole weight.
    """
    labelled = [is_labelled(of_chunk) for of_chunk in labels]
    if settings.decay > 0:
        labelled[:-1] = [np.zeros_like(of_chunk) for of_chunk in labelled[:-1]]
    return rows_to_hold(np.flatnonzero(np.concatenate(labelled)), maps.anchors.values(), settings.rng(CALIBRATION))


def calibrated(
    settings: Settings,
    state: State[Any],
    held: list[UnmappedRows],
    codes: NDArray[np.uint8],
    maps: FittedMaps,
) -> State[Any]:
    """Return the state with calibrations: the sums less the rows held back predict these; `codes` are of all rows."""
    numbers = np.concatenate([rows.numbers for rows in held])
    L, B = np.concatenate([rows.labels[-1] for rows in held]), unpack(codes[numbers], settings.n_bits)
    sets = cast("LabelSets", state.label_sets)
    others = sets.minus(LabelSets.empty(sets.n_classes, settings.n_bits).add(L, B))
    calibrations = {}
    for name in state.sums:
        having = [rows for rows in held if name in rows.views]
        if having:
            X, sums = _stacked([state.mapped(name, rows.features(name)) for rows in having]), state.labelled_sums(name)
            of_rows = np.concatenate([rows.labels[-1][rows.has(name)] for rows in having])
            is_dropped = np.isin(maps.anchors[name], numbers) if name in maps.anchors else None
            before = Calibration.empty(*candidates_of(state.maps[name], X, sums))
            calibrations[name] = held_back(before, sums, X, of_rows, others, is_dropped)
    return replace(state, calibrations=calibrations)


def _stacked(parts: list[Features]) -> Features:
    if not is_sparse(parts[0]):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")
