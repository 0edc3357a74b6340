"""The encoder "bayes" and codes of several modalities, with every method that has them."""

import copy
import functools

import numpy as np
import pytest
from reference.calibration import fit, label_scores
from scipy.sparse import csr_array

from pyhash import codes, load
from pyhash.datasets import make_hierarchical
from pyhash.deep import TrainingOptions
from pyhash.methods import UnitLength
from pyhash.methods.online import OnlineMethod
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(260, n_classes=(3, 6), n_features={"image": 24, "text": 30}, noise=1.5, seed=2)
Y = DATA.labels["level2"]
LEARNED, QUERIES = slice(0, 200), slice(200, None)
NETWORK = {"training": TrainingOptions(epochs=3, batch_size=40, validation_fraction=0.2), "hidden": [16]}
PARAMETERS = {
    "shoh": {"hierarchy": DATA.hierarchy},
    "dsfh": {"n_iter": 3},
    "sdch": {**NETWORK, "feature_width": 12, "learning_rate": 1e-2, "hash_learning_rate": 2e-2},
    "dhsl": {**NETWORK, "selector_hidden": [8, 8], "relation_hidden": 16, "relation_rows": 8, "learning_rate": 3e-2},
}
SUPERVISED = [name for name in METHODS if method_class(name).is_supervised]
ONLINE = [name for name in SUPERVISED if issubclass(method_class(name), OnlineMethod)]


def views(rows):
    return {name: x[rows] for name, x in DATA.views.items()}


def learned(name, rows=LEARNED, labels=Y, **parameters):
    parameters = {"n_bits": 12, **PARAMETERS.get(name, {}), **parameters}
    return method_class(name)(**parameters).fit(views(rows), labels[rows])


@functools.cache
def _learned_once(name, encoder):
    return learned(name, encoder=encoder)


def trained(name, encoder):
    """A model that learned, as ``learned`` gives it; learned once."""
    return copy.deepcopy(_learned_once(name, encoder))


def projections(model):
    return np.concatenate([model.project(X, modality=name) for name, X in views(QUERIES).items()])


def precision_at_20(model, modality):
    """Share of the same class among the 20 nearest by weighted distance."""
    p = model.project(DATA.views[modality][QUERIES], modality=modality)
    wrong = np.sign(p)[:, None] != codes.unpack(model.codes_, 12)[None]
    nearest = np.argsort((wrong * np.abs(p)[:, None]).sum(axis=2), axis=1, kind="stable")[:, :20]
    return (Y[LEARNED][nearest] == Y[QUERIES][:, None]).mean()


@pytest.mark.parametrize("name", SUPERVISED)
def test_projections_are_codes_with_weights(name, tmp_path):
    model = trained(name, "bayes")
    assert model.encoders_ == {"image": "bayes", "text": "bayes"}
    for modality, X in views(QUERIES).items():
        p = model.project(X, modality=modality)
        assert (p.shape, p.dtype) == ((60, 12), np.float32)
        assert np.abs(p).max() <= 1
        assert np.abs(p).min() > 0
        np.testing.assert_array_equal(codes.pack(p), model.encode(X, modality=modality))
        assert precision_at_20(model, modality) > 0.5
    assert model.calibration_.keys() == DATA.views.keys()
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(projections(again), projections(model))
    assert again.calibration_ == model.calibration_


@pytest.mark.parametrize("name", SUPERVISED)
def test_codes_of_learned_rows_are_those_of_the_method(name):
    assert trained(name, "bayes").codes_.tobytes() == learned(name, encoder="bits").codes_.tobytes()


@pytest.mark.parametrize("name", SUPERVISED)
def test_the_same_whatever_the_number_of_threads(name, monkeypatch):
    expected = projections(trained(name, "bayes"))
    monkeypatch.setenv("PYHASH_NUM_THREADS", "3")
    np.testing.assert_array_equal(projections(learned(name, encoder="bayes")), expected)


