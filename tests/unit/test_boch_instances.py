"""BOCH with instance bits: class bits first, then those that tell things of one class apart."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import pyhash
from pyhash import BOCH, CodeIndex, codes, search
from pyhash.evaluation import instance_retrieval, mean_average_precision

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N_CLASSES = 5


def pairs(n, seed=0, noise=0.1):
    """Views of n things, each one of its class with something of its own, and the classes."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7)
    classes = rng.integers(0, N_CLASSES, n)
    behind = 2 * mixing.standard_normal((N_CLASSES, 8))[classes] + rng.standard_normal((n, 8))
    image = behind @ mixing.standard_normal((8, 12)) + noise * rng.standard_normal((n, 12))
    words = behind @ mixing.standard_normal((8, 60)) + noise * rng.standard_normal((n, 60))
    return {"image": image, "text": csr_array((words > 3) * np.ones_like(words))}, classes


VIEWS, CLASSES = pairs(400)


@pytest.fixture(scope="module")
def model():
    return BOCH(56, class_bits=16, seed=3).fit(VIEWS, CLASSES, chunk_size=150)


def test_class_bits_are_those_of_a_model_without_others(model):
    alone = BOCH(16, seed=3).fit(VIEWS, CLASSES, chunk_size=150)
    signs = codes.unpack(model.codes_, 56)
    np.testing.assert_array_equal(signs[:, :16], codes.unpack(alone.codes_, 16))
    for name, rows in VIEWS.items():
        whole, of_classes = model.project(rows, modality=name), alone.project(rows, modality=name)
        # Up to the scale that keeps weights of instance bits at most 1.
        scale = np.abs(whole[:, :16]).max(axis=1) / np.abs(of_classes).max(axis=1)
        np.testing.assert_allclose(whole[:, :16], of_classes * scale[:, None], rtol=1e-4)
        assert (np.abs(whole) <= 1).all()
    for c in range(N_CLASSES):
        assert len(np.unique(signs[c == CLASSES], axis=0)) > 40


def test_a_small_focus_orders_by_class_and_then_finds_the_thing(model):
    rows, model.focus = np.arange(len(CLASSES)), 0.001
    alone = BOCH(16, seed=3).fit(VIEWS, CLASSES, chunk_size=150)
    for name, X in VIEWS.items():
        p = model.project(X, modality=name)
        found = instance_retrieval(p, model.codes_, rows, rows, top_n=[10], metric="weighted_hamming")
        by_class = mean_average_precision(p, model.codes_, CLASSES, CLASSES, metric="weighted_hamming").value
        p_alone = alone.project(X, modality=name)
        assert by_class == pytest.approx(
            mean_average_precision(p_alone, alone.codes_, CLASSES, CLASSES, metric="weighted_hamming").value, abs=0.005
        )
        blind = instance_retrieval(p_alone, alone.codes_, rows, rows, top_n=[10], metric="weighted_hamming")
        assert found.hit_rate[0] > 0.6
        assert found.hit_rate[0] > 3 * blind.hit_rate[0]


def test_focus_may_change_after_learning(model):
    X = VIEWS["image"][:5]
    one, other = (model.set_params(focus=focus).project(X, modality="image") for focus in (0.01, 0.02))
    np.testing.assert_array_equal(one > 0, other > 0)  # weights change, codes do not
    ratio = (other[:, 16:] / np.abs(other[:, :16]).max(axis=1, keepdims=True)) / (
        one[:, 16:] / np.abs(one[:, :16]).max(axis=1, keepdims=True)
    )
    np.testing.assert_allclose(ratio, 2, rtol=1e-3)
    model.focus = 0.0
    with pytest.raises(ValueError, match=r"^focus must be a finite number > 0, got 0"):
        model.project(X, modality="image")
    model.focus = 0.02


def test_a_search_by_the_first_bytes_and_then_by_all_is_one_model(model):
    index = CodeIndex(32)
    index.add(model.codes_[:, :4])
    p = model.project(VIEWS["text"][:20], modality="text")
    first = index.search_weighted(p[:, :32], k=100)
    second = search.weighted_rerank(p, model.codes_, first.ids, k=10)
    every = search.weighted_top_k(p, model.codes_, k=400)
    for found, candidates, ids in zip(second.ids, first.ids, every.ids, strict=True):
        kept = np.isin(ids, candidates)
        np.testing.assert_array_equal(found, ids[kept][:10])


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes", "auto"])
@pytest.mark.parametrize("chosen", [("image",), ("text",), ("image", "text")])
def test_every_encoder_and_any_modalities(tmp_path, encoder, chosen):
    views = {name: VIEWS[name] for name in chosen}
    model = BOCH(30, class_bits=12, encoder=encoder, xi=0.1).fit(views, CLASSES, chunk_size=200)
    model.save(tmp_path / "model.npz")
    again = pyhash.load(tmp_path / "model.npz")
    for name in chosen:
        p = model.project(views[name], modality=name)
        assert p.shape == (400, 30)
        # Instance bits of queries agree with those that were learned.
        learned = codes.unpack(model.codes_, 30)
        assert ((p > 0) == (learned > 0))[:, 12:].mean() > 0.7
        np.testing.assert_array_equal(again.project(views[name], modality=name), p)
    fused = model.project_fused(views)
    assert ((fused > 0) == (learned > 0))[:, 12:].mean() > 0.75
    np.testing.assert_array_equal(again.project_fused(views), fused)
    more = {name: rows[:50] for name, rows in views.items()}
    np.testing.assert_array_equal(
        model.partial_fit(more, CLASSES[:50]).codes_, again.partial_fit(more, CLASSES[:50]).codes_
    )


