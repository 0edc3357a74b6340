"""Chart of scores by code length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyhash._inputs.checks import as_array, check_n_bits, check_numeric
from pyhash.evaluation import Protocol
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import axes_for, finish, line_style
from pyhash.plotting.columns import check_column
from pyhash.plotting.score_sets import score_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self


@dataclass
class BitsDisplay:
    """A score against the length of the codes.

    Parameters
    ----------
    n_bits : sequence of int
        Lengths of codes in bits, in any order.
    scores : sequence of float
        One for each length.
    spread : array_like of shape (n,) or (2, n), optional
        Lengths of the error bars: the same down and up, or a row for each.
    name : str, optional
        Name in the legend.
    ylabel : str
        As for ``RoundsDisplay``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Set by ``plot``: the axes drawn on. Save with ``save_figure``.

    Examples
    --------
    >>> display = BitsDisplay([16, 32, 64], [0.4, 0.5, 0.55], spread=[0.02, 0.01, 0.01], name="example").plot()
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['16', '32', '64']
    """

    n_bits: Sequence[int]
    scores: Sequence[float]
    spread: ArrayLike | None = None
    name: str | None = None
    ylabel: str = "mAP"

    @classmethod
    def from_codes(
        cls,
        queries: Mapping[int, ArrayLike],
        database: Mapping[int, ArrayLike],
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        *,
        metric: Metric = "hamming",
        protocol: Protocol | str | None = None,
        n_threads: int | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Compute the mean average precision at each length and draw it.

        Parameters
        ----------
        queries, database : mapping of int to array_like
            Codes, or projections, by their length in bits. Both must have the same lengths.
        query_labels, database_labels, metric, protocol, n_threads
            As for ``evaluation.mean_average_precision``.
        name
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        BitsDisplay

        Raises
        ------
        TypeError, ValueError
            As ``evaluation.mean_average_precision``.
        TypeError
            If queries or database is not a mapping.
        ValueError
            If queries is empty, or the lengths of queries and database differ.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from pyhash import codes
        >>> queries = {2: codes.pack([[1, 1]]), 3: codes.pack([[1, 1, 1]])}
        >>> database = {2: codes.pack([[1, 1], [1, -1]]), 3: codes.pack([[1, 1, -1], [1, 1, 1]])}
        >>> BitsDisplay.from_codes(queries, database, [7], [7, 3]).scores
        [1.0, 0.5]
        """
        scores = score_sets(
            queries,
            database,
            query_labels,
            database_labels,
            keys="lengths in bits",
            n_bits_of=lambda n_bits: n_bits,
            metric=metric,
            protocol=protocol,
            n_threads=n_threads,
        )
        return cls(list(scores), list(scores.values()), name=name).plot(ax, **style)

    @classmethod
    def from_runs(
        cls,
        n_bits: Sequence[int],
        scores: ArrayLike,
        *,
        name: str | None = None,
        ylabel: str = "mAP",
        ax: Axes | None = None,
        **style: Any,
    ) -> Self:
        """Draw the mean of several runs, such as seeds, with their sample standard deviation as spread.

        Parameters
        ----------
        n_bits : sequence of int of length n
            Lengths of codes in bits.
        scores : array_like of shape (n_runs, n)
            Score of each run at each length.
        name, ylabel
            As for the class.
        ax, **style
            As for ``plot``.

        Returns
        -------
        BitsDisplay
            Without spread if there is one run.

        Raises
        ------
        TypeError
            If scores are not numbers.
        ValueError
            If scores are not of shape (n_runs, n), or there is no run.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> BitsDisplay.from_runs([16, 32], [[0.4, 0.5], [0.6, 0.5]], name="two seeds").scores
        [0.5, 0.5]
        """
        runs = as_array("scores", scores)
        check_numeric("scores", runs)
        if runs.ndim != 2 or len(runs) == 0 or runs.shape[1] != len(n_bits):
            raise ValueError(f"scores must have shape (n_runs, {len(n_bits)}), got {runs.shape}")
        spread = runs.std(axis=0, ddof=1) if len(runs) > 1 else None
        return cls(n_bits, runs.mean(axis=0).tolist(), spread, name, ylabel).plot(ax, **style)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; ticks of earlier lengths stay. By default those of a new figure.
        **style
            Passed to ``Axes.errorbar``.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `ax` is neither matplotlib Axes nor None.
        TypeError
            If lengths are not integers, or scores or spread not numbers.
        ValueError
            If a length is below 1.
        ValueError
            If there is not one score for each length, or spread has another shape.
        ValueError
            If a spread is negative.
        ImportError
            If matplotlib is not installed.
        """
        lengths = np.array([check_n_bits(n_bits) for n_bits in self.n_bits], dtype=np.int64)
        n = len(lengths)
        scores = check_column("scores", self.scores, n, "of n_bits")
        order = np.argsort(lengths, kind="stable")
        spread = None
        if self.spread is not None:
            spread = as_array("spread", self.spread)
            check_numeric("spread", spread)
            if spread.shape not in ((n,), (2, n)):
                raise ValueError(f"spread must have shape ({n},) or (2, {n}), got {spread.shape}")
            if (spread < 0).any():
                raise ValueError(f"spread must be at least 0, got {spread.min()}")
            spread = spread[..., order]
        self.ax_ = axes_for(ax)
        from matplotlib.ticker import FixedLocator

        fixed = isinstance(self.ax_.xaxis.get_major_locator(), FixedLocator)
        drawn = self.ax_.get_xticks() if fixed else np.array([])
        style = line_style(style, marker="o", capsize=3, label=self.name)
        self.ax_.errorbar(lengths[order], scores[order], yerr=spread, **style)
        self.ax_.set_xscale("log", base=2)
        ticks = np.union1d(lengths, drawn)
        self.ax_.set_xticks(ticks, labels=[f"{tick:.0f}" for tick in ticks])
        self.ax_.minorticks_off()
        finish(self.ax_, "Code length (bits)", self.ylabel)
        return self
