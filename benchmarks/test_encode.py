"""Encoding against the bare float32 matrix products that it needs, one thread."""

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash import BOCH, PCAITQ, codes
from pyhash.methods import RBFAnchors

threadpoolctl = pytest.importorskip("threadpoolctl")

_WIDTH, _N_BITS, _N_ANCHORS = 512, 64, 1500


def make_rows(n):
    """Return features and labels; rows repeat after 20,000."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 20_000)
    X = rng.standard_normal((20, _WIDTH), np.float32)[labels] + rng.standard_normal((20_000, _WIDTH), np.float32)
    return np.resize(X, (n, _WIDTH)), labels


@pytest.mark.parametrize(("features", "n"), [("as they are", 1_000_000), ("RBF", 100_000)])
def test_encode(compare, run, features, n):
    X, labels = make_rows(run.sized(n))
    first = {"x": X[:5000]}, labels[: min(5000, len(X))]
    rng = np.random.default_rng(1)
    if features == "RBF":
        model = BOCH(_N_BITS, feature_maps={"x": RBFAnchors(_N_ANCHORS)}, encoder="bits").fit(*first)
        factors = rng.standard_normal((_WIDTH, _N_ANCHORS), np.float32), rng.standard_normal((_N_ANCHORS, _N_BITS))
    else:
        model = PCAITQ(_N_BITS).fit(*first)
        factors = (rng.standard_normal((_WIDTH, _N_BITS)),)
    factors = [factor.astype(np.float32) for factor in factors]
    block = 10_000  # so that the kernel's values stay in the caches that they can stay in

    def products(X):
        for start in range(0, len(X), block):
            part = X[start : start + block]
            for factor in factors:
                part = part @ factor

    with threadpoolctl.threadpool_limits(1):
        few = X[:1000]
        np.testing.assert_array_equal(model.encode(few, modality="x"), codes.pack(model.project(few, modality="x")))
        compare(
            Contestant(lambda given: model.encode(given, modality="x"), lambda: X),
            {"matrix products": Contestant(products, lambda: X)},
            table="encode",
            case={"codes": len(X), "width": _WIDTH, "bits": _N_BITS, "features": features},
            light=True,
        )
