"""Scores of a method on the built-in data, measured as the figures of the golden tests."""

import numpy as np

from pyhash import codes
from pyhash.evaluation import mean_average_precision
from pyhash.methods.online import OnlineMethod

VIEWS = ("image_deep", "text")


def figures(data, model, *, labels="level2", split="pair", seed=0, chunk_size=2000, encoders=("bits",)):
    """By encoder: mAP (preset "shoh") image->text, weighted, text->image, weighted.

    Database rows in an order drawn by `seed`; rows without labels are left out; codes searched are those learned.
    """
    targets = data.labels[labels]
    labelled = np.flatnonzero(targets.any(axis=1)) if targets.ndim == 2 else np.arange(len(targets))
    database, queries = (np.intersect1d(rows, labelled) for rows in data.split(split))
    order = np.random.default_rng(seed).permutation(database)
    views = {name: data.views[name][order] for name in VIEWS}
    options = {"chunk_size": chunk_size} if isinstance(model, OnlineMethod) else {}
    model.set_params(encoder=encoders[-1])  # codes do not depend on it, but whether label sets are kept
    model.fit(views, targets[order], **options)
    by_id = np.argsort(order)
    learned = model.codes_[by_id]
    scores = {}
    for encoder in encoders:
        model.set_params(encoder=encoder)
        scores[encoder] = []
        for modality in VIEWS:
            projections = model.project(data.views[modality][queries], modality=modality)
            for metric, rows in (("hamming", codes.pack(projections)), ("weighted_hamming", projections)):
                score = mean_average_precision(
                    rows,
                    learned,
                    targets[queries],
                    targets[order[by_id]],
                    metric=metric,
                    n_bits=model.n_bits,
                    protocol="shoh",
                )
                scores[encoder].append(score.value)
    return scores
