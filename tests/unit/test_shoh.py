from pathlib import Path

import numpy as np
import pytest
from reference.shoh import ReferenceSHOH
from scipy.sparse import csr_array

from pyhash import SHOH, codes, load
from pyhash.datasets import make_hierarchical
from pyhash.methods import RBFAnchors, make_method, shoh
from pyhash.methods.parts.descent import random_signs
from pyhash.methods.parts.hierarchy import check_affiliations
from pyhash.methods.parts.ridge import RidgeSolver
from pyhash.methods.parts.state import store_state

V2 = Path(__file__).parents[1] / "golden" / "v2" / "shoh.npz"
PARAMETERS = {"n_bits": 24, "n_iter": 3, "mu": 100.0, "xi": 0.5, "eta": 2.0}
# Weights whose sums are exact: ties are then the same in any order of summing.
DYADIC = {"alpha": [0.25, 0.25, 0.5], "beta": [0.25, 0.75]}


@pytest.fixture
def data():
    return make_hierarchical(160, n_classes=(3, 7), n_features={"image": 12, "text": 20}, seed=4)


@pytest.fixture
def deep_data():
    """Three layers; a third of the rows know no finest class, and a sixth only the coarsest."""
    data = make_hierarchical(150, n_classes=(2, 4, 9), n_features={"image": 12, "text": 20}, seed=6)
    layers = [data.labels[name].copy() for name in data.layers]
    depth = np.random.default_rng(0).choice([1, 2, 3, 3, 3, 3], 150)
    for k in (1, 2):
        layers[k][depth <= k] = -1
    return data, layers, depth


def one_hot(classes, n_classes):
    matrix = np.zeros((len(classes), n_classes))
    matrix[classes >= 0, classes[classes >= 0]] = 1
    return matrix


def one_hot_chunk(data, rows):
    views = {name: x[rows].astype(np.float64) for name, x in data.views.items()}
    return views, [np.eye(3)[data.labels["level1"][rows]], np.eye(7)[data.labels["level2"][rows]]]


def reference_like(model, n_classes=(3, 7)):
    """The oracle, started from the model's own random centers."""
    settings = SHOH(**model.get_params())._settings(["image"])
    centers = model._begin(settings, {"image": 12}, list(n_classes), settings.rng(0)).centers
    weights = {name: getattr(settings, name) for name in ("alpha", "beta", "gamma", "eta", "mu", "n_iter")}
    return ReferenceSHOH(
        settings.classes.affiliations, centers, is_soft=settings.soft_labels, xi=settings.ridge["image"], **weights
    )


def learns_as_the_reference(model, reference, chunks):
    """Compare codes, centers and projections after each chunk (views, labels of each layer as 0/1) with the oracle."""
    n_bits = model.n_bits
    for number, (views, L) in enumerate(chunks):
        if model.init == "random":
            first = random_signs(np.random.default_rng([model.seed, 1 + number]), len(L[0]), n_bits)
        else:
            first = np.where(L[0] @ reference.C[0] > 0, 1, -1)
            for labels, centers in zip(L[1:], reference.C[1:], strict=True):
                known = labels.any(axis=1)
                first[known] = np.where(labels[known] @ centers > 0, 1, -1)
        expected = reference.learn(views, L, first)
        model.partial_fit(views, L)
        np.testing.assert_array_equal(codes.unpack(model.codes_, n_bits), expected)
        for learned, centers in zip(model.centers_, reference.C, strict=True):
            np.testing.assert_array_equal(learned, centers)
        for name, X in views.items():
            np.testing.assert_allclose(model.project(X, modality=name), X @ reference.projection(name), atol=1e-5)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"init": "random"},
        {"soft_labels": False},
        {"gamma": 0.3},
        {"gamma": [0]},
        {"alpha": [0, 1]},
        {"alpha": [1, 0]},
        {"beta": [0]},
        {"eta": 0},
        {"mu": 0},
        {"alpha": [0.5, 0.5], "gamma": 0, "eta": 0, "mu": 0, "init": "random"},
    ],
    ids=str,
)
def test_a_stream_is_learned_as_the_equations_say(data, parameters):
    """Codes, centers and projections after three chunks, against sums over all rows taken afresh."""
    model = SHOH(hierarchy=data.hierarchy, seed=3, **{**PARAMETERS, **parameters})
    chunks = [one_hot_chunk(data, rows) for rows in np.array_split(np.arange(160), [70, 71])]
    learns_as_the_reference(model, reference_like(model), chunks)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"init": "random", "gamma": [0.2, 0.0]},
        {"soft_labels": False, **DYADIC},
        {"alpha": [0.25, 0.31, 0.44], "beta": [0.0, 1.0], "eta": 0.5, "gamma": (1.0, 0.4)},
    ],
    ids=str,
)
def test_rows_that_know_only_coarse_classes_join_the_terms_of_their_layers(deep_data, parameters):
    data, layers, _ = deep_data
    model = SHOH(hierarchy=data.hierarchy, seed=2, **{**PARAMETERS, **parameters})
    chunks = []
    for rows in np.array_split(np.arange(150), [60, 61, 64]):
        L = [one_hot(layer[rows], c) for layer, c in zip(layers, (2, 4, 9), strict=True)]
        chunks.append(({name: x[rows].astype(float) for name, x in data.views.items()}, L))
    learns_as_the_reference(model, reference_like(model, (2, 4, 9)), chunks)


