"""Scores by round."""

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
    """A score, or the time that it took, after each round of a stream.

    Parameters
    ----------
    n_seen : sequence of int
        Samples learned after each round.
    scores : sequence of float
        As many: mAP, or whatever `ylabel` says, such as seconds.
    name : str, optional
        For the legend.
    ylabel : str
        The y axis of "mAP", "Precision" and "Recall" runs from 0 to 1, that of anything else from 0 as far as needed.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Once plotted; its ``figure`` can be saved.

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
        """Draws the scores; arguments, result and errors as for ``PrecisionRecallDisplay.plot``.

        Raises ValueError if there are not as many scores as rounds.
        """
        n_seen = check_column("n_seen", self.n_seen)
        scores = check_column("scores", self.scores, len(n_seen), "of n_seen")
        self.ax_ = axes_for(ax)
        self.ax_.plot(n_seen, scores, **line_style(style, marker="o", label=self.name))
        finish(self.ax_, "Samples learned", self.ylabel)
        return self
