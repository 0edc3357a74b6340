import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from reference.calibration import label_scores, sums_over_rows
from scipy.sparse import csr_array

from pyhash import load
from pyhash.codes import pack
from pyhash.datasets import make_hierarchical
from pyhash.evaluation import mean_average_precision
from pyhash.methods import BATCH, BOCH, DSFH, LEMON, SHOH, RBFAnchors
from pyhash.methods.parts.calibration import EXPONENTS, MAX_ROWS, TEMPERATURES, UNCALIBRATED, Calibration, candidates_of
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.feature_sums import FeatureSums
from pyhash.methods.parts.label_scores import ScoreSolver
from pyhash.methods.parts.label_sets import LabelSets

pytestmark = pytest.mark.usefixtures("one_blas_thread")

RIDGES, SHARES = (0.1, 1.0, 30.0), (0.0, 0.3)


def samples(rng, kind, n=60, d=7, c=5):
    """Counts of words, and labels."""
    L = np.eye(c)[rng.integers(0, c, n)] if kind == "single" else (rng.random((n, c)) < 0.4).astype(float)
    L[~L.any(axis=1), 0] = 1
    return rng.poisson(L @ np.random.default_rng(1).gamma(0.5, 3.0, (c, d))).astype(float), L


def learned(X, L):
    B = np.ones((len(X), 4), np.int8)
    rows = FeatureRows("x", X, None)
    sums = FeatureSums.empty(X.shape[1], 4, L.shape[1])
    return sums.add(rows, rows.add_gram(sums.XX), B, L), LabelSets.empty(L.shape[1], 4).add(L, B)


# --- scores ---


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("share", SHARES)
def test_scores_follow_the_formula(rng, kind, share):
    X, L = samples(rng, kind)
    sums, _ = learned(X, L)
    queries = np.vstack([X[:5], np.zeros((1, 7))])  # a text of no known word is the last
    scores = ScoreSolver(sums).scores(0.7, share)
    expected = label_scores(queries, X, L, xi=0.7, share=share)
    np.testing.assert_allclose(scores(queries), expected, atol=1e-9)
    np.testing.assert_allclose(scores(csr_array(queries)), scores(queries), atol=1e-12)
    for form in (np.asarray, csr_array):
        for n in (1, 6):  # fewer rows than classes, and more
            (rough,) = ScoreSolver(sums).rough_scores(form(queries)[:n], 0.7, (share,))
            np.testing.assert_allclose(rough, expected[:n], atol=1e-4)


def test_sums_less_some_rows_are_those_of_the_others(rng):
    X, L = samples(rng, "multi")
    for form in (np.asarray, csr_array):
        without = learned(X, L)[0].without(form(X[:20]), L[:20])
        expected, _ = learned(X[20:], L[20:])
        for name in ("XX", "XL", "X", "counts"):
            np.testing.assert_allclose(getattr(without, name), getattr(expected, name), atol=1e-9)
        columns = np.array([0, 3, 4])
        chosen, expected = without.of_columns(columns), learned(X[20:, columns], L[20:])[0]
        for name in ("XX", "XL", "X", "counts"):
            np.testing.assert_allclose(getattr(chosen, name), getattr(expected, name), atol=1e-9)


# --- sums over candidates ---


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_sums_follow_the_formula_and_are_halved(rng, kind):
    X, L = samples(rng, kind, n=90)
    L[89] = 1  # a set that the others lack
    if kind == "single":
        L[89] = L[60]
    calibration = Calibration.empty(RIDGES, SHARES)
    expected = {}
    for seen, new in ((40, slice(40, 60)), (60, slice(60, 90))):
        sums, sets = learned(X[:seen], L[:seen])
        calibration = calibration.with_rows(X[new], L[new], sets, ScoreSolver(sums))
        for i, xi in enumerate(RIDGES):
            for j, share in enumerate(SHARES):
                found = sums_over_rows(
                    X[new],
                    L[new],
                    X[:seen],
                    L[:seen],
                    xi=xi,
                    share=share,
                    temperatures=TEMPERATURES,
                    exponents=EXPONENTS if kind == "multi" else EXPONENTS[:1],
                )
                before, n_predicted = expected.get((i, j), (0, 0, 0)), found[2]
                expected[i, j] = tuple(
                    2 ** (-n_predicted / 500) * old + now for old, now in zip(before, found, strict=True)
                )
    for (i, j), (precision, losses, n) in expected.items():
        assert calibration.n_rows == pytest.approx(n)
        if np.isfinite(calibration.precisions[i, j]):
            assert calibration.precisions[i, j] == pytest.approx(precision, rel=1e-3)
        n_exponents = losses.shape[1]
        np.testing.assert_allclose(calibration.losses[i, j][:, :n_exponents], losses, rtol=1e-3)
        assert np.isinf(calibration.losses[i, j][:, n_exponents:]).all()
    choice, shown = calibration.choice, calibration.describe()
    i, j = RIDGES.index(choice.ridge), SHARES.index(choice.share)
    assert expected[i, j][0] == pytest.approx(max(precision for precision, _, _ in expected.values()), rel=1e-3)
    assert shown["precision"] == pytest.approx(expected[i, j][0] / calibration.n_rows, rel=1e-3)
    assert shown["loss"] == pytest.approx(expected[i, j][1].min() / calibration.n_rows, rel=1e-3)
    k, m = np.unravel_index(np.argmin(expected[i, j][1]), expected[i, j][1].shape)
    assert (choice.temperature, choice.exponent) == (TEMPERATURES[k], EXPONENTS[m])


