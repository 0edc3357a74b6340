"""The contract of every method; a method joins by its line in the registry."""

import collections
import copy
import functools
import inspect
import pickle
import re
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError as NotFittedOfSklearn
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from pyhash import NotFittedError, load
from pyhash._inputs import checks
from pyhash.codes import unpack
from pyhash.datasets import make_hierarchical
from pyhash.deep import TrainingOptions
from pyhash.deep.base import DeepMethod
from pyhash.methods import LEMON, LSH, SHOH, Centering, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.online import OnlineMethod
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

# Every view is wider than the 20 bits of a case: some methods make no more bits than a view has features.
DATA = make_hierarchical(120, n_classes=(3, 6), n_features={"image": 24, "text": 30, "audio": 22}, seed=2)
LABELS = DATA.labels["level2"]


TINY = TrainingOptions(epochs=6, batch_size=20, validation_fraction=0.2)
QUICK = replace(TINY, epochs=3)  # with a larger learning rate: the losses of three modalities are many
# Parameters that make a method quick here; those that are not named have their defaults.
PARAMETERS = {
    # The default of other methods; that of its own has other tests.
    "boch": {"encoder": "bits"},
    "shoh": {"hierarchy": DATA.hierarchy},
    "seoch": {"n_concepts": 8},
    "dsfh": {"n_iter": 5},
    "cca-itq": {"n_iter": 10},
    "pca-itq": {"n_iter": 10},
    # Small networks, trained shortly.
    "sdch": {
        "training": TINY,
        "hidden": [24],
        "feature_width": 12,
        "learning_rate": 1e-2,
        "hash_learning_rate": 2e-2,
    },
    "dhsl": {
        "training": QUICK,
        "hidden": [24, 16],
        "selector_hidden": [8, 8],
        "relation_hidden": 16,
        "relation_rows": 8,
        "learning_rate": 3e-2,
    },
}
ALL_METHODS = {name: method_class(name) for name in METHODS}


def case(name):
    return lambda **parameters: ALL_METHODS[name](**{"n_bits": 20, **PARAMETERS.get(name, {}), **parameters})


CASES = {name: case(name) for name in METHODS}
ONE_MODALITY = {"feature-sign", "lsh", "pca-sign", "pca-itq"}  # their codes agree within a modality only
LIMITED = {"feature-sign", "pca-sign", "pca-itq", "cca-sign", "cca-itq"}  # to as many bits as features
MAPS = [Centering(), Standardizing(), UnitLength(), RBFAnchors(40, width="mean_squared_distance", centered=True)]


def cases_where(condition):
    """A fixture over the cases whose method fulfils a condition."""
    return cases_of(name for name in CASES if condition(ALL_METHODS[name]))


def cases_of(names):
    """A fixture over the cases of some methods."""

    # Of the two that train networks, one is quick enough here.
    marks = {"dhsl": [pytest.mark.slow("trains networks; SDCH is the quicker example")]}

    @pytest.fixture(params=[pytest.param(name, marks=marks.get(name, ())) for name in names])
    def fixture(request):
        return CASES[request.param]

    return fixture


def takes(parameter):
    return lambda method: parameter in method._parameter_names()


make = cases_where(lambda method: True)
make_online = cases_where(lambda method: issubclass(method, OnlineMethod))
make_offline = cases_where(lambda method: not issubclass(method, OnlineMethod))
make_supervised = cases_where(lambda method: method.is_supervised)
make_unsupervised = cases_where(lambda method: not method.is_supervised)
make_seeded = cases_where(takes("seed"))
make_threaded = cases_where(takes("n_threads"))
make_limited = cases_of(sorted(LIMITED))
# BOCH has another default map for sparse views than for dense ones.
make_form_blind = cases_of(sorted(METHODS.keys() - {"boch"}))
make_unlimited = cases_of(sorted(METHODS.keys() - LIMITED))
make_cross_modal = cases_of(sorted(METHODS.keys() - ONE_MODALITY))
# LSH's hyperplanes do not depend on data, and networks sum up nothing but what they made.
make_summing = cases_where(lambda method: method is not LSH and not issubclass(method, DeepMethod))
make_uni_modal = cases_of(sorted(ONE_MODALITY))


def test_parameters_are_for_methods_that_exist():
    assert PARAMETERS.keys() | ONE_MODALITY | LIMITED <= METHODS.keys()


@functools.cache
def _learned_once(make):
    return learned(make())


def fitted(make):
    """A model that learned all data, as ``learned(make())`` is; learned once."""
    return copy.deepcopy(_learned_once(make))


def learned(model, views=DATA.views, labels=LABELS, **options):
    """Fitted, with labels where the method takes them."""
    return model.fit(views, labels, **options) if model.is_supervised else model.fit(views, **options)


def rows(views, chosen):
    return {name: x[chosen] for name, x in views.items()}


def everything(model):
    """All that a user can see of a model."""
    seen = {
        "params": repr(model.get_params()),
        "codes": model._codes if model._codes is None else model._codes.tobytes(),
    }
    try:
        seen |= {name: model.project(DATA.views[name], modality=name).tobytes() for name in model.modalities_}
        seen |= {"fingerprint": model.fingerprint, "seen": model.n_samples_seen_, "encoders": model.encoders_}
    except NotFittedError:
        seen["fingerprint"] = None
    return seen


def near_and_far(projections, others):
    """Mean Hamming distance of samples of the same class, and of different classes."""
    distance = (20 - np.sign(projections) @ np.sign(others).T) / 2
    same = LABELS[:, None] == LABELS[None]
    return distance[same].mean(), distance[~same].mean()


