"""What every chart has in common: axes to draw on, style, limits, and the file that it ends in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyhash._files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# What lies between 0 and 1 is drawn between 0 and 1, anything else from 0 up.
_ZERO_TO_ONE = ("mAP", "Precision", "Recall")
_FORMATS = (".png", ".svg")


def require_matplotlib() -> None:
    """Returns if matplotlib can be imported.

    Raises
    ------
    ImportError
        If it cannot; names the extra that brings it.

    Examples
    --------
    >>> require_matplotlib()
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("charts need matplotlib: pip install 'pyhash-crossmodal[plot]'") from None


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Writes the figure of `ax` as PNG or SVG, whole or not at all.

    Parameters
    ----------
    ax : matplotlib Axes
        Such as the ``ax_`` of a display.
    path : path-like
        Ends in .png or .svg, which says the format.

    Raises
    ------
    ValueError
        If the path ends in anything else.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pyhash.plotting import RoundsDisplay
    >>> display = RoundsDisplay([2000, 4000], [0.4, 0.5]).plot()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(display.ax_, f"{folder}/rounds.svg")
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"path must end in {' or '.join(_FORMATS)}, got {os.fspath(path)!r}")
    with atomic_file(path) as file:
        ax.figure.savefig(file, format=suffix[1:], dpi=150)  # type: ignore[union-attr]


def axes_for(ax: Axes | None, figsize: tuple[float, float] = (6, 4.5)) -> Axes:
    """`ax`, or the axes of a new figure."""
    require_matplotlib()
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: nothing global is touched, no window opens.
    return Figure(figsize=figsize, layout="constrained").subplots()


def line_style(style: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """`style` over `defaults`, whether it says ``linestyle`` or ``ls``."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**defaults, **normalize_kwargs(style, Line2D)}


def finish(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Names the axes, sets the limits of y, and shows a legend if anything drawn has a name."""
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if ylabel in _ZERO_TO_ONE:
        ax.set_ylim(0, 1)
    else:
        ax.autoscale(axis="y")  # an earlier run on these axes has fixed the limits
        if ax.dataLim.ymin >= 0:
            ax.set_ylim(bottom=0)
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def legend_beside(ax: Axes) -> None:
    """Moves the legend of a figure of its own out of the axes, where that of many runs would lie over the runs."""
    ax.figure.set_size_inches(8.5, 4.5)  # type: ignore[union-attr]
    # Handles long enough to tell a dashed line from a solid one.
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3, frameon=False)
