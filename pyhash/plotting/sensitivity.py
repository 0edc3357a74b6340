"""Chart of scores by the value of a parameter, or of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array, check_choice, check_numeric, listed
from pyhash._inputs.value_text import value_text
from pyhash.plotting.charts import axes_for, finish, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_MAX_CELLS_WITH_TEXT = 150
_DECADES = 100.0  # from this ratio of the largest value to the smallest, the axis is logarithmic


@dataclass
class SensitivityDisplay:
    """A score against the value of a parameter, as a line, or against the values of two, as a heat map.

    Parameters
    ----------
    values : mapping of str to sequence
        The values of one or two parameters, by name. Values that are not numbers are shown as text.
    scores : array_like of shape (n_values,) or (n_values_of_first, n_values_of_second)
        A score for each value or pair of values; NaN where there is none.
    name : str, optional
        Name of the line in the legend; of a heat map, its title.
    ylabel : str
        Label of the y axis or the color bar. The y axis is that of ``RoundsDisplay``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

    Notes
    -----
    The axis of a parameter is logarithmic if its values are numbers from 0 that span two decades or more.

    Examples
    --------
    >>> line = SensitivityDisplay({"alpha": [1, 100, 10_000]}, [0.3, 0.5, 0.4], name="32 bits").plot()
    >>> line.ax_.get_xlabel(), line.ax_.get_xscale()
    ('alpha', 'log')
    >>> pairs = SensitivityDisplay({"alpha": [1, 100], "init": ["random", "centers"]}, [[0.1, 0.2], [0.3, 0.4]]).plot()
    >>> [label.get_text() for label in pairs.ax_.get_yticklabels()]
    ['random', 'centers']
    """

    values: Mapping[str, Sequence[Any]]
    scores: ArrayLike
    name: str | None = None
    ylabel: str = "mAP"

    @classmethod
    def from_records(
        cls,
        records: Sequence[Mapping[str, Any]],
        method: str,
        direction: str,
        *,
        n_bits: int,
        parameters: Sequence[str] | None = None,
        protocol: str | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Draw the mean scores of a sweep at one code length.

        Parameters
        ----------
        records : sequence of mapping
            The ``records`` of a comparison with a sweep.
        method : str
            Method of the sweep, such as "lemon".
        direction : str
            One of the comparison's directions, such as "image->text".
        n_bits : int
            Length of the codes in bits.
        parameters : sequence of str, optional
            The parameters of the sweep. Needed if there are several sweeps of the method.
        protocol : str, optional
            By default the first of the comparison.
        name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        SensitivityDisplay
            Numbers are in ascending order, other values in the order of the sweep. Scores are mAP by Hamming distance,
            means over the seeds.

        Raises
        ------
        TypeError
            If `records` is not a sequence of mappings, or `parameters` not a sequence of names.
        ValueError
            If the records have no sweep of the method, or none at that length.
        ValueError
            If `parameters` is None and the method has several sweeps, or `parameters` are not those of one.
        ValueError
            If more than two parameters were varied. Those with one value do not count where others have several.
        ValueError
            If the direction or the protocol is unknown.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash.comparison import compare
        >>> from pyhash.datasets import make_multilabel
        >>> result = compare(make_multilabel(300), sweep={"lemon": {"alpha": [1, 100]}}, bits=[8])
        >>> display = SensitivityDisplay.from_records(result.records, "lemon", "text->image", n_bits=8)
        >>> display.values, len(display.scores)
        ({'alpha': [1, 100]}, 2)
        """
        runs = _runs_of(records, method, n_bits, parameters)
        axes = _axes([run["swept"]["values"] for run in runs])
        if len(axes) > 2:
            raise ValueError(f"parameters must be one or two, got {', '.join(axes)}")
        if protocol is None:
            protocol = next(iter(runs[0]["protocols"]))
        check_choice("protocol", protocol, tuple(runs[0]["protocols"]))
        check_choice("direction", direction, tuple(dict.fromkeys(entry["direction"] for entry in runs[0]["scores"])))
        found: dict[tuple[int, ...], list[float]] = {}
        for run in runs:
            place = tuple(column.index(run["swept"]["values"][parameter]) for parameter, column in axes.items())
            score = next(
                entry["map"]
                for entry in run["scores"]
                if (entry["protocol"], entry["direction"]) == (protocol, direction)
            )
            found.setdefault(place, []).append(np.nan if score is None else score)
        scores = np.full([len(column) for column in axes.values()], np.nan)
        for place, of_seeds in found.items():
            scores[place] = np.mean(of_seeds)
        return cls(axes, scores.tolist(), name).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the line or the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        **style
            Passed to ``Axes.plot``, or to ``Axes.imshow`` for two parameters.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `ax` is neither matplotlib Axes nor None.
        TypeError
            If `values` is not a mapping of names to sequences, or scores are not numbers.
        ValueError
            If `values` are not those of one or two parameters, or a parameter has none.
        ValueError
            If there is not one score for each value, or pair of values.
        ImportError
            If matplotlib is not installed.
        """
        columns, scores = self._checked()
        self.ax_ = axes_for(ax)
        if len(columns) == 1:
            ((parameter, column),) = columns.items()
            self._plot_line(parameter, column, scores, style)
        else:
            self._plot_map(columns, scores, style)
        return self

    def _checked(self) -> tuple[dict[str, list[Any]], NDArray[np.float64]]:
        if not isinstance(self.values, Mapping):
            raise TypeError(f"values must be a mapping of parameters to values, got {type(self.values).__name__}")
        columns = {name: listed(f"values[{name!r}]", column, "values") for name, column in self.values.items()}
        if len(columns) not in (1, 2) or not all(columns.values()):
            shown = ", ".join(f"{len(column)} of {name}" for name, column in columns.items()) or "none"
            raise ValueError(f"values must be those of one or two parameters, at least one of each, got {shown}")
        scores = as_array("scores", self.scores)
        check_numeric("scores", scores)
        shape = tuple(len(column) for column in columns.values())
        if scores.shape != shape:
            raise ValueError(f"scores must have shape {shape}, one for each value, got {scores.shape}")
        return columns, scores.astype(np.float64)

    def _plot_line(self, parameter: str, column: list[Any], scores: NDArray[np.float64], style: dict[str, Any]) -> None:
        numbers = _numbers(column)
        places = np.arange(len(column)) if numbers is None else numbers
        known = ~np.isnan(scores)
        self.ax_.plot(places[known], scores[known], **line_style(style, marker="o", label=self.name))
        finish(self.ax_, parameter, self.ylabel)
        if numbers is not None and _spans_decades(numbers):
            smallest = float(numbers[numbers > 0].min())
            if numbers.min() > 0:
                self.ax_.set_xscale("log")
            else:
                self.ax_.set_xscale("symlog", linthresh=smallest)  # linear between 0 and the smallest other value
        if numbers is None or self.ax_.get_xscale() != "linear":
            self.ax_.set_xticks(places, labels=[value_text(value) for value in column])
            self.ax_.minorticks_off()

    def _plot_map(self, columns: dict[str, list[Any]], scores: NDArray[np.float64], style: dict[str, Any]) -> None:
        (of_x, xs), (of_y, ys) = columns.items()
        image = self.ax_.imshow(scores.T, **{"cmap": "viridis", "origin": "lower", "aspect": "auto", **style})
        self.ax_.figure.colorbar(image, ax=self.ax_, label=self.ylabel)
        self.ax_.set(xlabel=of_x, ylabel=of_y)
        self.ax_.set_xticks(range(len(xs)), labels=[value_text(value) for value in xs])
        self.ax_.set_yticks(range(len(ys)), labels=[value_text(value) for value in ys])
        if scores.size <= _MAX_CELLS_WITH_TEXT:
            for (x, y), score in np.ndenumerate(scores):
                if not np.isnan(score):
                    color = "black" if float(np.asarray(image.norm(score))) > 0.6 else "white"
                    self.ax_.text(x, y, f"{score:.3f}", ha="center", va="center", color=color, fontsize="x-small")
        if self.name is not None:
            self.ax_.set_title(self.name)


def _runs_of(
    records: Sequence[Mapping[str, Any]], method: str, n_bits: int, parameters: Sequence[str] | None
) -> list[Mapping[str, Any]]:
    """Return the records of one sweep at one length."""
    records = listed("records", records, "records")
    for record in records:
        if not isinstance(record, Mapping):
            raise TypeError(f"records must be a sequence of mappings, got {type(record).__name__} in it")
    swept = [record for record in records if record.get("swept") and record["swept"]["method"] == method]
    sweeps = list(dict.fromkeys(tuple(record["swept"]["values"]) for record in swept))
    if not swept:
        raise ValueError(f"records must hold a sweep of method {method!r}, got none")
    if parameters is None:
        if len(sweeps) > 1:
            shown = "; ".join(", ".join(names) for names in sweeps)
            raise ValueError(f"parameters must be given where a method has several sweeps, which are {shown}")
        chosen = sweeps[0]
    else:
        chosen = tuple(listed("parameters", parameters, "names"))
        if chosen not in sweeps:
            shown = "; ".join(", ".join(names) for names in sweeps)
            raise ValueError(f"parameters must be those of one sweep of {method!r}, {shown}; got {parameters!r}")
    runs = [run for run in swept if tuple(run["swept"]["values"]) == chosen and run["n_bits"] == n_bits]
    if not runs:
        raise ValueError(f"n_bits must be a length of the sweep of {method!r}, got {n_bits!r}")
    return runs


def _axes(combinations: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each parameter that varies, or of all if none does; numbers in ascending order."""
    axes: dict[str, list[Any]] = {}
    for parameter in combinations[0]:
        column: list[Any] = []
        for values in combinations:
            if values[parameter] not in column:  # values may be lists, which have no hash
                column.append(values[parameter])
        axes[parameter] = column if _numbers(column) is None else sorted(column)
    return {parameter: column for parameter, column in axes.items() if len(column) > 1} or axes


def _numbers(column: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return the values as an array if they are finite numbers, else None."""
    if any(isinstance(value, bool) or not isinstance(value, (int, float, np.number)) for value in column):
        return None
    numbers = np.array(column, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None


def _spans_decades(numbers: NDArray[np.float64]) -> bool:
    positive = numbers[numbers > 0]
    return bool(numbers.min() >= 0 and len(positive) > 0 and positive.max() >= _DECADES * positive.min())
