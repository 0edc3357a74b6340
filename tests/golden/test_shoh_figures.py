"""SHOH's figures on the built-in data: image_deep and text, chunks of 2000, level-2 relevance, preset "shoh".

Reference: plain numpy from the paper's equations, mean of 2 or 3 seeds; the mean of 5 seeds must lie within 0.03. Of
twelve cells seven: they take long, and all were measured once.
"""

import numpy as np
import pytest

from pyhash import SHOH, codes
from pyhash.evaluation import mean_average_precision

pytestmark = pytest.mark.slow("learns the built-in data with five seeds a figure")

# image->text, weighted, text->image, weighted
REFERENCE = {
    ("random", "pair", 32): (0.300, 0.361, 0.803, 0.814),
    ("random", "emoji", 64): (0.429, 0.463, 0.719, 0.733),
    ("centers", "pair", 16): (0.124, 0.174, 0.362, 0.410),
    ("centers", "pair", 32): (0.401, 0.465, 0.914, 0.924),
    ("centers", "pair", 64): (0.567, 0.611, 0.956, 0.964),
    ("centers", "emoji", 16): (0.098, 0.130, 0.238, 0.283),
    ("centers", "emoji", 64): (0.444, 0.478, 0.727, 0.744),
}


def measure(data, init, split, n_bits, seed):
    model = SHOH(n_bits=n_bits, hierarchy=data.hierarchy, init=init, seed=seed)
    rows, learned = [], []
    for chunk in data.chunks(2000, seed, split=split, views=["image_deep", "text"]):
        model.partial_fit(chunk.views, chunk.labels)
        rows.append(chunk.rows)
        learned.append(model.codes_)
    order = np.argsort(np.concatenate(rows))
    database, ids = np.concatenate(learned)[order], np.concatenate(rows)[order]
    queries = data.split(split)[1]
    labels = data.labels["level2"]
    scores = []
    for modality in ("image_deep", "text"):
        projections = model.project(data.views[modality][queries], modality=modality)
        for metric, rows_of in (("hamming", codes.pack(projections)), ("weighted_hamming", projections)):
            score = mean_average_precision(
                rows_of, database, labels[queries], labels[ids], metric=metric, n_bits=n_bits, protocol="shoh"
            )
            scores.append(score.value)
    return scores


@pytest.mark.parametrize(("init", "split", "n_bits"), REFERENCE)
def test_mean_of_five_seeds(emoji, init, split, n_bits):
    scores = [measure(emoji, init, split, n_bits, seed) for seed in range(5)]
    np.testing.assert_allclose(np.mean(scores, axis=0), REFERENCE[init, split, n_bits], atol=0.03)
