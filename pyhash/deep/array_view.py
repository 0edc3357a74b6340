"""Rows of one modality in arrays, as the user has them, and how they become inputs of networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import default_collate

from pyhash._inputs.checks import as_rows, check_features, check_finite, check_numeric, is_sparse, shape_of_features
from pyhash._inputs.labels import name_rows
from pyhash.deep.networks.inputs import (
    Input,
    InputSpec,
    TensorSpec,
    as_float32,
    is_bag_of_words,
    is_picture,
    make_input,
    scaled_pictures,
)
from pyhash.methods.parts.feature_maps import apply_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhash._inputs.checks import Features

Transform: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class ArrayView:
    """Rows of one modality.

    Parameters
    ----------
    what : str
        Its name in errors.
    modality : str
    values : array or csr_array of shape (n, ...), dict of such arrays, or list of n items
        Lists are of items that `transform` takes.
    has_backbone : bool
        Without, the rows are features.
    feature_map : feature map or None
        Fitted; applied to features, or to what a backbone takes.
    transform : callable or None
        Applied to every item, before all else.
    """

    what: str
    modality: str
    values: Any
    has_backbone: bool
    feature_map: Any = None
    transform: Transform | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return n_rows_in(self.values)

    @property
    def shape(self) -> tuple[int]:
        """Shape of the view as one of objects, one a row."""
        return (self.n,)

    def inputs(self, rows: slice | NDArray[np.int64], first_row: int = 0, *, as_bags: bool | None = None) -> Input:
        """Return some rows as networks take them; `first_row` is the number of the first in the user's data.

        Without `as_bags`, whether features become bags of words depends on them.
        """
        if self.has_backbone:
            return backbone_input(self.what, self._mapped(self._taken(rows)), first_row)
        features = self.features(rows, first_row)
        return make_input(features, is_bag_of_words(features) if as_bags is None else as_bags)

    def features(self, rows: slice | NDArray[np.int64], first_row: int = 0) -> Features:
        """Return features (n, d) of some rows, checked and mapped, as float32."""
        return float32_rows(self.what, self.modality, self._taken(rows), self.feature_map, first_row)

    def _taken(self, rows: slice | NDArray[np.int64]) -> Any:
        """Return some rows as arrays, transformed."""
        if self.transform is None and not isinstance(self.values, list):
            return taken(self.values, rows)
        chosen = range(self.n)[rows] if isinstance(rows, slice) else rows
        items = [item_of(self.values, int(i)) for i in chosen]
        return default_collate(items if self.transform is None else [self.transform(item) for item in items])

    def _mapped(self, values: Any) -> Any:
        """Return what a backbone takes, mapped."""
        if self.feature_map is None:
            return values
        flat = as_rows(self.what, values)
        shape = flat.shape
        mapped = float32_rows(self.what, self.modality, flattened(flat), self.feature_map)
        if mapped.shape[1] != math.prod(shape[1:]):
            raise ValueError(
                f"feature_maps[{self.modality!r}] must keep the number of features where there is a backbone, "
                f"{math.prod(shape[1:])}, got {mapped.shape[1]}"
            )
        return (mapped.toarray() if is_sparse(mapped) else mapped).reshape(shape)


def as_values(what: str, value: object) -> Any:
    """Return what a backbone or a transform takes as arrays, or dicts of arrays, with equally many rows."""
    if isinstance(value, Mapping):
        if not value:
            raise ValueError(f"{what} must hold at least one array, got an empty dict")
        values = {str(name): as_values(f"{what}[{name!r}]", part) for name, part in value.items()}
        if len({n_rows_in(part) for part in values.values()}) > 1:
            shown = ", ".join(f"{name!r} has {n_rows_in(part)}" for name, part in values.items())
            raise ValueError(f"{what} must have equally many rows, {shown}")
        return values
    rows = as_rows(what, value)
    if rows.ndim == 0:
        raise ValueError(f"{what} must have rows, got a number")
    return rows


def n_rows_in(values: Any) -> int:
    """Return the number of rows of arrays, of dicts of arrays, or of a list."""
    if isinstance(values, Mapping):
        return n_rows_in(next(iter(values.values())))
    return len(values) if isinstance(values, Sequence) else int(values.shape[0])


def taken(values: Any, rows: slice | NDArray[np.int64]) -> Any:
    """Return some rows of arrays, or of dicts of arrays."""
    if isinstance(values, Mapping):
        return {name: taken(part, rows) for name, part in values.items()}
    return values[rows]


def item_of(values: Any, row: int) -> Any:
    """Return a row of numbers as a tensor, of dicts of arrays as a dict of tensors, of anything else as it is."""
    if isinstance(values, Mapping):
        return {name: item_of(part, row) for name, part in values.items()}
    if isinstance(values, Sequence) or values.dtype.kind not in "biufc":
        return values[row]
    item = values[[row]].toarray()[0] if is_sparse(values) else values[row]
    return torch.from_numpy(np.array(item))


def flattened(rows: Features) -> Features:
    """Return rows of more axes as vectors."""
    return rows if is_sparse(rows) or rows.ndim <= 2 else rows.reshape(rows.shape[0], math.prod(rows.shape[1:]))


def rows_of_shape(what: str, rows: object, spec: InputSpec) -> Features:
    """Return features with one axis a row, which the user gives in the shape of a specification."""
    features = as_rows(what, rows)
    if not isinstance(spec, TensorSpec) or len(spec.shape) < 2:
        return features
    if is_sparse(features) or features.shape[1:] != spec.shape:
        raise ValueError(f"{what} must have shape (n, {', '.join(map(str, spec.shape))}), got {features.shape}")
    return flattened(features)


def backbone_input(what: str, values: Any, first_row: int = 0) -> Input:
    """Return what a backbone takes: tensors with the shapes and dtypes that the user gives.

    Floating values are checked and become float32. Pictures of 8 bits are scaled to [0, 1].
    """
    if isinstance(values, Mapping):
        return {str(name): backbone_input(f"{what}[{name!r}]", part, first_row) for name, part in values.items()}
    rows = as_rows(what, values)
    check_numeric(what, rows)
    if is_sparse(rows):
        rows = rows.toarray()
    if rows.dtype == np.uint8 and is_picture(rows.shape):
        rows = scaled_pictures(rows)
    elif rows.dtype.kind == "f":
        check_finite(what, rows, first_row)
        converted = as_float32(rows)
        _refuse_overflow(what, converted, first_row)
        rows = converted
    if not rows.dtype.isnative:
        rows = rows.astype(rows.dtype.newbyteorder("="))
    return make_input(rows, as_bags=False)


def float32_rows(what: str, modality: str, rows: Features, feature_map: Any, first_row: int = 0) -> Features:
    """Return features as float32, checked and mapped; `first_row` is the number of the first in the user's data."""
    rows = as_rows(what, rows)
    shape_of_features(what, rows)
    checked = check_features(what, rows, first_row, keep_float32=feature_map is None)
    converted = as_float32(apply_map(what, modality, feature_map, checked))
    _refuse_overflow(what, converted, first_row)
    return converted


def _refuse_overflow(what: str, converted: Features, first_row: int) -> None:
    if not np.isfinite(converted.data if is_sparse(converted) else converted).all():
        dense = converted.toarray() if is_sparse(converted) else converted
        too_large = np.flatnonzero(~np.isfinite(dense).all(axis=tuple(range(1, dense.ndim))))
        raise ValueError(
            f"{what} must have values that float32 can hold, got larger ones in {name_rows(too_large, first_row)}"
        )
