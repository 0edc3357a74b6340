"""Charts of what evaluation measured; needs matplotlib (extra ``[plot]``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

    from pyhash.evaluation import PrecisionRecallCurve

__all__ = ["PrecisionRecallDisplay", "RoundsDisplay", "require_matplotlib", "save_figure"]


def require_matplotlib() -> None:
    """An ImportError that names the extra where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("charts need matplotlib: pip install 'pyhash-crossmodal[plot]'") from None


def _axes(ax: Axes | None) -> Axes:
    require_matplotlib()
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: nothing global is touched, no window opens.
    return Figure(figsize=(6, 4.5), layout="constrained").subplots()


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Writes the figure of `ax` as a PNG, whole or not at all.

    Parameters
    ----------
    ax : matplotlib Axes
        Such as the ``ax_`` of a display.
    path : path-like

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with atomic_file(path) as file:
        ax.figure.savefig(file, format="png", dpi=150)  # type: ignore[union-attr]


@dataclass
class PrecisionRecallDisplay:
    """A precision-recall curve.

    Parameters
    ----------
    curve : PrecisionRecallCurve
    name : str, optional
        For the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Once plotted; its ``figure`` can be saved.

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

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draws the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            By default a new figure's.
        **style
            For ``Axes.plot``.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = _axes(ax)
        self.ax_.plot(self.curve.recall, self.curve.precision, **{"label": self.name, **style})
        self.ax_.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1))
        if self.name is not None:
            self.ax_.legend()
        return self


@dataclass
class RoundsDisplay:
    """A score after each round of a stream.

    Parameters
    ----------
    n_seen : sequence of int
        Samples learned after each round.
    scores : sequence of float
    name : str, optional
        For the legend.
    ylabel : str

    Attributes
    ----------
    ax_ : matplotlib Axes
        Once plotted; its ``figure`` can be saved.

    Examples
    --------
    >>> RoundsDisplay([2000, 4000], [0.4, 0.5], name="image to text").plot().ax_.get_ylabel()
    'mAP'
    """

    n_seen: Sequence[int]
    scores: Sequence[float]
    name: str | None = None
    ylabel: str = "mAP"

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draws the scores; arguments, result and errors as for ``PrecisionRecallDisplay.plot``."""
        self.ax_ = _axes(ax)
        self.ax_.plot(np.asarray(self.n_seen), self.scores, **{"marker": "o", "label": self.name, **style})
        self.ax_.set(xlabel="Samples learned", ylabel=self.ylabel)
        self.ax_.set_ylim(0, 1)
        if self.name is not None:
            self.ax_.legend()
        return self
