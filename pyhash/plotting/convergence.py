"""Chart of the objective and the validation scores by iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pyhash.plotting.columns import check_column
from pyhash.plotting.histories import check_columns, check_history, columns_of, draw_history, history_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_ENTRY = ("chunk", "iteration", "objective", "terms", "validation")


class _LearnedByIterations(Protocol):
    @property
    def history_(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass
class ConvergenceDisplay:
    """The objective and its terms, and the mAP on validation rows if there are any, after each iteration.

    Parameters
    ----------
    chunks : sequence of int
        Number of the chunk of each iteration, from 1, in the order of learning.
    values : mapping of str to sequence of float
        The objective and its terms by name: a value for each iteration, NaN where an iteration has none.
    validation : mapping of str to sequence of float, optional
        The mAP of each direction, such as "image->text": a value for each iteration, NaN where an iteration has none.
    name : str, optional
        Written in the legend before the names of terms and directions.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes of the objective. Save with ``save_figure``.
    validation_ax_ : matplotlib Axes or None
        Set by ``plot``: the axes of the mAP, on the right. None without `validation`.

    Examples
    --------
    >>> display = ConvergenceDisplay([1, 1, 2, 2], {"objective": [9.0, 2.0, 3.0, 1.0]}).plot()
    >>> display.ax_.get_xlabel(), display.ax_.get_yscale()
    ('Iteration', 'log')
    """

    chunks: Sequence[int]
    values: Mapping[str, Sequence[float]]
    validation: Mapping[str, Sequence[float]] | None = None
    name: str | None = None

    @classmethod
    def from_model(cls, model: _LearnedByIterations, ax: Axes | None = None, *, name: str | None = None) -> Self:
        """Draw the optimisation of a method that learned with ``record=True``.

        Parameters
        ----------
        model : HashingMethod
            Its ``history_`` is drawn.
        ax
            As for ``plot``.
        name
            As for the class.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        TypeError
            If the model has no ``history_``, as methods that take no iterations.
        NotFittedError
            If the model has recorded nothing.
        ValueError
            If its history is one of epochs, as that of deep methods.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import LEMON
        >>> labels = np.arange(60) % 3
        >>> model = LEMON(n_bits=8, n_iter=2, record=True).fit({"image": np.eye(3)[labels]}, labels, chunk_size=30)
        >>> display = ConvergenceDisplay.from_model(model)
        >>> display.chunks, list(display.values)
        ([1, 1, 2, 2], ['objective', 'similarity', 'labels', 'quantization'])
        """
        return cls.from_history(history_of(model, "methods that learn by iterations"), ax, name=name)

    @classmethod
    def from_history(
        cls, history: Sequence[Mapping[str, Any]], ax: Axes | None = None, *, name: str | None = None
    ) -> Self:
        """Draw a history, such as the ``optimisation`` of a comparison's record.

        Parameters
        ----------
        history : sequence of mapping
            One for each iteration, with "chunk", "iteration", "objective" (the sum), "terms" (by name) and "validation"
            (mAP by direction, or None). A term or direction may be missing, or None, in some iterations.
        ax
            As for ``plot``.
        name
            As for the class.

        Returns
        -------
        ConvergenceDisplay
            Its values name the sum "objective"; an only term, which equals it, is left out.

        Raises
        ------
        TypeError
            If the history is not a sequence of mappings.
        TypeError
            If a value or a score is not a number.
        ValueError
            If the history is empty.
        ValueError
            If an iteration lacks one of the five entries.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> entry = {"chunk": 1, "iteration": 1, "objective": 0.5, "terms": {"labels": 0.5}, "validation": None}
        >>> ConvergenceDisplay.from_history([entry]).values
        {'objective': [0.5]}
        """
        check_history(history, "iteration", _ENTRY, {"terms": False, "validation": True})
        terms = columns_of([entry["terms"] for entry in history])
        values = columns_of([{"objective": entry["objective"]} for entry in history]) | (
            terms if len(terms) > 1 else {}
        )
        validation = columns_of([entry["validation"] or {} for entry in history])
        return cls([entry["chunk"] for entry in history], values, validation or None, name).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the objective on the left axis, the mAP on the right axis, and one legend below.

        Iterations are numbered through all chunks; dotted lines stand between chunks. The left axis is logarithmic if
        all values drawn on it are above 0.

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
            If values or validation is not a mapping.
        TypeError
            If a value is not a number.
        ValueError
            If values is empty.
        ValueError
            If a term or direction does not have one value for each iteration.
        ImportError
            If matplotlib is not installed.
        """
        chunks = check_column("chunks", self.chunks)
        n = len(chunks)
        values = check_columns("values", self.values, n, "of chunks")
        if not values:
            raise ValueError("values must name at least one term, got none")
        validation = {} if self.validation is None else check_columns("validation", self.validation, n, "of chunks")
        borders = np.flatnonzero(np.diff(chunks)) + 1.5
        self.ax_, self.validation_ax_ = draw_history(
            ax,
            np.arange(1, n + 1),
            values,
            validation,
            name=self.name,
            labels=("Iteration", "Objective"),
            breaks=borders.tolist(),
        )
        for border in borders:
            self.ax_.axvline(border, color="0.7", linestyle=":", linewidth=0.8, zorder=0)
        return self