def test_shapes_and_dtypes(make):
    model = make()
    assert learned(model) is model
    assert (model.codes_.shape, model.codes_.dtype) == ((120, 3), np.uint8)
    assert (model.codes_[:, -1] >> 4 == 0).all()
    assert model.modalities_ == {"image": 24, "text": 30, "audio": 22}
    assert model.n_samples_seen_ == 120
    encoder = model.encoder if model.is_supervised else "bits"
    assert model.encoders_ == {"image": encoder, "text": encoder, "audio": encoder}
    for name, X in DATA.views.items():
        projections = model.project(X[:7], modality=name)
        assert (projections.shape, projections.dtype) == ((7, 20), np.float32)
        packed = model.encode(X[:7], modality=name)
        np.testing.assert_array_equal(packed, np.packbits(projections > 0, axis=1, bitorder="little"))
        assert model.encode(X[:0], modality=name).shape == (0, 3)


@pytest.mark.parametrize("mistaken", [slice(None), slice(17, 18)])
def test_ids_in_the_place_of_labels_are_refused_at_once(make_supervised, mistaken):
    """As classes they would take gigabytes and minutes."""
    labels = LABELS.copy()
    labels[mistaken] = 5_000_000 - 7 * np.arange(120)[mistaken]
    model = make_supervised(**({"hierarchy": None} if make_supervised is CASES["shoh"] else {}))
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=r"labels must be class indices counted from 0, got (5000000|4999881) in row"
        ):
            learned(model, labels=labels)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")  # of a single bit there is little to expect
