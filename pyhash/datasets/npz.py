"""Data sets in .npz files: the names of arrays tell their meaning. No pickle."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file
from pyhash._inputs.checks import check_finite, check_finite_sparse, is_sparse
from pyhash._inputs.labels import check_class_indices, check_label_matrix
from pyhash._inputs.paths import check_path
from pyhash._inputs.sparse import checked_sparse
from pyhash.datasets.dataset import Dataset
from pyhash.datasets.layouts import SAY_WHICH, Source, Variable, dataset_of

_SPARSE = ("data", "indices", "indptr", "shape")
_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"\x93NUM")  # of an archive, an empty one, and a single array
_NAMED = ("views", "labels", "label_names", "splits", "items")
_GROUPS = (*_NAMED, "hierarchy")


def load_npz(path: str | os.PathLike[str], names: Mapping[str, str] | None = None) -> Dataset:
    """Read a data set from an .npz file written by ``save_npz`` or ``numpy.savez``.

    Parameters
    ----------
    path : path-like
        Of its arrays,

        - ``views.NAME`` are features (n, n_features), or in four arrays ``views.NAME.data``, ``.indices``, ``.indptr``
          and ``.shape`` a sparse matrix by rows,
        - ``labels`` or ``labels.NAME`` are class indices (n,) or 0/1 (n, c); plain ``labels`` go by the name "classes",
        - ``query`` or ``splits.NAME`` are boolean (n,), True for queries; plain ``query`` goes by that name,
        - ``hierarchy.0``, ``hierarchy.1``, ... are the parents of each layer (c_{k+1},) or 0/1 (c_k, c_{k+1}), and
          ``layers`` the names of labels that form it, coarse to fine, by default all in the order of the file,
        - ``items.NAME`` (n,), ``label_names.NAME``, ``vocabulary`` and ``name`` are optional,
        - ``instances`` is the NAME of the items that say which thing a row shows.
    names : mapping of str to str, optional
        For other files, the arrays of the views and of the labels: ``{"image": "X", "text": "Y", "labels": "L"}``. As
        in ``load_mat``, samples may be columns, and class numbers become indices from 0.

    Returns
    -------
    Dataset

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is damaged, or holds Python objects.
    ValueError
        If arrays are missing, or do not fit together.
    ValueError
        If labels are neither class indices nor 0/1.
    ValueError
        If names of classes are fewer than the classes.
    TypeError
        If `names` is not a mapping of str to str.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mine.npz")
    ...     np.savez(path, X=np.ones((6, 4)), Y=np.eye(6), L=np.array([0, 0, 1, 2, 2, 2]))
    ...     load_npz(path, names={"image": "X", "text": "Y", "labels": "L"})
    Dataset('mine', 6 rows; views: image 4, text 6; labels: classes)
    """
    path = check_path("path", path)
    source = _NpzSource(path, read_arrays(path))
    if names is not None:
        return dataset_of(source, None, names)
    return _dataset_of_members(source)


def save_npz(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set to an .npz file, whole or not at all; ``load_npz`` reads it.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    dataset : Dataset
        Arrays keep their dtypes; equal data sets give equal bytes.

    Raises
    ------
    TypeError
        If an array holds Python objects, or `dataset` is not a Dataset.
    ValueError
        If a file cannot hold a name, or the name of a view reads like a part of a sparse one, such as "image.data".
    ValueError
        If labels are neither class indices nor 0/1, so that ``load_npz`` would refuse the file.
    ValueError
        If features are not finite.
    OSError
        If the file cannot be written; an existing one is then as it was.

    Examples
    --------
    >>> import os, tempfile
    >>> from pyhash.datasets import make_hierarchical
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mine.npz")
    ...     save_npz(path, make_hierarchical(100))
    ...     load_npz(path)
    Dataset('hierarchical', 100 rows; views: image 64, text 128; labels: level1, level2)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a Dataset, got {type(dataset).__name__}")
    for key, view in dataset.views.items():
        name = f"views[{key!r}]"
        check_finite_sparse(name, view, 0) if is_sparse(view) else check_finite(name, view)
    members = _members(dataset)
    for name, array in members.items():
        if array.dtype.hasobject:
            raise TypeError(f"dataset must hold numbers and texts, got Python objects in {name}")
    _check_names(dataset, _dataset_of_members(_NpzSource(check_path("path", path), members)))
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's own date, 1980, keeps the clock out of the file.
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _members(dataset: Dataset) -> dict[str, NDArray[Any]]:
    for kind in _NAMED:
        if "" in getattr(dataset, kind):
            raise ValueError(f"dataset must have {kind} with names that a file can hold, got ''")
    members: dict[str, Any] = {"name": np.array(dataset.name, dtype=np.str_)}
    for key, view in dataset.views.items():
        if str(key).rpartition(".")[2] in _SPARSE:
            raise ValueError(f"dataset must have views whose names do not end in {', '.join(_SPARSE)}, got {key!r}")
        if is_sparse(view):
            by_rows = view.tocsr()
            members |= {f"views.{key}.{part}": getattr(by_rows, part) for part in _SPARSE}
        else:
            members[f"views.{key}"] = view
    members |= {f"labels.{key}": labels for key, labels in dataset.labels.items()}
    members |= {f"label_names.{key}": np.array(names, dtype=np.str_) for key, names in dataset.label_names.items()}
    members |= {f"hierarchy.{k}": parents for k, parents in enumerate(dataset.hierarchy)}
    members["layers"] = np.array(dataset.layers, dtype=np.str_)
    members |= {f"splits.{key}": mask for key, mask in dataset.splits.items()}
    members |= {f"items.{key}": item for key, item in dataset.items.items()}
    members["vocabulary"] = np.array(dataset.vocabulary, dtype=np.str_)
    if dataset.instances is not None:
        members["instances"] = np.array(dataset.instances, dtype=np.str_)
    return {name: np.asarray(array) for name, array in members.items()}


def _check_names(dataset: Dataset, read: Dataset) -> None:
    """Raise for names that a file would lose; `read` is the data set that would be read back."""
    for kind in _NAMED:
        for key in getattr(dataset, kind):
            if not isinstance(key, str) or key not in getattr(read, kind) or "\0" in key or not _is_text(key):
                raise ValueError(f"dataset must have {kind} with names that a file can hold, got {key!r}")


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return True


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file; raise ValueError if it is damaged, or holds Python objects."""
    with open(path, "rb") as file:
        try:
            if file.read(4) not in _STARTS:  # numpy would take it for a pickle
                raise ValueError("it is no zip archive")
            file.seek(0)
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("it is a single array")
            with stored:
                arrays = {name: stored[name] for name in stored.files}
        except Exception as error:  # a damaged archive fails in many ways: zip, npy, text, memory
            why = "it holds Python objects" if "allow_pickle" in str(error) else error or type(error).__name__
            raise ValueError(f"{path} is not a whole .npz file of arrays: {why}") from error
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


