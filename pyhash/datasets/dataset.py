"""A cross-modal data set: views, labels, splits, and streams of chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import (
    as_array,
    as_rows,
    check_choice,
    check_integer,
    check_numeric,
    is_iterable,
    is_sparse,
    listed,
    shape_of_features,
)
from pyhash._inputs.chunks import Remainder, check_remainder, cut
from pyhash._inputs.ids import check_instance_ids
from pyhash._inputs.labels import check_class_indices, check_label_matrix

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class Chunk:
    """Some rows of a data set.

    Attributes
    ----------
    rows : ndarray of shape (n,), int64
        Positions in the data set.
    views : dict of str to array or csr_array
        Features by modality.
    labels : list of ndarray, or ndarray
        For labels "hierarchy" a list with one array for each layer, coarse to fine; else one array.
    """

    rows: NDArray[np.int64]
    views: dict[str, Features]
    labels: list[NDArray[Any]] | NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Aligned views of samples, with their labels and splits.

    Attributes
    ----------
    name : str
    views : dict of str to array or csr_array of shape (n, n_features)
        Features by modality.
    labels : dict of str to ndarray
        Class indices (n,) or 0/1 matrices (n, n_classes), by name.
    label_names : dict of str to list of str
        Names of the classes of each kind of labels; kinds may be left out.
    hierarchy : list of ndarray
        For each pair of neighbouring layers, coarse to fine, the parent of each class (c_{k+1},), or a 0/1 matrix
        (c_k, c_{k+1}) if classes have several parents. The parameter `hierarchy` of SHOH takes the same form.
    layers : tuple of str
        Keys of `labels` that form the hierarchy, coarse to fine.
    splits : dict of str to ndarray of shape (n,), bool
        True for query rows, False for rows to learn from and to search.
    items : dict of str to ndarray of shape (n,)
        Other values of each sample, such as file names.
    vocabulary : list of str
        Words of the columns of a bag-of-words view; empty if there is none.
    instances : str, optional
        Key of `items` whose values, integers or strings, say which thing a row shows: rows with equal values show the
        same thing. ``pyhash.comparison.compare`` then also measures whether the same thing is found.

    Raises
    ------
    TypeError
        If views, labels, label_names, splits or items are not mappings of names.
    TypeError
        If `name`, a layer, the name of a class or a word of the vocabulary is not a string.
    TypeError
        If views do not hold real numbers.
    ValueError
        If there is no view, or no kind of labels.
    TypeError, ValueError
        If labels, or parents of the hierarchy, are neither class indices nor 0/1.
    ValueError
        If `label_names` do not name all classes of a kind of labels.
    ValueError
        If arrays do not have equally many rows.
    ValueError
        If features do not have two dimensions, labels one or two, or splits one.
    ValueError
        If a split is not boolean.
    ValueError
        If a layer of the hierarchy has no labels.
    TypeError, ValueError
        If `instances` is not a key of `items`, or its values are not one integer or string a row.

    Notes
    -----
    Views, labels and splits can be given as arrays, nested lists, scipy.sparse, data frames and series of pandas or
    polars, and tensors of torch. They are stored as arrays, sparse views as csr_array.

    Features must be finite. This is not checked here, since it would read memory-mapped views whole, but where they are
    used: when a method learns or encodes them, and when ``save_npz`` writes them.
    """

    name: str
    views: dict[str, Features]
    labels: dict[str, NDArray[Any]]
    label_names: dict[str, list[str]]
    hierarchy: list[NDArray[np.int64]]
    layers: tuple[str, ...]
    splits: dict[str, NDArray[np.bool_]]
    items: dict[str, NDArray[Any]] = field(default_factory=dict)
    vocabulary: list[str] = field(default_factory=list)
    instances: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, got {self.name!r}")
        views = _converted("views", self.views, _features)
        labels = _converted("labels", self.labels, _labels)
        splits = _converted("splits", self.splits, _mask)
        items = _converted("items", self.items, _item)
        for name, values in (("layers", self.layers), ("hierarchy", self.hierarchy)):
            if not isinstance(values, (list, tuple)):
                raise TypeError(f"{name} must be a list or a tuple, got {type(values).__name__}")
        for layer in self.layers:
            if not isinstance(layer, str):
                raise TypeError(f"layers must be names of labels, got {layer!r}")
        for k, parents in enumerate(self.hierarchy):
            _labels(f"hierarchy[{k}]", parents)
        for name, array in (("views", views), ("labels", labels)):
            if not array:
                raise ValueError(f"{name} must hold at least one entry, got none")
        n_rows = {f"views[{name!r}]": shape_of_features(f"views[{name!r}]", view)[0] for name, view in views.items()}
        for kind, arrays in (("labels", labels), ("splits", splits), ("items", items)):
            n_rows |= {f"{kind}[{name!r}]": len(array) for name, array in arrays.items()}
        if len(set(n_rows.values())) > 1:
            shown = ", ".join(f"{name} has {n}" for name, n in n_rows.items())
            raise ValueError(f"views, labels, splits and items must have equally many rows, got {shown}")
        unknown = [layer for layer in self.layers if layer not in labels]
        if unknown or (self.hierarchy and len(self.layers) != len(self.hierarchy) + 1):
            raise ValueError(
                f"layers must name one kind of labels for each layer of the hierarchy, got {list(self.layers)} where "
                f"labels are {list(labels)} and the hierarchy has {len(self.hierarchy)} pairs of layers"
            )
        if self.instances is not None:
            if not isinstance(self.instances, str) or self.instances not in items:
                raise ValueError(
                    f"instances must be a key of items, got {self.instances!r} where they are {list(items)}"
                )
            check_instance_ids(f"items[{self.instances!r}]", items[self.instances])
        vocabulary = _texts("vocabulary", self.vocabulary)
        label_names = _converted("label_names", self.label_names, _texts)
        for name, names in label_names.items():
            if name in labels:
                _check_count(name, labels[name], names)
        for attribute, value in (
            ("views", views),
            ("labels", labels),
            ("label_names", label_names),
            ("splits", splits),
            ("vocabulary", vocabulary),
        ):
            object.__setattr__(self, attribute, value)  # the class is frozen

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def __repr__(self) -> str:
        views = ", ".join(f"{name} {view.shape[1]}" for name, view in self.views.items())
        return f"Dataset({self.name!r}, {len(self)} rows; views: {views}; labels: {', '.join(self.labels)})"

    def _repr_html_(self) -> str:
        from pyhash import _html

        views = [
            (name, f"{view.shape[1]:,}", str(view.dtype), "sparse" if is_sparse(view) else "dense")
            for name, view in self.views.items()
        ]
        labels = [
            (name, _n_classes(values, self.label_names.get(name)), "one a row" if values.ndim == 1 else "several a row")
            for name, values in self.labels.items()
        ]
        splits = [(name, f"{np.sum(~is_query):,}", f"{np.sum(is_query):,}") for name, is_query in self.splits.items()]
        values: dict[str, Any] = {"rows": f"{len(self):,}"}
        if self.layers:
            values["hierarchy, coarse to fine"] = ", ".join(self.layers)
        if self.items:
            values["items"] = ", ".join(self.items)
        if self.instances is not None:
            values["things by"] = self.instances
        return _html.section(
            f"Dataset {self.name}",
            _html.properties(values),
            _html.first_rows(["view", "features", "dtype", "storage"], views),
            _html.first_rows(["labels", "classes", "labels of a row"], labels),
            _html.first_rows(["split", "database rows", "queries"], splits) if splits else _html.note("no split"),
        )

    @property
    def instance_ids(self) -> NDArray[Any] | None:
        """Ids of the things that the rows show (n,), int64 or strings; None if `instances` is None."""
        if self.instances is None:
            return None
        return check_instance_ids(f"items[{self.instances!r}]", self.items[self.instances])

    def split(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of the database and of the queries, each in ascending order.

        Parameters
        ----------
        name : str
            One of `splits`.

        Returns
        -------
        database, queries : ndarray, int64

        Raises
        ------
        ValueError
            If there is no such split.
        """
        is_query = self._is_query("name", name)
        return np.flatnonzero(~is_query), np.flatnonzero(is_query)

    def _is_query(self, argument: str, split: str) -> NDArray[np.bool_]:
        """Return whether each row is a query in a split; errors name the argument that gave it."""
        return self.splits[check_choice(argument, split, tuple(self.splits))]

    def select(self, rows: ArrayLike, *, views: Sequence[str] | None = None, labels: str = "hierarchy") -> Chunk:
        """Return views and labels of some rows.

        Parameters
        ----------
        rows : array_like of shape (n,), integer
            Positions in the data set; negative ones count from its end.
        views : sequence of str, optional
            Modalities to take; by default all. A single name is not accepted: give ["image"] for "image".
        labels : str
            "hierarchy", or one of `labels`.

        Returns
        -------
        Chunk

        Raises
        ------
        TypeError
            If `rows` are not integers, or `views` not a sequence of names.
        IndexError
            If a row is not in the data set.
        ValueError
            If `rows` are not one-dimensional.
        ValueError
            If there is no such view or kind of labels.
        """
        rows = self._check_rows(rows)
        names = self._check_views(views)
        check_choice("labels", labels, ("hierarchy", *self.labels))
        chosen: list[NDArray[Any]] | NDArray[Any]
        chosen = [self.labels[k][rows] for k in self.layers] if labels == "hierarchy" else self.labels[labels][rows]
        return Chunk(rows, {name: self.views[name][rows] for name in names}, chosen)

    def _check_views(self, views: Sequence[str] | None) -> list[str]:
        names = listed("views", self.views if views is None else views, "names")
        return [check_choice("views", name, tuple(self.views)) for name in names]

    def _check_rows(self, rows: ArrayLike) -> NDArray[np.int64]:
        array = as_array("rows", rows)
        if array.size == 0 and array.dtype.kind == "f":  # of an empty list
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            hint = "; numpy.flatnonzero(mask) are those of a mask" if array.dtype == np.bool_ else ""
            raise TypeError(f"rows must be integers, got {array.dtype}{hint}")
        if array.ndim != 1:
            raise ValueError(f"rows must have shape (n,), got {array.shape}")
        outside = array[(array < -len(self)) | (array >= len(self))]
        if outside.size:
            n = len(self)
            raise IndexError(f"rows must be from {-n} to {n - 1} for the {n} rows of the data set, got {outside[0]}")
        return array.astype(np.int64)

    def chunks(
        self,
        size: int,
        seed: int = 0,
        *,
        split: str | None = None,
        views: Sequence[str] | None = None,
        labels: str = "hierarchy",
        remainder: Remainder = "keep",
    ) -> Iterator[Chunk]:
        """Yield the rows as a stream of chunks: shuffled, then cut.

        Parameters
        ----------
        size : int
            Rows of a chunk, at least 1; the last may differ, see `remainder`.
        seed : int
            Seed of the order: the same seed gives the same stream.
        split : str, optional
            Stream only the database rows of this split; by default all rows.
        views, labels
            As for ``select``.
        remainder : {"keep", "merge"}
            What becomes of a last chunk of fewer than `size` rows: "keep" leaves it as it is, "merge" joins it to the
            chunk before.

        Yields
        ------
        Chunk

        Raises
        ------
        TypeError
            If `size` or `seed` is not an integer, or `views` not a sequence of names. All errors come at the call, not
            at the first chunk.
        ValueError
            If `size` < 1 or `seed` < 0.
        ValueError
            If there is no such split, view or kind of labels, or `remainder` is none of the choices listed.

        Examples
        --------
        >>> from pyhash.datasets import load_emoji
        >>> [len(chunk.rows) for chunk in load_emoji().chunks(3000, split="pair")]
        [3000, 3000, 2247]
        >>> [len(chunk.rows) for chunk in load_emoji().chunks(3000, split="pair", remainder="merge")]
        [3000, 5247]
        """
        size = check_integer("size", size, 1)
        views = self._check_views(views)
        rows = np.arange(len(self)) if split is None else np.flatnonzero(~self._is_query("split", split))
        self.select(rows[:0], views=views, labels=labels)  # raises for unknown labels at the call
        order = np.random.default_rng(check_integer("seed", seed, 0)).permutation(rows)
        parts = cut(len(order), size, check_remainder(remainder))
        return (self.select(order[part], views=views, labels=labels) for part in parts)


def _converted(kind: str, arrays: dict[str, Any], convert: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return the arrays converted; `arrays` itself if no array changes, so that data sets can share it."""
    if not isinstance(arrays, Mapping):
        raise TypeError(f"{kind} must be a mapping by name, got {type(arrays).__name__}")
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"{kind} must have names of type str, got {name!r}")
    converted = {name: convert(f"{kind}[{name!r}]", array) for name, array in arrays.items()}
    return arrays if all(converted[name] is array for name, array in arrays.items()) else converted