@pytest.mark.parametrize("n_bits", [1, 7, 8, 22])
def test_any_length(make, n_bits):
    model = learned(make(n_bits=n_bits))
    assert model.codes_.shape == (120, (n_bits + 7) // 8)
    assert model.encode(DATA.views["text"], modality="text").shape == (120, (n_bits + 7) // 8)


@pytest.mark.parametrize("n_bits", [65, 130])
def test_more_bits_than_samples_features_or_classes(make_unlimited, n_bits):
    model = learned(make_unlimited(n_bits=n_bits), rows(DATA.views, slice(80)), np.eye(6)[LABELS[:80]])
    assert model.codes_.shape == (80, (n_bits + 7) // 8)
    assert np.isfinite(model.project(DATA.views["text"], modality="text")).all()


def test_more_bits_than_features_are_refused_where_there_are_no_more_directions(make_limited):
    with pytest.raises(ValueError, match=r"n_bits must be at most 22, the features of 'audio', got 23"):
        learned(make_limited(n_bits=23))
    with pytest.raises(ValueError, match=r"n_bits must be at most 22, the features of 'audio', got 23"):
        make_limited(n_bits=23).check_n_features(120, {"text": 30, "audio": 22})
    make_limited(n_bits=22).check_n_features(120, {"text": 30, "audio": 22})
    wider = learned(make_limited(n_bits=40, feature_maps=dict.fromkeys(DATA.views, RBFAnchors(40))))
    assert wider.encode(DATA.views["audio"], modality="audio").shape == (120, 5)  # features count once mapped


def test_more_bits_than_features_are_fine_elsewhere(make_unlimited):
    make_unlimited(n_bits=23).check_n_features(120, {"text": 30, "audio": 22})


@pytest.mark.parametrize("names", [["text"], ["audio", "image"], ["image", "text", "audio"]])
def test_any_number_of_modalities(make, names):
    model = learned(make(), {name: DATA.views[name] for name in names})
    assert list(model.modalities_) == names
    for name in names:
        signs = unpack(model.encode(DATA.views[name], modality=name), 20)
        near, far = near_and_far(signs, signs)
        assert near < far


def test_it_learns_across_modalities(make_cross_modal):
    """Samples of a class get nearer codes than samples of different classes."""
    model = fitted(make_cross_modal)
    margin = 4 if model.is_supervised else 1.5
    image, text = (model.project(DATA.views[name], modality=name) for name in ("image", "text"))
    near, far = near_and_far(image, text)
    assert near < far - margin
    near, far = near_and_far(unpack(model.codes_, 20), text)
    assert near < far - margin


def test_it_learns_within_a_modality(make_uni_modal):
    model = fitted(make_uni_modal)
    for name, X in DATA.views.items():
        near, far = near_and_far(*[model.project(X, modality=name)] * 2)
        assert near < far - 1.5


def test_the_same_seed_gives_the_same_codes(make_seeded):
    assert everything(learned(make_seeded(seed=5))) == everything(learned(make_seeded(seed=5)))
    others = {learned(make_seeded(seed=seed)).codes_.tobytes() for seed in (5, 6, 7)}
    assert len(others) > 1


def test_learning_twice_gives_the_same(make):
    assert everything(learned(make())) == everything(fitted(make))


def test_fitting_again_starts_anew(make):
    model = fitted(make)
    before = everything(model)
    assert everything(learned(model)) == before


@pytest.mark.parametrize("solver", ["relaxed", "dcc"])
def test_threads_and_levels_do_not_matter(make_threaded, cpu_level, solver):
    model = make_threaded()
    if solver == "dcc" and takes("solver")(type(model)):
        model.set_params(solver=solver)
    codes = {learned(clone(model).set_params(n_threads=n)).codes_.tobytes() for n in (1, 2, 4)}
    assert len(codes) == 1


@pytest.mark.parametrize("form", [csr_array, csr_matrix, coo_array, np.asfortranarray, lambda x: x.astype(np.float64)])
def test_features_in_every_form(make_form_blind, form):
    expected = fitted(make_form_blind)
    model = learned(make_form_blind(), {name: form(x) for name, x in DATA.views.items()})
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    for name, X in DATA.views.items():
        np.testing.assert_allclose(
            model.project(form(X), modality=name), expected.project(X, modality=name), rtol=1e-4, atol=1e-5
        )


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")  # as truth values nearly all rows are equal
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool, np.float16])
def test_features_of_every_dtype(make, dtype):
    views = {name: np.abs(10 * x).astype(dtype) for name, x in DATA.views.items()}
    expected = learned(make(), {name: x.astype(float) for name, x in views.items()})
    np.testing.assert_array_equal(learned(make(), views).codes_, expected.codes_)


def test_sparse_features_that_are_mostly_zero(make_form_blind):
    """As bags of words are: columns that are never set, and rows without any word."""
    rng = np.random.default_rng(0)
    words = {name: (rng.random(x.shape) < 0.1) * (1.0 + LABELS[:, None]) for name, x in DATA.views.items()}
    for x in words.values():
        x[:, 3], x[7] = 0, 0
    expected = learned(make_form_blind(), words)
    model = learned(make_form_blind(), {name: csr_array(x) for name, x in words.items()})
    for name, x in words.items():
        projections = model.project(csr_array(x), modality=name)
        np.testing.assert_allclose(projections, expected.project(x, modality=name), rtol=1e-4, atol=1e-4)


def test_labels_in_every_form_learn_the_same(make_supervised):
    matrix = np.eye(6)[LABELS]
    expected = learned(make_supervised()).codes_
    for labels in (LABELS.tolist(), matrix, matrix.astype(bool), csr_array(matrix)):
        np.testing.assert_array_equal(learned(make_supervised(), labels=labels).codes_, expected)


def test_several_labels_a_row(make_supervised):
    matrix = np.eye(6)[LABELS]
    matrix[np.arange(0, 120, 2), (LABELS[::2] + 1) % 6] = 1
    parameters = {"hierarchy": None} if make_supervised is CASES["shoh"] else {}
    model = learned(make_supervised(**parameters), labels=matrix)
    signs = unpack(model.encode(DATA.views["text"], modality="text"), 20).astype(int)
    distance, shared = (20 - signs @ signs.T) / 2, matrix @ matrix.T > 0
    assert distance[shared].mean() < distance[~shared].mean() - 1


# Ridges, without which there may be no solution, and what would leave half of the bits without a meaning.
MUST_BE_POSITIVE = {
    *((name, "xi") for name in ("boch", "shoh", "lemon", "dsfh", "batch", "dch")),
    *((name, "ridge") for name in ("scm-seq", "cca-itq", "cca-sign")),
    ("seoch", "alpha"),
    ("boch", "focus"),
}
WEIGHTS = [
    (name, parameter.name)
    for name, method in ALL_METHODS.items()
    if not issubclass(method, DeepMethod)
    for parameter in inspect.signature(method).parameters.values()
    if isinstance(parameter.default, float)
]


def test_no_weight_is_named_in_vain():
    assert set(WEIGHTS) > MUST_BE_POSITIVE


@pytest.mark.parametrize(("name", "weight"), WEIGHTS)
def test_a_weight_of_0_is_learned_with_or_refused_with_the_reason(name, weight, tmp_path):
    model = CASES[name](**{weight: 0.0})
    if (name, weight) in MUST_BE_POSITIVE:
        with pytest.raises(ValueError, match=rf"^{weight} must be a finite number > 0, got 0.0: (without|instance) "):
            learned(model)
        return
    learned(model)
    projections = model.project(DATA.views["text"], modality="text")
    assert np.isfinite(projections).all()
    assert len(np.unique(model.codes_, axis=0)) > 1
    assert len(np.unique(projections > 0, axis=0)) > 1
    model.save(tmp_path / "model")
    again = load(tmp_path / "model").project(DATA.views["text"], modality="text")
    assert again.tobytes() == projections.tobytes()


def test_methods_without_labels_ignore_them(make_unsupervised):
    for labels in (LABELS, np.zeros((3, 3)), "no labels"):
        assert everything(make_unsupervised().fit(DATA.views, labels)) == everything(learned(make_unsupervised()))


def test_codes_cannot_be_changed_from_outside(make):
    with pytest.raises(ValueError, match="read-only"):
        learned(make()).codes_[:] = 0


def test_projections_that_overflow_name_their_rows(make):
    X = DATA.views["text"].astype(np.float64)
    X[[4, 9]] *= 1e60
    model = learned(make(feature_maps=dict.fromkeys(DATA.views)))  # kernels are bounded
    for call in (model.project, model.encode):
        with pytest.raises(ValueError, match=r"X must .* that float32 can hold, got .+ in rows 4, 9$"):
            call(X, modality="text")


@pytest.mark.parametrize("feature_map", [RBFAnchors(5), Centering(), Standardizing()])
def test_values_too_large_for_a_feature_map_name_their_view(make, feature_map):
    views = {**DATA.views, "text": np.full(DATA.views["text"].shape, 1e307)}
    message = r"views\['text'\] must have squares that float64 can sum up, got values that are too large"
    with pytest.raises(ValueError, match=message):
        learned(make(feature_maps={"image": None, "text": feature_map}), views)


def test_extreme_parameters_are_named_along_with_the_views():
    with pytest.raises(ValueError, match="views and parameters must have values of a size that LEMON can compute with"):
        learned(LEMON(8, alpha=1e308))


@pytest.mark.parametrize("size", [1e100, 1e160, 1e308])
@pytest.mark.parametrize("feature_map", [None, Centering(), UnitLength()])
def test_very_large_values_are_learned_or_refused_by_name(make, feature_map, size):
    if issubclass(type(make()), DeepMethod):  # in float32
        return
    views = {name: np.full(x.shape, size) for name, x in DATA.views.items()}
    views["text"] = views["text"] * np.linspace(0.5, 1, 120)[:, None]
    model = make(feature_maps=dict.fromkeys(views, feature_map))
    try:
        learned(model, views)
    except ValueError as error:
        assert not isinstance(feature_map, UnitLength)
        assert str(error).startswith("views"), error  # noqa: PT017
    if isinstance(feature_map, UnitLength):
        assert model.encode(views["text"], modality="text").shape == (120, 3)


@pytest.mark.parametrize("modality", [None, 8, [8], {"text": 1}])
def test_a_modality_that_is_no_name_is_refused(make, modality):
    with pytest.raises(TypeError, match="modality must be the name of a modality, got "):
        fitted(make).encode(DATA.views["text"], modality=modality)


def test_input_is_not_changed(make):
    views, labels = copy.deepcopy(DATA.views), LABELS.copy()
    learned(make(), views, labels).project(views["text"], modality="text")
    for name, x in DATA.views.items():
        np.testing.assert_array_equal(views[name], x)
    np.testing.assert_array_equal(labels, LABELS)


def test_parameters_are_kept_untouched(make):
    model = make()
    for name, value in model.get_params().items():
        assert getattr(model, name) is value
    assert model.set_params(n_bits=9) is model
    assert model.get_params()["n_bits"] == 9
    with pytest.raises(ValueError, match=f"{type(model).__name__} has no parameter 'bits'; it has n_bits"):
        model.set_params(bits=3, n_bits=4)
    assert model.n_bits == 9


def test_sklearn_can_clone_it(make):
    model = learned(make(n_bits=12))
    twin = clone(model)
    assert twin.get_params().keys() == model.get_params().keys()
    assert everything(learned(twin)) == everything(model)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_equal_and_go_their_own_ways(make, duplicate):
    model = learned(make(feature_maps={"text": RBFAnchors(30)}))
    before = everything(model)
    twin = duplicate(model)
    assert everything(twin) == before
    learned(twin, rows(DATA.views, slice(60)), LABELS[:60])
    assert everything(model) == before
    assert everything(duplicate(make())) == everything(make())


def test_parameters_make_the_same_model(make):
    model = make(n_bits=12, feature_maps={"text": UnitLength()})
    again = type(model)(**model.get_params())
    assert everything(learned(again)) == everything(learned(model))


def test_repr_names_what_was_chosen(make):
    assert "n_bits=20" in repr(make())
    assert "feature_maps={'text': Centering()}" in repr(make(feature_maps={"text": Centering()}))
    assert len(repr(make())) < 400


def test_save_and_load(make, tmp_path):
    model = fitted(make)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    with pytest.raises(NotFittedError, match="codes_ are those of the last fit or partial_fit"):
        again.codes_  # noqa: B018
    again.save(tmp_path / "again")
    for restored in (again, load(tmp_path / "again")):
        seen = everything(restored)
        assert seen == everything(model) | {"codes": None, "params": seen["params"]}
        assert restored.modalities_ == model.modalities_


def test_a_file_is_replaced_whole_or_not_at_all(make, tmp_path):
    model = fitted(make)
    model.save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    with pytest.raises(ValueError, match="n_bits must stay 20 once chunks were learned, got 16"):
        model.set_params(n_bits=16).save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_before_fitting(make, tmp_path):
    model = make()
    for call in (
        lambda: model.encode(DATA.views["text"], modality="text"),
        lambda: model.project(DATA.views["text"], modality="text"),
        lambda: model.save(tmp_path / "model"),
        lambda: model.codes_,
        lambda: model.modalities_,
        lambda: model.fingerprint,
    ):
        with pytest.raises(NotFittedError):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: m.project(DATA.views["text"], modality="txt"),
            ValueError,
            "modality must be one of 'image', 'text', 'audio', got 'txt'",
        ),
        (
            lambda m: m.encode(DATA.views["text"], modality="image"),
            ValueError,
            r"X must have shape \(n, 24\), got \(120, 30\)",
        ),
        (lambda m: m.encode(DATA.views["text"][0], modality="text"), ValueError, r"one sample is x\[None, :\]"),
        (
            lambda m: m.encode(np.full((3, 30), np.nan), modality="text"),
            ValueError,
            "X must be finite, got nan in row 0, column 0",
        ),
        (
            lambda m: m.encode(csr_array(np.full((3, 30), np.inf)), modality="text"),
            ValueError,
            "X must be finite, got inf in row 0",
        ),
        (lambda m: m.encode([["a"] * 30], modality="text"), TypeError, "X must hold real numbers"),
        (lambda m: m.encode(None, modality="text"), TypeError, "X must be an array of rows, got NoneType"),
        (lambda m: m.encode("x", modality="text"), TypeError, "X must be an array of rows, got str"),
        (lambda m: m.encode({}, modality="text"), TypeError, "X must be an array of rows, got dict"),
        (
            lambda m: m.encode(np.ones((2, 30), complex), modality="text"),
            TypeError,
            "X must hold real numbers, got dtype complex128",
        ),
    ],
)
def test_wrong_queries(make, call, error, message):
    with pytest.raises(error, match=message):
        call(fitted(make))


