"""Labels that methods of a comparison learn, which may be others than those of relevance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_choice
from pyhash._inputs.labels import count_class_indices, one_hot
from pyhash.comparison.joined_names import JOIN, split_names
from pyhash.datasets.dataset import Dataset

# The finest layer of a hierarchy.
_FINEST = "hierarchy"


@dataclass(frozen=True)
class LearnedLabels:
    """One kind of labels, or several that are learned together as if they were one."""

    kinds: tuple[str, ...]
    layers: tuple[str, ...]  # of the hierarchy whose finest layer the only kind is; else empty

    @property
    def name(self) -> str:
        """Kinds joined by a plus."""
        return JOIN.join(self.kinds)

    def hierarchy(self, data: Dataset) -> list[NDArray[Any]] | None:
        """Return the parents between the layers; None unless these labels are the finest layer of a hierarchy."""
        return list(data.hierarchy) if self.layers else None

    def matrix(self, data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the labels of rows as a 0/1 matrix: the columns of all classes of each kind, side by side."""
        matrices = []
        for kind in self.kinds:
            labels = data.labels[kind][rows]
            # The rows of a chunk may lack some classes.
            matrices.append(one_hot(labels, count_labels(data, kind)) if labels.ndim == 1 else labels != 0)
        return np.hstack(matrices)

    def known(self, data: Dataset) -> NDArray[np.bool_]:
        """Return a mask of the rows of the data set that have a label in every layer, or in one of the kinds."""
        known: NDArray[np.bool_]
        if self.layers:
            known = np.logical_and.reduce([has_label(data, layer) for layer in self.layers])
        else:
            known = np.logical_or.reduce([has_label(data, kind) for kind in self.kinds])
        return known


def choose_labels(argument: str, data: Dataset, labels: str | None) -> LearnedLabels:
    """Return the labels to learn by their names; errors name `argument`."""
    kinds: tuple[str, ...]
    if labels is None:
        kinds = (data.layers[-1] if data.layers else next(iter(data.labels)),)
    else:
        kinds = tuple(_choose_kind(argument, data, kind) for kind in _split(argument, data, labels))
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"{argument} must name each kind of labels once, got {labels!r}")
    is_finest = bool(data.hierarchy) and kinds == data.layers[-1:]
    return LearnedLabels(kinds, data.layers if is_finest else ())


def choose_relevance(data: Dataset, relevance: str | None, labels: LearnedLabels) -> str:
    """Return the kind of labels that say what is relevant; by default those learned, or their finest layer."""
    if relevance is not None:
        if not isinstance(relevance, str):
            raise TypeError(f"relevance must be the name of one kind of labels, got {type(relevance).__name__}")
        return _choose_kind("relevance", data, relevance)
    if len(labels.kinds) == 1:
        return labels.kinds[0]
    if data.hierarchy and data.layers[-1] in labels.kinds:
        return data.layers[-1]
    raise ValueError(
        f"relevance must name one kind of labels where several are learned and the finest layer of a hierarchy is not "
        f"among them, got labels {labels.name!r}"
    )


def count_labels(data: Dataset, kind: str) -> int:
    """Return the number of classes of a kind of labels."""
    array = data.labels[kind]
    if array.ndim == 2:
        return int(array.shape[1])
    n_named = len(data.label_names.get(kind, ()))
    if int(array.max(initial=-1)) < n_named:
        return n_named
    return count_class_indices(f"labels[{kind!r}]", array, hint=", name them in label_names")


def has_label(data: Dataset, kind: str) -> NDArray[np.bool_]:
    """Return a mask of the rows of the data set that have a label of a kind."""
    array = data.labels[kind]
    known: NDArray[np.bool_] = np.ones(len(data), dtype=bool) if array.ndim == 1 else (array != 0).any(axis=1)
    return known


def _split(argument: str, data: Dataset, labels: str) -> tuple[str, ...]:
    """Return the kinds that a plus joins; the name of a kind may hold a plus itself."""
    if not isinstance(labels, str):
        raise TypeError(f"{argument} must be names of labels joined by {JOIN!r}, got {type(labels).__name__}")
    return split_names(labels, data.labels)


def _choose_kind(argument: str, data: Dataset, kind: str) -> str:
    if kind == _FINEST and kind not in data.labels:
        if not data.hierarchy:
            known = ", ".join(map(repr, data.labels))
            raise ValueError(f"{argument} must be among {known}: {data.name!r} has no hierarchy")
        return data.layers[-1]
    return check_choice(argument, kind, tuple(dict.fromkeys((_FINEST, *data.labels))))
