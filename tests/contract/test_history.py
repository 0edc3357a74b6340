"""The contract of every method that records its optimisation."""

import itertools
import math

import numpy as np
import pytest
from sklearn.base import clone

from pyhash import NotFittedError, load
from pyhash.codes import unpack
from pyhash.datasets import make_hierarchical
from pyhash.evaluation import mean_average_precision
from pyhash.methods import LEMON, LSH
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.ridge import RidgeSolver
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(150, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
# Two labels in some rows: methods that give classes codes of their own iterate only then.
LABELS = np.eye(6)[DATA.labels["level2"]]
LABELS[::3] = np.maximum(LABELS[::3], np.roll(LABELS[::3], 1, axis=1))
N_ITER = 3
PARAMETERS = {"boch": {"encoder": "bits"}, "seoch": {"n_concepts": 8}}
METHODS_THAT_RECORD = [name for name in METHODS if "record" in method_class(name)._parameter_names()]
ONLINE = [name for name in METHODS_THAT_RECORD if issubclass(method_class(name), OnlineMethod)]


def make(name, **parameters):
    method = method_class(name)
    n_iter = {"n_iter": N_ITER} if "n_iter" in method._parameter_names() else {}
    return method(**{"n_bits": 16, **n_iter, **PARAMETERS.get(name, {}), **parameters})


def part(start, stop):
    """Views and labels of some rows."""
    return {name: x[start:stop] for name, x in DATA.views.items()}, LABELS[start:stop]


TRAINING, HELD = part(0, 120), part(120, 150)


def numbers(model):
    return [(entry["chunk"], entry["iteration"]) for entry in model.history_]


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_recording_changes_no_code(name):
    plain, recorded = make(name).fit(*TRAINING), make(name, record=True).fit(*TRAINING, validation=HELD)
    np.testing.assert_array_equal(recorded.codes_, plain.codes_)
    for modality, X in DATA.views.items():
        np.testing.assert_array_equal(recorded.project(X, modality=modality), plain.project(X, modality=modality))
    assert recorded.fingerprint == plain.fingerprint


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_entries_are_whole(name):
    model = make(name, record=True).fit(*TRAINING)
    n_iter = getattr(model, "n_iter", 5)
    assert numbers(model) == [(1, number) for number in range(1, n_iter + 1)]
    for entry in model.history_:
        assert list(entry) == ["chunk", "iteration", "objective", "terms", "validation"]
        assert entry["objective"] == math.fsum(entry["terms"].values())
        assert entry["terms"].keys() == model.history_[0]["terms"].keys()
        assert all(type(value) is float and math.isfinite(value) for value in entry["terms"].values())
        assert entry["validation"] is None
    assert model.objective_ == model.history_[-1]["objective"]


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_without_record_nothing_is_computed_and_an_error_says_what_to_do(name, monkeypatch):
    monkeypatch.setattr("pyhash.methods.parts.history.Recorder.add", None)
    model = make(name)
    for ask in (lambda: model.history_, lambda: model.objective_):
        with pytest.raises(NotFittedError, match="has not learned anything yet"):
            ask()
    model.fit(*TRAINING)
    for ask in (lambda: model.history_, lambda: model.objective_):
        with pytest.raises(NotFittedError, match="set record=True before it learns"):
            ask()
    assert not hasattr(model, "history_")
    assert model._state.history == ()


def test_methods_that_do_not_iterate_have_no_history():
    model = LSH(16).fit(TRAINING[0])
    with pytest.raises(AttributeError, match="LSH has no history_ and no objective_: it does not iterate"):
        model.history_  # noqa: B018
    with pytest.raises(ValueError, match="validation must be None without record=True"):
        model.fit(TRAINING[0], validation=HELD)


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_the_parameter_is_one_like_any_other(name):
    model = make(name, record=True)
    assert model.get_params()["record"] is True
    assert clone(model).record is True
    assert model.set_params(record=False).record is False
    with pytest.raises(TypeError, match="record must be"):
        make(name, record="yes").fit(*TRAINING)


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_it_cannot_be_changed_from_outside(name):
    model = make(name, record=True).fit(*TRAINING, validation=HELD)
    before = model.history_
    entry = model.history_[0]
    entry["objective"], entry["terms"]["more"], entry["validation"]["image->text"] = 0.0, 1.0, 2.0
    assert model.history_ == before


@pytest.mark.parametrize("validation", [None, HELD])
@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_save_and_load(name, validation, tmp_path):
    model = make(name, record=True).fit(*TRAINING, validation=validation)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.history_ == model.history_
    assert loaded.objective_ == model.objective_
    if name in ONLINE:
        views, labels = part(120, 150)
        assert loaded.partial_fit(views, labels).history_ == model.partial_fit(views, labels).history_


@pytest.mark.parametrize("name", ONLINE)
def test_a_stream_is_appended_and_fit_starts_anew(name):
    model = make(name, record=True)
    for start in (0, 40, 80):
        model.partial_fit(*part(start, start + 40))
    n_iter = getattr(model, "n_iter", 5)
    assert numbers(model) == list(itertools.product((1, 2, 3), range(1, n_iter + 1)))
    streamed = model.history_
    assert model.fit(*TRAINING, chunk_size=40).history_ == streamed
    assert {entry["chunk"] for entry in model.fit(*TRAINING).history_} == {1}


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_a_call_that_raises_leaves_it_unchanged(name):
    model = make(name, record=True).fit(*TRAINING)
    before = model.history_
    wrong = {**TRAINING[0], "text": np.full_like(TRAINING[0]["text"], np.nan)}
    with pytest.raises(ValueError, match="finite"):
        model.fit(wrong, TRAINING[1])
    if name in ONLINE:
        with pytest.raises(ValueError, match="finite"):
            model.partial_fit(wrong, TRAINING[1])
    assert model.history_ == before


@pytest.mark.parametrize("name", [name for name in METHODS_THAT_RECORD if method_class(name).is_supervised])
def test_a_trial_of_encoders_is_not_recorded(name):
    model = make(name, record=True, encoder="auto").fit(*TRAINING)
    assert len(model.history_) == getattr(model, "n_iter", 5)


# --- validation ---


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_the_last_validation_is_what_the_model_gives(name):
    """Rows that were not learned query the codes of those that were, plain mAP over the full list."""
    model = make(name, record=True).fit(*TRAINING, validation=HELD)
    for direction, score in model.history_[-1]["validation"].items():
        modality = direction.split("->")[0]
        queries = model.encode(HELD[0][modality], modality=modality)
        expected = mean_average_precision(
            queries, model.codes_, HELD[1], TRAINING[1], n_bits=model.n_bits, protocol="shoh"
        )
        assert score == expected.value
    assert list(model.history_[-1]["validation"]) == ["image->text", "text->image"]


@pytest.mark.parametrize("name", ONLINE)
def test_a_stream_is_validated_on_its_chunk_and_fit_on_all_rows_so_far(name):
    model = make(name, record=True).fit(*TRAINING, validation=HELD, chunk_size=40)
    stream, signs = make(name, record=True), []
    for chunk, start in enumerate((0, 40, 80), start=1):
        stream.partial_fit(*part(start, start + 40), validation=HELD)
        signs.append(unpack(stream.codes_, 16))
        fitted = [entry for entry in model.history_ if entry["chunk"] == chunk][-1]
        for got, codes, labels in (
            (fitted, np.concatenate(signs), LABELS[: start + 40]),
            (stream.history_[-1], signs[-1], LABELS[start : start + 40]),
        ):
            for modality, direction in (("image", "image->text"), ("text", "text->image")):
                queries = stream.encode(HELD[0][modality], modality=modality)
                expected = mean_average_precision(
                    queries, np.packbits(codes > 0, axis=1, bitorder="little"), HELD[1], labels, protocol="shoh"
                )
                assert got["validation"][direction] == expected.value


def test_directions_of_one_and_three_modalities():
    X, views = DATA.views["image"], {}
    for name in "abc":
        views[name] = X
        model = LEMON(16, record=True).fit(views, LABELS, validation=(views, LABELS))
        directions = list(model.history_[0]["validation"])
        if len(views) == 1:
            assert directions == ["a->a"]
    assert directions == ["a->b", "a->c", "b->a", "b->c", "c->a", "c->b"]


WRONG = [
    (HELD[0], TypeError, r"validation must be \(views, labels\) or \(views, labels, present\), got dict"),
    ((HELD[0], LABELS), ValueError, "validation: labels must have 30 rows"),
    (({"image": HELD[0]["image"]}, HELD[1]), ValueError, "validation: views must be .*'text' is missing"),
    (({**HELD[0], "text": HELD[0]["image"]}, HELD[1]), ValueError, "validation: .*30"),
    (({**HELD[0], "text": HELD[0]["text"] * np.nan}, HELD[1]), ValueError, "validation: .*'text'.* finite"),
    ((HELD[0], HELD[1][:, :5] + 2), ValueError, "validation: labels must"),
    ((HELD[0], HELD[1] * 0), ValueError, "validation: labels must give every row a label"),
]


@pytest.mark.parametrize(("validation", "error", "message"), WRONG)
@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_wrong_validation_changes_nothing(name, validation, error, message):
    model = make(name, record=True).fit(*TRAINING)
    before = model.history_
    with pytest.raises(error, match=message):
        model.fit(*TRAINING, validation=validation)
    if name in ONLINE:
        with pytest.raises(error, match=message):
            model.partial_fit(*TRAINING, validation=validation)
    assert model.history_ == before


@pytest.mark.parametrize("name", METHODS_THAT_RECORD)
def test_validation_needs_record(name):
    with pytest.raises(ValueError, match="validation must be None without record=True"):
        make(name).fit(*TRAINING, validation=HELD)


def test_sums_of_the_objective_are_kept_from_the_first_chunk_or_never(tmp_path):
    model = LEMON(16).partial_fit(*part(0, 60)).set_params(record=True)
    with pytest.raises(ValueError, match="record must stay False, as it was for the first chunk"):
        model.partial_fit(*part(60, 120))
    assert model.n_samples_seen_ == 60
    model = LEMON(16, record=True).partial_fit(*part(0, 60)).set_params(record=False).partial_fit(*part(60, 90))
    assert {entry["chunk"] for entry in model.history_} == {1}
    model.save(tmp_path / "model")
    model = load(tmp_path / "model").set_params(record=True).partial_fit(*part(90, 120))
    expected = LEMON(16, record=True).fit(*part(0, 90), chunk_size=60).partial_fit(*part(90, 120))
    assert model.history_[-1] == expected.history_[-1]


def test_the_projections_of_validation_are_factored_once_a_chunk(monkeypatch):
    factored = []
    monkeypatch.setattr(
        "pyhash.methods.parts.state.RidgeSolver", lambda G, ridge: factored.append(len(G)) or RidgeSolver(G, ridge)
    )
    model = LEMON(16, record=True).fit(*TRAINING, chunk_size=60)
    assert factored == []
    model.fit(*TRAINING, chunk_size=60, validation=HELD)
    assert factored == [24, 30, 24, 30]