def spoiled(name, row, value):
    x = DATA.views[name].copy()
    x[row] = value
    return {**DATA.views, name: x}


WRONG_VIEWS = [
    (5, TypeError, "views must be a mapping of modality names to features, got int"),
    ({}, ValueError, "views must hold at least one modality, got none"),
    ({0: DATA.views["text"]}, TypeError, "views must have names of type str, got 0"),
    (
        {**DATA.views, "text": DATA.views["text"][:5]},
        ValueError,
        "views must have equally many rows, 'image' has 120, 'text' has 5",
    ),
    ({**DATA.views, "text": DATA.views["text"][:, 0]}, ValueError, r"views\['text'\] must have shape"),
    ({**DATA.views, "text": None}, TypeError, r"views\['text'\] must be an array of rows, got NoneType"),
    (spoiled("text", 3, np.nan), ValueError, r"views\['text'\] must be finite, got nan in row 3, column 0"),
    (
        {**DATA.views, "text": csr_array(spoiled("text", 3, np.inf)["text"])},
        ValueError,
        r"views\['text'\] must be finite, got inf in row 3",
    ),
    (
        {**DATA.views, "text": np.full((120, 30), "a")},
        TypeError,
        r"views\['text'\] must hold real numbers, got dtype <U1",
    ),
    (rows(DATA.views, slice(0)), ValueError, "views must have at least one row, got none"),
]
WRONG_LABELS = [
    (LABELS[:-1], ValueError, r"labels must have 120 rows, as the views have, got shape \(119,\)"),
    (LABELS.astype(float), TypeError, "labels must be class indices of an integer dtype, got float64"),
    (-1 - LABELS, ValueError, "labels must be class indices from 0 to"),
    (np.full((120, 6), 2), ValueError, "labels must hold only 0 and 1"),
    (
        np.zeros((120, 6)),
        ValueError,
        "labels must give every row a label, none in rows 0, 1, 2, 3, 4 and 115|some row of the first chunk a label",
    ),
    (None, TypeError, "labels must be given: [A-Za-z]+ learns from them"),
]


