"""The score of each query and its mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyhash.evaluation.protocol import Protocol

Score = TypeVar("Score", bound="MeanScore")


@dataclass(frozen=True)
class MeanScore:
    """A mean over queries, with the score of each query and the protocol; ``float()`` returns the mean."""

    value: float
    per_query: NDArray[np.float64]
    n_empty: int
    protocol: Protocol

    # Name of the mean in text, and whether the protocol's denominator applies to it.
    symbol: ClassVar[str]
    has_denominator: ClassVar[bool] = False

    @classmethod
    def of_queries(cls: type[Score], per_query: NDArray[np.float64], protocol: Protocol, **choices: Any) -> Score:
        """Return the mean of the scores (n_queries,) of queries, which are NaN for empty queries."""
        empty = np.isnan(per_query)
        if protocol.empty_queries == "zero":
            per_query = np.where(empty, 0.0, per_query)
        counted = per_query[~np.isnan(per_query)]
        value = float(np.mean(counted)) if counted.size else float("nan")
        return cls(value, per_query, int(np.count_nonzero(empty)), protocol, **choices)

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"{self.symbol} {self.value:.4f} ({self.choices()}; {len(self.per_query)} queries, {self.n_empty} empty)"

    def choices(self) -> str:
        """Return what the score depends on beside the rankings: its protocol, and choices of its own, in one line."""
        return self.protocol.describe(denominator=self.has_denominator)
