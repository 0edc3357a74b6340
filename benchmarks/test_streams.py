"""Ten million rows in a stream: the last chunk against the 10th, in time and memory."""

import copy
import gc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash import BOCH, LEMON

_N_BITS, _N_CLASSES, _WIDTH, _CHUNK = 32, 87, 64, 10_000
_METHODS = {
    "lemon": lambda: LEMON(_N_BITS),
    "boch": lambda: BOCH(_N_BITS, feature_maps={"image": None, "text": None}),
}


class Stream:
    """Rows of two modalities whose chunks are made when they are asked for."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self._centers = {name: rng.standard_normal((_N_CLASSES, _WIDTH), np.float32) for name in ("image", "text")}

    def chunk(self, number):
        rng = np.random.default_rng([1, number])
        labels = rng.integers(0, _N_CLASSES, _CHUNK)
        noise = {name: rng.standard_normal((_CHUNK, _WIDTH), np.float32) for name in self._centers}
        return {name: centers[labels] + noise[name] for name, centers in self._centers.items()}, labels


def resident_bytes():
    """Return the memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.large
@pytest.mark.parametrize("method", _METHODS)
def test_stream(compare, run, method):
    stream, model = Stream(), _METHODS[method]()
    n_chunks = run.sized(10_000_000) // _CHUNK if not run.quick else 12
    stages, memory = {}, {}
    for number in range(1, n_chunks + 1):
        views, labels = stream.chunk(number)
        if number in (10, n_chunks):
            stages[number] = copy.copy(model)
        model.partial_fit(views, labels)
        if number in (10, n_chunks):
            memory[number] = resident_bytes()
    n = n_chunks * _CHUNK
    sums = model._state.sums["image"]
    assert model.n_samples_seen_ == sums.counts[0] == sums.counts[1:].sum() == n

    new = stream.chunk(n_chunks + 1)

    def learn(number):
        return Contestant(lambda learner: learner.partial_fit(*new), prepare=lambda: copy.copy(stages[number]))

    notes = {
        "rows a chunk": _CHUNK,
        "MB at chunk 10": memory[10] / 1e6,
        "MB at the end": memory[n_chunks] / 1e6,
    }
    case = {"codes": n, "method": method, "features": _WIDTH, "bits": _N_BITS}
    compare(learn(n_chunks), {"chunk 10": learn(10)}, table="stream", case=case, notes=notes)
    if not run.quick:
        assert memory[n_chunks] <= 1.1 * memory[10]