@pytest.mark.parametrize(("views", "error", "message"), WRONG_VIEWS)
def test_wrong_views_change_nothing(make, views, error, message):
    for model in (make(), fitted(make)):
        before = everything(model)
        with pytest.raises(error, match=message):
            learned(model, views)
        assert everything(model) == before


@pytest.mark.parametrize(("labels", "error", "message"), WRONG_LABELS)
def test_wrong_labels_change_nothing(make_supervised, labels, error, message):
    for model in (make_supervised(), fitted(make_supervised)):
        before = everything(model)
        with pytest.raises(error, match=message):
            model.fit(DATA.views, labels)
        assert everything(model) == before


def test_a_wrong_length_changes_nothing(make):
    model = fitted(make)
    seen = {name: model.encode(X, modality=name).tobytes() for name, X in DATA.views.items()}
    for wrong, error in ((0, ValueError), (2.5, TypeError), (1 << 21, ValueError)):
        with pytest.raises(error, match="n_bits must be an integer from 1 to 1048576"):
            learned(model.set_params(n_bits=wrong))
    model.set_params(n_bits=20)
    assert {name: model.encode(X, modality=name).tobytes() for name, X in DATA.views.items()} == seen


def test_values_too_large_to_be_summed_change_nothing(make_summing):
    model = learned(make_summing(feature_maps=dict.fromkeys(DATA.views)))
    before = everything(model)
    with pytest.raises(ValueError, match=r"views\['text'\] must have squares that float64 can sum up"):
        learned(model, {**DATA.views, "text": DATA.views["text"].astype(float) * 1e200})
    assert everything(model) == before


def test_a_fingerprint_is_of_the_data(make):
    fingerprint = fitted(make).fingerprint
    assert re.fullmatch("[0-9a-f]{32}", fingerprint)
    assert learned(make()).fingerprint == fingerprint
    others = {
        learned(make(n_bits=21)).fingerprint,
        learned(make(), rows(DATA.views, slice(1, None)), LABELS[1:]).fingerprint,
        learned(make(), {name: DATA.views[name] for name in ("image", "text")}).fingerprint,
        learned(make(), rows(DATA.views, slice(None, None, -1)), LABELS[::-1]).fingerprint,
    }
    assert len(others - {fingerprint}) == 4


def test_a_fingerprint_is_of_the_seed(make_seeded):
    fingerprints = {learned(make_seeded(seed=seed)).fingerprint for seed in (5, 6, 7)}
    assert len(fingerprints) > 1


def test_a_fingerprint_is_of_the_method():
    views = {"x": DATA.views["text"]}
    models = [learned(make(**({"hierarchy": None} if name == "shoh" else {})), views) for name, make in CASES.items()]
    assert len({model.fingerprint for model in models}) == len(ALL_METHODS)


def test_a_fingerprint_stays_in_a_file(make, tmp_path):
    model = fitted(make)
    model.save(tmp_path / "a")
    again = load(tmp_path / "a")
    assert again.fingerprint == model.fingerprint
    again.save(tmp_path / "b")
    assert load(tmp_path / "b").fingerprint == model.fingerprint
    assert copy.deepcopy(model).fingerprint == model.fingerprint


def test_fitting_anew_makes_another_model(make):
    model = fitted(make)
    before = model.fingerprint
    learned(model, rows(DATA.views, slice(60)), LABELS[:60])
    assert model.fingerprint != before
    with pytest.raises(NotFittedError):
        clone(model).fingerprint  # noqa: B018 - a property that raises


# --- online methods ---


def test_a_fingerprint_stays_as_a_stream_goes_on(make_online, tmp_path):
    model = make_online().partial_fit(rows(DATA.views, slice(50)), LABELS[:50])
    fingerprint = model.fingerprint
    model.save(tmp_path / "model")
    assert model.partial_fit(rows(DATA.views, slice(50, None)), LABELS[50:]).fingerprint == fingerprint
    again = load(tmp_path / "model")
    assert again.partial_fit(rows(DATA.views, slice(50, None)), LABELS[50:]).fingerprint == fingerprint
    with pytest.raises(ValueError, match="views must"):
        again.partial_fit({}, LABELS)
    assert again.fingerprint == fingerprint


def test_a_wrong_chunk_changes_nothing(make_online):
    wrong = [(views, LABELS, error) for views, error, _ in WRONG_VIEWS]
    wrong += [(DATA.views, labels, error) for labels, error, _ in WRONG_LABELS]
    fresh, model = make_online(), make_online().partial_fit(DATA.views, LABELS)
    before = everything(fresh), everything(model)
    for views, labels, error in wrong:
        # A later chunk may lack a modality, and labels.
        lacks_one = isinstance(views, dict) and views.get("text", 0) is None
        is_wrong_later = not lacks_one and not np.array_equal(labels, np.zeros((120, 6)))
        for one in (fresh, model) if is_wrong_later else (fresh,):
            with pytest.raises(error, match=r"views|labels"):
                one.partial_fit(views, labels)
        assert (everything(fresh), everything(model)) == before
    fresh.partial_fit(DATA.views, LABELS)
    assert everything(fresh) == everything(model)  # that of a chunk is as if none had been refused
    twin = make_online().partial_fit(DATA.views, LABELS)
    assert everything(model.partial_fit(DATA.views, LABELS)) == everything(twin.partial_fit(DATA.views, LABELS))


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"text": DATA.views["text"]}, "views must be 'image', 'text', 'audio' as learned before, 'image' is missing"),
        ({**DATA.views, "smell": DATA.views["text"]}, "as learned before, 'smell' is unknown"),
        ({**DATA.views, "audio": DATA.views["text"]}, r"views\['audio'\] must have shape \(n, 22\), got \(120, 30\)"),
    ],
)
def test_modalities_stay_as_learned(make_online, views, message):
    model = make_online().partial_fit(DATA.views, LABELS)
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(views, LABELS)
    assert everything(model) == before


