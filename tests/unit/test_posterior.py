import numpy as np
import pytest
from reference.posterior import expected_codes
from scipy.sparse import csr_array

from pyhash import codes
from pyhash.datasets import make_hierarchical
from pyhash.evaluation import mean_average_precision
from pyhash.methods import BATCH, LEMON, SEOCH, SHOH
from pyhash.methods.parts import encoder_trial
from pyhash.methods.parts.encoder_trial import ENCODERS, EncoderTrial
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.posterior import RHO, TAU, PosteriorEncoder
from pyhash.methods.parts.state import store_state

pytestmark = pytest.mark.usefixtures("one_blas_thread")

# Scores of label sets are computed in float32.
TOLERANCE = 2e-4


def samples(rng, kind, n=60, d=7, c=5, r=12):
    """Features, labels and signs; codes of a label set are alike, not the same."""
    L = np.eye(c)[rng.integers(0, c, n)] if kind == "single" else (rng.random((n, c)) < 0.4).astype(float)
    L[~L.any(axis=1), 0] = 1
    X = L @ rng.standard_normal((c, d)) + 0.3 * rng.standard_normal((n, d))
    B = np.where(L @ rng.standard_normal((c, r)) + 0.3 * rng.standard_normal((n, r)) > 0, 1, -1).astype(np.int8)
    return X, L, B


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize(("tau", "rho"), [(TAU, RHO), (1.0, 0.0), (3.0, 2.0)])
def test_expected_codes_follow_the_formula(rng, kind, tau, rho):
    X, L, B = samples(rng, kind)
    sets = LabelSets.empty(5, 12).add(L[:20], B[:20]).add(L[20:], B[20:])
    weights = np.linalg.solve(X.T @ X + 0.7 * np.eye(7), X.T @ L)
    queries = np.vstack([X[:10], rng.standard_normal((10, 7))])
    expected = expected_codes(queries, X, L, B, xi=0.7, tau=tau, rho=rho)
    encoder = PosteriorEncoder(weights, sets, tau, rho)
    before = queries.copy()
    np.testing.assert_allclose(encoder(queries), expected, atol=TOLERANCE)
    np.testing.assert_allclose(encoder(csr_array(queries)), expected, atol=TOLERANCE)
    np.testing.assert_array_equal(queries, before)
    assert np.ptp(expected, axis=0).max() > 0.1  # queries do differ


@pytest.mark.parametrize(("d", "c", "n_factors"), [(3, 40, 1), (60, 4, 2)])
def test_either_order_of_factors_gives_the_same(rng, d, c, n_factors):
    """One product of queries where it is the smaller one, two where there are many label sets and few labels."""
    X, L, B = samples(rng, "multi", d=d, c=c)
    sets = LabelSets.empty(c, 12).add(L, B)
    weights = np.linalg.solve(X.T @ X + np.eye(d), X.T @ L)
    encoder = PosteriorEncoder(weights, sets)
    assert len(encoder.factors[np.float64]) == n_factors
    np.testing.assert_allclose(encoder(X), expected_codes(X, X, L, B, xi=1.0, tau=TAU, rho=RHO), atol=TOLERANCE)


def test_queries_far_outside_are_encoded_without_overflow(rng):
    X, L, B = samples(rng, "multi")
    sets = LabelSets.empty(5, 12).add(L, B)
    f = PosteriorEncoder(np.linalg.solve(X.T @ X + np.eye(7), X.T @ L), sets)(1e6 * X)
    assert np.isfinite(f).all()
    assert np.abs(f).max() <= 1 + 1e-6


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_features_far_from_zero_are_encoded_by_the_formula(rng, offset):
    """Scores of labels are small differences of large products there."""
    X, L, B = samples(rng, "single", n=300, d=24)
    X = X + rng.standard_normal(X.shape) + offset
    weights = np.linalg.solve(X.T @ X + np.eye(24), X.T @ L)
    logits = TAU * (X @ weights) @ np.eye(5) + RHO * np.log(L.sum(axis=0)) - TAU / 2
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = P / P.sum(axis=1, keepdims=True) @ (L.T @ B / L.sum(axis=0)[:, None])
    sets = LabelSets.empty(5, 12).add(L, B)
    np.testing.assert_allclose(PosteriorEncoder(weights, sets)(X), expected, atol=0.01)


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize(
    "make", [lambda **p: LEMON(12, **p), lambda **p: SEOCH(12, lambda_m=0.5, **p), lambda **p: SHOH(12, **p)]
)
def test_models_encode_by_the_formula(rng, kind, make):
    """From sums over a stream of chunks, with the ridge of the projections."""
    X, L, _ = samples(rng, kind)
    model = make(encoder="posterior")
    B = []
    for rows in np.array_split(np.arange(60), [1, 20]):
        B.append(codes.unpack(model.partial_fit({"x": X[rows]}, L[rows]).codes_, 12))
    xi = 0.8 / 0.5 if isinstance(model, SEOCH) else 1.0
    queries = rng.standard_normal((15, 7))
    expected = expected_codes(queries, X, L, np.concatenate(B), xi=xi, tau=TAU, rho=RHO)
    np.testing.assert_allclose(model.project(queries, modality="x"), expected, atol=TOLERANCE)


