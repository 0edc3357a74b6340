"""Posterior codes of deep methods: label scores from features, and the choice between the two encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pyhash.deep.outputs import Outputs, fused_signs
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.encoder_trial import ENCODERS, EncoderTrial
from pyhash.methods.parts.feature_maps import row_blocks
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import add_gram, solve_ridge


def label_weights(features: Outputs, L: Matrix, xi: Mapping[str, float]) -> dict[str, Matrix]:
    """Return the ridge weights (k + 1, c) of label scores from each modality's features (n, k) and 1."""
    weights = {}
    for name, found in features.items():
        G, XL = np.zeros((found.shape[1] + 1,) * 2), np.zeros((found.shape[1] + 1, L.shape[1]))
        for block in row_blocks(len(found)):
            X = with_one(found[block]).astype(np.float64)
            G, XL = add_gram(G, X), XL + X.T @ L[block]
        weights[name] = solve_ridge(G, XL, xi[name])
    return weights


def with_one(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append a column of 1 to features."""
    return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)


def try_encoders(
    features: Outputs,
    outputs: Outputs,
    L: Matrix,
    xi: Mapping[str, float],
    held_out: NDArray[np.int64],
    trained: NDArray[np.int64],
    rng: np.random.Generator,
) -> EncoderTrial:
    """Score both encoders by the rows held out, as queries for those trained on."""
    signs = fused_signs({name: found[trained] for name, found in outputs.items()})
    weights = label_weights({name: found[trained] for name, found in features.items()}, L[trained], xi)
    sets = LabelSets.empty(L.shape[1], signs.shape[1]).add(L[trained], signs)

    def project(modality: str, encoder: str) -> NDArray[np.float32]:
        if encoder == "bits":
            return outputs[modality][held_out]
        return PosteriorEncoder(weights[modality], sets)(with_one(features[modality][held_out]))

    trial = EncoderTrial.empty(signs.shape[1], L.shape[1])
    queries = trial.with_samples(L[trained], signs, rng).with_queries(L[held_out], list(outputs), ENCODERS[:2], project)
    return dataclasses.replace(trial, scores=queries.scores, n_queries=queries.n_queries)
