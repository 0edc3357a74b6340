"""Views as the user gives them to ``fit``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

from pyhash.deep.array_view import ArrayView, Transform, as_values, flattened
from pyhash.deep.loader_rows import LoaderRows
from pyhash.deep.networks.inputs import is_bag_of_words
from pyhash.deep.rows import ArrayRows, TrainingRows
from pyhash.methods.contract import check_equally_many, check_views
from pyhash.methods.parts.feature_maps import Standardizing, check_rows, fitted_copy


@dataclass(frozen=True)
class ArrayViews:
    """Arrays by modality."""

    views: dict[str, ArrayView]
    eval_transform: Mapping[str, Transform]

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return list(self.views)

    @property
    def n(self) -> int:
        """Number of rows."""
        return next(iter(self.views.values())).n

    def close(self) -> None:
        """Arrays need no closing, unlike the rows of a DataLoader."""


def open_views(
    views: Any, backbones: Collection[str], transform: Mapping[str, Transform], eval_transform: Mapping[str, Transform]
) -> LoaderRows | ArrayViews:
    """Return the rows of a DataLoader, or arrays by modality, their shapes checked."""
    if isinstance(views, DataLoader):
        return LoaderRows(views, backbones, transform, eval_transform)
    if not isinstance(views, Mapping) or not views or not all(isinstance(name, str) for name in views):
        check_views(views, {})  # raises
    # Anything may be behind a transform, or before a backbone.
    free = {name for name in views if name in backbones or name in transform or name in eval_transform}
    plain = {name: view for name, view in views.items() if name not in free}
    checked = check_views(plain, {}) if plain else {}
    opened = {}
    for name, view in views.items():
        what = f"views[{name!r}]"
        values = (
            checked[name] if name in plain else open_values(what, view, name in transform or name in eval_transform)
        )
        opened[name] = ArrayView(what, name, values, name in backbones, None, eval_transform.get(name))
    check_equally_many(opened)
    arrays = ArrayViews(opened, eval_transform)
    if arrays.n == 0:
        raise ValueError("views must have at least one row, got none")
    return arrays


def open_values(what: str, view: Any, is_transformed: bool) -> Any:
    """Return arrays of what a backbone takes, or the items that a transform takes."""
    return list(view) if is_transformed and isinstance(view, (list, tuple)) else as_values(what, view)


def fit_maps(opened: LoaderRows | ArrayViews, maps: Mapping[str, Any], standardized: Collection[str]) -> dict[str, Any]:
    """Return copies of feature maps, fitted on all rows.

    Parameters
    ----------
    maps : mapping of str to feature map or None
        By modality.
    standardized : collection of str
        Modalities whose features are standardized if they are dense.
    """
    if isinstance(opened, LoaderRows):
        for name, feature_map in maps.items():
            if feature_map is not None:
                raise ValueError(f"feature_maps must be None where views are a DataLoader, got one for {name!r}")
        return dict(maps)
    fitted = {}
    for name, view in opened.views.items():
        feature_map, what, rows = maps[name], view.what, view.values
        if name in standardized and not is_bag_of_words(rows):
            feature_map = Standardizing()
        if feature_map is not None:
            if view.transform is not None or isinstance(rows, (Mapping, list)):
                raise ValueError(
                    f"feature_maps must be None for dicts and for items with a transform, got one for {name!r}"
                )
            rows = flattened(rows)
            check_rows(what, rows)  # before the map is fitted on them
        fitted[name] = fitted_copy(what, feature_map, rows)
    return fitted


def rows_of(
    opened: LoaderRows | ArrayViews, maps: Mapping[str, Any], transform: Mapping[str, Transform]
) -> TrainingRows:
    """Return training rows, with fitted feature maps."""
    if isinstance(opened, LoaderRows):
        return opened
    return ArrayRows(
        {name: dataclasses.replace(view, feature_map=maps[name]) for name, view in opened.views.items()}, transform
    )
