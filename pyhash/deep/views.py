"""Views as the user gives them to ``fit``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from pyhash._inputs.checks import as_rows, is_sparse
from pyhash.deep.loader_rows import LoaderRows
from pyhash.deep.networks.inputs import is_bag_of_words
from pyhash.methods.contract import check_views, n_rows_of
from pyhash.methods.parts.feature_maps import Standardizing, check_rows, fitted_copy

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class FlatViews:
    """Arrays with one row of numbers for each sample, and the shapes that samples have."""

    rows: dict[str, Features]
    shapes: dict[str, tuple[int, ...]]

    @property
    def n(self) -> int:
        """Number of samples."""
        return n_rows_of(self.rows)


def open_views(views: Any, pictures: Collection[str]) -> LoaderRows | FlatViews:
    """Return the rows of a DataLoader, or arrays, checked; modalities in `pictures` may have more than two axes."""
    if isinstance(views, DataLoader):
        return LoaderRows(views, pictures)
    if not isinstance(views, Mapping):
        return FlatViews(check_views(views, {}), {})  # raises
    flat, shapes = {}, {}
    for name, view in views.items():
        rows = as_rows(f"views[{name!r}]", view) if name in pictures else view
        if name in pictures and not is_sparse(rows) and rows.ndim > 2:
            shapes[name] = tuple(rows.shape[1:])
            rows = rows.reshape(rows.shape[0], -1)
        flat[name] = rows
    checked = check_views(flat, {})
    return FlatViews(checked, {name: shapes.get(name, (int(x.shape[1]),)) for name, x in checked.items()})


def fit_maps(views: LoaderRows | FlatViews, maps: Mapping[str, Any], standardized: Collection[str]) -> dict[str, Any]:
    """Return copies of feature maps, fitted on all rows.

    Parameters
    ----------
    maps : mapping of str to feature map or None
        By modality.
    standardized : collection of str
        Modalities whose features are standardized if they are dense.
    """
    if isinstance(views, LoaderRows):
        for name, feature_map in maps.items():
            if feature_map is not None:
                raise ValueError(f"feature_maps must be None where views are a DataLoader, got one for {name!r}")
        return dict(maps)
    fitted = {}
    for name, rows in views.rows.items():
        feature_map = maps[name]
        if name in standardized and not is_bag_of_words(rows):
            feature_map = Standardizing()
        if feature_map is not None:
            check_rows(f"views[{name!r}]", rows)  # before the map is fitted on them
        fitted[name] = fitted_copy(f"views[{name!r}]", feature_map, rows)
    return fitted
