"""Transforms of items: for training, and for all that is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from pyhash.deep.array_view import Transform


def check_transforms(name: str, value: object) -> dict[str, Transform]:
    """Return transforms by modality; those of None are left out."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of modality names to functions, got {type(value).__name__}")
    for modality, transform in value.items():
        if transform is not None and not callable(transform):
            raise TypeError(f"{name}[{modality!r}] must be a function of an item, got {type(transform).__name__}")
    return {modality: transform for modality, transform in value.items() if transform is not None}


class Place(NamedTuple):
    """The number of an item, and whether it is read for training."""

    row: int
    is_trained: bool


class TransformedItems(Dataset[Any]):
    """A data set that gives each item as it is evaluated and, where it is trained on, as it is trained on.

    It runs in the worker processes of a DataLoader.
    """

    def __init__(
        self, dataset: Dataset[Any], transform: Mapping[str, Transform], eval_transform: Mapping[str, Transform]
    ) -> None:
        self._dataset = dataset
        self._transform = transform
        self._eval_transform = eval_transform

    def __getitem__(self, place: Place) -> tuple[Any, Any]:
        return self._both(self._dataset[place.row], place)

    def __getitems__(self, places: Sequence[Place]) -> list[tuple[Any, Any]]:
        together = getattr(self._dataset, "__getitems__", None)
        rows = [place.row for place in places]
        items = [self._dataset[row] for row in rows] if together is None else together(rows)
        return [self._both(item, place) for item, place in zip(items, places, strict=True)]

    def _both(self, item: Any, place: Place) -> tuple[Any, Any]:
        evaluated = _transformed(item, self._eval_transform)
        return evaluated, _transformed(item, self._transform) if place.is_trained else None


class CollatedBoth:
    """A collate function of pairs of items, which collates the first and the second ones by themselves."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, items: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Return the batch to evaluate, and the batch to train on or None."""
        evaluated, trained = (list(part) for part in zip(*items, strict=True))
        return self._collate(evaluated), None if trained[0] is None else self._collate(trained)


def _transformed(item: Any, transforms: Mapping[str, Transform]) -> Any:
    views = views_of_item(item)
    changed = {name: transforms[name](value) if name in transforms else value for name, value in views.items()}
    return (changed, *item[1:]) if isinstance(item, (tuple, list)) else changed


def views_of_item(item: Any) -> Mapping[str, Any]:
    """Return the views of an item, or of a batch, of a data set: itself, or the first of (views, label)."""
    views = item[0] if isinstance(item, (tuple, list)) and item else item
    if not isinstance(views, Mapping) or not all(isinstance(name, str) for name in views):
        raise TypeError(
            "views must be a DataLoader whose items are mappings of modality names to rows, or (mapping, label), "
            f"got items of {type(views).__name__}"
        )
    return views