def test_rows_of_unknown_label_sets_are_left_out(rng):
    X, L = samples(rng, "single")
    sums, sets = learned(X[L[:, 0] == 0], L[L[:, 0] == 0])
    empty = Calibration.empty(RIDGES, SHARES)
    assert empty.with_rows(X[L[:, 0] == 1], L[L[:, 0] == 1], sets, ScoreSolver(sums)) is empty
    assert empty.choice == UNCALIBRATED
    assert np.isnan(empty.describe()["loss"])
    assert empty.with_rows(X, L, sets, ScoreSolver(sums)).n_rows == (L[:, 0] == 0).sum()


def test_calibration_begins_anew_where_rows_get_several_labels(rng):
    (X, single), (Y, several) = samples(rng, "single"), samples(rng, "multi")
    sums, sets = learned(X, single)
    before = Calibration.empty(RIDGES, SHARES).with_rows(X, single, sets, ScoreSolver(sums))
    assert np.isinf(before.losses[..., 1:]).all()
    sums, sets = learned(Y, several)
    after = before.with_rows(Y, several, sets, ScoreSolver(sums))
    fresh = Calibration.empty(RIDGES, SHARES).with_rows(Y, several, sets, ScoreSolver(sums))
    np.testing.assert_array_equal(after.losses, fresh.losses)
    assert after.choice == fresh.choice


def test_a_ridge_far_behind_is_tried_no_longer(rng):
    """Each ridge costs the solution of a system of equations a chunk."""
    X, L = samples(rng, "single", n=2000, d=40)
    X += 30 * rng.standard_normal((2000, 40)) * (np.arange(40) < 20)
    sums, sets = learned(X[:100], L[:100])
    calibration = Calibration.empty((1e-3, 1e9), (0.0,)).with_rows(X[100:], L[100:], sets, ScoreSolver(sums))
    dropped = ~np.isfinite(calibration.precisions).any(axis=1)
    assert dropped.sum() <= 1
    solver, asked = ScoreSolver(sums), []

    def rough_scores(X, xi, shares):
        asked.append(xi)
        return ScoreSolver.rough_scores(solver, X, xi, shares)

    solver.rough_scores = rough_scores
    again = calibration.with_rows(X[100:], L[100:], sets, solver)
    assert asked == [xi for xi, is_dropped in zip(calibration.ridges, dropped, strict=True) if not is_dropped]
    assert again.choice == calibration.choice


# --- candidates ---


def test_candidates_suit_the_features(rng):
    X, L = samples(rng, "single")
    sums, _ = learned(X, L)
    assert candidates_of(None, csr_array(X), sums)[1][-1] > 0  # counts of words: naive Bayes too
    assert candidates_of(None, csr_array(-X), sums)[1] == (0.0,)
    kernel, dense = candidates_of(RBFAnchors(), X, sums)[0], candidates_of(None, X, sums)[0]
    scaled = candidates_of(None, 1e3 * X, learned(1e3 * X, L)[0])[0]
    assert kernel[0] == 0.001
    np.testing.assert_allclose(scaled, 1e6 * np.array(dense))
    assert candidates_of(None, 0 * X, learned(0 * X, L)[0])[0][0] > 0


# --- files of version 0.1, which have no sums of rows ---


def as_of_version_1(model):
    """What a file of version 0.1 would have kept of a model with the encoder "auto"."""
    sums = {name: replace(each, X=None, counts=None) for name, each in model._state.sums.items()}
    scores = {name: (*found[:2], 0.0) for name, found in model._state.trial.scores.items()}
    trial = replace(model._state.trial, scores=scores)
    model._state = replace(model._state, sums=sums, trial=trial, calibrations={}, solvers={}, label_posteriors={})
    return model