@pytest.mark.parametrize("parameters", [{}, {"soft_labels": False}, {"gamma": 0.1, "eta": 0.0}])
@pytest.mark.parametrize("extreme", ["random", "all equal", "one class", "opposite centers"])
def test_no_update_raises_the_objective(data, parameters, extreme):
    """Eq. 8, written down once in the oracle, after every one of the three updates."""
    reference = reference_like(SHOH(hierarchy=data.hierarchy, **{**PARAMETERS, **parameters}))
    rows = np.flatnonzero(data.labels["level2"] == 2) if extreme == "one class" else np.arange(160)
    first = random_signs(np.random.default_rng(0), len(rows), 24)
    if extreme == "all equal":
        first[:] = 1
    if extreme == "opposite centers":
        reference.C[0][:] = 1
        reference.C[1][:] = -1
    reference.learn(*one_hot_chunk(data, rows), first)
    steps = np.diff(reference.objectives)
    assert len(steps) == 9
    assert (steps <= 1e-9 * reference.objectives[0]).all()
    assert steps[0] < 0


@pytest.mark.parametrize(
    "parameters", [{}, {"soft_labels": False, **DYADIC}, {"alpha": [0.25, 0.31, 0.44], "beta": [0, 1]}]
)
def test_history_has_the_terms_of_the_objective_over_all_rows(deep_data, parameters):
    """After each iteration of each chunk: from sums here, row by row in the oracle. None raises the objective."""
    data, layers, _ = deep_data
    model = SHOH(hierarchy=data.hierarchy, seed=2, record=True, **{**PARAMETERS, **parameters})
    reference = reference_like(model, (2, 4, 9))
    chunks = []
    for rows in np.array_split(np.arange(150), [60, 61, 64]):
        L = [one_hot(layer[rows], c) for layer, c in zip(layers, (2, 4, 9), strict=True)]
        chunks.append(({name: x[rows].astype(float) for name, x in data.views.items()}, L))
    learns_as_the_reference(model, reference, chunks)
    names = ["similarity.1", "similarity.2", "similarity.3", "affiliation.1", "affiliation.2"]
    for entry, expected in zip(model.history_, reference.history, strict=True):
        assert list(entry["terms"]) == names
        np.testing.assert_allclose(list(entry["terms"].values()), expected, rtol=1e-9, atol=1e-6)
    for chunk in range(1, 5):
        objectives = [entry["objective"] for entry in model.history_ if entry["chunk"] == chunk]
        assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()


@pytest.mark.parametrize("n_classes", [(1, 1), (1, 5), (4, 4)], ids=str)
@pytest.mark.parametrize("init", ["centers", "random"])
@pytest.mark.parametrize("n_bits", [1, 20])
def test_no_iteration_raises_the_objective_at_the_extremes(n_classes, init, n_bits):
    """One class, one bit, one row, and classes with one child each."""
    data = make_hierarchical(41, n_classes=n_classes, n_features={"x": 6}, seed=1)
    model = SHOH(n_bits, hierarchy=data.hierarchy, init=init, record=True)
    model.fit(data.views, data.labels["level2"], chunk_size=20)
    for chunk in (1, 2, 3):
        objectives = [entry["objective"] for entry in model.history_ if entry["chunk"] == chunk]
        assert len(objectives) == 7
        assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()


def test_a_model_of_an_earlier_file_cannot_record(data):
    """The constant of its objective was not kept."""
    model = load(V2).set_params(record=True)
    views = {name: np.zeros((2, d)) for name, d in model.modalities_.items()}
    with pytest.raises(ValueError, match="record must stay False for this model: its file, of an earlier version"):
        model.partial_fit(views, [0, 1])


