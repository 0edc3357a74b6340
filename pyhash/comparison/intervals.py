"""How sure the scores of a table are: intervals, and which methods are below the best of their length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pyhash.evaluation.significance import bootstrap_intervals, holm, sign_flip_p_values

Cell = TypeVar("Cell", bound=Hashable)

LEVEL = 0.95
_N_RESAMPLES = 10_000
# p-values are small enough for their correction: 100 flips for each pair, up to a limit.
_FLIPS_PER_PAIR, _MAX_FLIPS = 100, 1_000_000


@dataclass(frozen=True)
class Estimate:
    """The interval of a score, None with fewer than two queries; and how it stands to the others of its family.

    `rank` is "best" for the highest score, "lower" for one that differs from it significantly, else None.
    """

    interval: tuple[float, float] | None
    rank: str | None = None


def estimate(families: Sequence[dict[Cell, NDArray[np.float64]]]) -> dict[Cell, Estimate]:
    """Return the estimates of the means of scores (n_queries,) by cell; the cells of a family are compared.

    Scores are NaN for skipped queries. Where cells of a family skip different queries, none of them is compared.
    """
    estimates = _intervals({cell: scores for family in families for cell, scores in family.items()})
    for family in families:
        estimates.update({cell: replace(estimates[cell], rank=rank) for cell, rank in _ranks(family).items()})
    return estimates


def _intervals(columns: dict[Cell, NDArray[np.float64]]) -> dict[Cell, Estimate]:
    """Return the intervals; columns that skip the same queries are resampled together."""
    alike: dict[bytes, list[Cell]] = defaultdict(list)
    for cell, scores in columns.items():
        alike[np.isnan(scores).tobytes()].append(cell)
    found: dict[Cell, Estimate] = {}
    for cells in alike.values():
        scores = np.column_stack([columns[cell] for cell in cells])
        counted = scores[~np.isnan(scores[:, 0])]
        if len(counted) < 2:
            found.update(dict.fromkeys(cells, Estimate(None)))
            continue
        low, high = bootstrap_intervals(counted, LEVEL, _N_RESAMPLES, 0)
        ends = zip(low.tolist(), high.tolist(), strict=True)
        found.update({cell: Estimate(interval) for cell, interval in zip(cells, ends, strict=True)})
    return found


def _ranks(family: dict[Cell, NDArray[np.float64]]) -> dict[Cell, str | None]:
    """Return the rank of each cell of a family: all pairs are tested, and p-values are corrected for their number."""
    cells, scores = list(family), np.column_stack(list(family.values()))
    empty = np.isnan(scores)
    if len(cells) < 2 or empty.all() or (empty != empty[:, :1]).any():
        return {}
    counted = scores[~empty[:, 0]]
    pairs = list(combinations(range(len(cells)), 2))
    n_flips = min(max(_N_RESAMPLES, _FLIPS_PER_PAIR * len(pairs)), _MAX_FLIPS)
    p_values = sign_flip_p_values(counted, n_flips, 0)
    corrected = dict(zip(pairs, holm(np.array([p_values[pair] for pair in pairs])), strict=True))
    best = int(np.argmax(counted.mean(axis=0)))
    ranks: dict[Cell, str | None] = {cells[best]: "best"}
    for other, cell in enumerate(cells):
        if other != best:
            ranks[cell] = "lower" if corrected[min(best, other), max(best, other)] < 1 - LEVEL else None
    return ranks
