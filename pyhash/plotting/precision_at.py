"""Chart of the precision among the first N items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyhash._inputs.checks import as_rows
from pyhash.evaluation import PrecisionAt, Protocol, precision_at
from pyhash.evaluation.protocol import resolve_protocol
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import axes_for, finish, line_style, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


def _one_two_five(limit: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50, ... below the limit, and the limit."""
    steps = (step * 10**power for power in range(len(str(limit))) for step in (1, 2, 5))
    return [*(n for n in steps if n < limit), limit]


@dataclass
class PrecisionAtDisplay:
    """Precision among the first N items, against N.

    Parameters
    ----------
    result : PrecisionAt
        Precision to draw.
    name : str, optional
        Name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

    Examples
    --------
    >>> from pyhash import codes, evaluation
    >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
    >>> query = codes.pack([[1, 1, 1]])
    >>> result = evaluation.precision_at(query, database, [7], [7, 3, 7], top_n=[1, 2], n_bits=3)
    >>> PrecisionAtDisplay(result, name="example").plot().ax_.get_ylabel()
    'Precision'
    """

    result: PrecisionAt
    name: str | None = None

    @classmethod
    def from_codes(
        cls,
        queries: ArrayLike,
        database: ArrayLike | None,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        *,
        top_n: int | Sequence[int] | None = None,
        metric: Metric = "hamming",
        n_bits: int | None = None,
        protocol: Protocol | str | None = None,
        n_threads: int | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Compute the precision at each N and draw it.

        Parameters
        ----------
        queries, database, query_labels, database_labels, metric, n_bits, protocol, n_threads
            As for ``evaluation.precision_at``.
        top_n : int or sequence of int, optional
            By default 1, 2, 5, 10, 20, 50, ... up to the size of the database, or the protocol's cutoff.
        name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        PrecisionAtDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.precision_at``.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash import codes
        >>> database = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])
        >>> display = PrecisionAtDisplay.from_codes(codes.pack([[1, 1, 1]]), database, [7], [7, 3, 7], n_bits=3)
        >>> display.result
        P@1 1.0000, P@2 0.5000, P@3 0.6667 (empty queries skip, ties id; 1 queries, 0 empty)
        """
        require_matplotlib()
        protocol = resolve_protocol(protocol)
        if top_n is None:
            labels = as_rows("database_labels", database_labels)
            n_database = labels.shape[0] if labels.ndim else 0
            # At least 1: precision_at has the message for an empty database.
            top_n = _one_two_five(max(1, min(protocol.cutoff or n_database, n_database)))
        result = precision_at(
            queries,
            database,
            query_labels,
            database_labels,
            top_n=top_n,
            metric=metric,
            n_bits=n_bits,
            protocol=protocol,
            n_threads=n_threads,
        )
        return cls(result, name).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the precision at each N.

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
        ImportError
            If matplotlib is not installed.
        """
        self.ax_ = axes_for(ax)
        order = np.argsort(self.result.top_n, kind="stable")
        style = line_style(style, marker="o", label=self.name)
        self.ax_.plot(self.result.top_n[order], self.result.values[order], **style)
        self.ax_.set_xscale("log")
        self.ax_.xaxis.set_major_formatter("{x:g}")
        finish(self.ax_, "N", "Precision")
        return self
