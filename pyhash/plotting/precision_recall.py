"""Chart of a precision-recall curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from pyhash.evaluation import PrecisionRecallCurve, Protocol, precision_recall_curve
from pyhash.evaluation.curves import Threshold
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import axes_for, finish, line_style, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


@dataclass
class PrecisionRecallDisplay:
    """A precision-recall curve.

    Parameters
    ----------
    curve : PrecisionRecallCurve
        Curve to draw.
    name : str, optional
        Name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

    Examples
    --------
    >>> from pyhash import codes, evaluation
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> curve = evaluation.precision_recall_curve(codes.pack([[1, 1, 1]]), database, [7], [7, 3, 7], n_bits=3)
    >>> display = PrecisionRecallDisplay(curve, name="example").plot()
    >>> display.ax_.get_xlabel()
    'Recall'
    """

    curve: PrecisionRecallCurve
    name: str | None = None

    @classmethod
    def from_codes(
        cls,
        queries: ArrayLike,
        database: ArrayLike | None,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        *,
        by: Threshold = "rank",
        metric: Metric = "hamming",
        n_bits: int | None = None,
        protocol: Protocol | str | None = None,
        n_threads: int | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Compute the curve and draw it.

        Parameters
        ----------
        queries, database, query_labels, database_labels, by, metric, n_bits, protocol, n_threads
            As for ``evaluation.precision_recall_curve``.
        name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.precision_recall_curve``.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash import codes
        >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
        >>> query = codes.pack([[1, 1, 1]])
        >>> first = PrecisionRecallDisplay.from_codes(query, database, [7], [7, 3, 7], n_bits=3, name="a")
        >>> second = PrecisionRecallDisplay.from_codes(query, database, [3], [7, 3, 7], name="b", ax=first.ax_)
        >>> len(first.ax_.get_lines())
        2
        """
        require_matplotlib()
        curve = precision_recall_curve(
            queries,
            database,
            query_labels,
            database_labels,
            by=by,
            metric=metric,
            n_bits=n_bits,
            protocol=protocol,
            n_threads=n_threads,
        )
        return cls(curve, name).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the curve.

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
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = axes_for(ax)
        self.ax_.plot(self.curve.recall, self.curve.precision, **line_style(style, label=self.name))
        self.ax_.set_xlim(0, 1)
        finish(self.ax_, "Recall", "Precision")
        return self
