"""Every online method can let old chunks fade: all its sums lose a part of their weight with each chunk."""

import copy

import numpy as np
import pytest
from sklearn.base import clone

from pyhash import RBFAnchors, load
from pyhash.codes import unpack
from pyhash.datasets import make_drifting, make_hierarchical
from pyhash.evaluation import mean_average_precision
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.label_sets import LEAST_COUNT
from pyhash.methods.parts.sums import Sums
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(240, n_classes=(3, 6), n_features={"image": 12, "text": 15}, seed=3)
LABELS = DATA.labels["level2"]
# Powers of 2, so that weighted sums of whole numbers have no rounding.
DECAY = 0.25
# A map that does not grow: sums are over the same features in every chunk.
MAPS = {"feature_maps": dict.fromkeys(DATA.views, RBFAnchors(40, centered=True))}
PARAMETERS = {
    "boch": MAPS,
    "shoh": {"hierarchy": DATA.hierarchy},
    "seoch": {"n_concepts": 8},
    "boch with instance bits": {**MAPS, "class_bits": 12},
}
ONLINE = [name for name in METHODS if issubclass(method_class(name), OnlineMethod)]
CHUNKS = [slice(start, start + 60) for start in range(0, 240, 60)]


@pytest.fixture(params=[*ONLINE, "boch with instance bits"])
def make(request):
    method = method_class(request.param.split()[0])
    return lambda **parameters: method(
        **{"n_bits": 20, "encoder": "bayes", **PARAMETERS.get(request.param, {}), **parameters}
    )


def chunk(rows):
    return {name: x[rows] for name, x in DATA.views.items()}, LABELS[rows]


def learn(model, chunks=CHUNKS):
    for rows in chunks:
        model.partial_fit(*chunk(rows))
    return model


def of_labels(state):
    table = state.label_sets
    return dict(zip(map(bytes, table.sets), zip(table.counts, table.code_sums.tolist(), strict=True), strict=True))


def test_sums_are_the_weighted_sums_of_the_chunks(make):
    """Each chunk counts with ``(1 - decay)`` to the power of the chunks since, with the codes that it was given."""
    model, L = make(decay=DECAY), np.eye(6)[LABELS]
    expected = {name: [0.0] * 5 for name in DATA.views}
    sets = {}
    for rows in CHUNKS:
        model.partial_fit(*chunk(rows))
        B, one_hot = unpack(model.codes_, 20).astype(float), L[rows]
        for name, total in expected.items():
            X = DATA.views[name][rows].astype(float)
            X = X if model._state.maps[name] is None else model._state.maps[name].transform(X)
            counts = np.concatenate([[len(X)], one_hot.sum(axis=0)])
            terms = [X.T @ X, X.T @ B, X.T @ one_hot, X.sum(axis=0), counts]
            expected[name] = [(1 - DECAY) * old + new for old, new in zip(total, terms, strict=True)]
        sets = {c: (1 - DECAY) * old for c, old in sets.items()}
        for c in np.unique(LABELS[rows]):
            sets[c] = sets.get(c, 0) + (LABELS[rows] == c).sum()
    for name, total in expected.items():
        sums = model._state.sums[name]
        for found, wanted in zip([sums.XX, sums.XB, sums.XL, sums.X, sums.counts], total, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
    table = model._state.label_sets
    assert dict(zip(table.classes.tolist(), table.counts.tolist(), strict=True)) == sets
    assert model.n_samples_seen_ == 240


def test_own_sums_of_a_method_fade_too(make):
    """A chunk of the same rows adds the same to what has faded as to nothing, where codes do not change."""
    model = learn(make(decay=DECAY))
    own = model._state.own
    if not isinstance(own, Sums):
        assert own is None
        return
    faded = model._state.scaled(1 - DECAY).own
    summed = {name: value for name, value in vars(own).items() if name not in own.not_sums and value is not None}
    for name, value in summed.items():
        for old, new in zip(leaves(value), leaves(getattr(faded, name)), strict=True):
            np.testing.assert_array_equal(np.asarray(new), np.asarray(old) * (1 - DECAY))
    for name in own.not_sums:
        assert getattr(faded, name) is getattr(own, name)


def leaves(value):
    if isinstance(value, Sums):
        value = {name: held for name, held in vars(value).items() if name not in value.not_sums and held is not None}
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for held in value for leaf in leaves(held)] if isinstance(value, list) else [value]