@pytest.mark.parametrize(("n_bits", "class_bits"), [(2, 1), (9, 8), (300, 10)])
def test_extreme_lengths(n_bits, class_bits):
    model = BOCH(n_bits, class_bits=class_bits).fit(VIEWS, CLASSES)
    p = model.project(VIEWS["image"], modality="image")
    assert p.shape == (400, n_bits)
    assert np.isfinite(p).all()


def test_all_bits_are_class_bits_where_class_bits_is_the_length():
    one, other = (BOCH(12, class_bits=class_bits).fit(VIEWS, CLASSES) for class_bits in (None, 12))
    np.testing.assert_array_equal(one.codes_, other.codes_)
    np.testing.assert_array_equal(
        one.project(VIEWS["text"], modality="text"), other.project(VIEWS["text"], modality="text")
    )


def test_several_labels_a_row():
    L = np.eye(N_CLASSES, dtype=int)[CLASSES]
    L[::3, 0] = 1
    model = BOCH(40, class_bits=16).fit(VIEWS, L, chunk_size=200)
    rows = np.arange(400)
    p = model.project(VIEWS["image"], modality="image")
    found = instance_retrieval(p, model.codes_, rows, rows, top_n=[10], metric="weighted_hamming")
    assert found.hit_rate[0] > 0.5


def test_several_labels_go_on_from_a_file(tmp_path):
    L = np.eye(N_CLASSES, dtype=int)[CLASSES]
    L[::3, 0] = 1
    model = BOCH(40, class_bits=16).partial_fit(VIEWS, L)
    model.save(tmp_path / "model.npz")
    loaded = pyhash.load(tmp_path / "model.npz").partial_fit(VIEWS, L)
    model.partial_fit(VIEWS, L)
    np.testing.assert_array_equal(loaded.codes_, model.codes_)
    np.testing.assert_array_equal(loaded.project_fused(VIEWS), model.project_fused(VIEWS))


def test_classes_that_come_late():
    early, late = CLASSES < 3, CLASSES >= 3
    model = BOCH(40, class_bits=16)
    for chosen in (early, late):
        model.partial_fit({name: x[chosen] for name, x in VIEWS.items()}, CLASSES[chosen])
    signs = codes.unpack(model.codes_, 40)
    for c in (3, 4):
        of_class = signs[CLASSES[late] == c]
        assert (of_class[:, :16] == of_class[0, :16]).all()
        assert len(np.unique(of_class, axis=0)) > 40


def test_bits_of_rows_do_not_depend_on_the_chunks_after_them():
    whole = BOCH(40, class_bits=16, seed=1).fit(VIEWS, CLASSES, chunk_size=200)
    part = BOCH(40, class_bits=16, seed=1).fit({n: x[:200] for n, x in VIEWS.items()}, CLASSES[:200])
    np.testing.assert_array_equal(whole.codes_[:200], part.codes_)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"class_bits": 0}, ValueError, "^class_bits must be an integer from 1 to 20, got 0$"),
        ({"class_bits": 21}, ValueError, "^class_bits must be an integer from 1 to 20, got 21$"),
        ({"class_bits": 8.0}, TypeError, "^class_bits must be an integer from 1 to 20, got 8.0$"),
        ({"class_bits": 8, "focus": 0}, ValueError, "^focus must be a finite number > 0, got 0"),
        ({"class_bits": 8, "focus": "much"}, TypeError, "^focus must be a finite number > 0, got 'much'"),
    ],
)
def test_wrong_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        BOCH(20, **parameters).fit(VIEWS, CLASSES)


def test_class_bits_must_stay(model):
    before = model.project(VIEWS["image"][:3], modality="image")
    for class_bits in (None, 15):
        model.class_bits = class_bits
        with pytest.raises(ValueError, match=f"^class_bits must stay 16, as learned, got {class_bits or 56}$"):
            model.partial_fit(VIEWS, CLASSES)
    model.class_bits = 16
    np.testing.assert_array_equal(model.project(VIEWS["image"][:3], modality="image"), before)


def test_a_first_chunk_of_one_row_is_refused():
    with pytest.raises(ValueError, match=r"^views must have at least 2 rows in the first chunk"):
        BOCH(20, class_bits=8).partial_fit({name: x[:1] for name, x in VIEWS.items()}, CLASSES[:1])


@pytest.mark.slow("learns the built-in data")
def test_the_same_emoji_is_found_and_the_class_is_kept(emoji):
    database, queries = emoji.split("pair")
    database = np.random.default_rng(0).permutation(database)
    views, labels, items = ("image_deep", "text"), emoji.labels["level2"], emoji.items["emoji_id"]
    model = BOCH(128, class_bits=32).fit({name: emoji.views[name][database] for name in views}, labels[database])
    for name, least, least_same in (("image_deep", 0.82, 0.70), ("text", 0.965, 0.93)):
        p = model.project(emoji.views[name][queries], modality=name)
        whole, of_classes = (
            mean_average_precision(weights, found, labels[queries], labels[database], metric="weighted_hamming").value
            for weights, found in ((p, model.codes_), (p[:, :32], model.codes_[:, :4]))
        )
        assert whole > least
        assert whole > of_classes - 0.008
        same = instance_retrieval(
            p, model.codes_, items[queries], items[database], top_n=10, metric="weighted_hamming"
        ).hit_rate[0]
        assert least_same < same < least_same + 0.06
