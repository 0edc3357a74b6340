"""Labels that features contradict, and the likeliest ones in their place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix


class Relabelled(NamedTuple):
    """Rows learned with other classes than those given: arrays (k,) int64."""

    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    taken: NDArray[np.int64]

    @classmethod
    def none(cls) -> Relabelled:
        """Return the record of no rows."""
        return cls(*(np.zeros(0, dtype=np.int64) for _ in cls._fields))

    def and_then(self, first_row: int, given: NDArray[np.int64], taken: NDArray[np.int64]) -> Relabelled:
        """Return the record with later rows added, numbered from `first_row`, of the given and the taken classes."""
        changed = np.flatnonzero(taken != given)
        found = (first_row + changed, given[changed], taken[changed])
        return Relabelled(*map(np.concatenate, zip(self, found, strict=True)))


def likeliest(log_P: Matrix, given: NDArray[np.intp], noise: float) -> NDArray[np.intp]:
    """Return the likeliest class of each row, if a fraction `noise` of the given ones is wrong, at most 0.5.

    ``argmax_k log P(k) + log(1 - e if k is given else e / (c - 1))``. `log_P` (n, c), up to a number for each row, is
    what features tell, c >= 2. Rows whose given class is -1 keep it.
    """
    n, c = log_P.shape
    rows, best = np.arange(n), log_P.argmax(axis=1)
    is_wrong = log_P[rows, best] - log_P[rows, given] > np.log((1 - noise) * (c - 1) / noise)
    return np.where(is_wrong & (given >= 0), best, given)