@pytest.mark.parametrize("name", SUPERVISED)
def test_it_may_be_chosen_later(name):
    """Without a calibration then."""
    model = learned(name, encoder="posterior").set_params(encoder="bayes")
    assert model.calibration_ == {}
    assert precision_at_20(model, "image") > 0.5
    calibrated = trained(name, "bayes")
    posterior = projections(calibrated.set_params(encoder="posterior"))
    np.testing.assert_array_equal(posterior, projections(model.set_params(encoder="posterior")))


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize("encoder", ["bayes", "auto"])
def test_several_labels_a_row(name, encoder):
    L = np.zeros((260, 6), np.uint8)
    L[np.arange(260), Y] = L[np.arange(260), Y // 2] = 1
    hierarchy = {"hierarchy": None} if name == "shoh" else {}
    model = learned(name, labels=L, encoder=encoder, **hierarchy)
    p = projections(model)
    assert p.shape == (120, 12)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("name", ONLINE)
def test_learning_goes_on_from_a_file_as_if_never_stopped(name, tmp_path):
    model = learned(name, slice(0, 90), encoder="bayes")
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    for each in (model, again):
        each.partial_fit(views(slice(90, 200)), Y[90:200])
    np.testing.assert_array_equal(projections(again), projections(model))
    assert again.calibration_ == model.calibration_


def test_rows_too_large_to_be_tried_are_named_as_given():
    model = method_class("lemon")(12, encoder="auto", feature_maps=dict.fromkeys(DATA.views))
    model.partial_fit(views(LEARNED), Y[LEARNED])
    state = model._state
    with pytest.raises(ValueError, match=r"^views\['text'\] must give projections that float32 can hold"):
        model.partial_fit({**views(LEARNED), "text": 1e60 * DATA.views["text"][LEARNED].astype(float)}, Y[LEARNED])
    assert model._state is state


# --- several modalities ---


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes", "auto"])
def test_a_fused_query_of_one_modality_is_its_own(name, encoder):
    model = trained(name, "auto").set_params(encoder=encoder)
    for modality, X in views(QUERIES).items():
        alone = model.project(X, modality=modality)
        np.testing.assert_array_equal(model.project_fused({modality: X}), alone)
        both = model.project_fused(views(QUERIES), weights={m: float(m == modality) for m in DATA.views})
        np.testing.assert_allclose(both, alone, atol=1e-5)
    fused = model.project_fused(views(QUERIES))
    np.testing.assert_array_equal(model.encode_fused(views(QUERIES)), codes.pack(fused))
    found = -np.sign(fused) @ codes.unpack(model.codes_, 12).T
    nearest = np.argsort(found, axis=1, kind="stable")[:, :20]
    assert (Y[LEARNED][nearest] == Y[QUERIES][:, None]).mean() > 0.5


@pytest.mark.parametrize("weights", [None, {"text": 0.3}, {"image": 0.0, "text": 2.0}])
def test_fused_posteriors_are_products(weights):
    """P(u) ~ prod_m P_m(u)^w_m, here for the expected code."""
    model = method_class("lemon")(12, encoder="posterior").fit(views(LEARNED), Y[LEARNED])
    signs, L = codes.unpack(model.codes_, 12).astype(float), np.eye(6)[Y[LEARNED]]
    logits = 0.0
    for modality, X in DATA.views.items():
        X_seen = X[LEARNED].astype(float)
        scores = X[QUERIES] @ np.linalg.solve(X_seen.T @ X_seen + np.eye(X.shape[1]), X_seen.T @ L)
        w = 1.0 if weights is None else weights.get(modality, 1.0)
        logits = logits + w * (20 * scores + 0.5 * np.log(L.sum(axis=0)))
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = P / P.sum(axis=1, keepdims=True) @ (L.T @ signs / L.sum(axis=0)[:, None])
    np.testing.assert_allclose(model.project_fused(views(QUERIES), weights=weights), expected, atol=2e-4)


def test_logits_of_bayes_codes_follow_the_formula():
    """With the choices that calibration made, of ridge and naive Bayes among them."""
    words = {"text": csr_array(np.maximum(DATA.views["text"].round(), 0))}
    model = method_class("boch")(12, feature_maps={"text": UnitLength()})
    model.partial_fit({"text": words["text"][LEARNED]}, Y[LEARNED]).partial_fit({"text": words["text"][:50]}, Y[:50])
    shown = model.calibration_["text"]
    X = words["text"].toarray().astype(float)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-300)
    X_seen, L_seen = np.vstack([X[LEARNED], X[:50]]), np.eye(6)[np.concatenate([Y[LEARNED], Y[:50]])]
    scores = label_scores(X[QUERIES], X_seen, L_seen, xi=shown["ridge"], share=shown["share"])
    sets = model._state.label_sets.matrix
    expected = [[shown["temperature"] * fit(s, u) for u in sets] for s in scores]
    found = model._state.label_posterior("text").logits(csr_array(X[QUERIES]))
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert shown["exponent"] == 0


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0], TypeError, "weights must be a mapping of modality names to numbers, got list"),
        ({"sound": 1.0}, ValueError, "weights must be one of 'image', 'text', got 'sound'"),
        ({"image": -1.0}, ValueError, r"weights\['image'\] must be .*got -1"),
        ({"image": "much"}, TypeError, r"weights\['image'\] must be a finite number"),
        ({"image": 0, "text": 0}, ValueError, "weights must have one above 0, all are 0"),
        ({"image": 1e60}, ValueError, "views must give projections that float32 can hold, got values that are too"),
    ],
)
def test_wrong_weights(weights, error, message):
    model = method_class("lemon")(12).fit(views(LEARNED), Y[LEARNED])
    with pytest.raises(error, match=message):
        model.project_fused(views(QUERIES), weights=weights)
