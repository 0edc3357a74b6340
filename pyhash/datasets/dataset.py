"""A cross-modal data set: views, labels, splits, and the stream that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.checks import check_choice, check_integer

if TYPE_CHECKING:
    from pyhash.checks import Features


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

    def select(
        self, rows: NDArray[np.int64], *, views: Sequence[str] | None = None, labels: str = "hierarchy"
    ) -> Chunk:
        """Views and labels of some rows.

        Parameters
        ----------
        rows : ndarray of shape (n,), integer
        views : sequence of str, optional
            Modalities to take; by default all.
        labels : str
            "hierarchy", or one of `labels`.

        Returns
        -------
        Chunk

        Raises
        ------
        ValueError
            If there is no such view or kind of labels.
        """
        names = [check_choice("views", name, tuple(self.views)) for name in (self.views if views is None else views)]
        check_choice("labels", labels, ("hierarchy", *self.labels))
        chosen: list[NDArray[Any]] | NDArray[Any]
        chosen = [self.labels[k][rows] for k in self.layers] if labels == "hierarchy" else self.labels[labels][rows]
        return Chunk(rows, {name: self.views[name][rows] for name in names}, chosen)

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
