"""The kernels of each CPU level that this machine runs, in turns; the answers agree."""

import numpy as np
import pytest

from benchmarks.code_sets import make_codes
from benchmarks.test_descent import make as make_descent
from benchmarks.timing import Contestant
from pyhash import CodeIndex, _core
from pyhash.evaluation import mean_average_precision
from pyhash.methods.parts.descent import cyclic_descent

_N, _N_QUERIES = 180_000, 100


@pytest.fixture(autouse=True)
def restored_level():
    level = _core.cpu_level()
    yield
    _core.set_cpu_level(level)


def search(n, n_queries, n_bits):
    codes, queries = make_codes("uniform", n, n_queries, n_bits)
    index = CodeIndex(n_bits, layout="scan")
    index.add(codes)
    return lambda: index.search(queries, 10, n_threads=1).distances


def weighted(n, n_queries, n_bits):
    codes, _ = make_codes("uniform", n, 0, n_bits)
    index = CodeIndex(n_bits, layout="scan")
    index.add(codes)
    projections = np.random.default_rng(5).standard_normal((n_queries, n_bits))
    return lambda: index.search_weighted(projections, 10, n_threads=1).distances


def mean_precision(n, n_queries, n_bits):
    rng = np.random.default_rng(0)
    codes, queries = make_codes("uniform", n, n_queries, n_bits)
    labels, query_labels = rng.integers(0, 24, n), rng.integers(0, 24, n_queries)
    return lambda: mean_average_precision(queries, codes, query_labels, labels, n_bits=n_bits, n_threads=1).value


def descent(n, n_queries, n_bits):
    B, H, Q = make_descent(n, n_bits)
    H, Q = H.astype(np.float32), Q.astype(np.float32)

    def sweep():
        signs = B.copy()
        cyclic_descent(signs, H, Q, 7, n_threads=1)
        return signs

    return sweep


_KERNELS = {
    "the 10 nearest, 64 bits": (search, 180_000, 100, 64),
    "the 10 nearest, 128 bits": (search, 180_000, 100, 128),
    "the 10 nearest, 512 bits": (search, 180_000, 100, 512),
    "the 10 nearest, 64 bits, one query": (search, 10_000_000, 1, 64),
    "weighted, 64 bits": (weighted, 180_000, 50, 64),
    "mAP, 32 bits": (mean_precision, 18_000, 200, 32),
    "descent, 64 bits": (descent, 18_000, 0, 64),
}


@pytest.mark.parametrize("kernel", _KERNELS)
def test_levels(compare, run, kernel):
    make, n, n_queries, n_bits = _KERNELS[kernel]
    call = make(run.sized(n), n_queries, n_bits)
    levels = _core.available_cpu_levels()
    answers = []
    for level in levels:
        _core.set_cpu_level(level)
        answers.append(call())
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])
    at = {level: Contestant(lambda _: call(), lambda level=level: _core.set_cpu_level(level)) for level in levels}
    ours = at.pop(_core.cpu_level())
    compare(
        ours,
        at,
        table="levels",
        case={"kernel": kernel, "codes": run.sized(n), "bits": n_bits},
        light=True,
        notes={"best": levels[-1]},
    )
