"""Labels that features contradict, and the likeliest ones in their place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix

# Candidates of the estimate: exponents of the posterior, and fractions of wrong labels.
_SHARPNESSES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
_NOISES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_LEAST = 1e-300


class Relabelled(NamedTuple):
    """Rows learned with other classes than those given: arrays (k,) int64."""

    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    taken: NDArray[np.int64]

    @classmethod
    def none(cls) -> Relabelled:
        """Return the record of no rows."""
        return cls(*(np.zeros(0, dtype=np.int64) for _ in cls._fields))

    def and_then(self, numbers: NDArray[np.int64], given: NDArray[np.int64], taken: NDArray[np.int64]) -> Relabelled:
        """Return the record with later rows added: their numbers, and the given and the taken classes."""
        changed = taken != given
        found = (numbers[changed], given[changed], taken[changed])
        return Relabelled(*map(np.concatenate, zip(self, found, strict=True)))


def likeliest(log_P: Matrix, given: NDArray[np.intp], noise: float | None) -> NDArray[np.intp]:
    """Return the likeliest class of each row, if a fraction `noise` e of the given ones is wrong, at most 0.5.

    ``argmax_k log P(k) + log(1 - e if k is given else e / (c - 1))``. `log_P` (n, c), up to a number for each row, is
    what features tell, c >= 2. Rows whose given class is -1 keep it. If `noise` is None, it is estimated, and P as
    ``P^w`` with it.
    """
    if noise is None:
        is_known = given >= 0
        sharpness, noise = estimate_noise(log_P[is_known], given[is_known])
        log_P = sharpness * log_P
    if not noise:
        return given
    n, c = log_P.shape
    rows, best = np.arange(n), log_P.argmax(axis=1)
    is_wrong = log_P[rows, best] - log_P[rows, given] > np.log((1 - noise) * (c - 1) / noise)
    return np.where(is_wrong & (given >= 0), best, given)


def estimate_noise(log_P: Matrix, given: NDArray[np.intp]) -> tuple[float, float]:
    """Return the exponent w and the fraction e of wrong labels that make the given classes likeliest.

    ``sum log((1 - e) Q(given) + e / (c - 1) (1 - Q(given)))`` with ``Q ~ P^w``. Features that contradict a right label
    now and then are less sharp, so w below 1 explains them, and not e.
    """
    rows, c = np.arange(len(given)), log_P.shape[1]
    best, likelihood = (1.0, 0.0), -np.inf
    for w in _SHARPNESSES:
        logits = w * (log_P - log_P.max(axis=1, keepdims=True))
        Q = np.exp(logits[rows, given]) / np.exp(logits).sum(axis=1)
        for e in _NOISES:
            found = float(np.log(np.maximum((1 - e) * Q + e / (c - 1) * (1 - Q), _LEAST)).sum())
            if found > likelihood:
                best, likelihood = (w, e), found
    return best
