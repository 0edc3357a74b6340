"""Rows of feature matrices in .npz and .mat files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_choice, shape_of_features
from pyhash.cli.columns import Columns
from pyhash.cli.rows import Rows, RowSource
from pyhash.datasets import Dataset, load_mat, load_npz
from pyhash.datasets.npz import read_arrays

SUFFIXES = (".npz", ".mat")


class DatasetRows(RowSource):
    """Rows of a data set, all or those of one side of a split.

    `views` are the arrays of modalities, by default all views of the data set. `modalities`, those of a folder, may be
    arrays of a file that has no labels. `known` are the names that the folder keeps, for those that are not given.
    """

    def __init__(
        self,
        path: Path,
        *,
        views: Mapping[str, str] | None,
        labels: str | None,
        ids: str | None,
        payload: Sequence[str] | None,
        modalities: Sequence[str] | None,
        known: Columns,
        split: str | None,
        queries: bool,
    ) -> None:
        self.name = str(path)
        self._ids = None
        self._labels = None
        items: dict[str, Any] = {}
        splits: Mapping[str, NDArray[np.bool_]] = {}
        data = _data_set(path, views, labels, known)
        if data is None:
            named, self._views, n = _bare_arrays(path, views, modalities or (), known)
            self.columns = Columns(named, None, ids)
        else:
            # A view has its own name, or the modality's where the arrays of a file were named.
            named = dict(views or {})
            if views is None:
                named = {name: name for name in data.views if modalities is None or name in modalities}
                named.update(known.views if modalities is not None else {})
                named = {modality: name for modality, name in named.items() if {modality, name} & set(data.views)}
            self._views = {m: data.views[name if name in data.views else m] for m, name in named.items()}
            n, splits = len(data), data.splits
            kind, name = _labels_kind(data, labels, known)
            self._labels = label_objects(data.labels[kind], data.label_names.get(kind))
            items = {item: values.tolist() for item, values in data.items.items()}
            if ids is not None:
                self._ids = data.items[check_choice("--ids", ids, tuple(data.items))]
            items[name] = self._labels
            self.columns = Columns(named, name, ids)
        self.kinds = dict.fromkeys(self._views, "features")
        if payload is not None:
            items = {name: items[check_choice("--payload", name, tuple(items))] for name in payload}
        self._payload = items
        self._rows = np.arange(n)
        if split is not None:
            self._rows = np.flatnonzero(splits[check_choice("--split", split, tuple(splits))] == queries)
        self.n_rows = len(self._rows)

    def chunks(self, size: int) -> Iterator[Rows]:
        """Yield the rows in order."""
        for start in range(0, len(self._rows), size):
            rows = self._rows[start : start + size]
            yield Rows(
                {name: view[rows] for name, view in self._views.items()},
                None if self._labels is None else self._labels[rows],
                None if self._ids is None else self._ids[rows],
                {name: payload_values([values[i] for i in rows]) for name, values in self._payload.items()},
            )


def _data_set(path: Path, views: Mapping[str, str] | None, labels: str | None, known: Columns) -> Dataset | None:
    """Return the data set of a file; None for an .npz file that is none, whose arrays may be views without labels."""
    is_npz = path.suffix.lower() == ".npz"
    load = load_npz if is_npz else load_mat
    try:
        data = load(path)
        if views is None or set(views.values()) <= set(data.views):
            return data
        failed = ValueError(f"--view must name views of {path}, {', '.join(data.views)}, got {views}")
    except ValueError as error:
        failed = error
    names, kind = views or known.views, labels or known.labels
    if names and kind is not None:
        try:
            return load(path, names={**names, "labels": kind})
        except ValueError:
            if views is not None and labels is not None:
                raise
    if not is_npz or labels is not None:
        raise failed
    return None


def _bare_arrays(
    path: Path, views: Mapping[str, str] | None, modalities: Sequence[str], known: Columns
) -> tuple[dict[str, str], dict[str, NDArray[Any]], int]:
    """Return the names of arrays by modality, the arrays, and their number of rows.

    Without `views`, arrays have known names or those of the modalities, and the file may lack some.
    """
    stored = read_arrays(path)
    if views is None:
        names = {modality: [known.views.get(modality), modality] for modality in modalities}
        named = {
            modality: name for modality in names for name in names[modality] if name is not None and name in stored
        }
    else:
        named = dict(views)
    if not named or not set(named.values()) <= set(stored):
        raise ValueError(
            f"{path} must be a data set with labels, or hold arrays of features that --view MODALITY=ARRAY names, "
            f"got the arrays {', '.join(stored)}"
        )
    arrays = {modality: stored[name] for modality, name in named.items()}
    n_rows = {modality: shape_of_features(modality, array)[0] for modality, array in arrays.items()}
    if len(set(n_rows.values())) > 1:
        shown = ", ".join(f"{modality} has {n}" for modality, n in n_rows.items())
        raise ValueError(f"{path} must have equally many rows in all arrays, {shown}")
    return named, arrays, next(iter(n_rows.values()))


def _labels_kind(data: Dataset, labels: str | None, known: Columns) -> tuple[str, str]:
    """Return the kind of labels, and its name: those asked for, or known, the finest of a hierarchy, or the first."""
    kinds = tuple(data.labels)
    if labels is not None:
        # A file whose arrays were named has one kind of labels, which goes by the name of its array.
        return (
            kinds[0] if labels not in kinds and len(kinds) == 1 else check_choice("--labels", labels, kinds)
        ), labels
    if known.labels in kinds:
        return known.labels, known.labels
    kind = data.layers[-1] if data.layers else kinds[0]
    return kind, known.labels if known.labels is not None and len(kinds) == 1 else kind


def label_objects(labels: NDArray[Any], names: Sequence[str] | None) -> NDArray[np.object_]:
    """Return class indices, or a matrix of 0/1, as the name of each row's class, or the set of its names."""
    objects = np.empty(len(labels), dtype=object)
    n_classes = int(labels.max(initial=-1)) + 1 if labels.ndim == 1 else labels.shape[1]
    known: Sequence[Any] = range(n_classes) if names is None else names
    for i, row in enumerate(labels):
        if labels.ndim == 1:
            objects[i] = known[row] if row >= 0 else None
        else:
            objects[i] = frozenset(known[c] for c in np.flatnonzero(row).tolist()) or None
    return objects


def payload_values(values: Iterable[Any]) -> list[Any]:
    """Return values as a payload takes them: sets as sorted lists."""
    return [sorted(value) if isinstance(value, frozenset) else value for value in values]
