"""Chart of losses and validation scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pyhash.plotting.columns import check_column
from pyhash.plotting.histories import check_columns, check_history, columns_of, draw_history, history_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_ENTRY = ("epoch", "loss", "losses", "validation")


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
        history = history_of(model, "deep methods")
        if not history:
            raise ValueError(f"model must have learned, got {type(model).__name__} without any epoch in its history_")
        return cls.from_history(history, ax, name=name)

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
        check_history(history, "epoch", _ENTRY, {"losses": False, "validation": True})
        epochs = [entry["epoch"] for entry in history]
        losses = columns_of([{"total": entry["loss"], **entry["losses"]} for entry in history])
        validation = columns_of([entry["validation"] or {} for entry in history])
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
        losses = check_columns("losses", self.losses, len(self.epochs), "of epochs")
        if not losses:
            raise ValueError("losses must name at least one term, got none")
        validation = self.validation
        scores = {} if validation is None else check_columns("validation", validation, len(self.epochs), "of epochs")
        self.ax_, self.validation_ax_ = draw_history(
            ax, epochs, losses, scores, name=self.name, labels=("Epoch", "Loss")
        )
        return self
