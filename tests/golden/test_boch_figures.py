"""BOCH's figures on the built-in data: image_deep and text, chunks of 2000, preset "shoh"; a part of those measured.

image->text, weighted, text->image, weighted, of a prototype in plain numpy.
"""

import numpy as np
import pytest

from pyhash import BOCH, RBFAnchors, codes
from pyhash.evaluation import mean_average_precision
from tests.reference.figures import VIEWS, figures

pytestmark = pytest.mark.usefixtures("one_blas_thread")

CLASSES = {  # by split and bits
    ("pair", 16): (0.829, 0.837, 0.973, 0.977),
    ("pair", 32): (0.842, 0.849, 0.974, 0.978),
    ("pair", 64): (0.843, 0.849, 0.975, 0.979),
    ("emoji", 16): (0.563, 0.573, 0.763, 0.774),
    ("emoji", 32): (0.572, 0.583, 0.773, 0.783),
    ("emoji", 64): (0.581, 0.587, 0.776, 0.784),
}
KEYWORDS = {16: (0.737, 0.758, 0.832, 0.855), 32: (0.798, 0.812, 0.898, 0.916)}


def stream(emoji, given, n_rows=None, **parameters):
    """The model, its codes and the order of the rows, after a stream with the given labels."""
    order = np.random.default_rng(0).permutation(emoji.split("pair")[0])[:n_rows]
    fitted, learned = BOCH(32, **parameters), []
    for start in range(0, len(order), 2000):
        chunk = order[start : start + 2000]
        fitted.partial_fit({name: emoji.views[name][chunk] for name in VIEWS}, given[chunk])
        learned.append(fitted.codes_)
    return fitted, np.concatenate(learned), order


def scores(emoji, fitted, learned, order, queries):
    """mAP of both modalities, plain and weighted."""
    labels, found = emoji.labels["level2"], []
    for name in VIEWS:
        projections = fitted.project(emoji.views[name][queries], modality=name)
        for metric, rows in (("hamming", codes.pack(projections)), ("weighted_hamming", projections)):
            score = mean_average_precision(
                rows, learned, labels[queries], labels[order], metric=metric, n_bits=32, protocol="shoh"
            )
            found.append(score.value)
    return np.array(found)


def test_half_of_the_data_with_small_kernels(emoji):
    """In a few seconds: 4,000 rows, 600 anchors."""
    maps = {"image_deep": RBFAnchors(600, centered=True)}
    fitted, learned, order = stream(emoji, emoji.labels["level2"], 4000, feature_maps=maps)
    found = scores(emoji, fitted, learned, order, emoji.split("pair")[1])
    assert (found >= np.array([0.644, 0.657, 0.956, 0.960]) - 0.01).all(), found


@pytest.mark.slow("learns the built-in data with three seeds a figure")
@pytest.mark.parametrize(("split", "n_bits"), CLASSES)
def test_classes(emoji, split, n_bits):
    found = [figures(emoji, BOCH(n_bits, seed=seed), split=split, seed=seed, encoders=("bayes",)) for seed in range(3)]
    mean = np.mean([each["bayes"] for each in found], axis=0)
    assert (mean >= np.array(CLASSES[split, n_bits]) - 0.01).all(), mean


@pytest.mark.slow("learns the built-in data with three seeds a figure")
@pytest.mark.parametrize("n_bits", KEYWORDS)
def test_several_labels_a_row(emoji, n_bits):
    found = [
        figures(emoji, BOCH(n_bits, seed=seed), labels="keywords", seed=seed, encoders=("bayes",)) for seed in range(3)
    ]
    mean = np.mean([each["bayes"] for each in found], axis=0)
    assert (mean >= np.array(KEYWORDS[n_bits]) - 0.01).all(), mean


@pytest.mark.slow("learns the built-in data")
def test_twenty_classes_that_appear_in_the_third_chunk(emoji):
    labels = emoji.labels["level2"]
    late = np.random.default_rng(0).permutation(87)[:20]
    # Numbered last, they are new columns of the third chunk.
    number = np.argsort(np.concatenate([np.setdiff1d(np.arange(87), late), late]))
    is_late = np.isin(labels, late)
    order = np.random.default_rng(0).permutation(emoji.split("pair")[0])
    early, rest = order[~is_late[order]][:4000], order
    rest = rest[~np.isin(rest, early)]
    fitted, learned = BOCH(32), []
    for chunk in (early[:2000], early[2000:], *np.array_split(rest, -(-len(rest) // 2000))):
        fitted.partial_fit({name: emoji.views[name][chunk] for name in VIEWS}, number[labels[chunk]])
        learned.append(fitted.codes_)
    found = (fitted, np.concatenate(learned), np.concatenate([early, rest]))
    queries = emoji.split("pair")[1]
    of_all, of_late = scores(emoji, *found, queries), scores(emoji, *found, queries[is_late[queries]])
    assert (of_all >= np.array([0.832, 0.839, 0.975, 0.978]) - 0.01).all(), of_all
    assert (of_late[[1, 3]] >= np.array([0.846, 0.986]) - 0.03).all(), of_late  # others are drawn than for the figures


@pytest.mark.slow("learns the built-in data twice")
@pytest.mark.parametrize("noise", [0.1, "auto"])
def test_a_tenth_of_the_labels_is_wrong(emoji, noise):
    labels = emoji.labels["level2"]
    rng, (rows, queries) = np.random.default_rng(100), emoji.split("pair")
    given = labels.copy()
    wrong = rows[rng.random(len(rows)) < 0.1]
    given[wrong] = (given[wrong] + rng.integers(1, 87, len(wrong))) % 87
    found = scores(emoji, *stream(emoji, given, noise=noise), queries)
    assert (found >= np.array([0.747, 0.755, 0.864, 0.868]) - 0.01).all(), found


@pytest.mark.slow("learns the built-in data twice")
def test_an_estimate_finds_no_noise_where_labels_are_right(emoji):
    labels = emoji.labels["level2"]
    taken, learned, _ = stream(emoji, labels, noise="auto")
    assert len(taken.relabelled_["row"]) == 0
    np.testing.assert_array_equal(learned, stream(emoji, labels)[1])
