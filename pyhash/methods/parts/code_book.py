"""Class codes that are far apart, the same for every model of one length and seed."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.checks import n_bytes_of
from pyhash.codes import unpack
from pyhash.methods.parts.arrays import Signs

# Candidates of a block, and their bytes, at most.
_MAX_CANDIDATES = 20_000
_MAX_BYTES = 1 << 25


class CodeBook:
    """Endless sequence of codes that are far apart; it depends on the length and the seed alone.

    Codes are chosen from blocks of candidates: all codes of the length in a random order where these are few, else
    random ones. Each next code is the candidate whose nearest code, among those chosen from the block before, is
    farthest; the first of equal ones. Every candidate is chosen once, then the next block begins: short codes, of which
    there are fewer than classes, repeat equally often.

    Candidates are the raw numbers of PCG64, which numpy promises not to change, so the sequence needs no place in
    files.
    """

    def __init__(self, n_bits: int, seed: int) -> None:
        self._n_bits = n_bits
        self._seed = seed
        self._chosen: list[NDArray[np.uint8]] = []  # packed
        self._n_blocks = 0
        self._n_left = 0  # candidates of the block that are not chosen yet
        self._candidates = np.zeros((0, n_bytes_of(n_bits)), dtype=np.uint8)
        self._nearest = np.zeros(0, dtype=np.int32)  # distance of each to the nearest chosen code; -1 if chosen itself
        self._lock = threading.Lock()

    def codes(self, n: int) -> Signs:
        """Return the first n codes (n, n_bits), n >= 1."""
        with self._lock:
            while len(self._chosen) < n:
                if self._n_left == 0:
                    self._begin_block()
                self._choose()
            return unpack(np.stack(self._chosen[:n]), self._n_bits)

    def _begin_block(self) -> None:
        self._candidates = _candidates(self._n_bits, [self._seed, self._n_bits, self._n_blocks])
        self._nearest = np.full(len(self._candidates), self._n_bits + 1, dtype=np.int32)
        self._n_left = len(self._candidates)
        self._n_blocks += 1

    def _choose(self) -> None:
        number = int(np.argmax(self._nearest))
        code = self._candidates[number]
        distances = _core.hamming_distances(code[None], self._candidates, 1)[0]
        np.minimum(self._nearest, distances.view(np.int32), out=self._nearest)
        self._nearest[number] = -1
        self._n_left -= 1
        self._chosen.append(code)


def _candidates(n_bits: int, seed: list[int]) -> NDArray[np.uint8]:
    """Return the packed candidates of a block."""
    numbers, n_bytes = np.random.PCG64(seed), n_bytes_of(n_bits)
    if 1 << n_bits <= _MAX_CANDIDATES:
        order = np.argsort(numbers.random_raw(1 << n_bits), kind="stable")
        return np.ascontiguousarray(order.astype("<u2").view(np.uint8).reshape(-1, 2)[:, :n_bytes])
    n, n_words = min(_MAX_CANDIDATES, _MAX_BYTES // n_bytes), -(-n_bits // 64)
    raw = numbers.random_raw(n * n_words).astype("<u8").view(np.uint8).reshape(n, 8 * n_words)
    candidates = np.ascontiguousarray(raw[:, :n_bytes])
    candidates[:, -1] &= 0xFF >> (-n_bits % 8)  # padding bits are 0
    return candidates


@lru_cache(maxsize=8)
def code_book(n_bits: int, seed: int) -> CodeBook:
    """Return the code book of a length and a seed."""
    return CodeBook(n_bits, seed)
