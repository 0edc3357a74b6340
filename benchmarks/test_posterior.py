"""Posterior encoding against the plain projection of the same model: 87 classes, each a label set of its own."""

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash import LEMON
from pyhash.methods.parts.posterior import RHO, TAU
from pyhash.methods.parts.ridge import solve_ridge

_N_CLASSES, _N_FEATURES = 87, 1500


def expected_codes(model, X):
    """Compute it by the definition, in float64."""
    sums, sets, xi = model._state.sums["x"], model._state.label_sets, model._state.ridge["x"]
    scores = X.astype(float) @ solve_ridge(sums.XX, sums.XL, xi)
    U = sets.matrix
    weights = sets.counts**RHO * np.exp(TAU * (scores @ U.T - 0.5 * (U**2).sum(axis=1)))
    return (weights / weights.sum(axis=1, keepdims=True)) @ sets.mean_codes


@pytest.mark.parametrize("n_bits", [16, 32, 64])
def test_posterior(compare, run, n_bits):
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(_N_CLASSES), rng.integers(0, _N_CLASSES, run.sized(4000))])
    X = np.eye(_N_CLASSES)[labels] @ rng.standard_normal((_N_CLASSES, _N_FEATURES))
    X = (X + rng.standard_normal(X.shape)).astype(np.float32)
    model = LEMON(n_bits, encoder="posterior").fit({"x": X}, labels)
    queries = X[: run.sized(2000)]

    def project(encoder):
        return lambda _: model.set_params(encoder=encoder).project(queries, modality="x")

    np.testing.assert_allclose(project("posterior")(None), expected_codes(model, queries), atol=1e-3)
    case = {"codes": _N_CLASSES, "queries": len(queries), "bits": n_bits, "features": _N_FEATURES}
    compare(Contestant(project("posterior")), {"bits": Contestant(project("bits"))}, table="posterior", case=case)
