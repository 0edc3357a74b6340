"""Chart of losses and validation scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyhash.plotting.charts import axes_for, finish
from pyhash.plotting.columns import check_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_ENTRY = ("epoch", "loss", "losses", "validation")
_LEGEND_COLUMNS = 3
_MARKER: dict[str, Any] = {"marker": "o", "markersize": 3}  # visible also for one epoch, which draws no line


class _TrainedByEpochs(Protocol):
    @property
    def history_(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass
class TrainingCurvesDisplay:
    """Losses, and the mAP on validation data if there is any, after each epoch of training.

    Parameters
    ----------
    epochs : sequence of int
        Numbers of the epochs, from 1.
    losses : mapping of str to sequence of float
        Terms of the loss by name: a value for each epoch, NaN where an epoch has none.
    validation : mapping of str to sequence of float, optional
        The mAP of each direction, such as "image->text": a value for each epoch, NaN where an epoch has none.
    name : str, optional
        Written in the legend before the names of terms and directions.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes of the losses. Save with ``save_figure``.
    validation_ax_ : matplotlib Axes or None
        Set by ``plot``: the axes of the mAP, on the right. None without `validation`.

    Examples
    --------
    >>> display = TrainingCurvesDisplay([1, 2, 3], {"total": [9.0, 2.0, 0.5]}, {"image->text": [0.1, 0.4, 0.5]}).plot()
    >>> display.ax_.get_yscale(), display.validation_ax_.get_yscale()
    ('log', 'linear')
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['total', 'mAP image->text']
    """

    epochs: Sequence[int]
    losses: Mapping[str, Sequence[float]]
    validation: Mapping[str, Sequence[float]] | None = None
    name: str | None = None

    @classmethod
    def from_model(cls, model: _TrainedByEpochs, ax: Axes | None = None, *, name: str | None = None) -> Self:
        """Draw the training of a deep method.

        Parameters
        ----------
        model : HashingMethod
            A deep method that has learned; its ``history_`` is drawn.
        ax
            As for ``plot``.
        name
            As for the class.

        Returns
        -------
        TrainingCurvesDisplay

        Raises
        ------
        TypeError
            If the model has no ``history_``, as methods that are not trained by epochs.
        ValueError
            If the model has not learned.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> epochs = [{"epoch": n, "loss": 1 / n, "losses": {"triplet": 1 / n}, "validation": None} for n in (1, 2)]
        >>> display = TrainingCurvesDisplay.from_model(SimpleNamespace(history_=epochs))
        >>> display.losses
        {'total': [1.0, 0.5], 'triplet': [1.0, 0.5]}
        """
        # Not hasattr: it evaluates the property, which raises for a model that has not learned.
        if "history_" not in dir(model):
            raise TypeError(f"model must have a history_, as deep methods do, got {type(model).__name__}")
        if not model.history_:
            raise ValueError(f"model must have learned, got {type(model).__name__} without any epoch in its history_")
        return cls.from_history(model.history_, ax, name=name)

    @classmethod
    def from_history(
        cls, history: Sequence[Mapping[str, Any]], ax: Axes | None = None, *, name: str | None = None
    ) -> Self:
        """Draw a history, such as the ``training`` of a comparison's record.

        Parameters
        ----------
        history : sequence of mapping
            One for each epoch, with "epoch", "loss" (the sum), "losses" (by term) and "validation" (mAP by direction,
            or None). A term or direction may be missing, or None, in some epochs.
        ax
            As for ``plot``.
        name
            As for the class.

        Returns
        -------
        TrainingCurvesDisplay
            Its losses name the sum "total".

        Raises
        ------
        TypeError
            If the history is not a sequence of mappings.
        TypeError
            If a loss or a score is not a number.
        ValueError
            If the history is empty.
        ValueError
            If an epoch lacks one of the four entries.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> epoch = {"epoch": 1, "loss": 0.5, "losses": {"triplet": 0.5}, "validation": {"image->text": 0.25}}
        >>> TrainingCurvesDisplay.from_history([epoch]).validation
        {'image->text': [0.25]}
        """
        _check_history(history)
        epochs = [entry["epoch"] for entry in history]
        losses = _columns([{"total": entry["loss"], **entry["losses"]} for entry in history])
        validation = _columns([entry["validation"] or {} for entry in history])
        return cls(epochs, losses, validation or None, name).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the losses on the left axis, the mAP on the right axis, and one legend below.

        The axis of the losses is logarithmic if all losses drawn on it are above 0.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `ax` is neither matplotlib Axes nor None.
        TypeError
            If losses or validation is not a mapping.
        TypeError
            If a value is not a number.
        ValueError
            If losses is empty.
        ValueError
            If a term or direction does not have one value for each epoch.
        ImportError
            If matplotlib is not installed.
        """
        epochs = check_column("epochs", self.epochs)
        losses = self._checked("losses", self.losses)
        if not losses:
            raise ValueError("losses must name at least one term, got none")
        validation = {} if self.validation is None else self._checked("validation", self.validation)
        self.ax_ = axes_for(ax)
        for term, values in losses.items():
            known = np.isfinite(values)
            self.ax_.plot(epochs[known], values[known], label=self._label(term), **_MARKER)
        self.validation_ax_ = self.ax_.twinx() if validation else None
        if self.validation_ax_ is not None:
            for direction, values in validation.items():
                # Empty lines in the left axes: for an entry in their legend and the next of their colors.
                (entry,) = self.ax_.plot([], [], "--", label=self._label(f"mAP {direction}"), **_MARKER)
                known = np.isfinite(values)
                color = entry.get_color()
                self.validation_ax_.plot(epochs[known], values[known], "--", color=color, **_MARKER)
            self.validation_ax_.set(ylabel="Validation mAP", ylim=(0, 1))
        self._scale_losses()
        return self

    def _checked(self, name: str, columns: Mapping[str, Sequence[float]]) -> dict[str, NDArray[Any]]:
        if not isinstance(columns, Mapping):
            raise TypeError(f"{name} must be a mapping of names to values, got {type(columns).__name__}")
        n = len(self.epochs)
        return {key: check_column(f"{name}[{key!r}]", values, n, "of epochs") for key, values in columns.items()}

    def _label(self, name: str) -> str:
        return name if self.name is None else f"{self.name}, {name}"

    def _scale_losses(self) -> None:
        from matplotlib.ticker import MaxNLocator

        self.ax_.set_yscale("linear")  # an earlier run may have left a logarithmic axis, which cannot begin at 0
        finish(self.ax_, "Epoch", "Loss")
        drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in self.ax_.get_lines()])
        if len(drawn) and drawn.min() > 0:
            self.ax_.set_yscale("log")
            self.ax_.autoscale(axis="y")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        # Below the axes, where the legend covers no curve.
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=_LEGEND_COLUMNS, frameon=False)


def _check_history(history: object) -> None:
    if isinstance(history, str) or not isinstance(history, Sequence):
        raise TypeError(f"history must be a sequence of mappings, one for each epoch, got {type(history).__name__}")
    if not history:
        raise ValueError("history must hold at least one epoch, got none")
    for number, entry in enumerate(history):
        if not isinstance(entry, Mapping):
            raise TypeError(f"history[{number}] must be a mapping, got {type(entry).__name__}")
        missing = [key for key in _ENTRY if key not in entry]
        if missing:
            raise ValueError(f"history[{number}] must hold {', '.join(_ENTRY)}, got none of {', '.join(missing)}")
        for key in ("losses", "validation"):
            if not isinstance(entry[key], Mapping) and (key == "losses" or entry[key] is not None):
                raise TypeError(f"history[{number}][{key!r}] must be a mapping, got {type(entry[key]).__name__}")


def _columns(rows: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Return the values of all rows by name; NaN where a row has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_or_nan(row.get(name)) for row in rows] for name in names}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