@pytest.fixture
def checked(monkeypatch):
    """How often methods checked each value, by the name that an error would give it."""
    counts = collections.Counter()

    def counting(check):
        def counted(*arguments, **options):
            counts["n_bits" if check is checks.check_n_bits else arguments[0]] += 1
            return check(*arguments, **options)

        return counted

    for name in ("check_integer", "check_real", "check_fraction", "check_choice", "check_bool", "check_n_bits"):
        original = getattr(checks, name)
        for module in [
            module for path, module in sys.modules.items() if path.startswith(("pyhash.methods.", "pyhash.deep."))
        ]:
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, counting(original))
    return counts


@pytest.mark.parametrize("encoder", ["bits", "auto"])
def test_parameters_are_checked_once_a_call(make, encoder, checked, tmp_path):
    model = make(feature_maps=dict.fromkeys(DATA.views))
    if model.is_supervised:
        model.set_params(encoder=encoder)
    numbers = {name for name, value in model.get_params().items() if isinstance(value, (int, float, str))}
    calls = [lambda: learned(model)] * 2
    if isinstance(model, OnlineMethod):
        calls += [lambda: model.partial_fit(DATA.views, LABELS), lambda: model.fit(DATA.views, LABELS, chunk_size=50)]
    for learn in calls:
        checked.clear()
        learn()
        assert {name: checked[name] for name in numbers} == dict.fromkeys(numbers, 1)
    for ask in (lambda: model.save(tmp_path / "model"), lambda: model.encode(DATA.views["text"], modality="text")):
        checked.clear()
        ask()
        assert all(checked[name] <= 1 for name in numbers)


def test_an_interrupt_changes_nothing(make, monkeypatch):
    model = fitted(make)
    before = everything(model)
    name = "_train" if isinstance(model, DeepMethod) else "_learn"
    learn = getattr(type(model), name)

    def interrupted(self, *arguments):
        learn(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), name, interrupted)
    for call in [model.fit, *([model.partial_fit] if isinstance(model, OnlineMethod) else [])]:
        with pytest.raises(KeyboardInterrupt):
            call(DATA.views, LABELS)
    monkeypatch.undo()
    assert everything(model) == before


def test_one_chunk_is_fit(make_online):
    chunk = make_online().partial_fit(DATA.views, LABELS)
    assert everything(make_online().fit(DATA.views, LABELS, chunk_size=None)) == everything(chunk)
    assert everything(make_online().fit(DATA.views, LABELS, chunk_size=120)) == everything(chunk)


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 10**6])
def test_fit_is_a_stream_of_chunks(make_online, chunk_size):
    labels = np.eye(6)[LABELS]
    whole = make_online().fit(DATA.views, labels, chunk_size=chunk_size)
    stream, codes = make_online(), []
    for start in range(0, 120, chunk_size):
        chunk = slice(start, start + chunk_size)
        codes.append(stream.partial_fit(rows(DATA.views, chunk), labels[chunk]).codes_)
    np.testing.assert_array_equal(whole.codes_, np.concatenate(codes))
    for name, X in DATA.views.items():
        np.testing.assert_array_equal(whole.project(X, modality=name), stream.project(X, modality=name))


def test_rows_are_numbered_through_the_data(make_online):
    with pytest.raises(ValueError, match=r"views\['text'\] must be finite, got nan in row 77"):
        make_online().fit(spoiled("text", 77, np.nan), LABELS, chunk_size=50)


def test_views_may_come_in_any_order(make_online):
    model = make_online().partial_fit(DATA.views, LABELS)
    twin = make_online().partial_fit(DATA.views, LABELS)
    backwards = dict(reversed(DATA.views.items()))
    assert everything(model.partial_fit(backwards, LABELS)) == everything(twin.partial_fit(DATA.views, LABELS))


def test_progress_is_shown_when_asked_for(make_online, capsys):
    make_online().fit(DATA.views, LABELS, chunk_size=60, progress=True)
    assert "2/2" in capsys.readouterr().err
    make_online().fit(DATA.views, LABELS, chunk_size=60)  # stderr is no terminal here
    make_online().fit(DATA.views, LABELS, chunk_size=60, progress=False)
    assert capsys.readouterr().err == ""
    with pytest.raises(TypeError, match="progress must be a bool, got 1"):
        make_online().fit(DATA.views, LABELS, progress=1)


@pytest.mark.parametrize(("chunk_size", "error"), [(0, ValueError), (2.5, TypeError)])
def test_wrong_chunk_size(make_online, chunk_size, error):
    with pytest.raises(error, match="chunk_size must be an integer >= 1"):
        make_online().fit(DATA.views, LABELS, chunk_size=chunk_size)