def test_models_of_version_1_go_on_without_bayes_codes(rng, tmp_path):
    X, L = samples(rng, "single", n=120)
    model = as_of_version_1(LEMON(8, encoder="auto", n_iter=1).partial_fit({"x": X[:60]}, L[:60]))
    for _ in range(2):
        model.partial_fit({"x": X[60:]}, L[60:])
        assert model.encoders_["x"] in ("bits", "posterior")
        assert model._state.trial.scores["x"][2] == 0
        assert model.calibration_ == {}
        model.save(tmp_path / "model")
        model = load(tmp_path / "model")
    model.set_params(encoder="bayes")
    for call in (
        lambda: model.project(X, modality="x"),
        lambda: model.project_fused({"x": X}),
        lambda: model.partial_fit({"x": X}, L),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(ValueError, match=r"encoder must not be 'bayes' for this LEMON: its file, of version 0\.1"):
            call()
    model.fit({"x": X}, L)  # begins anew
    assert model.encoders_ == {"x": "bayes"}


# --- in models ---


def stream(model, views, labels, size):
    for start in range(0, len(labels), size):
        model.partial_fit({name: x[start : start + size] for name, x in views.items()}, labels[start : start + size])
    return model


def test_a_map_whose_anchors_are_all_held_back_is_not_calibrated_yet(rng):
    """The one anchor of "few" is held back now and then, where all rows are anchors of "all"."""
    X, y = rng.standard_normal((10, 3)), np.arange(10) % 2
    n_rows = []
    for seed in range(20):
        maps = {"few": RBFAnchors(1, seed=seed), "all": RBFAnchors(10)}
        model = LEMON(8, encoder="bayes", feature_maps=maps, seed=seed).partial_fit({"few": X, "all": X}, y)
        assert model.calibration_["all"]["n_rows"] == 2
        n_rows.append(model.calibration_["few"]["n_rows"])
    assert set(n_rows) == {0, 2}


@pytest.mark.parametrize("n_anchors", [50, 500])
def test_anchors_do_not_calibrate_as_if_they_were_new(rng, n_anchors):
    """Labels are noise: whoever finds them in the features has seen the rows."""
    X, y = rng.standard_normal((400, 5)), rng.integers(0, 2, 400)
    model = LEMON(8, encoder="bayes", feature_maps={"x": RBFAnchors(n_anchors, width=0.5)}).partial_fit({"x": X}, y)
    calibration = model.calibration_["x"]
    assert calibration["n_rows"] == 80
    # Ranking two classes of noise at random gives 0.5 and a bit; rows that were seen would have 1.
    assert calibration["precision"] < 0.9
    assert calibration["loss"] > 0.65


def test_chunks_are_predicted_before_they_are_learned(rng):
    X, L = samples(rng, "single", n=90)
    y = L.argmax(axis=1)
    model = stream(BOCH(8, feature_maps={"x": None}), {"x": X}, y, 60)
    sums, sets = learned(X[:60], L[:60])
    first = BOCH(8, feature_maps={"x": None}).partial_fit({"x": X[:60]}, y[:60])._state.calibrations["x"]
    expected = first.with_rows(X[60:], L[60:], sets, ScoreSolver(sums))
    found = model._state.calibrations["x"]
    np.testing.assert_allclose(found.precisions, expected.precisions)
    np.testing.assert_allclose(found.losses, expected.losses)
    assert model.calibration_ == {"x": found.describe()}


def test_at_most_500_rows_of_a_chunk_calibrate(rng):
    X, L = samples(rng, "single", n=3000)
    model = BOCH(8, feature_maps={"x": None}).partial_fit({"x": X}, L)
    assert model.calibration_["x"]["n_rows"] == MAX_ROWS
    assert model.partial_fit({"x": X[:700]}, L[:700]).calibration_["x"]["n_rows"] == 1.5 * MAX_ROWS


@pytest.mark.parametrize("later", ["bayes", "auto"])
@pytest.mark.parametrize("before", ["bits", "posterior"])
def test_a_model_calibrates_from_when_its_encoder_needs_it(rng, before, later, tmp_path):
    X, L = samples(rng, "single", n=120)
    model = BOCH(8, encoder=before, feature_maps={"x": None}).partial_fit({"x": X[:60]}, L[:60])
    assert model.calibration_ == {}
    model.set_params(encoder=later)
    assert np.isfinite(model.project(X, modality="x")).all()
    model.save(tmp_path / "model.pyhash")
    restored = load(tmp_path / "model.pyhash")
    for each in (model, restored):
        each.partial_fit({"x": X[60:]}, L[60:])
        assert each.calibration_["x"]["n_rows"] == 60
        assert each.calibration_ == model.calibration_
    # It goes on while the encoder is another one, so that a later return finds it up to date.
    model.set_params(encoder="bits").partial_fit({"x": X[:50]}, L[:50])
    assert model.calibration_["x"]["n_rows"] == pytest.approx(50 + 60 * 0.5 ** (50 / 500))
    restored.partial_fit({"x": X[:50]}, L[:50])
    assert restored.calibration_ == model.calibration_
    projections = model.set_params(encoder="bayes").project(X, modality="x")
    np.testing.assert_array_equal(projections, restored.set_params(encoder="bayes").project(X, modality="x"))


@pytest.mark.parametrize("make", [BOCH, LEMON, SHOH, BATCH, DSFH])
@pytest.mark.parametrize("encoder", ["bayes", "auto"])
@pytest.mark.parametrize(("n", "n_classes"), [(1, 1), (2, 2), (4, 2), (5, 1), (9, 9), (40, 1)])
def test_few_rows_and_single_classes(rng, make, encoder, n, n_classes):
    y = np.arange(n) % n_classes
    views = {"dense": rng.standard_normal((n, 6)), "words": csr_array((rng.random((n, 8)) < 0.2) * 1.0)}
    model = make(8, encoder=encoder).fit(views, y)
    for chunks in range(2):
        for name, x in views.items():
            projections = model.project(x, modality=name)
            assert projections.shape == (n, 8)
            assert np.isfinite(projections).all()
        assert np.isfinite(model.project_fused(views)).all()
        if hasattr(model, "partial_fit") and chunks == 0:
            model.partial_fit(views, y)


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_values_too_large_change_nothing(rng, size):
    X, L = samples(rng, "single")
    model = BOCH(8, feature_maps={"x": None}).partial_fit({"x": X}, L)
    before = model._state
    with pytest.raises(ValueError, match="values"):
        model.partial_fit({"x": size * (1 + X)}, L)
    assert model._state is before
    assert np.isfinite(model.project(size * (1 + X), modality="x")).all()


def test_rows_that_are_not_finite_have_their_numbers(rng):
    X, L = samples(rng, "single")
    model = BOCH(8, feature_maps={"x": None}).partial_fit({"x": X}, L)
    wrong = X.copy()
    wrong[51, 2] = np.nan
    with pytest.raises(ValueError, match=r"views\['x'\] must be finite.*row 51"):
        model.partial_fit({"x": wrong}, L)


def test_memory_of_queries_does_not_grow_with_label_sets(rng):
    n_sets, n = 3000, 8192
    L = np.unpackbits(np.arange(1, n_sets + 1, dtype="<u2").view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    X = L @ rng.standard_normal((16, 6))
    model = LEMON(8, encoder="posterior", n_iter=1).partial_fit({"x": X}, L)
    queries = rng.standard_normal((n, 6)).astype(np.float32)
    model.project(queries[:10], modality="x")
    tracemalloc.start()
    model.project(queries, modality="x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * (1 << 22) < 8 * n * n_sets


def test_noisy_features_get_a_large_ridge():
    data = make_hierarchical(1500, n_classes=(2, 10), n_features={"x": 60}, noise=6.0, seed=0)
    X, y = data.views["x"], data.labels["level2"]
    clean = make_hierarchical(1500, n_classes=(2, 10), n_features={"x": 60}, noise=0.3, seed=0)
    maps = {"x": RBFAnchors(300, seed=1)}
    noisy = BOCH(16, feature_maps=maps).partial_fit({"x": X}, y).calibration_["x"]
    plain = BOCH(16, feature_maps=maps).partial_fit({"x": clean.views["x"]}, y).calibration_["x"]
    assert noisy["ridge"] > plain["ridge"]
    assert noisy["loss"] > plain["loss"]


@pytest.mark.parametrize("n_labels", [1, 2])
def test_auto_comes_within_001_of_the_best_of_three_encoders(n_labels):
    """With several labels at random "posterior" is best, with one label "bayes"."""
    data = make_hierarchical(1800, n_classes=(4, 30), n_features={"x": 40}, noise=1.5, seed=1)
    X, L = data.views["x"], np.eye(30, dtype=np.uint8)[data.labels["level2"]]
    if n_labels > 1:
        L = ((L + (np.random.default_rng(0).random(L.shape) < 0.05)) > 0).astype(np.uint8)
    learned, queries = slice(0, 1400), slice(1400, None)
    model = BOCH(16, encoder="auto", feature_maps={"x": None})
    model.fit({"x": X[learned]}, L[learned], chunk_size=700, progress=False)
    chosen, scores = model.encoders_["x"], {}
    for encoder in ("bits", "posterior", "bayes"):
        projections = model.set_params(encoder=encoder).project(X[queries], modality="x")
        found = [
            mean_average_precision(each, model.codes_, L[queries], L[learned], n_bits=16, metric=metric).value
            for each, metric in ((pack(projections), "hamming"), (projections, "weighted_hamming"))
        ]
        scores[encoder] = np.mean(found)
    assert scores[chosen] > max(scores.values()) - 0.01, scores
    assert scores["bits"] < scores[chosen] - 0.05