def test_a_decay_that_begins_later_starts_from_the_sums_so_far(make):
    whole = learn(make(), CHUNKS[:2])
    model = copy.deepcopy(whole).set_params(decay=DECAY)
    model.partial_fit(*chunk(CHUNKS[2]))
    counts = np.bincount(LABELS[CHUNKS[2]], minlength=6)
    for name, sums in model._state.sums.items():
        np.testing.assert_array_equal(sums.counts[1:], (1 - DECAY) * whole._state.sums[name].counts[1:] + counts)


def test_without_decay_counts_are_whole_and_nothing_changes(make):
    plain, none = learn(make()), learn(make(decay=0))
    assert plain._state.label_sets.counts.dtype == np.int64
    for name, x in DATA.views.items():
        np.testing.assert_array_equal(plain.project(x, modality=name), none.project(x, modality=name))


def test_a_model_goes_on_from_a_file_as_if_it_had_stayed_in_memory(make, tmp_path):
    model = learn(make(decay=DECAY), CHUNKS[:3])
    model.save(tmp_path / "model")
    restored = load(tmp_path / "model")
    for learner in (model, restored):
        learner.partial_fit(*chunk(CHUNKS[3]))
    np.testing.assert_array_equal(model.codes_, restored.codes_)
    for name, x in DATA.views.items():
        np.testing.assert_array_equal(model.project(x, modality=name), restored.project(x, modality=name))


def test_a_class_that_faded_away_can_come_back(make):
    """Of a label set whose weight is below 2**-53 nothing is left; the others stay, and so does the order of codes."""
    model = learn(make(decay=0.9), CHUNKS[:2])
    rows = np.flatnonzero(LABELS[0] != LABELS)
    for _ in range(20):
        model.partial_fit(*chunk(rows[:40]))
    table = model._state.label_sets
    assert LABELS[0] not in table.classes
    assert table.counts.min() > LEAST_COUNT
    for name, x in DATA.views.items():
        assert np.isfinite(model.project(x, modality=name)).all()
    model.partial_fit(*chunk(CHUNKS[0]))
    assert LABELS[0] in model._state.label_sets.classes
    for name, x in DATA.views.items():
        assert np.isfinite(model.project(x, modality=name)).all()


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes", "auto"])
def test_every_encoder_works_on_faded_sums(make, encoder):
    model = learn(make(decay=0.5, encoder=encoder))
    codes = model.encode(DATA.views["text"], modality="text")
    fresh = LABELS[CHUNKS[3]]
    assert mean_average_precision(codes, model.codes_, LABELS, fresh).value > 0.5


@pytest.mark.parametrize(
    ("decay", "error"),
    [(-0.1, ValueError), (1, ValueError), (np.nan, ValueError), ("fast", TypeError), (None, TypeError)],
)
def test_a_wrong_decay_is_refused_before_anything_is_learned(make, decay, error):
    model = learn(make(), CHUNKS[:1])
    before = model._state
    with pytest.raises(error, match=r"^decay must be"):
        model.set_params(decay=decay).partial_fit(*chunk(CHUNKS[1]))
    assert model._state is before


@pytest.mark.parametrize("name", ["lemon", "shoh", "seoch"])
def test_the_objective_is_recorded_over_faded_sums(name):
    model = learn(method_class(name)(20, decay=DECAY, record=True, **PARAMETERS.get(name, {})))
    assert all(np.isfinite(iteration["objective"]) and iteration["objective"] >= 0 for iteration in model.history_)


def test_decay_is_a_parameter_like_others(make):
    assert clone(make(decay=0.5)).get_params()["decay"] == 0.5


def test_features_that_turn_ask_for_decay():
    """On a stream whose features turn by 180 degrees, LEMON keeps its quality with decay, and loses it without."""
    data = make_drifting(3000, seed=1)
    is_query = data.splits["latest"]
    views, labels = {name: x[~is_query] for name, x in data.views.items()}, data.labels["classes"]

    def quality(decay):
        model = method_class("lemon")(32, decay=decay).fit(views, labels[~is_query], chunk_size=150, progress=False)
        return [
            mean_average_precision(
                model.encode(x[is_query], modality=name), model.codes_, labels[is_query], labels[~is_query]
            ).value
            for name, x in data.views.items()
        ]

    assert min(quality(0.4)) > 0.95
    assert max(quality(0.0)) < 0.5
