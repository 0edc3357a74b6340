"""Figures of the shallow methods on the built-in data: image_deep and text, full-list mAP.

Reference: plain numpy from the papers' equations, one seed; the mean of 3 seeds must lie within 0.02.
"""

import numpy as np
import pytest
from reference.figures import figures

from pyhash import BATCH, DSFH, LEMON, SEOCH, SHOH, RBFAnchors

SEEDS = range(3)


def mean_figures(data, make, **options):
    """By encoder, the mean over seeds of the four scores."""
    runs = [figures(data, make(seed), seed=seed, **options) for seed in SEEDS]
    return {encoder: np.mean([run[encoder] for run in runs], axis=0) for encoder in runs[0]}


def kernel_of_images(seed):
    return {"image_deep": RBFAnchors(1500, width="mean_squared_distance", centered=True, seed=seed)}


IMAGE_RIDGE = {"image_deep": 0.01, "text": 1.0}


@pytest.mark.parametrize(("n_bits", "expected"), [(16, (0.457, 0.732)), (32, (0.532, 0.833)), (64, (0.567, 0.896))])
def test_seoch(emoji, n_bits, expected):
    weights = {"image_deep": 0.1, "text": 1.0}
    scores = mean_figures(
        emoji,
        lambda seed: SEOCH(n_bits, lambda_m=weights, seed=seed),
        labels="keywords",
        chunk_size=1200,
    )
    np.testing.assert_allclose(scores["bits"][[0, 2]], expected, atol=0.02)


@pytest.mark.parametrize(("n_bits", "expected"), [(16, (0.626, 0.764)), (32, (0.678, 0.824)), (64, (0.722, 0.882))])
def test_dsfh(emoji, n_bits, expected):
    def make(seed):
        maps = {name: RBFAnchors(1000, seed=seed) for name in ("image_deep", "text")}
        return DSFH(n_bits, n_clusters=300, feature_maps=maps, seed=seed)

    scores = mean_figures(emoji, make, labels="keywords")
    np.testing.assert_allclose(scores["bits"][[0, 2]], expected, atol=0.02)


@pytest.mark.parametrize(
    ("split", "n_bits", "expected"),
    [
        ("pair", 16, (0.381, 0.447, 0.918, 0.943)),
        ("pair", 32, (0.487, 0.533, 0.947, 0.958)),
        ("pair", 64, (0.551, 0.591, 0.954, 0.959)),
        ("emoji", 16, (0.287, 0.344, 0.652, 0.701)),
        ("emoji", 32, (0.362, 0.398, 0.690, 0.715)),
        ("emoji", 64, (0.430, 0.465, 0.734, 0.740)),
    ],
)
def test_lemon(emoji, split, n_bits, expected):
    scores = mean_figures(emoji, lambda seed: LEMON(n_bits, seed=seed), split=split)
    np.testing.assert_allclose(scores["bits"], expected, atol=0.02)


@pytest.mark.parametrize(
    ("split", "n_bits", "expected"),
    [
        ("pair", 16, (0.461, 0.523, 0.828, 0.869)),
        ("pair", 32, (0.566, 0.610, 0.871, 0.888)),
        ("pair", 64, (0.627, 0.648, 0.881, 0.895)),
        ("emoji", 16, (0.338, 0.398, 0.642, 0.702)),
        ("emoji", 32, (0.414, 0.460, 0.707, 0.729)),
        ("emoji", 64, (0.484, 0.507, 0.722, 0.731)),
    ],
)
def test_batch(emoji, split, n_bits, expected):
    def make(seed):
        maps = {
            name: RBFAnchors(n_anchors, width="mean_squared_distance", centered=True, seed=seed)
            for name, n_anchors in (("image_deep", 500), ("text", 1000))
        }
        return BATCH(n_bits, feature_maps=maps, seed=seed)

    scores = mean_figures(emoji, make, split=split)
    np.testing.assert_allclose(scores["bits"], expected, atol=0.02)


@pytest.mark.parametrize(
    ("split", "n_bits", "bits", "posterior"),
    [
        ("pair", 16, (0.557, 0.620, 0.915, 0.943), (0.693, 0.707, 0.949, 0.951)),
        ("pair", 32, (0.656, 0.704, 0.945, 0.958), (0.708, 0.723, 0.952, 0.954)),
        ("pair", 64, (0.711, 0.728, 0.953, 0.959), (0.708, 0.725, 0.950, 0.955)),
        ("emoji", 16, (0.395, 0.446, 0.656, 0.717), (0.487, 0.497, 0.714, 0.720)),
        ("emoji", 64, (0.512, 0.537, 0.734, 0.740), None),
    ],
)
def test_lemon_with_a_kernel_of_the_images(emoji, split, n_bits, bits, posterior):
    """The recommended recipe, and its posterior codes."""
    scores = mean_figures(
        emoji,
        lambda seed: LEMON(n_bits, feature_maps=kernel_of_images(seed), xi=IMAGE_RIDGE, seed=seed),
        split=split,
        encoders=("bits", "posterior"),
    )
    np.testing.assert_allclose(scores["bits"], bits, atol=0.02)
    if posterior is not None:
        np.testing.assert_allclose(scores["posterior"], posterior, atol=0.02)


def test_shoh_with_a_kernel_of_the_images(emoji):
    scores = mean_figures(
        emoji,
        lambda seed: SHOH(
            32, hierarchy=emoji.hierarchy, feature_maps=kernel_of_images(seed), xi=IMAGE_RIDGE, seed=seed
        ),
        labels="level2",
        encoders=("bits", "posterior"),
    )
    np.testing.assert_allclose(scores["bits"], (0.581, 0.630, 0.895, 0.917), atol=0.02)
    np.testing.assert_allclose(scores["posterior"], (0.687, 0.704, 0.923, 0.949), atol=0.02)


@pytest.mark.parametrize(
    ("n_bits", "bits", "posterior"),
    [
        (16, (0.538, 0.582, 0.718, 0.760), (0.609, 0.638, 0.741, 0.777)),
        (64, (0.667, 0.697, 0.869, 0.889), (0.715, 0.732, 0.886, 0.909)),
    ],
)
def test_seoch_with_a_kernel_of_the_images(emoji, n_bits, bits, posterior):
    weights = {"image_deep": 80.0, "text": 1.0}  # a ridge of 0.01 for the kernel
    scores = mean_figures(
        emoji,
        lambda seed: SEOCH(n_bits, lambda_m=weights, feature_maps=kernel_of_images(seed), seed=seed),
        labels="keywords",
        chunk_size=1200,
        encoders=("bits", "posterior"),
    )
    np.testing.assert_allclose(scores["bits"], bits, atol=0.02)
    np.testing.assert_allclose(scores["posterior"], posterior, atol=0.02)