def test_validation_rows_need_a_finest_label(data):
    coarse, fine = data.labels["level1"], data.labels["level2"].copy()
    fine[3] = -1
    model = SHOH(hierarchy=data.hierarchy, record=True, **PARAMETERS)
    with pytest.raises(ValueError, match="validation: labels must give every row a label in the finest layer, none in"):
        model.fit(data.views, [coarse, fine], validation=(data.views, [coarse, fine]))
    model.fit(data.views, [coarse, fine], validation=(data.views, data.labels["level2"]))
    assert model.history_[-1]["validation"].keys() == {"image->text", "text->image"}


def test_hard_labels_leave_out_the_soft_ones(data):
    """Neither gamma nor siblings count: S^k is L^k in the sums."""
    fine = data.labels["level2"]
    models = [
        SHOH(hierarchy=data.hierarchy, soft_labels=False, gamma=gamma, **PARAMETERS).fit(data.views, fine)
        for gamma in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(models[0].codes_, models[1].codes_)
    B = codes.unpack(models[0].codes_, 24).astype(float)
    np.testing.assert_array_equal(models[0]._state.own.D[1], np.eye(7)[fine].T @ B)


def test_a_flat_model_learns_the_joined_labels_as_one_layer(data):
    """SHOH-2: no term of a hierarchy is left, and both layers are classes of one."""
    views, L = one_hot_chunk(data, np.arange(160))
    model = make_method("shoh/flat", n_bits=16, hierarchy=data.hierarchy)
    assert model.hierarchy is None
    reference = reference_like(model, (10,))
    joined = np.hstack(L)
    assert (reference.alpha, reference.A) == ([1.0], [])
    learns_as_the_reference(model, reference, [(views, [joined])])


def test_variants_by_name(data):
    views = data.views
    assert make_method("shoh/hard-labels", n_bits=8, hierarchy=data.hierarchy, views=views).soft_labels is False
    assert make_method("shoh/paper", n_bits=8).init == "random"


def test_where_all_weights_of_a_row_are_zero_it_keeps_its_first_code(data):
    """Without a weight of layer 1, a row that knows this layer alone has the code of its center."""
    coarse, fine = data.labels["level1"], data.labels["level2"].copy()
    fine[::2] = -1
    model = SHOH(hierarchy=data.hierarchy, alpha=[0, 1], n_iter=1, n_bits=24)
    settings = model._settings(["image"])
    first = model._begin(settings, {"image": 12}, [3, 7], settings.rng(0)).centers[0]
    model.fit(data.views, [coarse, fine])
    np.testing.assert_array_equal(codes.unpack(model.codes_, 24)[::2], first[coarse[::2]])


@pytest.mark.parametrize("encoder", ["posterior", "bayes", "auto"])
def test_encoders_predict_from_rows_with_a_finest_label(data, encoder, tmp_path):
    """Sums and tables of rows that lack it are left out, also of a file."""
    coarse, fine = data.labels["level1"], data.labels["level2"].copy()
    fine[::3] = -1
    known = np.flatnonzero(fine >= 0)
    model = SHOH(hierarchy=data.hierarchy, encoder=encoder, **PARAMETERS)
    for rows in (np.arange(90), np.arange(90, 160)):
        model.partial_fit({name: x[rows] for name, x in data.views.items()}, [coarse[rows], fine[rows]])
    model.save(tmp_path / "model")
    B = codes.unpack(model.codes_, 24)
    for state in (model._state, load(tmp_path / "model")._state):
        assert state.label_sets.counts.sum() == len(known)
        assert state.n_samples == 160
        for name, X in data.views.items():
            X, sums = X.astype(float), state.labelled_sums(name)
            np.testing.assert_allclose(sums.XX, X[known].T @ X[known], atol=1e-9)
            np.testing.assert_allclose(sums.X, X[known].sum(axis=0), atol=1e-9)
            np.testing.assert_allclose(state.sums[name].XX, X.T @ X)
            np.testing.assert_array_equal(sums.counts, [len(known), *np.bincount(fine[known], minlength=7)])
    if encoder == "auto":
        assert len(model._state.trial.codes) == len(known)
    assert B.shape == (70, 24)
    assert np.isfinite(model.project(data.views["text"], modality="text")).all()


def test_a_stream_may_begin_with_coarse_labels(data):
    """Until a finest label comes, "bits" is the only encoder that can answer."""
    coarse, nothing = data.labels["level1"], np.zeros((160, 7))
    model = SHOH(hierarchy=data.hierarchy, encoder="bayes", **PARAMETERS).fit(data.views, [coarse, nothing])
    with pytest.raises(ValueError, match="encoder must be 'bits' until a row with a label in the finest layer was"):
        model.encode(data.views["text"], modality="text")
    assert model.set_params(encoder="bits").encode(data.views["text"], modality="text").shape == (160, 3)
    model.set_params(encoder="bayes")
    model.partial_fit(data.views, [coarse, data.labels["level2"]])
    assert model.encode(data.views["text"], modality="text").shape == (160, 3)
    auto = SHOH(hierarchy=data.hierarchy, encoder="auto", **PARAMETERS).fit(data.views, [coarse, nothing])
    assert auto.encoders_ == {"image": "bits", "text": "bits"}


def test_kernels_that_grow_complete_the_sums_of_rows_without_a_finest_label(data):
    coarse, fine = data.labels["level1"], data.labels["level2"].copy()
    fine[::3] = -1
    maps = {"image": RBFAnchors(20, grow=10, max_anchors=40)}
    model = SHOH(hierarchy=data.hierarchy, encoder="bayes", feature_maps=maps, **PARAMETERS)
    for rows in (np.arange(90), np.arange(90, 160)):
        model.partial_fit({name: x[rows] for name, x in data.views.items()}, [coarse[rows], fine[rows]])
    assert model._state.unlabelled["image"].XX.shape == (30, 30)
    assert model._state.unlabelled["image"].n == (fine < 0).sum()
    assert np.isfinite(model.project(data.views["image"], modality="image")).all()


def test_a_file_of_an_earlier_version_has_one_gram_for_all_layers(data):
    """Every row had labels in every layer then; the constant of the objective was not kept."""
    own = load(V2)._state.own
    np.testing.assert_array_equal(own.E[0], own.E[1])
    assert own.squares is None


def test_sums_of_chunks_are_those_of_the_whole(data):
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS).fit(data.views, data.labels["level2"], chunk_size=37)
    B = codes.unpack(model.codes_, 24).astype(float)
    state, own = model._state, model._state.own
    np.testing.assert_allclose(own.E, [B.T @ B] * 2)
    S2 = shoh._soft_labels(
        [np.eye(3)[data.labels["level1"]], np.eye(7)[data.labels["level2"]]],
        check_affiliations(data.hierarchy),
        [1.0],
    )
    for D, S, squares in zip(own.D, S2, own.squares, strict=True):
        np.testing.assert_allclose(D, S.T @ B)
        np.testing.assert_allclose(squares, np.sum(S**2))
    for name, X in data.views.items():
        X = X.astype(float)
        np.testing.assert_allclose(state.sums[name].XX, X.T @ X)
        np.testing.assert_allclose(state.sums[name].XB, X.T @ B, atol=1e-9)
        for k, layer in enumerate(("level1", "level2")):
            sums = [X[data.labels[layer] == c].sum(axis=0) for c in range(len(state.layers[name].counts[k]))]
            learned = state.sums[name].XL if layer == "level2" else state.layers[name].XL[k]
            np.testing.assert_allclose(learned.T, sums, atol=1e-9)
        assert [counts.sum() for counts in state.layers[name].counts] == [160, 160]
    assert model.n_samples_seen_ == 160


