"""Codes to search, by name, number and seed: made chunk by chunk, so that 10^8 of them need little memory.

- ``uniform``: independent bits.
- ``clustered``: around 64 centres, each bit flipped with probability 1/8.
- ``mixture``: signs of random projections of points from 2,000 Gaussians.
- ``itq``: the same points, with projections learned by ITQ from a sample.

Queries are drawn from the same source and are not among the codes.

Points take time to make, so ten million codes of them and more are kept in .benchmarks/codes.
Run ``python -m benchmarks.code_sets mixture 100000000 64`` to make them before they are needed.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / ".benchmarks" / "codes"
NAMES = ("uniform", "clustered", "mixture", "itq")
CHUNK = 100_000
N_CENTRES = 64
# The Gaussians have standard normal means. Two points of one Gaussian differ in a fifth of the bits of "mixture" on
# average. Of ten million such codes of 64 bits, the 10th nearest is at a distance of 6 and the 100th at 8 (medians).
N_GAUSSIANS, DIMENSION, SPREAD = 2000, 128, 0.5
_SAMPLE = 20_000  # points that ITQ learns from
_SOURCE, _TO_LEARN, _QUERIES, _CODES = range(4)  # what a generator of random numbers is for


class CodeSource:
    """Codes of one source; the first n are the same for every number of codes that is asked for."""

    def __init__(self, name: str, n_bits: int, seed: int = 0):
        self._seed, self._n_bytes = [seed, NAMES.index(name), n_bits], n_bits // 8
        self._draw = getattr(self, f"_{name}")(self._rng(_SOURCE), n_bits)

    def chunks(self, n: int) -> Iterator[np.ndarray]:
        """Yield n packed codes, 100,000 at a time and fewer at the end."""
        for number, start in enumerate(range(0, n, CHUNK)):
            yield self._draw(self._rng(_CODES, number), CHUNK)[: n - start]

    def codes(self, n: int) -> np.ndarray:
        """Return n packed codes, of shape (n, n_bits / 8)."""
        out = np.empty((n, self._n_bytes), dtype=np.uint8)
        for number, chunk in enumerate(self.chunks(n)):
            out[number * CHUNK : number * CHUNK + len(chunk)] = chunk
        return out

    def queries(self, n: int) -> np.ndarray:
        """Return n packed queries."""
        return self._draw(self._rng(_QUERIES), n)

    def _rng(self, *purpose):
        return np.random.default_rng([*self._seed, *purpose])

    # Each of these returns a function that draws codes with a generator of random numbers.

    def _uniform(self, rng, n_bits):
        return lambda rng, n: rng.integers(0, 256, (n, n_bits // 8), dtype=np.uint8)

    def _clustered(self, rng, n_bits):
        centres = rng.integers(0, 256, (N_CENTRES, n_bits // 8), dtype=np.uint8)

        def draw(rng, n):
            flips = rng.integers(0, 256, (n, n_bits // 8), dtype=np.uint8)
            for _ in range(2):
                flips &= rng.integers(0, 256, flips.shape, dtype=np.uint8)
            return centres[rng.integers(0, N_CENTRES, n)] ^ flips

        return draw

    def _mixture(self, rng, n_bits):
        points = _Gaussians(rng)
        projections = rng.standard_normal((DIMENSION, n_bits), np.float32)
        return lambda rng, n: np.packbits(points(rng, n) @ projections > 0, axis=1, bitorder="little")

    def _itq(self, rng, n_bits):
        from pyhash import PCAITQ

        points = _Gaussians(rng)
        model = PCAITQ(n_bits, seed=0).fit({"points": points(self._rng(_TO_LEARN), _SAMPLE)})
        return lambda rng, n: model.encode(points(rng, n), modality="points")


class _Gaussians:
    """Points of Gaussians with the same spherical covariance, drawn equally often."""

    def __init__(self, rng):
        self._means = rng.standard_normal((N_GAUSSIANS, DIMENSION), np.float32)

    def __call__(self, rng, n):
        points = rng.standard_normal((n, DIMENSION), np.float32)
        points *= np.float32(SPREAD)
        points += self._means[rng.integers(0, N_GAUSSIANS, n)]
        return points


def make_codes(name: str, n: int, n_queries: int, n_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return packed codes and queries."""
    source = CodeSource(name, n_bits)
    queries = source.queries(n_queries)
    if n < 10_000_000 or name not in ("mixture", "itq"):
        return source.codes(n), queries
    file = FOLDER / f"{name}-{N_GAUSSIANS}-{DIMENSION}-{SPREAD}-{n}-{n_bits}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{os.getpid()}.npy")
        np.save(partial, source.codes(n))
        partial.rename(file)
    return np.load(file), queries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("mixture", "itq"))
    parser.add_argument("n", type=int, help="number of codes")
    parser.add_argument("n_bits", type=int)
    given = parser.parse_args()
    make_codes(given.name, given.n, 1, given.n_bits)


if __name__ == "__main__":
    main()
