"""A model that goes on from its file learns what it would have learned without, to the last bit."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash import Centering, RBFAnchors, Standardizing, UnitLength, load
from pyhash.datasets import make_hierarchical
from pyhash.methods.online import OnlineMethod
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(300, n_classes=(3, 6), n_features={"image": 40, "text": 30, "tags": 50}, seed=3)
VIEWS = {**DATA.views, "tags": csr_array(DATA.views["tags"] * (DATA.views["tags"] > 0.5))}
ONLINE = [name for name in METHODS if name not in ("sdch", "dhsl") and issubclass(method_class(name), OnlineMethod)]
PARAMETERS = {"shoh": {"hierarchy": DATA.hierarchy}, "seoch": {"n_concepts": 8}, "dsfh": {"n_iter": 5}}
CHUNKS = [slice(0, 90), slice(90, 91), slice(91, 170), slice(170, 171), slice(171, 250)]
QUERIES = slice(250, 300)


def learned(make, path, labels, through_files, views):
    model, codes = make(), []
    for rows in CHUNKS:
        model.partial_fit({name: x[rows] for name, x in views.items()}, labels[rows])
        codes.append(model.codes_)
        if through_files:
            model.save(path)
            model = load(path)
    model.save(path)
    queries = [model.project(x[QUERIES], modality=name) for name, x in views.items()]
    return np.concatenate(codes), queries, path.read_bytes()


def assert_the_same(make, tmp_path, labels, views=VIEWS):
    straight, stopped = (learned(make, tmp_path / f"{way}.npz", labels, way, views) for way in (False, True))
    assert np.array_equal(straight[0], stopped[0])
    for one, other in zip(straight[1], stopped[1], strict=True):
        assert np.array_equal(one, other)
    assert straight[2] == stopped[2]


MAPS = {
    "none": {"image": None, "text": None, "tags": None},
    "simple": {"image": Centering(), "text": Standardizing(), "tags": UnitLength()},
    "anchors": {
        "image": RBFAnchors(20, grow=9),
        "text": RBFAnchors(20, grow=9, centered=True),
        "tags": RBFAnchors(20, grow=9),
    },
}


@pytest.mark.parametrize("maps", MAPS)
@pytest.mark.parametrize("name", ONLINE)
def test_whatever_the_features(tmp_path, name, maps):
    def make():
        return method_class(name)(12, feature_maps=MAPS[maps], seed=3, **PARAMETERS.get(name, {}))

    assert_the_same(make, tmp_path, DATA.labels["level2"])


@pytest.mark.parametrize("encoder", ["posterior", "bayes", "auto"])
@pytest.mark.parametrize("name", ONLINE)
def test_whatever_the_encoder(tmp_path, name, encoder):
    def make():
        return method_class(name)(12, encoder=encoder, seed=3, **PARAMETERS.get(name, {}))

    assert_the_same(make, tmp_path, DATA.labels["level2"])


@pytest.mark.parametrize("name", ONLINE)
def test_whatever_comes_late(tmp_path, name):
    """Classes by name that begin in later chunks, old sums that fade."""

    def make():
        others = {"class_bits": 6} if name == "boch" else {}
        return method_class(name)(12, decay=0.1, seed=3, **others)

    classes = np.array(["a", "b", "c", "d", "e", "f"])
    order = np.argsort(DATA.labels["level2"], kind="stable")
    views = {key: x[order] for key, x in VIEWS.items()}
    assert_the_same(make, tmp_path, classes[DATA.labels["level2"][order]], views)