def test_labels_in_every_form_learn_the_same(data):
    coarse, fine = data.labels["level1"], data.labels["level2"]
    A = np.zeros((3, 7))
    A[data.hierarchy[0], np.arange(7)] = 1
    learned = set()
    for hierarchy in (data.hierarchy, [A], [csr_array(A)], [data.hierarchy[0].tolist()]):
        for labels in (fine, np.eye(7)[fine], [coarse, fine], [np.eye(3)[coarse], csr_array(np.eye(7)[fine])]):
            learned.add(SHOH(hierarchy=hierarchy, **PARAMETERS).fit(data.views, labels).codes_.tobytes())
    assert len(learned) == 1


def test_three_layers(rng):
    data = make_hierarchical(300, n_classes=(2, 4, 9), seed=1)
    model = SHOH(n_bits=32, hierarchy=data.hierarchy).fit(data.views, [data.labels[k] for k in data.layers])
    assert [len(center) for center in model.centers_] == [2, 4, 9]
    # Codes of sibling classes are nearer to each other than those of strangers, layer by layer.
    signs = codes.unpack(model.codes_, 32).astype(int)
    distance = (32 - signs @ signs.T) / 2
    same = [data.labels[k][:, None] == data.labels[k][None, :] for k in data.layers]
    fine, middle, coarse = distance[same[2]].mean(), distance[same[1] & ~same[2]].mean(), distance[~same[0]].mean()
    assert fine < middle < coarse


