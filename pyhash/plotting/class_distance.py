"""Heat map of the distances between class centers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_integer
from pyhash.evaluation import ClassDistances, class_distances
from pyhash.plotting.charts import axes_for, require_matplotlib
from pyhash.plotting.columns import check_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from typing_extensions import Self

# More class names than this are too small to read.
_MAX_NAMED_CLASSES = 40


@dataclass
class ClassDistanceDisplay:
    """A heat map of the Hamming distances between class centers; darker is closer.

    Parameters
    ----------
    result : ClassDistances
        Distances to draw. Classes without samples stay blank.
    class_names : sequence of str of length n_classes, optional
        Names on the axes, written if at most 40 classes are shown. By default class indices.
    order : sequence of int, optional
        Classes to show, in this order. By default all, sorted by group if there are groups.
    groups : sequence of int of length n_classes, optional
        Coarse class of each class. A thin line separates neighbours of different groups.
    name : str, optional
        Title of the chart.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.
    image_ : matplotlib AxesImage
        Set by ``plot``: the heat map.

    Notes
    -----
    The chart corresponds to Figure 8 of SHOH (Han et al., TOMM 2024).

    Examples
    --------
    >>> from pyhash import codes, evaluation
    >>> result = evaluation.class_distances(codes.pack([[1, 1], [-1, 1]]), [0, 1], n_bits=2)
    >>> display = ClassDistanceDisplay(result, ["cat", "dog"], order=[1, 0]).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['dog', 'cat']
    """

    result: ClassDistances
    class_names: Sequence[str] | None = None
    order: Sequence[int] | None = None
    groups: Sequence[int] | None = None
    name: str | None = None

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        labels: ArrayLike,
        *,
        n_bits: int,
        n_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        order: Sequence[int] | None = None,
        groups: Sequence[int] | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Compute the distances and draw them.

        Parameters
        ----------
        codes, labels, n_bits
            As for ``evaluation.class_distances``.
        n_classes : int, optional
            By default the number of class names, else as for ``evaluation.class_distances``.
        class_names, order, groups, name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        ClassDistanceDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.class_distances`` and ``plot``.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash import codes
        >>> rows = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, 1]])
        >>> ClassDistanceDisplay.from_codes(rows, [0, 0, 1], n_bits=3).result
        ClassDistances(2 classes, 3 bits; 0 without samples)
        """
        require_matplotlib()
        if n_classes is None and class_names is not None:
            n_classes = len(class_names)
        result = class_distances(codes, labels, n_bits=n_bits, n_classes=n_classes)
        return cls(result, class_names, order, groups, name).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the heat map with a color bar.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure, whose size grows with the number of classes.
        **style
            Passed to ``Axes.imshow``. The default ``vmax`` is the greatest distance shown; set it, for instance to
            half of n_bits, to compare the maps of several runs.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `ax` is neither matplotlib Axes nor None.
        TypeError
            If groups are not numbers, or order does not hold integers.
        ValueError
            If there is not one name, or one group, for each class.
        ValueError
            If order is empty, repeats a class, or holds a number that is no class.
        ImportError
            If matplotlib is not installed.
        """
        n_classes = len(self.result.counts)
        names = [str(c) for c in range(n_classes)] if self.class_names is None else list(self.class_names)
        if len(names) != n_classes:
            raise ValueError(f"class_names must name {n_classes} classes, got {len(names)}")
        groups = None if self.groups is None else check_column("groups", self.groups, n_classes, "class")
        order = self._order(groups)
        n_shown = len(order)

        shown = self.result.distances[np.ix_(order, order)]
        side = 2.5 + 0.2 * min(max(n_shown, 12), _MAX_NAMED_CLASSES)
        self.ax_ = axes_for(ax, (side + 1, side))
        farthest = max(1.0, float(np.max(shown, where=~np.isnan(shown), initial=0)))
        self.image_: AxesImage = self.ax_.imshow(shown, **{"cmap": "viridis", "vmin": 0, "vmax": farthest, **style})
        self.ax_.figure.colorbar(self.image_, ax=self.ax_, label="Hamming distance")
        if n_shown <= _MAX_NAMED_CLASSES:
            labels = [names[c] for c in order]
            self.ax_.set_xticks(range(n_shown), labels=labels, rotation=90, fontsize="small")
            self.ax_.set_yticks(range(n_shown), labels=labels, fontsize="small")
        else:
            self.ax_.set(xticks=[], yticks=[])
        if groups is not None:
            for last in np.flatnonzero(groups[order][1:] != groups[order][:-1]):
                self.ax_.axvline(last + 0.5, color="white", linewidth=0.8)
                self.ax_.axhline(last + 0.5, color="white", linewidth=0.8)
        if self.name is not None:
            self.ax_.set_title(self.name)
        return self

    def _order(self, groups: NDArray[Any] | None) -> NDArray[np.int64]:
        """Return the classes to show, first to last."""
        n_classes = len(self.result.counts)
        if self.order is None:
            return np.arange(n_classes) if groups is None else np.argsort(groups, kind="stable")
        order = np.array([check_integer("order", c, 0, n_classes - 1) for c in self.order], dtype=np.int64)
        if len(order) == 0:
            raise ValueError("order must name at least one class, got none")
        repeated = order[np.bincount(order)[order] > 1]
        if len(repeated):
            raise ValueError(f"order must name each class at most once, got {repeated[0]} more than once")
        return order
