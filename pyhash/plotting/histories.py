"""Parts that charts of histories share: curves on the left axis, the validation mAP on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.errors import NotFittedError
from pyhash.plotting.charts import axes_for, finish
from pyhash.plotting.columns import check_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND_COLUMNS = 3
# The legend is about so many characters wide; a column needs some for its handle.
_LEGEND_WIDTH, _HANDLE_WIDTH = 72, 8
_MARKER: dict[str, Any] = {"marker": "o", "markersize": 3}  # visible also for one point, which draws no line


def history_of(model: Any, whose: str) -> Any:
    """Return the ``history_`` of a model; raise TypeError, which names `whose` it should be, if it has none."""
    try:
        return model.history_
    except NotFittedError:
        raise
    except AttributeError:
        raise TypeError(f"model must have a history_, as {whose} do, got {type(model).__name__}") from None


def check_history(history: object, each: str, keys: Sequence[str], mappings: Mapping[str, bool]) -> None:
    """Raise unless a history is a sequence of mappings, one for each of something, that hold all keys.

    `mappings` are keys whose values are mappings, with whether they may be None.
    """
    if isinstance(history, str) or not isinstance(history, Sequence):
        raise TypeError(f"history must be a sequence of mappings, one for each {each}, got {type(history).__name__}")
    if not history:
        raise ValueError(f"history must hold at least one {each}, got none")
    for number, entry in enumerate(history):
        if not isinstance(entry, Mapping):
            raise TypeError(f"history[{number}] must be a mapping, got {type(entry).__name__}")
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(f"history[{number}] must hold {', '.join(keys)}, got none of {', '.join(missing)}")
        for key, may_be_none in mappings.items():
            if not isinstance(entry[key], Mapping) and not (may_be_none and entry[key] is None):
                raise TypeError(f"history[{number}][{key!r}] must be a mapping, got {type(entry[key]).__name__}")


def columns_of(rows: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Return the values of all rows by name; NaN where a row has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_or_nan(row.get(name)) for row in rows] for name in names}


def check_columns(name: str, columns: object, n: int, each: str) -> dict[str, NDArray[Any]]:
    """Return columns of n numbers by name; `each` says in the message what the numbers belong to."""
    if not isinstance(columns, Mapping):
        raise TypeError(f"{name} must be a mapping of names to values, got {type(columns).__name__}")
    return {key: check_column(f"{name}[{key!r}]", values, n, each) for key, values in columns.items()}


def draw_history(
    ax: Axes | None,
    x: NDArray[Any],
    curves: Mapping[str, NDArray[Any]],
    scores: Mapping[str, NDArray[Any]],
    *,
    name: str | None,
    labels: tuple[str, str],
    breaks: Sequence[float] = (),
) -> tuple[Axes, Axes | None]:
    """Draw curves on the left axis, the mAP on the right axis, and one legend below; return the axes.

    The left axis is logarithmic if all values drawn on it are above 0. `labels` are those of x and of the left axis.
    Lines are broken at `breaks`.
    """
    left = axes_for(ax)
    prefix = "" if name is None else f"{name}, "
    for number, (curve, values) in enumerate(curves.items()):
        # The first, which is the sum of the others, above those that it nearly equals.
        zorder = 2.5 - number / 100
        left.plot(*_known(x, values, breaks), label=prefix + curve, zorder=zorder, **_MARKER)
    right = left.twinx() if scores else None
    if right is not None:
        for direction, values in scores.items():
            # Empty lines in the left axes: for an entry in their legend and the next of their colors.
            (entry,) = left.plot([], [], "--", label=f"{prefix}mAP {direction}", **_MARKER)
            right.plot(*_known(x, values, breaks), "--", color=entry.get_color(), **_MARKER)
        right.set(ylabel="Validation mAP", ylim=(0, 1))
    _scale(left, *labels)
    return left, right


def _known(x: NDArray[Any], values: NDArray[Any], breaks: Sequence[float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the finite values and their places, with NaN between those that a break parts."""
    known = np.isfinite(values)
    x, values = x[known], values[known]
    if len(breaks) == 0:
        return x, values
    places = np.searchsorted(x, breaks)
    return np.insert(x.astype(np.float64), places, np.nan), np.insert(values.astype(np.float64), places, np.nan)


def _scale(ax: Axes, xlabel: str, ylabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_yscale("linear")  # an earlier run may have left a logarithmic axis, which cannot begin at 0
    finish(ax, xlabel, ylabel)
    lines = [line for line in ax.get_lines() if line.get_transform() == ax.transData]  # not those between chunks
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in lines])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) and drawn.min() > 0:
        ax.set_yscale("log")
        ax.autoscale(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    longest = max(map(len, ax.get_legend_handles_labels()[1]))
    n_columns = max(1, min(_LEGEND_COLUMNS, _LEGEND_WIDTH // (longest + _HANDLE_WIDTH)))
    # Below the axes, where the legend covers no curve.
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=n_columns, frameon=False)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
