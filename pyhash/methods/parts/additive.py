"""States of methods whose sums add up: those of parts of the data are together that of all, and rows can be taken away.

That holds where the codes of rows do not depend on other rows. Callers check it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.feature_maps import FeatureMap, RBFAnchors
from pyhash.methods.parts.feature_sums import FeatureSums
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.state import Own, State

if TYPE_CHECKING:
    from pyhash.methods.parts.arrays import Signs
    from pyhash.methods.parts.unmapped_rows import UnmappedRows


def emptied(state: State[Own]) -> State[Own]:
    """Return the state with the same maps, which do not grow any more, and no row learned."""
    sums = {name: _none_of(of) for name, of in state.sums.items()}
    return state.updated(
        maps={name: of.fixed() if isinstance(of, RBFAnchors) else of for name, of in state.maps.items()},
        origins={name: origins.of_other_rows() for name, origins in state.origins.items()},
        n_chunks=0,
        n_samples=0,
        sums=sums,
        label_sets=LabelSets.empty(state.n_classes, next(iter(sums.values())).XB.shape[1]),
        calibrations={name: calibration.renewed() for name, calibration in state.calibrations.items()},
    )


def merged(states: Sequence[State[Any]]) -> State[Any]:
    """Return the state of the rows of all, in this order; what is no sum is that of the first.

    Raises
    ------
    ValueError
        If modalities, feature maps, the numbers of classes or the candidates of calibrations differ.
    """
    for i, state in enumerate(states):
        _check_fit(states[0], state, i)
    _check_classes(states)
    try:
        return reduce(_plus, states)
    except ValueError as error:
        raise ValueError(f"models must have calibrated label scores among the same candidates, got {error}") from error


def _plus(state: State[Any], other: State[Any]) -> State[Any]:
    """Return the state of the rows of both; raise ValueError if calibrations are among other candidates."""
    classes = max(state.classes, other.classes, key=lambda of: of.sizes)
    state, other = state.widened(classes), other.widened(classes)
    calibrations = state.calibrations | {
        name: state.calibrations[name].plus(of) if name in state.calibrations else of
        for name, of in other.calibrations.items()
    }
    origins = {name: of.plus(other.origins[name]) for name, of in state.origins.items() if name in other.origins}
    maps = dict(state.maps)
    for name, of_other in other.maps.items():
        if isinstance(of_other, RBFAnchors):
            # Of equal maps, the one that knows more of its growth, and may grow further.
            maps[name] = max(maps[name], of_other, key=lambda of: (len(of.joined), of.can_grow))
    return state.updated(
        maps=maps,
        origins=origins,
        n_chunks=state.n_chunks + other.n_chunks,
        n_samples=state.n_samples + other.n_samples,
        sums={name: sums.plus(other.sums[name]) for name, sums in state.sums.items()},
        label_sets=cast("LabelSets", state.label_sets).plus(cast("LabelSets", other.label_sets)),
        calibrations=calibrations,
    )


def without_rows(
    state: State[Own], rows: UnmappedRows, ids: NDArray[np.int64] | None, ridge: dict[str, float]
) -> State[Own]:
    """Return the state without some of its rows, of given numbers, and without the anchors that are these rows.

    `ridge` is that with which the rows were learned, as for ``FeatureRows.add_gram``.

    Raises
    ------
    ValueError
        If fewer rows with such labels or modalities were learned.
    ValueError
        If a map grew and the rows have no numbers, or it is not known how many anchors there were at them.
    ValueError
        If a number is of a row that is forgotten already.
    ValueError
        If all anchors of a map are among the rows.
    """
    L, sets = rows.labels[-1], cast("LabelSets", state.label_sets)
    numbers = sets.find(L)
    if (numbers < 0).any():
        row = int(np.argmin(numbers))
        raise ValueError(f"labels must be those of rows that were learned, no row has those of row {row}")
    B = sets.mean_codes[numbers].astype(np.int8)
    try:
        label_sets = sets.minus(LabelSets.empty(sets.n_classes, B.shape[1]).add(L, B))
    except ValueError as error:
        raise ValueError(f"labels must be those of rows that were learned: {error}") from error
    maps, origins, n_mapped, sums = dict(state.maps), dict(state.origins), dict(state.n_mapped), dict(state.sums)
    for name, before in state.sums.items():
        widths = _widths(state, name, ids, rows.n)
        if name in rows.views:
            sums[name] = _cleared(name, before.minus(_sums_of(state, name, rows, B, widths, ridge.get(name))))
        if ids is None or name not in origins:
            continue
        origins[name] = origins[name].without_rows(ids)
        dropped = np.isin(origins[name].anchors, ids)
        if dropped.all():
            raise ValueError(f"ids must leave rows that are anchors of the map of {name!r}, all {len(dropped)} go")
        if dropped.any():
            joined = maps[name].joined
            origins[name] = origins[name].without_anchors(dropped, joined[-2] if len(joined) > 1 else 0)
            maps[name] = maps[name].without_anchors(dropped)
            sums[name] = sums[name].of_columns(np.flatnonzero(~dropped))
            n_mapped[name] = len(sums[name].XX)
    return state.updated(
        maps=maps,
        origins=origins,
        n_mapped=n_mapped,
        n_samples=state.n_samples - rows.n,
        sums=sums,
        label_sets=label_sets,
    )


def _widths(state: State[Own], modality: str, ids: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """Return how many columns there were when each of n rows was learned."""
    d, feature_map, origins = state.n_mapped[modality], state.maps[modality], state.origins.get(modality)
    if origins is None:
        if isinstance(feature_map, RBFAnchors) and len(feature_map.joined) > 1:
            raise ValueError(
                f"rows cannot be forgotten: the map of {modality!r} grew, and this model does not know how many "
                "anchors there were at each row"
            )
        return np.full(n, d)
    if ids is None:
        if origins.always_had_all:
            return np.full(n, d)
        raise ValueError(
            f"ids must be given: the map of {modality!r} grew, and what a row added depends on how many anchors there "
            "were when it was learned"
        )
    if len(ids) and ids.max() >= origins.n_rows:
        raise ValueError(f"ids must be numbers of the {origins.n_rows} rows learned, got {ids.max()}")
    forgotten = origins.forgotten(ids)
    if len(forgotten):
        raise ValueError(f"ids must be of rows that are not forgotten yet, got {forgotten[0]}")
    widths = origins.widths[ids]
    if (widths < 0).any():
        raise ValueError(
            f"ids must be of rows that can still be forgotten, got {ids[np.argmin(widths)]}: the map of {modality!r} "
            "has lost anchors, forgotten since, by which this row's columns were completed"
        )
    return widths


def _sums_of(
    state: State[Own], modality: str, rows: UnmappedRows, B: Signs, widths: NDArray[np.int64], ridge: float | None
) -> FeatureSums:
    """Return what rows with codes B (n, r) added to the sums, when there were so many columns (n,)."""
    feature_map, (d, r), c = state.maps[modality], state.sums[modality].XB.shape, state.n_classes
    total = FeatureSums.empty(d, r, c)
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        some = rows.take(chosen)
        if modality not in some.views:
            continue
        X = some.mapped(modality, feature_map if width == d else feature_map.first(width))
        sums = FeatureSums.empty(width, r, c)
        sums = sums.add(X, X.add_gram(sums.XX, ridge), B[chosen], some.labels[-1])
        for C in feature_map.completions(width) if width < d else ():
            sums = sums.completed(C)
        total = total.plus(sums)
    return total


def _cleared(modality: str, sums: FeatureSums) -> FeatureSums:
    """Return sums less rows with exact zeros where no row is left; raise if more rows went than there were."""
    _, counts = sums.row_sums()
    if (counts < 0).any():
        raise ValueError(
            f"rows must be such as were learned: fewer of their labels have the modality {modality!r} than given"
        )
    if counts[0] == 0:
        return _none_of(sums)
    return replace(sums, XL=np.where(counts[1:] > 0, sums.XL, 0.0))


def _none_of(sums: FeatureSums) -> FeatureSums:
    """Return the sums of no rows, of the same shapes."""
    (d, r), c = sums.XB.shape, sums.XL.shape[1]
    return FeatureSums.empty(d, r, c)


def _check_fit(first: State[Any], state: State[Any], i: int) -> None:
    """Raise ValueError unless the sums of two states are over the same columns and classes."""
    if first.n_features != state.n_features:
        raise ValueError(
            f"models must have the same modalities, models[0] has {first.n_features} and models[{i}] {state.n_features}"
        )
    for name, own in first.maps.items():
        if not _are_same(own, state.maps[name]):
            raise ValueError(
                f"models must have the same feature maps, that of {name!r} differs in models[0] and models[{i}]: begin "
                "each part with emptied() of one model, whose maps do not grow"
            )


def _check_classes(states: Sequence[State[Any]]) -> None:
    """Raise ValueError unless the classes of every state are the first ones of the state with most."""
    if len({state.classes.numbers is None for state in states}) > 1:
        raise ValueError("models must all have labels by name or all class indices, some have the one, some the other")
    labels = [state.classes.labels()[-1].tolist() for state in states]
    i = max(range(len(labels)), key=lambda i: len(labels[i]))
    for j, of_state in enumerate(labels):
        for c, (label, other) in enumerate(zip(labels[i], of_state, strict=False)):
            if label != other:
                raise ValueError(
                    f"models must number their classes alike, class {c} is {label!r} in models[{i}] and {other!r} in "
                    f"models[{j}]: let emptied() of one model, with all labels that parts share, begin each part"
                )


def _are_same(feature_map: Any, other: Any) -> bool:
    """Return whether two fitted maps map rows alike, as far as can be told: maps that are not pyhash's own are one."""
    if not isinstance(feature_map, FeatureMap):
        return feature_map is other
    if isinstance(feature_map, RBFAnchors) and isinstance(other, RBFAnchors):
        # Steps of growth that only one of them took cannot be told from another way to the same anchors.
        fewer, more = sorted((set(feature_map.joined), set(other.joined)), key=len)
        return feature_map.is_same_as(other) and fewer <= more
    return feature_map.is_same_as(other)