def _n_classes(labels: NDArray[Any], names: list[str] | None) -> str:
    """Return the number of classes: that of the names, or of the columns, or up to the greatest index."""
    if names is None:
        return f"{labels.shape[1] if labels.ndim == 2 else int(labels.max(initial=-1)) + 1:,}"
    return f"{len(names):,}"


def _item(name: str, item: Any) -> Any:
    if not hasattr(item, "__len__") or getattr(item, "ndim", None) == 0:
        raise TypeError(f"{name} must have one entry for each row, got {type(item).__name__}")
    return item


def _features(name: str, view: Any) -> Any:
    is_by_rows = is_sparse(view) and type(view).__name__ == "csr_array"
    rows = view if is_by_rows else as_rows(name, view)
    check_numeric(name, rows)
    return rows


def _labels(name: str, labels: Any) -> NDArray[Any]:
    rows = as_rows(name, labels)
    array: NDArray[Any] = rows.toarray() if is_sparse(rows) else rows
    check_class_indices(name, array) if array.ndim == 1 else check_label_matrix(name, array)
    return array


def _texts(name: str, names: Any) -> list[str]:
    if isinstance(names, (str, bytes)) or not is_iterable(names):
        raise TypeError(f"{name} must be a list of str, got {names!r}")
    texts = names if isinstance(names, list) else list(names)
    for each in texts:
        if not isinstance(each, str):
            raise TypeError(f"{name} must be a list of str, got {each!r} in it")
    return texts


def _check_count(name: str, labels: NDArray[Any], names: list[str]) -> None:
    """Raise unless there is a name for each class; class indices may leave the last classes out."""
    n_classes = labels.shape[1] if labels.ndim == 2 else int(labels.max(initial=-1)) + 1
    if len(names) < n_classes or (labels.ndim == 2 and len(names) > n_classes):
        raise ValueError(
            f"label_names[{name!r}] must have a name for each of the {n_classes} classes, got {len(names)}"
        )


def _mask(name: str, mask: Any) -> NDArray[np.bool_]:
    array = as_array(name, mask)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise ValueError(f"{name} must be boolean (n,), True for queries, got {array.dtype} of shape {array.shape}")
    return array
