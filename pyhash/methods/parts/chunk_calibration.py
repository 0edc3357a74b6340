"""Calibration of a stream's label scores on rows of its chunks that are not learned yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix, Signs
from pyhash.methods.parts.calibration import MAX_ROWS, Calibration, candidates_of
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.parts.label_scores import ScoreSolver
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.state import Own, State

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.feature_sums import FeatureSums
    from pyhash.methods.parts.unmapped_rows import UnmappedRows


def drawn_rows(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the given rows, in ascending order."""
    drawn: NDArray[np.int64] = np.sort(rng.choice(rows, min(most, len(rows)), replace=False))
    return drawn


def calibrated(state: State[Own], rows: UnmappedRows, rng: np.random.Generator) -> State[Own]:
    """Return the state with its calibrations updated by predicting some rows that are not learned yet.

    They begin with the first rows that have all modalities between them. A modality that no row learned has cannot
    predict.
    """
    held = rows.take(drawn_rows(rng, rows.labelled, MAX_ROWS))
    names = [name for name in held.views if state.has_rows(name)]
    if not state.calibrations and len(names) < len(state.n_features):
        return state
    calibrations = dict(state.calibrations)
    for name in names:
        X, L = state.mapped(name, held.features(name)), held.labels[-1][held.has(name)]
        before = calibrations.get(name) or Calibration.empty(*candidates_of(state.maps[name], X, state.sums[name]))
        calibrations[name] = before.with_rows(X, L, cast("LabelSets", state.label_sets), state.solver(name))
    return replace(state, calibrations=calibrations, label_posteriors={})


def first_calibrated(
    state: State[Own], rows: UnmappedRows, B: Signs, rng: np.random.Generator, *, has_new_maps: bool
) -> State[Own]:
    """Return the state after the first chunk, at codes B, with calibrations: the sums less some rows predict these.

    These are rows that no map was made of, as far as there are; rows that are anchors are held back with their columns,
    since they would be predicted better than new rows. `has_new_maps` says whether the maps were made of this chunk.
    """
    L, sets = rows.labels[-1], cast("LabelSets", state.label_sets)
    anchors = {
        name: rows.anchors(name, feature_map)
        for name, feature_map in state.maps.items()
        if has_new_maps and isinstance(feature_map, RBFAnchors)
    }
    held = rows_to_hold(rows.labelled, anchors.values(), rng)
    rest = np.setdiff1d(np.arange(rows.n), held)
    label_sets = LabelSets.empty(sets.n_classes, B.shape[1]).add(L[rest], B[rest])
    calibrations = dict(state.calibrations)
    for name, x in rows.views.items():
        sums, of_modality = state.labelled_sums(name), held[rows.has(name)[held]]
        # Without rows to predict, one row tells the candidates.
        X = state.mapped(name, x[of_modality if len(of_modality) else np.flatnonzero(rows.has(name))[:1]])
        if name not in calibrations:
            calibrations[name] = Calibration.empty(*candidates_of(state.maps[name], X, sums))
        if len(of_modality):
            is_dropped = np.isin(anchors[name], of_modality) if name in anchors else None
            calibrations[name] = held_back(calibrations[name], sums, X, L[of_modality], label_sets, is_dropped)
    return replace(state, calibrations=calibrations, label_posteriors={})


def rows_to_hold(
    labelled: NDArray[np.int64], anchors: Iterable[NDArray[np.int64]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return at most a fifth of the rows with a label, ascending; anchors of maps only if there are too few."""
    order = rng.permutation(labelled)
    is_anchor = np.isin(order, np.concatenate([np.zeros(0, dtype=np.int64), *anchors]))
    order = order[np.argsort(is_anchor, kind="stable")]
    held: NDArray[np.int64] = np.sort(order[: min(MAX_ROWS, len(order) // 5)])
    return held


def held_back(
    calibration: Calibration,
    sums: FeatureSums,
    X: Features,
    L: Matrix,
    label_sets: LabelSets,
    is_dropped: NDArray[np.bool_] | None,
) -> Calibration:
    """Return a calibration after predicting rows that are in the sums, as if they were not.

    Parameters
    ----------
    calibration : Calibration
    sums : FeatureSums
        Over all rows with a label, these among them.
    X, L : Features, Matrix
        Mapped features (n, d) and labels (n, c) of the rows.
    label_sets : LabelSets
        The table of the other rows.
    is_dropped : ndarray of shape (d,), bool, or None
        Columns to leave out: those of anchors that are some of these rows.
    """
    predicting = sums.without(X, L)
    if is_dropped is not None and is_dropped.any():
        if is_dropped.all():
            return calibration
        kept = np.flatnonzero(~is_dropped)
        X, predicting = X[:, kept], predicting.of_columns(kept)
    return calibration.with_rows(X, L, label_sets, ScoreSolver(predicting))