class _NpzSource(Source):
    """Arrays of an .npz file; the four arrays of a sparse matrix are one variable."""

    def __init__(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.path = path
        self.arrays = arrays
        stems = [name.removesuffix(".indptr") for name in self.arrays if name.endswith(".indptr")]
        self._sparse = [stem for stem in stems if all(f"{stem}.{part}" in self.arrays for part in _SPARSE)]
        stem_of = {f"{stem}.{part}": stem for stem in self._sparse for part in _SPARSE}
        self.variables = {}  # in the order of the file
        for name, array in self.arrays.items():
            if name in stem_of:
                self.variables[stem_of[name]] = Variable("sparse", self._sparse_shape(stem_of[name]))
            elif name not in self._sparse:
                self.variables[name] = Variable("texts" if array.dtype.kind in "US" else "numbers", array.shape)

    def _sparse_shape(self, stem: str) -> tuple[int, int]:
        shape = self.arrays[f"{stem}.shape"]
        if shape.shape != (2,) or shape.dtype.kind not in "iu":
            raise ValueError(
                f"{self.path}: {stem}.shape must be two integers, got {shape.dtype} of shape {shape.shape}"
            )
        return int(shape[0]), int(shape[1])

    def read(self, name: str) -> Any:
        if name not in self._sparse:
            return self.arrays[name]
        data, indices, indptr = (self.arrays[f"{name}.{part}"] for part in _SPARSE[:3])
        try:
            return checked_sparse("csr", data, indices, indptr, self._sparse_shape(name))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: {name} is not a sparse matrix by rows: {error}") from error


def _dataset_of_members(source: _NpzSource) -> Dataset:
    groups: dict[str, dict[str, str]] = {group: {} for group in _GROUPS}
    for name in source.variables:
        group, _, key = name.partition(".")
        if key and group in groups:
            groups[group][key] = name
    plain = [("labels", "classes", "labels"), ("splits", "query", "query")]
    groups_of = {name: (group, key) for group, key, name in plain if name in source.variables}
    for name, (group, key) in groups_of.items():
        groups[group].setdefault(key, name)
    if not groups["views"] or not groups["labels"]:
        raise ValueError(
            f"{source.path} must have arrays views.NAME and labels or labels.NAME, got {source.describe()}. {SAY_WHICH}"
        )
    views = {key: source.matrix(name) for key, name in groups["views"].items()}
    labels = {key: _labels(source, name) for key, name in groups["labels"].items()}
    splits = {key: _mask(source, name) for key, name in groups["splits"].items()}
    items = {key: source.read(name) for key, name in groups["items"].items()}
    n_rows = {
        groups[group][key]: array.shape[0] if array.ndim else None
        for group, arrays in (("views", views), ("labels", labels), ("splits", splits), ("items", items))
        for key, array in arrays.items()
    }
    if len(set(n_rows.values())) > 1:
        shown = ", ".join(f"{name} has {'none' if n is None else n}" for name, n in n_rows.items())
        raise ValueError(f"{source.path} must have equally many rows in all arrays, {shown}")
    hierarchy = _hierarchy(source, groups["hierarchy"])
    layers = _layers(source, labels, hierarchy)
    parts = {
        "views": views,
        "labels": labels,
        "label_names": {key: _texts(source, groups["label_names"], key, labels[key]) for key in labels},
        "hierarchy": hierarchy,
        "layers": layers,
        "splits": splits,
        "items": items,
        "vocabulary": source.arrays["vocabulary"].tolist() if "vocabulary" in source.arrays else [],
        "instances": str(source.arrays["instances"]) if "instances" in source.arrays else None,
    }
    try:
        return Dataset(str(source.arrays["name"]) if "name" in source.arrays else source.path.stem, **parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source.path}: {error}") from None


def _labels(source: _NpzSource, name: str) -> NDArray[Any]:
    labels = source.read(name)
    labels = labels.toarray() if is_sparse(labels) else labels
    try:
        check_class_indices(name, labels) if labels.ndim == 1 else check_label_matrix(name, labels)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source.path}: {error}") from None
    return np.asarray(labels)


