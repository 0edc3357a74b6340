"""Classes that are added to a hierarchy, and hierarchies of labels by name."""

import numpy as np
import pytest

from pyhash import SHOH, NotFittedError, load
from pyhash.codes import unpack
from pyhash.datasets import make_hierarchical

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(300, n_classes=(3, 9), n_features={"image": 20, "text": 25}, seed=4)
ORDER = [0, 1, 2, 4, 5, 7, 8, 3, 6]  # the last two have siblings among the others
FINE = np.argsort(ORDER)[DATA.labels["level2"]]
PARENTS = np.asarray(DATA.hierarchy[0])[ORDER]
EARLY = FINE < 7
KINDS = np.array(["plant", "animal", "thing"])
NAMES = np.array(["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "owl"])
FAMILY = {str(name): str(KINDS[parent]) for name, parent in zip(NAMES, PARENTS, strict=True)}


def rows(chosen):
    return {name: x[chosen] for name, x in DATA.views.items()}


def learned(hierarchy, labels=FINE, **parameters):
    return SHOH(**{"n_bits": 24, "hierarchy": hierarchy, **parameters}).partial_fit(rows(EARLY), labels[EARLY])


def assert_same(one, other):
    np.testing.assert_array_equal(one.codes_, other.codes_)
    for name, x in DATA.views.items():
        np.testing.assert_array_equal(one.project(x, modality=name), other.project(x, modality=name))


def test_added_classes_are_learned_near_their_parents(tmp_path):
    model = learned([PARENTS[:7]])
    before = model.codes_, model.fingerprint, model.project(DATA.views["text"], modality="text")
    assert model.add_classes(2, PARENTS[7:]) is model
    assert [list(labels) for labels in model.classes_] == [[0, 1, 2], list(range(9))]
    assert [center.shape for center in model.centers_] == [(3, 24), (9, 24)]
    # Without rows of them, nothing else has changed.
    assert (model.codes_ is before[0], model.fingerprint) == (True, before[1])
    np.testing.assert_array_equal(model.project(DATA.views["text"], modality="text"), before[2])
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    for each in (model, again):
        each.partial_fit(DATA.views, FINE)
    assert_same(again, model)
    np.testing.assert_array_equal(again.hierarchy[0], PARENTS[:7])
    signs = unpack(model.codes_, 24).astype(int)
    near = signs @ signs.T
    same, siblings = FINE[:, None] == FINE, PARENTS[FINE][:, None] == PARENTS[FINE]
    for new in (7, 8):
        of_new = near[new == FINE]
        assert of_new[same[new == FINE]].mean() > of_new[siblings[new == FINE] & ~same[new == FINE]].mean()
        assert of_new[siblings[new == FINE]].mean() > of_new[~siblings[new == FINE]].mean() + 2
    with pytest.raises(ValueError, match=r"hierarchy and n_classes must stay as they were, .* add_classes takes new"):
        model.set_params(hierarchy=[PARENTS]).partial_fit(DATA.views, FINE)


def test_fit_begins_with_the_hierarchy_of_the_parameters():
    model = learned([PARENTS[:7]]).add_classes(2, PARENTS[7:]).fit(rows(EARLY), FINE[EARLY], progress=False)
    assert [len(labels) for labels in model.classes_] == [3, 7]


def test_classes_of_every_layer():
    """Three layers: a class of the middle one, and below it two; then one of the first."""
    three = [[0, 0, 1], PARENTS[:7]]
    model = learned(three)
    model.add_classes(2, [1]).add_classes(3, np.eye(4)[:, [3, 3]])  # a matrix (c_2, 2)
    model.add_classes(1, 1)
    assert [len(labels) for labels in model.classes_] == [3, 4, 9]
    labels = [np.where(FINE < 7, np.array([0, 0, 1])[PARENTS[FINE]], 1), np.where(FINE < 7, PARENTS[FINE], 3), FINE]
    labels = [layer.copy() for layer in labels]
    labels[0][:10], labels[1][:10], labels[2][:10] = 2, -1, -1  # rows of the new coarse class alone
    model.partial_fit(DATA.views, labels)
    assert np.isfinite(model.project(DATA.views["text"], modality="text")).all()
    np.testing.assert_array_equal(model.codes_[:10], np.tile(model.codes_[0], (10, 1)))


def test_classes_of_a_single_layer():
    model = learned(None).add_classes(1, 3)
    assert [list(labels) for labels in model.classes_] == [list(range(10))]
    bounded = learned(None, n_classes=9)
    with pytest.raises(ValueError, match="n_classes must be None or at least 10 for 1 more, got 9"):
        bounded.add_classes(1, 1)


# --- labels by name ---------------------------------------------------------------------------------------------------


def test_a_hierarchy_by_name_is_one_by_index(tmp_path):
    kinds = list(dict.fromkeys(FAMILY.values()))
    indices = [kinds.index(kind) for kind in FAMILY.values()]
    by_name, by_index = learned([FAMILY], NAMES[FINE]), learned([indices])
    assert_same(by_name, by_index)
    assert [labels.tolist() for labels in by_name.classes_] == [kinds, NAMES.tolist()]
    by_name.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.hierarchy == [FAMILY]
    # All layers, with rows that know only the coarse class.
    coarse = np.array(list(FAMILY.values()))[FINE]
    fine = NAMES[FINE].astype(object)
    fine[::3] = None
    again.partial_fit(DATA.views, [coarse, fine])
    numbers = np.where(np.arange(300) % 3 == 0, -1, FINE)
    by_index.partial_fit(DATA.views, [np.asarray(indices)[FINE], numbers])
    assert_same(again, by_index)


def test_names_are_added_with_their_parents(tmp_path):
    early = dict(list(FAMILY.items())[:7])
    model = learned([early], NAMES[FINE])
    with pytest.raises(ValueError, match=r"labels must be of known classes, got '.*' in row.*; add_classes takes new"):
        model.partial_fit(DATA.views, NAMES[FINE])
    model.add_classes(2, {name: FAMILY[name] for name in ("hen", "owl")})
    model.add_classes(1, ["idea"]).add_classes(2, {"whole": {"idea", "thing"}, (1, b"x"): "idea"})
    model.save(tmp_path / "model.npz")
    model = load(tmp_path / "model.npz").partial_fit(DATA.views, NAMES[FINE])
    assert [len(labels) for labels in model.classes_] == [4, 11]
    assert model.classes_[1].tolist()[7:] == ["hen", "owl", "whole", (1, b"x")]
    assert model.codes_.shape == (300, 3)


def test_every_label_of_a_hierarchy_comes_back_from_a_file(tmp_path):
    """Also as a parameter: values of JSON, and those that it lacks."""
    labels = ["a", 7, -1.5, True, b"\x00\xff", ("a", 2, (b"b",)), "é", 2**70]
    hierarchy = [dict.fromkeys(labels, 0) | {"two": {0, ("p", 1)}}, {1: "a", 2: {7, "two"}}]
    model = SHOH(8, hierarchy=hierarchy).partial_fit({"x": np.eye(2)}, np.array([1, 2], object))
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.hierarchy == hierarchy
    assert [of.tolist() for of in again.classes_] == [[0, ("p", 1)], [*labels, "two"], [1, 2]]
    assert [type(label) for label in again.classes_[1]] == [*map(type, labels), str]


@pytest.mark.parametrize(
    ("hierarchy", "error", "message"),
    [
        ([{}], ValueError, r"hierarchy\[0\] must name the parent of at least one class, got none"),
        ([{"a": None}], ValueError, r"hierarchy\[0\] must give every class a label and a parent, got {'a': None}"),
        ([{None: "a"}], ValueError, r"hierarchy\[0\] must give every class a label and a parent, got {None: 'a'}"),
        ([{"a": set()}], ValueError, r"hierarchy\[0\] must give every class a label and a parent"),
        ([{"a": ["b"]}], TypeError, r"hierarchy\[0\] must be str, .* got list in the parents of 'a'; several labels"),
        ([{"a": "b"}, [0]], TypeError, r"hierarchy\[1\] must be a mapping of labels .* by name, got list"),
        ([[0], {"a": "b"}], TypeError, r"hierarchy\[0\] must be a mapping of labels .* by name, got list"),
        ([{"a": "b"}, {"c": "b"}], ValueError, r"hierarchy\[1\] must name parents that are classes of the layer above"),
    ],
)
def test_wrong_hierarchies_by_name(hierarchy, error, message):
    with pytest.raises(error, match=message):
        SHOH(8, hierarchy=hierarchy).partial_fit({"x": np.eye(2)}, ["a", "a"])


BY_INDEX, BY_NAME = [PARENTS[:7]], [dict(list(FAMILY.items())[:7])]


@pytest.mark.parametrize(
    ("hierarchy", "layer", "parents", "error", "message"),
    [
        (BY_INDEX, 0, [0], ValueError, "layer must be an integer from 1 to 2, got 0"),
        (BY_INDEX, 3, [0], ValueError, "layer must be an integer from 1 to 2, got 3"),
        (BY_INDEX, "level2", [0], TypeError, "layer must be an integer"),
        (BY_INDEX, 2, [3], ValueError, "parents must be class indices from 0 to 2, got 3 in row 0"),
        (BY_INDEX, 2, [], TypeError, "parents must be class indices of an integer dtype"),
        (BY_INDEX, 2, np.eye(4), ValueError, "parents must have 3 rows, the classes of layer 1, got 4"),
        (BY_INDEX, 2, np.eye(3)[:, :2] * [1, 0], ValueError, "parents must give every class a parent"),
        (BY_INDEX, 2, {"owl": "plant"}, TypeError, "parents must be class indices or a 0/1 matrix .* got dict"),
        (BY_INDEX, 1, [0], TypeError, "parents must be an integer from 1"),
        (BY_INDEX, 1, 0, ValueError, "parents must be an integer from 1"),
        (BY_NAME, 2, [0], TypeError, "parents must be a mapping of labels to the labels of their parents"),
        (BY_NAME, 2, {"ant": "plant"}, ValueError, "parents must be those of new classes, 'ant' is in layer 2 already"),
        (BY_NAME, 2, {"owl": "idea"}, ValueError, "parents must name parents that are classes of the layer above, got"),
        (BY_NAME, 2, {}, ValueError, "parents must name the parent of at least one class, got none"),
        (BY_NAME, 1, "idea", TypeError, "parents must be a sequence of labels, got 'idea'"),
        (BY_NAME, 1, [], ValueError, "parents must hold the label of at least one class, got none"),
        (BY_NAME, 1, [{1}], TypeError, "parents must be str, .* got set in item 0"),
        (BY_NAME, 1, ["idea", None], TypeError, "parents must be str, .* got NoneType in item 1"),
    ],
)
def test_classes_that_cannot_be_added_change_nothing(hierarchy, layer, parents, error, message):
    model = learned(hierarchy, FINE if hierarchy is BY_INDEX else NAMES[FINE])
    state = model._state
    with pytest.raises(error, match=message):
        model.add_classes(layer, parents)
    assert model._state is state


def test_classes_are_added_to_models_that_have_learned():
    with pytest.raises(NotFittedError, match="this SHOH has not learned anything yet"):
        SHOH(8, hierarchy=[[0, 1]]).add_classes(2, [0])


def test_labels_must_be_of_the_hierarchy():
    model = learned([PARENTS[:7]])
    with pytest.raises(ValueError, match=r"class indices from 0 to 6, got .*; add_classes takes new ones"):
        model.partial_fit(DATA.views, FINE)
    with pytest.raises(ValueError, match="labels must be by name in every layer or in none"):
        model.partial_fit(DATA.views, [KINDS[PARENTS[FINE]], FINE])
    with pytest.raises(ValueError, match=r"labels must be class indices .* such as '.*'; a hierarchy of labels by"):
        learned([PARENTS[:7]], NAMES[FINE])
