"""Notice that it takes long to fit a method after each round, with an estimate of the time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# Time of the fits before the last one, in one combination, above which the user is told.
_LONG_SECONDS = 60.0


class RefitNotice:
    """Says on stderr, once for each class of methods, that fits for mAP by round take long, and how to avoid them."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._told: set[str] = set()

    def update(self, method: str, sizes: Sequence[int], seconds: Sequence[float]) -> None:
        """Estimate the time of all fits of a method before its last one, of `sizes` rows, from the first `seconds`."""
        total = estimate_seconds(sizes, seconds)
        if not self._enabled or method in self._told or total < _LONG_SECONDS:
            return
        from tqdm import tqdm

        self._told.add(method)
        # Below a progress bar, if there is one.
        tqdm.write(
            f"{method} learns whole data: {len(sizes)} more fits, for mAP by round, take about {_duration(total)} for "
            "each length and seed; rounds='online', or --rounds online, leaves them out",
            file=sys.stderr,
        )


def estimate_seconds(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the time of fits of `sizes` rows, in ascending order, of which the first took so many `seconds`.

    It grows linearly, as from the first fit to the last known one. From one alone no growth is known.
    """
    first, last = seconds[0], seconds[-1]
    known = len(seconds)
    slope = max(0.0, (last - first) / (sizes[known - 1] - sizes[0])) if known > 1 else 0.0
    return sum(seconds) + sum(last + slope * (size - sizes[known - 1]) for size in sizes[known:])


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