def test_one_layer_of_several_labels(rng):
    labels = rng.random((200, 6)) < 0.3
    labels[~labels.any(axis=1), 0] = True
    views = {"a": labels @ rng.standard_normal((6, 10)) + 0.1 * rng.standard_normal((200, 10))}
    model = SHOH(n_bits=16).fit(views, labels, chunk_size=50)
    disjoint = ~(labels.astype(int) @ labels.T.astype(int) > 0)
    equal = (labels[:, None] == labels[None]).all(axis=2)
    signs = codes.unpack(model.codes_, 16).astype(int)
    distance = (16 - signs @ signs.T) / 2
    assert distance[equal].mean() < distance[disjoint].mean() - 2


def test_classes_never_seen_drop_out(data):
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS)
    rows = np.flatnonzero(data.labels["level2"] < 3)
    model.partial_fit({name: x[rows] for name, x in data.views.items()}, data.labels["level2"][rows])
    assert np.isfinite(model.project(data.views["text"], modality="text")).all()


def test_the_number_of_classes_of_one_layer():
    views = {"x": np.eye(3)}
    model = SHOH(8).partial_fit(views, [0, 1, 2]).partial_fit(views, [0, 3, 2])
    assert model.centers_[0].shape == (4, 8)
    with pytest.raises(
        ValueError, match="class indices from 0 to 2, got 3 in row 1; a larger n_classes, or None, make"
    ):
        SHOH(8, n_classes=3).partial_fit(views, [0, 3, 2])
    model = SHOH(8, n_classes=10).partial_fit(views, [0, 1, 2]).partial_fit(views, [0, 9, 2])
    assert model.centers_[0].shape == (10, 8)


def test_fit_counts_the_classes_of_all_labels():
    """Sorted by class, the first chunk shows one of them."""
    labels = np.repeat([0, 1, 2], 20)
    model = SHOH(8).fit({"x": np.eye(3)[labels]}, labels, chunk_size=10)
    assert model.centers_[0].shape == (3, 8)


def test_parameters_that_do_not_fit_what_was_learned_are_not_saved(data, tmp_path):
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS).fit(data.views, data.labels["level2"])
    for wrong, message in (({"n_bits": 64}, "n_bits must stay 24"), ({"n_bits": 24, "mu": -3}, "mu must be")):
        with pytest.raises(ValueError, match=message):
            model.set_params(**wrong).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_parameters_of_any_kind_of_number_are_saved(data, tmp_path):
    odd = {"mu": np.array(5.0), "xi": np.float32(2), "n_bits": np.int64(8), "alpha": [np.array(0.5), 0.5]}
    model = SHOH(hierarchy=data.hierarchy, **odd).fit(data.views, data.labels["level2"])
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.mu, again.xi, again.n_bits, again.alpha) == (5.0, 2.0, 8, [0.5, 0.5])


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_values_too_large_to_be_summed_are_refused(data, form):
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS).fit(data.views, data.labels["level2"])
    before = model.encode(data.views["text"], modality="text")
    huge = {**data.views, "text": form(data.views["text"].astype(float) * 1e200)}
    with pytest.raises(ValueError, match=r"views\['text'\] must have squares that float64 can sum up"):
        model.partial_fit(huge, data.labels["level2"])
    np.testing.assert_array_equal(model.encode(data.views["text"], modality="text"), before)


def test_large_collinear_features_are_solved(rng):
    """Their sums of squares swallow the ridge: G + xi I is not positive definite in floating point."""
    labels = rng.integers(0, 3, 200)
    column = np.eye(3)[labels] @ [[1.0], [2.0], [3.0]] + 0.01 * rng.standard_normal((200, 1))
    for scale in (1.0, 1e7, 1e10):
        X = np.repeat(column, 5, axis=1) * scale
        model = SHOH(16).fit({"x": X}, labels)
        assert np.isfinite(model.project(X, modality="x")).all()