def test_learning_goes_on_from_a_file_as_if_never_stopped(make_online, tmp_path):
    maps = {"image": RBFAnchors(30, centered=True), "text": Standardizing()}
    whole, part = (make_online(feature_maps=maps, encoder="auto") for _ in range(2))
    whole.fit(DATA.views, LABELS, chunk_size=40)
    part.partial_fit(rows(DATA.views, slice(40)), LABELS[:40]).save(tmp_path / "part")
    for start in (40, 80):
        chunk = slice(start, start + 40)
        part = load(tmp_path / "part").partial_fit(rows(DATA.views, chunk), LABELS[chunk])
        np.testing.assert_array_equal(part.codes_, whole.codes_[chunk])
        part.save(tmp_path / "part")
    for encoder in ("auto", "bits", "posterior"):
        part.set_params(encoder=encoder)
        whole.set_params(encoder=encoder)
        assert part.encoders_ == whole.encoders_
        for name, X in DATA.views.items():
            np.testing.assert_array_equal(part.project(X, modality=name), whole.project(X, modality=name))


def test_chunks_of_any_size(make_online):
    """One row, fewer rows than bits, sizes that change; codes and projections stay as they should be."""
    model, start = make_online(), 0
    for size in (1, 2, 19, 20, 21, 1, 56):
        chunk = slice(start, start + size)
        model.partial_fit(rows(DATA.views, chunk), np.eye(6)[LABELS[chunk]])
        assert model.codes_.shape == (size, 3)
        start += size
    assert model.n_samples_seen_ == start == 120
    near, far = near_and_far(*(model.project(DATA.views[name], modality=name) for name in ("image", "text")))
    assert near < far - 2


def test_classes_may_come_late(make_online):
    """A class that no chunk before had is learned from then on."""
    order = np.argsort(LABELS, kind="stable")
    model = make_online(**({"hierarchy": None} if make_online is CASES["shoh"] else {}), n_classes=6)
    views, labels = rows(DATA.views, order), LABELS[order]
    for c in range(6):
        model.partial_fit(rows(views, labels == c), labels[labels == c])
    model.partial_fit(DATA.views, LABELS)
    near, far = near_and_far(*(model.project(DATA.views[name], modality=name) for name in ("image", "text")))
    assert near < far - 2
    with pytest.raises(ValueError, match="must be class indices from 0 to 5, got 6"):
        model.partial_fit(rows(DATA.views, slice(1)), [6])


def test_n_bits_stay_as_learned(make_online):
    model = make_online().partial_fit(DATA.views, LABELS)
    with pytest.raises(ValueError, match="n_bits must stay 20 once chunks were learned, got 16"):
        model.set_params(n_bits=16).partial_fit(DATA.views, LABELS)
    before = everything(model.set_params(n_bits=20))
    twin = everything(make_online().partial_fit(DATA.views, LABELS))
    assert before == twin


# --- offline methods ---


def test_offline_methods_learn_at_once(make_offline):
    assert not hasattr(make_offline(), "partial_fit")


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_few_rows(make, n):
    """Fewer than bits, classes or anchors."""
    labels = np.eye(6)[LABELS[:n]]
    model = learned(make(), rows(DATA.views, slice(n)), labels)
    assert model.codes_.shape == (n, 3)
    for name, X in DATA.views.items():
        assert np.isfinite(model.project(X, modality=name)).all()


def test_rows_that_are_all_equal(make):
    views = {name: np.repeat(x[:1], 30, axis=0) for name, x in DATA.views.items()}
    model = learned(make(), views, np.eye(6)[np.zeros(30, dtype=int)])
    for name, X in views.items():
        assert len(np.unique(model.encode(X, modality=name), axis=0)) == 1


# --- feature maps ---


@pytest.mark.parametrize("feature_map", MAPS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_a_feature_map_is_as_if_the_user_had_mapped(make, feature_map, form, tmp_path):
    views = {name: form(x) for name, x in DATA.views.items()}
    maps = dict.fromkeys(views, feature_map)
    model = learned(make(feature_maps=maps), views)
    assert model.modalities_ == {"image": 24, "text": 30, "audio": 22}  # as the user gives them
    by_hand = {name: clone(feature_map).fit(x).transform(x) for name, x in views.items()}
    expected = learned(make(feature_maps=dict.fromkeys(views)), by_hand)
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    for name, x in views.items():
        np.testing.assert_allclose(
            model.project(x, modality=name), expected.project(by_hand[name], modality=name), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_array_equal(again.project(x, modality=name), model.project(x, modality=name))
    assert model.feature_maps is maps
    with pytest.raises(NotFittedError):  # what was passed stays unfitted
        feature_map.transform(DATA.views["text"])


@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(21, svd_solver="full")], ids=["scaler", "pca"])
def test_transformers_of_others_map_too(make, transformer, tmp_path):
    views = {name: x.astype(np.float64) for name, x in DATA.views.items()}
    model = learned(make(feature_maps={"text": transformer, "image": None, "audio": None}), views)
    by_hand = {**views, "text": clone(transformer).fit_transform(views["text"])}
    expected = learned(make(feature_maps=dict.fromkeys(views)), by_hand)
    for name in views:
        np.testing.assert_allclose(
            model.project(views[name], modality=name),
            expected.project(by_hand[name], modality=name),
            rtol=1e-4,
            atol=1e-4,
        )
    with pytest.raises(NotFittedOfSklearn):
        check_is_fitted(transformer)
    with pytest.raises(
        TypeError, match=rf"feature_maps\['text'\] cannot be saved: it is a {type(transformer).__name__}"
    ):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    assert everything(copy.deepcopy(model)) == everything(model)


def test_a_map_is_fitted_on_the_first_chunk_only(make_online):
    model = make_online(feature_maps={"text": Centering()}).fit(DATA.views, LABELS, chunk_size=30)
    mean = DATA.views["text"][:30].astype(float).mean(axis=0)
    centred = {**DATA.views, "text": DATA.views["text"] - mean}
    expected = make_online().fit(centred, LABELS, chunk_size=30)
    np.testing.assert_array_equal(model.codes_, expected.codes_)


class Spoiling:
    """A map that makes what no map may make."""

    def __init__(self, make):
        self.make = make

    def fit(self, X):
        return self

    def transform(self, X):
        return self.make(X)


