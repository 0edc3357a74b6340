"""Chart of scores by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhash.plotting.charts import axes_for, finish, line_style
from pyhash.plotting.columns import check_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


@dataclass
class RoundsDisplay:
    """A score, or a time, after each round of a stream.

    Parameters
    ----------
    n_seen : sequence of int
        Number of samples learned after each round.
    scores : sequence of float
        One for each round, in the quantity of `ylabel`.
    name : str, optional
        Name in the legend.
    ylabel : str
        Label of the y axis, which runs from 0 to 1 for "mAP", "Precision" and "Recall", else from 0 as far as needed.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

    Examples
    --------
    >>> RoundsDisplay([2000, 4000], [0.4, 0.5], name="image to text").plot().ax_.get_ylabel()
    'mAP'
    >>> seconds = RoundsDisplay([2000, 4000], [3.0, 3.1], ylabel="Training seconds").plot()
    >>> bool(seconds.ax_.get_ylim()[1] > 3.1)
    True
    """

    n_seen: Sequence[int]
    scores: Sequence[float]
    name: str | None = None
    ylabel: str = "mAP"

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the scores.

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
            If rounds or scores are not numbers.
        ValueError
            If there is not one score for each round.
        ImportError
            If matplotlib is not installed.
        """
        n_seen = check_column("n_seen", self.n_seen)
        scores = check_column("scores", self.scores, len(n_seen), "of n_seen")
        self.ax_ = axes_for(ax)
        self.ax_.plot(n_seen, scores, **line_style(style, marker="o", label=self.name))
        finish(self.ax_, "Samples learned", self.ylabel)
        return self
