"""Every online method learns with maps that grow: sums of old rows are completed, whatever the method keeps."""

import copy

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash import RBFAnchors, load
from pyhash.datasets import make_hierarchical
from pyhash.methods.online import OnlineMethod
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(240, n_classes=(3, 6), n_features={"image": 12, "text": 15}, seed=3)
LABELS = DATA.labels["level2"]
VIEWS = {"image": DATA.views["image"], "text": csr_array(DATA.views["text"])}
PARAMETERS = {
    "shoh": {"hierarchy": DATA.hierarchy},
    "seoch": {"n_classes": 6, "n_concepts": 8},
    "boch with instance bits": {"n_classes": 6, "class_bits": 12},
}
ONLINE = [name for name in METHODS if issubclass(method_class(name), OnlineMethod)]
CASES = [*ONLINE, "boch with instance bits"]
CHUNKS = [slice(start, start + 60) for start in range(0, 240, 60)]


@pytest.fixture(params=CASES)
def make(request):
    method = method_class(request.param.split()[0])

    def made(feature_map, **parameters):
        maps = dict.fromkeys(VIEWS, feature_map)
        return method(
            **{"n_bits": 20, "feature_maps": maps, **PARAMETERS.get(request.param, {"n_classes": 6}), **parameters}
        )

    return made


def learn(model, chunks=CHUNKS, views=VIEWS):
    """The model after some chunks, and the codes of all their rows."""
    codes = []
    for rows in chunks:
        model.partial_fit({name: x[rows] for name, x in views.items()}, LABELS[rows])
        codes.append(model.codes_)
    return model, np.concatenate(codes)


def projections(model):
    return {name: model.project(x, modality=name) for name, x in VIEWS.items()}


def assert_equal_models(model, expected):
    for name, projected in projections(model).items():
        np.testing.assert_array_equal(projected, expected.project(VIEWS[name], modality=name))


def test_anchors_join_from_every_chunk_up_to_the_limit(make):
    model, counts = make(RBFAnchors(30, grow=15, max_anchors=50)), []
    for rows in CHUNKS:
        learn(model, [rows])
        state = model._state
        assert {len(sums.XX) for sums in state.sums.values()} == set(state.n_mapped.values())
        counts.append(set(state.n_mapped.values()))
        for projected in projections(model).values():
            assert projected.shape == (240, 20)
            assert np.isfinite(projected).all()
    assert counts == [{30}, {45}, {50}, {50}]


def test_a_map_that_is_full_from_the_start_is_one_that_does_not_grow(make):
    model, codes = learn(make(RBFAnchors(30, grow=15, max_anchors=30)))
    expected, expected_codes = learn(make(RBFAnchors(30)))
    np.testing.assert_array_equal(codes, expected_codes)
    assert_equal_models(model, expected)


@pytest.mark.parametrize("encoder", ["bits", "auto"])
def test_a_model_saved_between_chunks_goes_on_as_if_it_had_not_been(make, encoder, tmp_path):
    grow = RBFAnchors(30, grow=15, max_anchors=70, centered=True)
    expected, codes = learn(make(grow, encoder=encoder))
    model = make(grow, encoder=encoder)
    for i, rows in enumerate(CHUNKS):
        _, of_chunk = learn(model, [rows])
        np.testing.assert_array_equal(of_chunk, codes[rows])
        model.save(tmp_path / f"model{i}")
        model = load(tmp_path / f"model{i}")
    assert_equal_models(model, expected)


def test_completed_sums_are_near_those_of_all_rows_mapped_at_last(make):
    """Of rows near few dimensions, whose kernels are smooth."""
    model, _ = learn(make(RBFAnchors(50, grow=30, width=15.0)))
    for name, x in VIEWS.items():
        sums, K = model._state.sums[name], model._state.maps[name].transform(x)
        assert K.shape[1] == 140
        for completed, exact in ((sums.XX, K.T @ K), (sums.XL, K.T @ np.eye(6)[LABELS])):
            assert np.linalg.norm(completed - exact) < 1e-2 * np.linalg.norm(exact)


def test_a_chunk_that_raises_leaves_the_map_as_it_was(make):
    model, _ = learn(make(RBFAnchors(30, grow=15)), CHUNKS[:2])
    before, state = projections(model), model._state
    for row in (0, 33, 59):  # drawn as an anchor or not
        for value, message in (
            (np.nan, f"must be finite, got nan in row {row}, column 1"),
            (1e200, "must have squares that float64 can sum up, got values that are too large"),
        ):
            wrong = {"image": VIEWS["image"][CHUNKS[2]].astype(np.float64), "text": VIEWS["text"][CHUNKS[2]]}
            wrong["image"][row, 1] = value
            with pytest.raises(ValueError, match=rf"views\['image'\] {message}"):
                model.partial_fit(wrong, LABELS[CHUNKS[2]])
            assert model._state is state
    for name, projected in before.items():
        np.testing.assert_array_equal(model.project(VIEWS[name], modality=name), projected)
    learn(model, CHUNKS[2:])
    expected, _ = learn(make(RBFAnchors(30, grow=15)))
    assert_equal_models(model, expected)


def test_a_model_copied_before_a_chunk_does_not_change_with_it(make):
    model, _ = learn(make(RBFAnchors(30, grow=15)), CHUNKS[:2])
    twin = copy.deepcopy(model)
    before = projections(twin)
    learn(model, CHUNKS[2:])
    for name, projected in before.items():
        np.testing.assert_array_equal(twin.project(VIEWS[name], modality=name), projected)
    learn(twin, CHUNKS[2:])
    assert_equal_models(twin, model)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 5), (2, 60, 1, 30)])
def test_chunks_of_a_few_rows(make, sizes, request):
    if sizes[0] == 1 and request.node.callspec.params["make"] == "boch with instance bits":
        pytest.skip("instance bits need two rows in the first chunk")
    ends = np.cumsum(sizes)
    chunks = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    model, codes = learn(make(RBFAnchors(1, grow=40)), chunks)
    assert len(codes) == sum(sizes)
    expected = 1 + sum(min(size, 40) for size in sizes[1:])
    assert set(model._state.n_mapped.values()) == {expected}
    for projected in projections(model).values():
        assert np.isfinite(projected).all()


def test_rows_that_come_again_and_again(make):
    """Anchors are drawn twice and more often."""
    same = [CHUNKS[0]] * 4
    model, _ = learn(make(RBFAnchors(60, grow=60)), same)
    assert set(model._state.n_mapped.values()) == {240}
    expected, _ = learn(make(RBFAnchors(60)), same)
    for name, projected in projections(model).items():
        agree = (projected > 0) == (expected.project(VIEWS[name], modality=name) > 0)
        assert agree[CHUNKS[0]].mean() > 0.95


class _Foreign:
    """A map that is not pyhash's own."""

    def fit(self, X):
        return self

    def transform(self, X):
        return X[:, :9]

    def grown(self, rows, chunk):
        raise AssertionError


def test_maps_that_are_not_our_own_never_grow(make):
    model, _ = learn(make(_Foreign()))
    assert set(model._state.n_mapped.values()) == {9}
