"""Figures of the deep methods on the built-in data, default presets but fewer epochs: image_deep and text, 32 bits.

mAP of codes that are encoded from the modality searched, and of fused ones. The least that is allowed lies 0.04 below
what was measured on one machine: rounding differs between machines, and trained networks with it.
"""

import numpy as np
import pytest

from pyhash.deep import DHSL, SDCH, TrainingOptions
from pyhash.evaluation import mean_average_precision

pytestmark = pytest.mark.slow("trains a network on the built-in data")

VIEWS = ("image_deep", "text")


@pytest.mark.parametrize(
    ("method", "encoded", "fused"),
    [
        (DHSL, (0.417, 0.473), (0.396, 0.656)),
        (SDCH, (0.423, 0.457), (0.404, 0.615)),
    ],
)
def test_a_short_training_finds_as_much_as_it_did(emoji, method, encoded, fused):
    database, queries = emoji.split("pair")
    labels = emoji.labels["level2"]
    views = {name: emoji.views[name][database] for name in VIEWS}
    model = method(n_bits=32, training=TrainingOptions(epochs=4)).fit(views, labels[database])

    def score(query, codes):
        found = model.encode(emoji.views[query][queries], modality=query)
        return mean_average_precision(found, codes, labels[queries], labels[database], n_bits=32, protocol="shoh").value

    searched = {name: model.encode(views[name], modality=name) for name in VIEWS}
    scores = [score("image_deep", searched["text"]), score("text", searched["image_deep"])]
    assert (np.array(scores) >= np.array(encoded) - 0.04).all(), scores
    scores = [score(name, model.codes_) for name in VIEWS]
    assert (np.array(scores) >= np.array(fused) - 0.04).all(), scores
    learned = [epoch["loss"] for epoch in model.history_]
    assert learned[-1] < 0.75 * learned[0]
    assert model.best_epoch_ >= 3
