"""Figures of the shallow methods on the built-in data: image_deep and text, full-list mAP, mean of 3 seeds.

Reference: plain numpy from the papers' equations, one seed. A mean may lie 0.02 below, as seeds differ, and 0.04 above:
more would be a sign that queries leak. A part of what was compared, for the time it takes.
"""

import numpy as np
import pytest
from reference.figures import figures

from pyhash import BATCH, DSFH, LEMON, SEOCH, SHOH, RBFAnchors

pytestmark = pytest.mark.slow("learns the built-in data with three seeds a figure")

SEEDS = range(3)


def mean_figures(data, make, **options):
    """By encoder, the mean over seeds of the four scores."""
    runs = [figures(data, make(seed), seed=seed, **options) for seed in SEEDS]
    return {encoder: np.mean([run[encoder] for run in runs], axis=0) for encoder in runs[0]}


def assert_near(scores, expected, below=0.02):
    difference = np.asarray(scores) - expected
    assert (difference >= -below).all(), f"{np.round(scores, 3)} is below {expected}"
    assert (difference <= 0.04).all(), f"{np.round(scores, 3)} is above {expected}"


def kernel_of_images(seed):
    return {"image_deep": RBFAnchors(1500, width="mean_squared_distance", centered=True, seed=seed)}


IMAGE_RIDGE = {"image_deep": 0.01, "text": 1.0}


def test_seoch(emoji):
    weights = {"image_deep": 0.1, "text": 1.0}
    scores = mean_figures(
        emoji,
        lambda seed: SEOCH(64, lambda_m=weights, seed=seed),
        labels="keywords",
        chunk_size=1200,
    )
    assert_near(scores["bits"][[0, 2]], (0.567, 0.896))


def test_dsfh(emoji):
    def make(seed):
        maps = {name: RBFAnchors(1000, width="mean_distance", seed=seed) for name in ("image_deep", "text")}
        return DSFH(64, n_clusters=300, feature_maps=maps, seed=seed)

    scores = mean_figures(emoji, make, labels="keywords")
    assert_near(scores["bits"][[0, 2]], (0.722, 0.882))


@pytest.mark.parametrize(
    ("split", "n_bits", "expected"),
    [
        ("pair", 16, (0.381, 0.447, 0.918, 0.943)),
        ("pair", 64, (0.551, 0.591, 0.954, 0.959)),
        ("emoji", 64, (0.430, 0.465, 0.734, 0.740)),
    ],
)
def test_lemon(emoji, split, n_bits, expected):
    scores = mean_figures(emoji, lambda seed: LEMON(n_bits, seed=seed), split=split)
    assert_near(scores["bits"], expected)


def test_batch(emoji):
    def make(seed):
        maps = {
            name: RBFAnchors(n_anchors, width="mean_squared_distance", centered=True, seed=seed)
            for name, n_anchors in (("image_deep", 500), ("text", 1000))
        }
        return BATCH(64, feature_maps=maps, seed=seed)

    scores = mean_figures(emoji, make, split="emoji")
    assert_near(scores["bits"], (0.484, 0.507, 0.722, 0.731))


def test_lemon_with_a_kernel_of_the_images(emoji):
    """The recommended recipe, and its posterior codes."""
    scores = mean_figures(
        emoji,
        lambda seed: LEMON(16, feature_maps=kernel_of_images(seed), xi=IMAGE_RIDGE, seed=seed),
        encoders=("bits", "posterior"),
    )
    assert_near(scores["bits"], (0.557, 0.620, 0.915, 0.943))
    assert_near(scores["posterior"], (0.693, 0.707, 0.949, 0.951))


def test_shoh_with_a_kernel_of_the_images(emoji):
    scores = mean_figures(
        emoji,
        lambda seed: SHOH(
            32, hierarchy=emoji.hierarchy, feature_maps=kernel_of_images(seed), xi=IMAGE_RIDGE, seed=seed
        ),
        labels="level2",
        encoders=("bits", "posterior"),
    )
    # Seeds of SHOH differ more.
    assert_near(scores["bits"], (0.581, 0.630, 0.895, 0.917), below=0.03)
    assert_near(scores["posterior"], (0.687, 0.704, 0.923, 0.949), below=0.03)
