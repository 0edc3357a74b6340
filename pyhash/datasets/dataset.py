"""A cross-modal data set: views, labels, splits, and the stream that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array, as_rows, check_choice, check_integer, is_sparse, shape_of_features

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


@dataclass(frozen=True)
class Chunk:
    """Some rows of a data set.

    Attributes
    ----------
    rows : ndarray of shape (n,), int64
        Their positions in the data set.
    views : dict of str to array or csr_array
        Their features, by modality.
    labels : list of ndarray, or ndarray
        A list for each layer of the hierarchy, coarse to fine, where the labels asked for are "hierarchy"; else one
        array.
    """

    rows: NDArray[np.int64]
    views: dict[str, Features]
    labels: list[NDArray[Any]] | NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Aligned views of the same samples, with their labels.

    Attributes
    ----------
    name : str
    views : dict of str to array or csr_array of shape (n, n_features)
        Features by modality.
    labels : dict of str to ndarray
        Class indices (n,) or 0/1 matrices (n, n_classes), by name.
    label_names : dict of str to list of str
        Names of the classes of each kind of labels.
    hierarchy : list of ndarray
        Parent of each class (c_{k+1},), one array for each pair of layers, coarse to fine; or a 0/1 matrix
        (c_k, c_{k+1}) where classes have several parents. As the methods take it.
    layers : tuple of str
        Keys of `labels` that form the hierarchy, coarse to fine.
    splits : dict of str to ndarray of shape (n,), bool
        True marks a query row, False a row to learn from and to search.
    items : dict of str to ndarray of shape (n,)
        What is known of each sample beside its features.
    vocabulary : list of str
        Words of the columns of a bag-of-words view; empty where there is none.

    Raises
    ------
    TypeError, ValueError
        If there is no view or no kind of labels, if arrays do not have equally many rows, features not two dimensions,
        labels not one or two, if a split is not boolean, or a layer of the hierarchy has no labels.

    Notes
    -----
    Views, labels and splits may be given as whatever methods take: arrays, nested lists, scipy.sparse, data frames and
    series of pandas or polars. They are kept as arrays and, views that are sparse, as csr_array, whose rows can be
    taken. Values are not looked at.
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

    def __post_init__(self) -> None:
        views = _converted("views", self.views, _features)
        labels = _converted("labels", self.labels, _labels)
        splits = _converted("splits", self.splits, _mask)
        for name, array in (("views", views), ("labels", labels)):
            if not array:
                raise ValueError(f"{name} must hold at least one entry, got none")
        n_rows = {f"views[{name!r}]": shape_of_features(f"views[{name!r}]", view)[0] for name, view in views.items()}
        for kind, arrays in (("labels", labels), ("splits", splits), ("items", self.items)):
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
        for attribute, value in (("views", views), ("labels", labels), ("splits", splits)):
            object.__setattr__(self, attribute, value)  # the class is frozen

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def __repr__(self) -> str:
        views = ", ".join(f"{name} {view.shape[1]}" for name, view in self.views.items())
        return f"Dataset({self.name!r}, {len(self)} rows; views: {views}; labels: {', '.join(self.labels)})"

    def split(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the database and of the queries, each ascending.

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
        is_query = self.splits[check_choice("split", name, tuple(self.splits))]
        return np.flatnonzero(~is_query), np.flatnonzero(is_query)

    def select(self, rows: ArrayLike, *, views: Sequence[str] | None = None, labels: str = "hierarchy") -> Chunk:
        """Views and labels of some rows.

        Parameters
        ----------
        rows : array_like of shape (n,), integer
            Positions in the data set; negative ones count from its end.
        views : sequence of str, optional
            Modalities to take; by default all.
        labels : str
            "hierarchy", or one of `labels`.

        Returns
        -------
        Chunk

        Raises
        ------
        TypeError
            If `rows` are not integers.
        IndexError
            If a row is not in the data set.
        ValueError
            If `rows` are not one-dimensional.
        ValueError
            If there is no such view or kind of labels.
        """
        rows = self._check_rows(rows)
        names = [check_choice("views", name, tuple(self.views)) for name in (self.views if views is None else views)]
        check_choice("labels", labels, ("hierarchy", *self.labels))
        chosen: list[NDArray[Any]] | NDArray[Any]
        chosen = [self.labels[k][rows] for k in self.layers] if labels == "hierarchy" else self.labels[labels][rows]
        return Chunk(rows, {name: self.views[name][rows] for name in names}, chosen)

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
            raise IndexError(f"rows must be less than the {len(self)} rows of the data set, got {outside[0]}")
        return array.astype(np.int64)

    def chunks(
        self,
        size: int,
        seed: int = 0,
        *,
        split: str | None = None,
        views: Sequence[str] | None = None,
        labels: str = "hierarchy",
    ) -> Iterator[Chunk]:
        """The rows as a stream: shuffled, then cut into chunks.

        Parameters
        ----------
        size : int
            Rows of a chunk, at least 1; the last may be smaller.
        seed : int
            Of the order: the same seed gives the same stream.
        split : str, optional
            Stream only the database rows of this split; by default all rows.
        views, labels
            As for ``select``.

        Yields
        ------
        Chunk

        Raises
        ------
        TypeError, ValueError
            At the call, not at the first chunk, if an argument is not as it must be.

        Examples
        --------
        >>> from pyhash.datasets import load_emoji
        >>> [len(chunk.rows) for chunk in load_emoji().chunks(3000, split="pair")]
        [3000, 3000, 2247]
        """
        size = check_integer("size", size, 1)
        rows = np.arange(len(self)) if split is None else self.split(split)[0]
        self.select(rows[:0], views=views, labels=labels)  # refuses unknown names now
        order = np.random.default_rng(check_integer("seed", seed, 0)).permutation(rows)
        return (
            self.select(order[start : start + size], views=views, labels=labels) for start in range(0, len(order), size)
        )


def _converted(kind: str, arrays: dict[str, Any], convert: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Every array converted; `arrays` itself where none needs it, so that data sets may share it."""
    if not isinstance(arrays, Mapping):
        raise TypeError(f"{kind} must be a mapping of names to arrays, got {type(arrays).__name__}")
    converted = {name: convert(f"{kind}[{name!r}]", array) for name, array in arrays.items()}
    return arrays if all(converted[name] is array for name, array in arrays.items()) else converted


def _features(name: str, view: Any) -> Any:
    is_by_rows = is_sparse(view) and type(view).__name__ == "csr_array"
    return view if is_by_rows else as_rows(name, view)


def _labels(name: str, labels: Any) -> NDArray[Any]:
    rows = as_rows(name, labels)
    array: NDArray[Any] = rows.toarray() if is_sparse(rows) else rows
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (n,) or (n, n_classes), got {array.shape}")
    return array


def _mask(name: str, mask: Any) -> NDArray[np.bool_]:
    array = as_array(name, mask)
    if array.dtype != np.bool_ or array.ndim != 1:
        raise ValueError(f"{name} must be boolean (n,), True for queries, got {array.dtype} of shape {array.shape}")
    return array