def test_the_state_does_not_grow_with_the_stream(data):
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS)

    def size():
        _, arrays = model._own_to_file(model._state.own)
        store_state(model._state, model.n_bits, arrays)
        return sum(array.nbytes for array in arrays.values())

    chunk = dict(data.views), data.labels["level2"]
    before = model.partial_fit(*chunk) and size()
    for _ in range(20):
        model.partial_fit(*chunk)
    assert size() == before


def test_projections_are_solved_only_when_needed(data, monkeypatch):
    solved = []
    solver = "pyhash.methods.parts.state.RidgeSolver"
    monkeypatch.setattr(solver, lambda G, ridge: solved.append(len(G)) or RidgeSolver(G, ridge))
    model = SHOH(hierarchy=data.hierarchy, **PARAMETERS).fit(data.views, data.labels["level2"], chunk_size=40)
    assert solved == []
    model.project(data.views["text"], modality="text")
    model.encode(data.views["text"], modality="text")
    assert solved == [20]
    model.encode(data.views["image"], modality="image")
    assert solved == [20, 12]


def test_it_goes_on_from_a_file_as_if_never_stopped(data, tmp_path):
    for init in ("centers", "random"):
        whole = SHOH(hierarchy=data.hierarchy, init=init, **PARAMETERS)
        whole.fit(data.views, data.labels["level2"], chunk_size=80)
        part = SHOH(hierarchy=data.hierarchy, init=init, **PARAMETERS)
        part.partial_fit({name: x[:80] for name, x in data.views.items()}, data.labels["level2"][:80])
        part.save(tmp_path / "part")
        rest = load(tmp_path / "part")
        rest.partial_fit({name: x[80:] for name, x in data.views.items()}, data.labels["level2"][80:])
        np.testing.assert_array_equal(rest.codes_, whole.codes_[80:])
        np.testing.assert_array_equal(
            rest.project(data.views["text"], modality="text"), whole.project(data.views["text"], modality="text")
        )


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_bits": 0}, ValueError, "n_bits must be an integer from 1 to 1048576, got 0"),
        ({"mu": 10**400}, ValueError, "mu must be a finite number >= 0, got inf"),
        ({"alpha": [0.2]}, ValueError, r"alpha must have 2 weights for this hierarchy, got shape \(1,\)"),
        ({"alpha": [0.2, -1]}, ValueError, r"alpha\[1\] must be a finite number >= 0, got -1"),
        ({"beta": [0.5, 0.5]}, ValueError, "beta must have 1 weights for this hierarchy"),
        ({"gamma": "much"}, TypeError, "gamma must be a finite number >= 0, got 'much'"),
        ({"gamma": [1.0, 0.5]}, ValueError, r"gamma must have 1 weights for this hierarchy, got shape \(2,\)"),
        ({"gamma": [-0.1]}, ValueError, r"gamma\[0\] must be a finite number >= 0, got -0.1"),
        ({"soft_labels": 1}, TypeError, "soft_labels must be a bool, got 1"),
        ({"eta": np.nan}, ValueError, "eta must be a finite number >= 0, got nan"),
        ({"mu": -1}, ValueError, "mu must be a finite number >= 0, got -1"),
        ({"xi": 0}, ValueError, "xi must be a finite number > 0, got 0"),
        ({"n_iter": 0}, ValueError, "n_iter must be an integer >= 1, got 0"),
        ({"init": "zeros"}, ValueError, "init must be one of 'centers', 'random', got 'zeros'"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"n_classes": 7}, ValueError, "n_classes must be None with a hierarchy"),
        ({"n_threads": 0}, ValueError, "n_threads must be an integer >= 1, got 0"),
        ({"hierarchy": [[0, 0], [0, 0]]}, ValueError, "labels must be class indices from 0 to 1"),
    ],
)
def test_wrong_parameters(data, parameters, error, message):
    model = SHOH(**{"hierarchy": data.hierarchy, **parameters})
    with pytest.raises(error, match=message):
        model.fit(data.views, data.labels["level2"])
    assert model._state is None


def test_what_was_learned_cannot_change_shape(data):
    model = SHOH(hierarchy=data.hierarchy, n_bits=8).fit(data.views, data.labels["level2"])
    with pytest.raises(ValueError, match="n_bits must stay 8 once chunks were learned, got 16"):
        model.set_params(n_bits=16).partial_fit(data.views, data.labels["level2"])
    with pytest.raises(ValueError, match="hierarchy and n_classes must stay as they were"):
        model.set_params(n_bits=8, hierarchy=None).partial_fit(data.views, data.labels["level2"])
