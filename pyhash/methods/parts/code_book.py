"""Class codes that are far apart, the same for every model of one length and seed."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np

from pyhash import _core
from pyhash.codes import pack
from pyhash.methods.parts.arrays import Signs

_N_CANDIDATES = 20_000


class CodeBook:
    """Sequence of codes: each next one is the candidate whose nearest code before it is farthest.

    Candidates are random codes. The first of equal ones is taken; once all differ from none, they repeat.
    """

    def __init__(self, n_bits: int, seed: int) -> None:
        rng = np.random.default_rng([seed, n_bits])
        self._candidates: Signs = (2 * rng.integers(0, 2, (_N_CANDIDATES, n_bits), dtype=np.int8) - 1).astype(np.int8)
        self._packed = pack(self._candidates)
        self._chosen: list[int] = []
        self._nearest = np.full(_N_CANDIDATES, n_bits + 1, dtype=np.uint32)  # distance to the nearest chosen code
        self._lock = threading.Lock()

    def codes(self, n: int) -> Signs:
        """Return the first n codes (n, n_bits)."""
        with self._lock:
            while len(self._chosen) < n:
                chosen = int(np.argmax(self._nearest))
                self._chosen.append(chosen)
                distances = _core.hamming_distances(self._packed[[chosen]], self._packed, 1)[0]
                np.minimum(self._nearest, distances, out=self._nearest)
            return self._candidates[self._chosen[:n]]


@lru_cache(maxsize=8)
def code_book(n_bits: int, seed: int) -> CodeBook:
    """Return the code book of a length and a seed."""
    return CodeBook(n_bits, seed)