def _mask(source: _NpzSource, name: str) -> NDArray[np.bool_]:
    mask = source.read(name)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise ValueError(f"{source.path}: {name} must be boolean (n,), got {mask.dtype} of shape {mask.shape}")
    return np.asarray(mask)


def _hierarchy(source: _NpzSource, stored: Mapping[str, str]) -> list[NDArray[np.int64]]:
    keys = [str(k) for k in range(len(stored))]
    if set(keys) != set(stored):
        raise ValueError(
            f"{source.path} must number its hierarchy {', '.join(f'hierarchy.{k}' for k in keys)}, "
            f"got {', '.join(sorted(stored.values()))}"
        )
    return [_labels(source, stored[key]) for key in keys]


def _layers(
    source: _NpzSource, labels: Mapping[str, NDArray[Any]], hierarchy: list[NDArray[np.int64]]
) -> tuple[str, ...]:
    default = tuple(labels) if hierarchy else tuple(labels)[:1]
    layers = tuple(source.arrays["layers"].tolist()) if "layers" in source.arrays else default
    if len(layers) != len(hierarchy) + 1 or not set(layers) <= set(labels):
        raise ValueError(
            f"{source.path} must have one kind of labels for each of the {len(hierarchy) + 1} layers of its hierarchy, "
            f"got layers {', '.join(layers)} and labels {', '.join(labels)}; an array layers names them"
        )
    return layers


def _texts(source: _NpzSource, stored: Mapping[str, str], key: str, labels: NDArray[Any]) -> list[str]:
    """Return names of classes; numbered ones if the file has none."""
    if key in stored:
        return [str(name) for name in source.read(stored[key]).ravel()]
    n_classes = labels.shape[1] if labels.ndim == 2 else int(labels.max(initial=-1)) + 1
    return [f"class.{c}" for c in range(n_classes)]
