"""Parts that all charts share: axes, line styles, limits, files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyhash._files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# The y axis of these runs from 0 to 1, that of any other quantity from 0 as far as needed.
_ZERO_TO_ONE = ("mAP", "Precision", "Recall")
_FORMATS = (".png", ".svg")


def require_matplotlib() -> None:
    """Raise if matplotlib cannot be imported.

    Raises
    ------
    ImportError
        If matplotlib is not installed. The message names the extra to install.

    Examples
    --------
    >>> require_matplotlib()
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("charts need matplotlib: pip install 'pyhash-crossmodal[plot]'") from None


def save_figure(ax: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure of `ax` as PNG or SVG.

    An error leaves an existing file unchanged.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the figure, such as the ``ax_`` of a display.
    path : path-like
        The suffix, .png or .svg, chooses the format.

    Raises
    ------
    ValueError
        If the suffix is neither .png nor .svg.
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
    """Return `ax`, or the axes of a new figure if it is None."""
    require_matplotlib()
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if ax is not None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be matplotlib Axes or None, got {type(ax).__name__}")
        return ax

    # Without pyplot: no global state changes, no window opens.
    return Figure(figsize=figsize, layout="constrained").subplots()


def line_style(style: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return `defaults` updated by `style`, with short names such as ``ls`` written out."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**defaults, **normalize_kwargs(style, Line2D)}


def finish(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Label the axes, set the limits of y, and show a legend if anything drawn has a name."""
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if ylabel in _ZERO_TO_ONE:
        ax.set_ylim(0, 1)
    else:
        ax.autoscale(axis="y")  # an earlier run on these axes fixed the limits
        if ax.dataLim.ymin >= 0:
            ax.set_ylim(bottom=0)
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def legend_beside(ax: Axes) -> None:
    """Place the legend beside the axes, where it covers no line, and widen the figure."""
    ax.figure.set_size_inches(8.5, 4.5)  # type: ignore[union-attr]
    # Handles are long enough to tell a dashed line from a solid one.
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3, frameon=False)