def test_memory_of_posterior_encoding_does_not_grow_with_samples(rng):
    X, L, _ = samples(rng, "multi", n=300)
    model, sizes = LEMON(12, encoder="auto", n_iter=1), []
    for _ in range(12):
        model.partial_fit({"x": X}, L)
        model.project(X, modality="x")
        arrays = {}
        store_state(model._state, 12, arrays)
        sizes.append(sum(array.nbytes for array in arrays.values()))
        assert len(model._state.label_sets.counts) <= 31
    assert len(model._state.trial.codes) == 2000
    assert sizes[-1] == sizes[-2] == sizes[-3]


# --- the choice ---


def test_a_trial_keeps_a_uniform_sample_of_bounded_size(rng, monkeypatch):
    monkeypatch.setattr(encoder_trial, "_MAX_KEPT", 50)
    kept = np.zeros(200)
    for _ in range(300):
        trial = EncoderTrial.empty(8, 200)
        for start in (0, 30, 40, 150):
            stop = {0: 30, 30: 40, 40: 150, 150: 200}[start]
            L, B = np.eye(200)[start:stop], np.ones((stop - start, 8), np.int8)
            before = trial
            trial = trial.with_samples(L, B, rng)
            assert len(trial.codes) == len(trial.labels) == len(trial.keys) == min(stop, 50)
            assert len(before.codes) == min(start, 50)
        kept += np.unpackbits(trial.labels, axis=1, count=200, bitorder="little").sum(axis=0)
    # Each of 200 samples is kept in a quarter of 300 trials, 75 times +- 7.5, wherever it came in the stream.
    assert kept.sum() == 300 * 50
    assert kept.min() > 35
    assert kept.max() < 115
    for part in np.split(kept, [30, 40, 150]):
        assert abs(part.mean() - 75) < 8


def test_queries_are_scored_by_plain_and_weighted_precision(rng):
    labels = rng.integers(0, 3, 40)
    B = rng.choice([-1, 1], size=(40, 10)).astype(np.int8)
    trial = EncoderTrial.empty(10, 3).with_samples(np.eye(3)[labels], B, rng)
    queries, truth = rng.standard_normal((len(ENCODERS), 9, 10)).astype(np.float32), rng.integers(0, 3, 9)
    projections = dict(zip(ENCODERS, queries, strict=True))
    for rounds in (1, 2):
        trial = trial.with_queries(np.eye(3)[truth], ["x"], ENCODERS, lambda modality, encoder: projections[encoder])
        assert trial.n_queries == 9 * rounds
    kept_labels = np.argmax(np.unpackbits(trial.labels, axis=1, count=3, bitorder="little"), axis=1)
    kept_signs = codes.unpack(trial.codes, 10).astype(float)
    for encoder, found in zip(ENCODERS, trial.scores["x"], strict=True):
        total = 0.0
        for query, label in zip(projections[encoder], truth, strict=True):
            wrong = np.where(query > 0, 1, -1) != kept_signs
            weights = np.minimum(np.abs(query.astype(float)), 1)
            for distances in (wrong.sum(axis=1), wrong @ weights):
                relevant = (kept_labels == label)[np.argsort(distances, kind="stable")]
                ranks = np.flatnonzero(relevant) + 1
                total += np.mean(np.arange(1, len(ranks) + 1) / ranks) / 2
        assert found == pytest.approx(2 * total, rel=1e-6)
    assert trial.choice("x") == ENCODERS[int(np.argmax(trial.scores["x"]))]
    assert trial.choice("unknown") == "bits"


def test_at_most_500_rows_of_a_chunk_query(rng):
    X, L, _ = samples(rng, "single", n=3000)
    model = LEMON(12, encoder="auto", n_iter=1).partial_fit({"x": X}, L)
    assert model._state.trial.n_queries == 500
    assert model.partial_fit({"x": X[:700]}, L[:700])._state.trial.n_queries == 1000
    assert model.partial_fit({"x": X[:90]}, L[:90])._state.trial.n_queries == 1090


@pytest.mark.parametrize("method", [LEMON, BATCH, SEOCH])
@pytest.mark.parametrize(("n_classes", "n_bits", "noise"), [(87, 8, 1.0), (87, 16, 2.0), (4, 64, 1.0)])
def test_auto_comes_within_001_of_the_best_encoder(method, n_classes, n_bits, noise):
    """On unseen queries. If there are many more classes than bits, "bits" is clearly worse."""
    data = make_hierarchical(
        2600, n_classes=(min(n_classes, 8), n_classes), n_features={"image": 40}, noise=noise, seed=1
    )
    X, y = data.views["image"], data.labels["level2"]
    learned, queries = slice(0, 2100), slice(2100, None)
    model = method(n_bits, encoder="auto", n_iter=2, feature_maps={"image": None}, n_classes=n_classes)
    options = {"chunk_size": 700} if hasattr(model, "partial_fit") else {}
    model.fit({"image": X[learned]}, y[learned], **options)
    chosen, scores = model.encoders_["image"], {}
    for encoder in ENCODERS:
        projections = model.set_params(encoder=encoder).project(X[queries], modality="image")
        plain = mean_average_precision(codes.pack(projections), model.codes_, y[queries], y[learned], n_bits=n_bits)
        weighted = mean_average_precision(
            projections, model.codes_, y[queries], y[learned], metric="weighted_hamming", n_bits=n_bits
        )
        scores[encoder] = (plain.value + weighted.value) / 2
    assert scores[chosen] > max(scores.values()) - 0.01, scores
    if (n_classes, n_bits) == (87, 8) and method is not SEOCH:
        assert scores["posterior"] > scores["bits"] + 0.03
        assert chosen != "bits"
