"""Warnings of collapsed codes: when, what they count, and what they advise."""

import re
import warnings

import numpy as np
import pytest

from pyhash.codes import pack
from pyhash.datasets import make_hierarchical
from pyhash.deep import DHSL, SDCH, CollapseWarning, TrainingOptions
from pyhash.deep.collapse import effective_number, warn_of_collapse

N_BITS = 16
TEN_KINDS = np.full(10, 5)


@pytest.fixture
def Z():
    return np.random.default_rng(0).standard_normal((50, N_BITS))


def warn(codes, label_sets=TEN_KINDS, n_classes=10):
    warn_of_collapse({name: pack(Z) for name, Z in codes.items()}, N_BITS, n_classes, label_sets, "do this")


def assert_silent(codes, label_sets=TEN_KINDS, n_classes=10):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn(codes, label_sets, n_classes)


def test_a_single_code_is_named_with_its_modality(Z):
    expected = (
        "the codes of 'text' have collapsed: 50 samples with 10 kinds of labels have 1 distinct codes, the most "
        "frequent in 100 % of the samples, and 16 of 16 bits are constant; do this"
    )
    with pytest.warns(CollapseWarning) as caught:
        warn({"image": Z, "text": np.ones_like(Z)})
    assert [str(each.message) for each in caught] == [expected]


def test_one_frequent_code_is_not_hidden_by_rare_ones(Z):
    frequent = np.where(np.arange(50)[:, None] < 40, Z[0], Z)  # 11 codes for 10 kinds of labels
    with pytest.warns(
        CollapseWarning, match=r"have 11 distinct codes, the most frequent in 80 % of the samples, and \d of 16 bits"
    ):
        warn({"image": frequent})


def test_constant_bits_are_counted(Z):
    Z[:, :9] = 1.0
    with pytest.warns(
        CollapseWarning, match="have 42 distinct codes, the most frequent in 6 % .* and 9 of 16 bits are c"
    ):
        warn({"image": Z})
    Z[0, 0] = -1.0
    assert_silent({"image": Z})  # half of the bits


def test_opposite_modalities_are_named(Z):
    images, texts = Z.copy(), Z.copy()
    images[:, :9], texts[:, :9] = 1.0, -1.0
    images[:5, :9], texts[45:, :9] = -1.0, 1.0  # a tenth of the rows
    expected = (
        "the codes of 'image' and 'text' lie apart: 9 of 16 bits are nearly always +1 in one and -1 in the other, "
        "whatever the labels; do this"
    )
    with pytest.warns(CollapseWarning) as caught:
        warn({"image": images, "text": texts})
    assert [str(each.message) for each in caught] == [expected]
    images[5, 0] = -1.0  # 8 bits are left
    assert_silent({"image": images, "text": texts})


@pytest.mark.parametrize("n_kinds", [1, 2, 3, 5])
def test_as_few_codes_as_kinds_of_labels_are_no_collapse(Z, n_kinds):
    labels = np.arange(50) % n_kinds
    assert_silent({"image": Z[labels], "text": Z[labels]}, np.bincount(labels), n_kinds)


def test_a_frequent_kind_of_labels_may_have_a_frequent_code(Z):
    labels = np.where(np.arange(50) < 45, 0, np.arange(50) % 10)
    assert_silent({"image": Z[labels]}, np.bincount(labels))


def test_two_kinds_with_one_code_are_a_collapse(Z):
    with pytest.warns(CollapseWarning, match="2 kinds of labels have 1 distinct codes"):
        warn({"image": Z[:1].repeat(50, axis=0)}, np.array([25, 25]), 2)


def test_label_sets_of_their_own_do_not_ask_for_more_codes_than_classes(Z):
    assert_silent({"image": Z[np.arange(50) % 4]}, np.ones(50, int), 6)
    with pytest.warns(CollapseWarning, match="6 kinds of labels have 1 distinct"):
        warn({"image": Z[:1].repeat(50, axis=0)}, np.ones(50, int), 6)


def test_the_effective_number_is_of_equally_frequent_kinds():
    assert effective_number(np.full(7, 3)) == pytest.approx(7)
    assert effective_number(np.array([5])) == 1
    assert effective_number(np.array([8, 1, 1])) == pytest.approx(100 / 66)


# --- of trained models ---

DATA = make_hierarchical(160, n_classes=(4, 40), n_features={"image": 24, "text": 30}, seed=2)
LABELS = DATA.labels["level2"]


def sdch(views=DATA.views, epochs=10, **parameters):
    training = TrainingOptions(epochs=epochs, batch_size=32, validation_fraction=0)
    return SDCH(20, hidden=(16,), feature_width=12, training=training, **parameters).fit(views, LABELS)


def dhsl(views=DATA.views, epochs=10, **parameters):
    training = TrainingOptions(epochs=epochs, batch_size=32, validation_fraction=0)
    small = {"variant": "full", "hidden": (24, 16), "selector_hidden": (8, 8), "relation_hidden": 16}
    return DHSL(20, **small, training=training, **parameters).fit(views, LABELS)


ALIKE = {name: np.ones_like(X) for name, X in DATA.views.items()}


@pytest.mark.parametrize(
    ("fit", "preset", "advice"),
    [
        (sdch, "default", "lower hash_learning_rate or beta_1"),
        (dhsl, "default", r"raise margin \(0.2 to 0.5\), or lower learning_rate"),
        (sdch, "paper", "use preset='default'"),
        (dhsl, "paper", "margin of 1e-5 .*: set margin=0.45"),
        (dhsl, "paper-nus-wide", "margin of 1e-5 .*: set margin=0.45"),
    ],
)
def test_rows_that_are_all_alike_say_what_to_change(fit, preset, advice):
    with pytest.warns(CollapseWarning) as caught:
        model = fit(ALIKE, epochs=2, preset=preset)
    assert re.search(
        "codes of '(image|text)' have collapsed: 160 samples with 39 kinds of labels have 1 distinct codes.*"
        f"; .*{advice}",
        str(caught[0].message),
    )
    assert caught[0].filename == __file__
    assert len(model.history_) == 2  # a warning, not an error: the model is there


def test_the_margin_of_the_paper_collapses_and_that_of_the_default_does_not():
    with pytest.warns(CollapseWarning, match=r"codes of '(image|text)' have collapsed: .* raise margin"):
        dhsl(margin=1e-5, learning_rate=0.1, epochs=15)
    dhsl(margin=0.45, learning_rate=0.1, epochs=15)  # a warning would be an error


def test_too_much_quantization_collapses():
    with pytest.warns(CollapseWarning, match="have collapsed: .* lower hash_learning_rate"):
        sdch(gamma=1.0, hash_learning_rate=0.5, learning_rate=0.1, beta_1=100.0)
    sdch()