@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        ([Centering()], TypeError, "feature_maps must be a mapping of modality names to maps, got list"),
        (5, TypeError, "feature_maps must be a mapping of modality names to maps, got int"),
        ({"text": "rbf"}, TypeError, r"feature_maps\['text'\] must be None or have fit and transform, got str"),
        ({"text": Centering}, TypeError, r"feature_maps\['text'\] must be a map such as Centering\(\), got the class"),
        ({"txt": None}, ValueError, "feature_maps must be for modalities of the views, .* got one for 'txt'"),
        ({"text": RBFAnchors(0)}, ValueError, "n_anchors must be an integer >= 1, got 0"),
        (
            {"text": Spoiling(lambda X: X[:-1])},
            ValueError,
            r"what feature_maps\['text'\] makes must have as many rows as it is given",
        ),
        ({"text": Spoiling(lambda X: X[:, 0])}, ValueError, r"what feature_maps\['text'\] makes must have shape"),
        ({"text": Spoiling(lambda X: X / 0.0)}, ValueError, r"what feature_maps\['text'\] makes must be finite"),
    ],
)
def test_wrong_feature_maps_change_nothing(make, maps, error, message):
    model = fitted(make)
    before = {name: model.project(X, modality=name).tobytes() for name, X in DATA.views.items()}
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        learned(model.set_params(feature_maps=maps))
    model.set_params(feature_maps=None)
    assert {name: model.project(X, modality=name).tobytes() for name, X in DATA.views.items()} == before


# --- encoders ---


def keeps_label_sets(make):
    """Whether a model learned with the encoder "bits" can have the others later."""
    return not isinstance(make(), (SHOH, LEMON))


def test_the_encoder_may_change_after_learning(make_supervised, tmp_path):
    bits = everything(learned(make_supervised()))
    model = learned(make_supervised(encoder="posterior"))
    assert set(model.encoders_.values()) == {"posterior"}
    if keeps_label_sets(make_supervised):
        assert everything(learned(make_supervised()).set_params(encoder="posterior")) == everything(model)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    for name, X in DATA.views.items():
        projections = model.project(X, modality=name)
        assert projections.shape == (120, 20)
        assert np.abs(projections).max() <= 1 + 1e-6
        np.testing.assert_array_equal(again.project(X, modality=name), projections)
    near, far = near_and_far(*(model.project(DATA.views[name], modality=name) for name in ("image", "text")))
    assert near < far - 3
    assert everything(model.set_params(encoder="bits")) == bits
    with pytest.raises(ValueError, match=r"encoder must be one of 'bits', 'posterior', .*'auto', got 'best'"):
        model.set_params(encoder="best").project(DATA.views["text"], modality="text")
    with pytest.raises(ValueError, match="encoder must be one of"):
        learned(model)


@pytest.mark.parametrize("encoder", ["posterior", "auto"])
def test_an_encoder_that_needs_label_sets_is_refused_where_there_are_none(make_online, encoder, tmp_path):
    if keeps_label_sets(make_online):
        return
    model = make_online().partial_fit(DATA.views, LABELS)
    before = everything(model)
    model.set_params(encoder=encoder)
    for call in (
        lambda: model.project(DATA.views["text"], modality="text"),
        lambda: model.encoders_,
        lambda: model.partial_fit(DATA.views, LABELS),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(ValueError, match=f"encoder must stay 'bits' for this .* got '{encoder}'; .* set it before"):
            call()
    assert everything(model.set_params(encoder="bits")) == before
    model.set_params(encoder=encoder).fit(DATA.views, LABELS)  # begins anew
    assert model.encoders_.keys() == DATA.views.keys()


def test_label_sets_are_kept_on_when_the_encoder_changes_to_bits(make_online):
    model, twin = (make_online(encoder="posterior").partial_fit(DATA.views, LABELS) for _ in range(2))
    model.set_params(encoder="bits").partial_fit(DATA.views, LABELS)
    twin.partial_fit(DATA.views, LABELS)
    assert everything(model.set_params(encoder="posterior")) == everything(twin)


@pytest.mark.parametrize("row", [0, 57, 119])
def test_the_encoder_auto_names_rows_by_their_numbers(make_supervised, row):
    """Though it learns and tries parts of the rows."""
    views = {name: x.astype(float).copy() for name, x in DATA.views.items()}
    views["text"][row, 3] = np.nan
    with pytest.raises(ValueError, match=rf"views\['text'\] must be finite, got nan in row {row}, column 3"):
        make_supervised(encoder="auto").fit(views, LABELS)


def test_the_encoder_auto_chooses_one_for_each_modality(make_supervised, tmp_path):
    model = learned(make_supervised(encoder="auto"))
    assert model.encoders_.keys() == DATA.views.keys()
    chosen = {name: everything(model.set_params(encoder=name)) for name in set(model.encoders_.values())}
    model.set_params(encoder="auto")
    for name, X in DATA.views.items():
        assert model.project(X, modality=name).tobytes() == chosen[model.encoders_[name]][name]
    assert model.codes_.tobytes() == learned(make_supervised()).codes_.tobytes()
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.encoders_ == model.encoders_
    assert again._state.trial.scores == model._state.trial.scores
    assert again._state.trial.n_queries == model._state.trial.n_queries == 24
    # Where nothing was tried, it is "bits".
    untried = learned(make_supervised(encoder="posterior")).set_params(encoder="auto")
    assert set(untried.encoders_.values()) == {"bits"}
    tiny = learned(make_supervised(encoder="auto"), rows(DATA.views, slice(4)), np.eye(6)[LABELS[:4]])
    assert set(tiny.encoders_.values()) == {"bits"}


def test_methods_without_labels_have_one_encoder(make_unsupervised):
    with pytest.raises(ValueError, match="has no parameter 'encoder'"):
        make_unsupervised().set_params(encoder="posterior")
    assert set(learned(make_unsupervised()).encoders_.values()) == {"bits"}
