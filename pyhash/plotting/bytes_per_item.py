"""Scores by memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyhash._inputs.checks import as_array, check_real
from pyhash.evaluation import Protocol, mean_average_precision
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import axes_for, finish, line_style, require_matplotlib
from pyhash.plotting.columns import check_column, check_same_keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


@dataclass
class BytesPerItemDisplay:
    """A score against the memory that an item takes: what shorter codes cost, and what longer ones buy.

    Parameters
    ----------
    n_bytes : sequence of float
        Bytes per item of each point.
    scores : sequence of float
        As many.
    point_names : sequence of str, optional
        As many; written beside the points.
    name : str, optional
        Of all points together, for the legend.
    upper : float, optional
        Drawn as a horizontal line: a score that codes are to come close to, such as that of float features.
    upper_name : str
        For the legend.
    ylabel : str
        As for ``RoundsDisplay``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Once plotted; its ``figure`` can be saved.

    Examples
    --------
    >>> display = BytesPerItemDisplay([4, 8], [0.5, 0.55], ["32 bits", "64 bits"], upper=0.6).plot()
    >>> [text.get_text() for text in display.ax_.texts]
    ['32 bits', '64 bits']
    """

    n_bytes: Sequence[float]
    scores: Sequence[float]
    point_names: Sequence[str] | None = None
    name: str | None = None
    upper: float | None = None
    upper_name: str = "float features"
    ylabel: str = "mAP"

    @classmethod
    def from_codes(
        cls,
        queries: Mapping[str, ArrayLike],
        database: Mapping[str, ArrayLike],
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        *,
        metric: str | Metric = "hamming",
        protocol: Protocol | str | None = None,
        n_threads: int | None = None,
        upper: float | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Measures the mean average precision of several sets of codes and draws it against their size.

        Parameters
        ----------
        queries, database : mapping of str to array_like
            Codes by the name of their point; the same names in both. An item takes the bytes of a row of the database.
        query_labels, database_labels, metric, protocol, n_threads
            As for ``evaluation.mean_average_precision``.
        upper, name, ax, **style
            As for the display and its ``plot``.

        Returns
        -------
        BytesPerItemDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.mean_average_precision``; also if queries and database are not mappings of the same names.
        ImportError
            If matplotlib is not installed; before anything is measured.

        Examples
        --------
        >>> from pyhash import codes
        >>> queries = {"short": codes.pack([[1] * 8]), "long": codes.pack([[1] * 16])}
        >>> database = {"short": codes.pack([[1] * 8, [-1] * 8]), "long": codes.pack([[1] * 16, [-1] * 16])}
        >>> display = BytesPerItemDisplay.from_codes(queries, database, [7], [7, 3])
        >>> display.n_bytes, display.scores
        ([1, 2], [1.0, 1.0])
        """
        require_matplotlib()
        check_same_keys(queries, database, "names")
        names = list(queries)
        # Padding bits are zero on both sides: whole bytes give the distances of the codes.
        scores = [
            mean_average_precision(
                queries[key],
                database[key],
                query_labels,
                database_labels,
                metric=metric,
                protocol=protocol,
                n_threads=n_threads,
            ).value
            for key in names
        ]
        rows = [as_array("database", database[key]) for key in names]
        n_bytes = [row.dtype.itemsize * int(np.prod(row.shape[1:])) for row in rows]
        return cls(n_bytes, scores, names, name, upper).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draws the points; arguments, result and errors as for ``PrecisionRecallDisplay.plot``.

        Raises ValueError or TypeError if there are not as many positive sizes, scores and names.
        """
        n_bytes = check_column("n_bytes", self.n_bytes)
        if not (n_bytes > 0).all():
            raise ValueError(f"n_bytes must be above 0, got {n_bytes[~(n_bytes > 0)][0]}")
        scores = check_column("scores", self.scores, len(n_bytes), "of n_bytes")
        names = [] if self.point_names is None else list(self.point_names)
        if self.point_names is not None and len(names) != len(n_bytes):
            raise ValueError(f"point_names must name {len(n_bytes)} points, got {len(names)}")
        upper = None if self.upper is None else check_real("upper", self.upper, 0)
        self.ax_ = axes_for(ax)
        (points,) = self.ax_.plot(n_bytes, scores, **line_style(style, marker="o", linestyle="none", label=self.name))
        for x, y, text in zip(n_bytes, scores, names, strict=False):
            self.ax_.annotate(
                text,
                (x, y),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize="small",
                color=points.get_color(),
            )
        if upper is not None:
            self.ax_.axhline(upper, linestyle="--", color="0.5", label=self.upper_name)
        self.ax_.set_xscale("log", base=2)
        self.ax_.margins(x=0.12)  # room for the names of the first point and the last
        self.ax_.xaxis.set_major_formatter("{x:g}")
        finish(self.ax_, "Bytes per item", self.ylabel)
        return self
