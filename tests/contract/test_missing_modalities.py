"""Rows that lack modalities or labels, for every online method."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from pyhash import load
from pyhash.codes import unpack
from pyhash.datasets import load_emoji, make_hierarchical
from pyhash.evaluation import mean_average_precision
from pyhash.methods import BOCH, SEOCH, SHOH, RBFAnchors
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N = 210
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 14, "text": 18, "audio": 12}, seed=2)
LABELS = DATA.labels["level2"].astype(int)
SEVERAL = np.maximum(np.eye(6)[LABELS], np.eye(6)[np.roll(LABELS, 1)])
CHUNKS = (slice(0, 100), slice(100, 101), slice(101, 160), slice(160, N))


def _present():
    """Half of the texts, a third of the images and most of the audio are missing; every row has something."""
    u, rng = np.random.default_rng(3).random(N), np.random.default_rng(4)
    return {"image": (u < 1 / 2) | (u >= 5 / 6), "text": u >= 1 / 2, "audio": rng.random(N) < 0.3}


PRESENT = _present()


def with_values(value):
    """The views, dense ones and a sparse one, with a value in the rows that lack a modality."""
    views = {name: x.astype(float).copy() for name, x in DATA.views.items()}
    for name, x in views.items():
        x[~PRESENT[name]] = value
    return {**views, "text": csr_array(views["text"])}


VIEWS = with_values(np.nan)


def part(chosen, labels=LABELS, views=VIEWS):
    """Views, labels and presence of some rows, as arguments of fit and partial_fit."""
    return {
        "views": {name: x[chosen] for name, x in views.items()},
        "labels": labels[chosen],
        "present": {name: mark[chosen] for name, mark in PRESENT.items()},
    }


NO_MAPS = dict.fromkeys(DATA.views)
GROWING = {name: RBFAnchors(20, grow=9, max_anchors=45, centered=True) for name in DATA.views}
PARAMETERS = {"seoch": {"n_concepts": 8}, "shoh": {"hierarchy": DATA.hierarchy}}
ONLINE = [name for name in METHODS if issubclass(method_class(name), OnlineMethod)]
CASES = {
    **{name: (name, {"encoder": "bits"}) for name in ONLINE},
    **{f"{name}, bayes": (name, {"encoder": "bayes", "feature_maps": GROWING}) for name in ONLINE},
    **{f"{name}, auto": (name, {"encoder": "auto", "feature_maps": GROWING}) for name in ONLINE},
    "shoh, one layer": ("shoh", {"hierarchy": None, "record": True}),
    "seoch, dcc": ("seoch", {"solver": "dcc", "record": True}),
    "seoch, signed": ("seoch", {"solver": "signed", "lambda_m": {"image": 0.1, "text": 1.0, "audio": 0.0}}),
    "boch, its maps": ("boch", {}),
    "boch, instance bits": ("boch", {"class_bits": 6, "feature_maps": NO_MAPS}),
    "boch, noise": ("boch", {"noise": 0.2, "feature_maps": NO_MAPS, "encoder": "posterior"}),
}


@pytest.fixture(params=CASES)
def make(request):
    name, parameters = CASES[request.param]
    return functools.partial(method_class(name), **{"n_bits": 16, **PARAMETERS.get(name, {}), **parameters})


@pytest.fixture(params=ONLINE)
def make_plain(request):
    return functools.partial(method_class(request.param), **{"n_bits": 16, **PARAMETERS.get(request.param, {})})


def learn(model, labels=LABELS, views=VIEWS, chunks=CHUNKS):
    """Return the model after a stream, and the codes of its rows."""
    codes = []
    for chunk in chunks:
        model.partial_fit(**part(chunk, labels, views))
        codes.append(model.codes_)
    return model, np.concatenate(codes)


def assert_same(model, other):
    """All that a model keeps is that of another."""
    (fields, arrays), (expected_fields, expected) = (each._to_file(each._state) for each in (model, other))
    np.testing.assert_equal(fields, expected_fields)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


# --- modalities -------------------------------------------------------------------------------------------------------


def test_values_of_rows_that_lack_a_modality_do_not_matter(make):
    model, codes = learn(make())
    other, other_codes = learn(make(), views=with_values(1e300))
    np.testing.assert_array_equal(codes, other_codes)
    assert_same(model, other)
    for name, x in DATA.views.items():
        assert np.isfinite(model.project(x, modality=name)).all()


def test_fit_learns_what_a_stream_learns(make):
    labels = np.where(np.arange(N) % 7 == 3, -1, LABELS)
    stream, codes = learn(make(), labels, chunks=(slice(0, 100), slice(100, 200), slice(200, N)))
    whole = make().fit(**part(slice(None), labels), chunk_size=100, progress=False)
    np.testing.assert_array_equal(whole.codes_, codes)
    assert_same(whole, stream)
    assert whole.n_samples_seen_ == np.count_nonzero(labels >= 0)


def test_all_present_is_as_without_present(make):
    views = {name: x.astype(float) for name, x in DATA.views.items()}
    model, other = make(), make()
    for chunk in CHUNKS:
        some = {name: x[chunk] for name, x in views.items()}
        model.partial_fit(some, LABELS[chunk], present={name: np.ones(len(LABELS[chunk]), bool) for name in some})
        other.partial_fit(some, LABELS[chunk])
    assert_same(model, other)


def test_a_view_that_is_none_is_as_one_that_no_row_has(make):
    model, other = make().partial_fit(**part(CHUNKS[0])), make().partial_fit(**part(CHUNKS[0]))
    for chunk in CHUNKS[1:]:
        arguments = part(chunk)
        arguments["present"]["image"] = np.ones(len(LABELS[chunk]), bool)
        arguments["views"]["image"] = DATA.views["image"][chunk]
        marks = {**arguments["present"], "text": np.zeros(len(LABELS[chunk]), bool)}
        model.partial_fit(**{**arguments, "present": marks})
        del arguments["present"]["text"]
        other.partial_fit(**{**arguments, "views": {**arguments["views"], "text": None}})
        np.testing.assert_array_equal(model.codes_, other.codes_)
    assert_same(model, other)


def test_sums_are_over_the_rows_that_have_a_modality(make_plain):
    model, codes = learn(make_plain(feature_maps=NO_MAPS))
    B, L = unpack(codes, 16).astype(float), np.eye(6)[LABELS]
    for name, x in DATA.views.items():
        X, has = x[PRESENT[name]].astype(float), PRESENT[name]
        sums = model._state.sums[name]
        np.testing.assert_allclose(sums.XX, X.T @ X, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(sums.XB, X.T @ B[has], atol=1e-9)
        np.testing.assert_allclose(sums.XL, X.T @ L[has], atol=1e-9)
        np.testing.assert_allclose(sums.X, X.sum(axis=0), atol=1e-9)
        np.testing.assert_array_equal(sums.counts, [has.sum(), *L[has].sum(axis=0)])
    assert model.n_samples_seen_ == N


def test_maps_and_sums_are_those_of_learning_a_modality_s_rows_apart(make_plain):
    maps = {name: RBFAnchors(15, centered=True) for name in DATA.views}
    model, _ = learn(make_plain(feature_maps=maps, encoder="bits"))
    for name, x in DATA.views.items():
        apart = make_plain(feature_maps={name: maps[name]}, encoder="bits")
        for chunk in CHUNKS:
            rows = np.arange(N)[chunk][PRESENT[name][chunk]]
            if len(rows):
                apart.partial_fit({name: VIEWS[name][rows]}, LABELS[rows])
        sums, expected = model._state.sums[name], apart._state.sums[name]
        for of in ("XX", "XL", "X", "counts"):
            np.testing.assert_allclose(getattr(sums, of), getattr(expected, of), rtol=1e-9, atol=1e-9)
        if isinstance(model, BOCH):  # the codes of classes are those of any rows
            np.testing.assert_allclose(sums.XB, expected.XB, rtol=1e-9, atol=1e-9)
            np.testing.assert_array_equal(model.encode(x, modality=name), apart.encode(x, modality=name))


@pytest.mark.parametrize("name", [name for name in ONLINE if name != "seoch"])
def test_codes_that_depend_on_labels_are_as_if_nothing_was_missing(name):
    make = functools.partial(method_class(name), 16, **PARAMETERS.get(name, {}), feature_maps=NO_MAPS)
    for labels in (LABELS, SEVERAL) if name != "shoh" else (LABELS,):
        _, codes = learn(make(), labels)
        whole = make()
        for chunk in CHUNKS:
            whole.partial_fit({view: x[chunk] for view, x in DATA.views.items()}, labels[chunk])
            np.testing.assert_array_equal(whole.codes_, codes[chunk])


def test_maps_grow_by_rows_that_have_the_modality(make_plain):
    model = make_plain(feature_maps=GROWING, encoder="bayes")
    for chunk, expected in zip(CHUNKS, ({"image": 20}, {"image": 20}, {"image": 29}, {"image": 38}), strict=True):
        model.partial_fit(**part(chunk))
        for name, x in VIEWS.items():
            anchors = model._state.maps[name].anchors_
            dense = anchors.toarray() if name == "text" else anchors
            rows = (x.toarray() if name == "text" else x)[PRESENT[name]]
            assert (np.abs(dense[:, None] - rows).max(axis=2).min(axis=1) == 0).all()
        n_single = int(PRESENT["image"][100])  # the second chunk is one row
        assert len(model._state.maps["image"].anchors_) == expected["image"] + (n_single if chunk.start else 0)


def test_a_file_goes_on_as_the_model(make, tmp_path):
    model = make()
    for chunk in CHUNKS:
        model.partial_fit(**part(chunk))
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert_same(again, model)
        model = again
    expected, _ = learn(make())
    assert_same(model, expected)


def test_presence_may_be_any_array_of_bool(make_plain):
    arguments = part(CHUNKS[0])
    model = make_plain().partial_fit(**arguments)
    for form in (list, pd.Series):
        marks = {name: form(mark) for name, mark in arguments["present"].items()}
        assert_same(make_plain().partial_fit(**{**arguments, "present": marks}), model)


# --- methods whose codes depend on features ---------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["relaxed", "dcc"])
def test_seoch_weighs_the_features_that_a_row_has(solver):
    lambda_m = {"image": 0.5, "text": 2.0, "audio": 1.0}
    model = SEOCH(16, n_concepts=8, lambda_m=lambda_m, solver=solver, record=True, feature_maps=NO_MAPS)
    codes = []
    for chunk in CHUNKS:
        model.partial_fit(**part(chunk))
        codes.append(unpack(model.codes_, 16).astype(float))
        B, rows = np.concatenate(codes), slice(0, chunk.stop)
        for name, x in DATA.views.items():
            has, U = PRESENT[name][rows], model._state.own.U[name]
            expected = lambda_m[name] * ((B[has] - x[rows][has] @ U) ** 2).sum()
            np.testing.assert_allclose(model.history_[-1]["terms"][f"features.{name}"], expected, rtol=1e-9)
        found = [entry["objective"] for entry in model.history_ if entry["chunk"] == len(codes)]
        if solver == "dcc":
            assert (np.diff(found) <= 1e-9 * np.abs(found[:-1])).all()


def test_an_embedding_is_of_the_modalities_that_a_row_has():
    model = BOCH(16, class_bits=6, feature_maps=NO_MAPS).partial_fit(**part(CHUNKS[0]))
    space = model._state.own.space
    rows = {name: FeatureRows(name, x, None, 0, PRESENT[name]) for name, x in VIEWS.items()}
    V = space.embed(rows)
    for row in (3, 57, 160, 209):
        alone = {name: FeatureRows(name, x[row : row + 1], None) for name, x in VIEWS.items() if PRESENT[name][row]}
        np.testing.assert_allclose(V[row], space.embed(alone)[0], atol=1e-12)


def test_products_of_two_modalities_are_over_rows_that_have_both():
    rows = {name: FeatureRows(name, x, None, 0, PRESENT[name]) for name, x in VIEWS.items()}
    for a, b in (("image", "text"), ("text", "audio"), ("audio", "image")):
        both = PRESENT[a] & PRESENT[b]
        product = DATA.views[a][both].T.astype(float) @ DATA.views[b][both]
        np.testing.assert_allclose(rows[a].cross(rows[b]), product, atol=1e-9)


def test_instance_bits_need_rows_with_two_modalities():
    u = np.arange(N) % 2 == 0
    views = {name: DATA.views[name] for name in ("image", "text")}
    with pytest.raises(ValueError, match="present must give at least 2 rows of the first chunk 'image' and another"):
        BOCH(16, class_bits=6).partial_fit(views, LABELS, present={"image": u, "text": ~u})


# --- rows without labels ----------------------------------------------------------------------------------------------

UNLABELLED = np.random.default_rng(5).random(N) < 0.3
UNLABELLED[[0, 100]] = False, True  # the second chunk, a single row, has no label at all


def fused(model, rows):
    """Codes of rows, each from the modalities that it has."""
    codes = []
    for row in rows:
        has = [name for name in DATA.views if PRESENT[name][row]]
        codes.append(model.encode_fused({name: VIEWS[name][[row]] for name in has})[0])
    return np.array(codes)


def test_rows_without_labels_are_encoded_and_never_learned(make):
    model, other = make(), make()
    for chunk in CHUNKS:
        rows = np.arange(N)[chunk]
        labelled, unlabelled = rows[~UNLABELLED[rows]], rows[UNLABELLED[rows]]
        model.partial_fit(**part(chunk, np.where(UNLABELLED, -1, LABELS)))
        if len(labelled):
            other.partial_fit(**part(labelled))
            np.testing.assert_array_equal(model.codes_[~UNLABELLED[rows]], other.codes_)
        np.testing.assert_array_equal(model.codes_[UNLABELLED[rows]], fused(model, unlabelled))
    assert_same(model, other)
    assert model.n_samples_seen_ == N - UNLABELLED.sum()


def test_no_label_in_every_form(make_plain):
    indices = np.where(UNLABELLED, -1, LABELS)
    model, codes = learn(make_plain(), indices)
    matrix = np.eye(6)[LABELS] * ~UNLABELLED[:, None]
    for labels in (matrix, csr_array(matrix)):
        other, other_codes = learn(make_plain(), labels)
        np.testing.assert_array_equal(codes, other_codes)
        assert_same(model, other)
    if not isinstance(model, SHOH):  # whose hierarchy would have to be by name too
        names = np.where(UNLABELLED, None, LABELS.astype(object))
        by_name, _ = learn(make_plain(), names)
        assert by_name.n_samples_seen_ == model.n_samples_seen_


def test_rows_of_shoh_with_coarse_labels_alone_are_learned():
    coarse, fine = DATA.labels["level1"].astype(int), LABELS.copy()
    fine[::3] = -1
    coarse[::9] = -1  # no label at all
    model = SHOH(16, hierarchy=DATA.hierarchy, feature_maps=NO_MAPS)
    for chunk in CHUNKS:
        arguments = part(chunk)
        model.partial_fit(arguments["views"], [coarse[chunk], fine[chunk]], present=arguments["present"])
    learned = coarse >= 0
    assert model.n_samples_seen_ == learned.sum()
    for name, x in DATA.views.items():
        has = PRESENT[name] & learned
        layers = model._state.layers[name]
        np.testing.assert_array_equal(layers.counts[0], np.bincount(coarse[has], minlength=3))
        np.testing.assert_array_equal(layers.counts[1], np.bincount(fine[has & (fine >= 0)], minlength=6))
        np.testing.assert_allclose(layers.XL[0], x[has].T.astype(float) @ np.eye(3)[coarse[has]], atol=1e-9)
        assert model._state.sums[name].counts[0] == has.sum()


def test_rows_without_fine_labels_count_by_modality(tmp_path):
    """Label scores leave them out, in each modality those that it has."""
    coarse, fine = DATA.labels["level1"].astype(int), LABELS.copy()
    fine[::3] = -1
    model = SHOH(16, hierarchy=DATA.hierarchy, feature_maps=NO_MAPS, encoder="bayes")
    for chunk in CHUNKS:
        arguments = part(chunk)
        model.partial_fit(arguments["views"], [coarse[chunk], fine[chunk]], present=arguments["present"])
    model.save(tmp_path / "model")
    for state in (model._state, load(tmp_path / "model")._state):
        for name, x in DATA.views.items():
            X = x[PRESENT[name] & (fine < 0)].astype(float)
            assert state.unlabelled[name].n == len(X)
            np.testing.assert_allclose(state.unlabelled[name].XX, X.T @ X, atol=1e-9)
            np.testing.assert_allclose(state.unlabelled[name].X, X.sum(axis=0), atol=1e-9)


def test_relabelled_rows_have_the_numbers_of_the_user():
    labels = np.where(UNLABELLED, -1, LABELS)
    labels[150:200:5] = (LABELS[150:200:5] + 1) % 6
    model = BOCH(16, noise=0.2, feature_maps=NO_MAPS).fit(**part(slice(None), labels), chunk_size=100, progress=False)
    found = model.relabelled_
    assert len(found["row"]) > 0
    np.testing.assert_array_equal(labels[found["row"]], found["given"])
    model.partial_fit(**part(slice(0, 50), np.full(N, -1)))  # nothing was learned in the last call
    assert len(model.relabelled_["row"]) == 0


# --- validation -------------------------------------------------------------------------------------------------------


def test_validation_rows_query_by_the_modalities_that_they_have(make_plain):
    model = make_plain(record=True, encoder="bits")
    labels = LABELS if isinstance(model, SHOH) else SEVERAL
    held = part(slice(150, N), labels)
    present = {name: held["present"][name] for name in ("image", "text")}
    validation = ({**held["views"], "audio": None}, held["labels"], present)
    model.fit(**part(slice(0, 150), labels), chunk_size=70, validation=validation, progress=False)
    scores = model.history_[-1]["validation"]
    assert list(scores) == ["image->text", "image->audio", "text->image", "text->audio"]
    for name in ("image", "text"):
        has = np.flatnonzero(PRESENT[name][150:]) + 150
        queries = model.encode(VIEWS[name][has], modality=name)
        one_hot = np.eye(6)[labels] if labels.ndim == 1 else labels
        expected = mean_average_precision(queries, model.codes_, one_hot[has], one_hot[:150], protocol="shoh")
        assert scores[f"{name}->audio"] == expected.value


def test_wrong_presence_of_validation_is_refused():
    held = part(slice(150, N))
    model = SEOCH(16, n_concepts=8, record=True)
    with pytest.raises(TypeError, match=r"validation: present\['text'\] must be of dtype bool, got int64"):
        model.fit(
            **part(slice(0, 150)),
            validation=(held["views"], held["labels"], {"text": np.ones(60, int)}),
            progress=False,
        )


# --- errors -----------------------------------------------------------------------------------------------------------

ALL = np.ones(100, bool)
FIRST = {name: x[:100].astype(float) for name, x in DATA.views.items()}
WRONG = [
    ([("text", ALL)], TypeError, "present must be a mapping of modality names to bool arrays, got list"),
    ({"smell": ALL}, ValueError, "present must be for modalities of the views, 'image', 'text', 'audio', got 'smell'"),
    ({"text": ALL.astype(int)}, TypeError, r"present\['text'\] must be of dtype bool, got int64"),
    ({"text": ALL[1:]}, ValueError, r"present\['text'\] must have shape \(100,\), a value for each row, got \(99,\)"),
    ({"text": ALL[:, None]}, ValueError, r"present\['text'\] must have shape \(100,\), .*, got \(100, 1\)"),
    ({name: ALL & (np.arange(100) != 7) for name in FIRST}, ValueError, "give every row a modality, none in row 7$"),
]


@pytest.mark.parametrize(("present", "error", "message"), WRONG)
def test_wrong_presence_changes_nothing(make_plain, present, error, message):
    model = make_plain()
    with pytest.raises(error, match=message):
        model.partial_fit(FIRST, LABELS[:100], present=present)
    assert model._state is None
    model.partial_fit(FIRST, LABELS[:100])
    state = model._state
    for learn_again in (model.partial_fit, model.fit):
        with pytest.raises(error, match=message):
            learn_again(FIRST, LABELS[:100], present=present)
    assert model._state is state


def test_wrong_views_of_a_later_chunk_change_nothing(make_plain):
    model = make_plain().partial_fit(FIRST, LABELS[:100])
    state = model._state
    with pytest.raises(ValueError, match="views must hold at least one modality, all are None"):
        model.partial_fit(dict.fromkeys(FIRST), LABELS[:100])
    with pytest.raises(ValueError, match=r"present\['text'\] must be False .* views\['text'\] is None, got 100 True"):
        model.partial_fit({**FIRST, "text": None}, LABELS[:100], present={"text": ALL})
    with pytest.raises(ValueError, match=r"'text' is missing \(None where no row has it\)"):
        model.partial_fit({"image": FIRST["image"], "audio": FIRST["audio"]}, LABELS[:100])
    with pytest.raises(TypeError, match=r"views\['text'\] must be an array of rows, got NoneType"):
        model.fit({**FIRST, "text": None}, LABELS[:100])
    assert model._state is state


def test_the_first_chunk_has_labelled_rows_of_every_modality(make_plain):
    labels = LABELS[:100].copy()
    labels[:50] = -1
    for present in ({"text": ~ALL}, {"text": np.arange(100) < 50}):
        with pytest.raises(ValueError, match=r"views\['text'\] must have a row with a label in the first chunk"):
            make_plain().partial_fit(FIRST, labels, present=present)
    model = make_plain()
    for none in (np.full(100, -1), np.zeros((100, 6))):
        with pytest.raises(ValueError, match="labels must give some row of the first chunk a label, none has one"):
            model.partial_fit(FIRST, none)
    assert model._state is None
    with pytest.raises(TypeError, match=r"views\['text'\] must be an array of rows, got NoneType"):
        model.partial_fit({**FIRST, "text": None}, labels)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_values_that_are_not_finite_are_named_by_the_row_of_the_user(make_plain, form):
    arguments = part(CHUNKS[0], np.where(UNLABELLED, -1, LABELS))
    model = make_plain().partial_fit(**arguments)
    state = model._state
    for labelled in (True, False):
        row = np.flatnonzero(PRESENT["image"][:100] & (UNLABELLED[:100] != labelled))[-1]
        wrong = VIEWS["image"][:100].copy()
        wrong[row, 2] = np.inf
        views = {**arguments["views"], "image": form(wrong)}
        with pytest.raises(ValueError, match=rf"views\['image'\] must be finite, got inf in row {row}\b"):
            model.partial_fit(**{**arguments, "views": views})
    assert model._state is state


def test_files_of_version_0_1_take_rows_that_have_all_modalities(make_plain):
    model = make_plain(feature_maps=NO_MAPS, encoder="bits").partial_fit(FIRST, LABELS[:100])
    sums = {name: dataclasses.replace(of, X=None, counts=None) for name, of in model._state.sums.items()}
    model._state = state = dataclasses.replace(model._state, sums=sums)
    with pytest.raises(ValueError, match=r"present must be None for this [A-Z]+: its file, of version 0\.1, lacks"):
        model.partial_fit(**part(CHUNKS[3]))
    assert model._state is state


# --- how well ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow("half a minute: eight models of 8,000 rows")
@pytest.mark.parametrize("name", ONLINE)
def test_half_of_the_texts_and_a_third_of_the_images_may_be_missing(name):
    """mAP within .03 of all present; five rows of six have one modality alone."""
    data, rng = load_emoji(), np.random.default_rng(1)
    queries = np.flatnonzero(data.splits["pair"])
    learned = rng.permutation(np.flatnonzero(~data.splits["pair"]))
    views, labels = {"image": data.views["image_deep"], "text": data.views["text_deep"]}, data.labels["level2"]
    u = rng.random(len(learned))
    present = {"image": (u < 1 / 2) | (u >= 5 / 6), "text": u >= 1 / 2}
    kernel = RBFAnchors(300, width="mean_squared_distance", centered=True)
    parameters = {"feature_maps": dict.fromkeys(views, kernel)}
    if name == "seoch":
        parameters["lambda_m"] = 80.0  # a ridge of 0.01, which suits kernels
    elif name != "boch":  # which chooses its own
        parameters["xi"] = 0.01
    if name == "shoh":
        parameters["hierarchy"] = data.hierarchy

    def score(present):
        model = method_class(name)(32, **parameters)
        model.fit({view: x[learned] for view, x in views.items()}, labels[learned], present=present, progress=False)
        found = [
            mean_average_precision(
                model.encode(x[queries], modality=view), model.codes_, labels[queries], labels[learned], n_bits=32
            ).value
            for view, x in views.items()
        ]
        return float(np.mean(found))

    assert score(present) > score(None) - 0.03
