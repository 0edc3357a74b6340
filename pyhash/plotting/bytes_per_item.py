"""Chart of scores by memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyhash._inputs.checks import as_array, check_real
from pyhash.evaluation import Protocol
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import axes_for, finish, line_style
from pyhash.plotting.columns import check_column
from pyhash.plotting.score_sets import score_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


@dataclass
class BytesPerItemDisplay:
    """A score against the memory of an item, in bytes.

    Parameters
    ----------
    n_bytes : sequence of float
        Bytes per item of each point.
    scores : sequence of float
        One for each point.
    point_names : sequence of str, optional
        One for each point, written beside it.
    name : str, optional
        Name of all points together in the legend.
    upper : float, optional
        Score of a horizontal line, such as that of float features, for comparison.
    upper_name : str
        Name of the line in the legend.
    ylabel : str
        As for ``RoundsDisplay``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

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
        metric: Metric = "hamming",
        protocol: Protocol | str | None = None,
        n_threads: int | None = None,
        upper: float | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Compute the mean average precision of several sets of codes and draw it against their size.

        Parameters
        ----------
        queries, database : mapping of str to array_like
            Codes by the name of their point. Both must have the same names. An item takes as many bytes as a row of
            the database.
        query_labels, database_labels, metric, protocol, n_threads
            As for ``evaluation.mean_average_precision``.
        upper, name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        BytesPerItemDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.mean_average_precision``.
        TypeError
            If queries or database is not a mapping.
        ValueError
            If queries is empty, or the names of queries and database differ.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash import codes
        >>> queries = {"short": codes.pack([[1] * 8]), "long": codes.pack([[1] * 16])}
        >>> database = {"short": codes.pack([[1] * 8, [-1] * 8]), "long": codes.pack([[1] * 16, [-1] * 16])}
        >>> display = BytesPerItemDisplay.from_codes(queries, database, [7], [7, 3])
        >>> display.n_bytes, display.scores
        ([1, 2], [1.0, 1.0])
        """
        scores = score_sets(
            queries,
            database,
            query_labels,
            database_labels,
            keys="names",
            n_bits_of=lambda name: None,  # padding bits are 0 on both sides: whole bytes have the same distances
            metric=metric,
            protocol=protocol,
            n_threads=n_threads,
        )
        rows = [as_array("database", database[key]) for key in scores]
        n_bytes = [row.dtype.itemsize * int(np.prod(row.shape[1:])) for row in rows]
        return cls(n_bytes, list(scores.values()), list(scores), name, upper).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        **style
            Passed to ``Axes.plot``.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `ax` is neither matplotlib Axes nor None.
        TypeError
            If sizes or scores are not numbers.
        ValueError
            If a size is not above 0.
        ValueError
            If there is not one score, and one name if there are names, for each size.
        ValueError
            If upper is not finite or below 0.
        ImportError
            If matplotlib is not installed.
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
        self.ax_.margins(x=0.12)  # space for the names of the first and the last point
        self.ax_.xaxis.set_major_formatter("{x:g}")
        finish(self.ax_, "Bytes per item", self.ylabel)
        return self
