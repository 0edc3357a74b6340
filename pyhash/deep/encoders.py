"""Encoders of deep methods beside the signs: label scores from features, their calibration, and the choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.deep.outputs import Outputs, fused_signs
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.bayes_codes import BayesCodes, LabelPosterior
from pyhash.methods.parts.calibration import UNCALIBRATED, Calibration
from pyhash.methods.parts.encoder_trial import ENCODERS, EncoderTrial
from pyhash.methods.parts.feature_maps import row_blocks
from pyhash.methods.parts.label_scores import LabelScores
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


def label_posterior(weights: Matrix, label_sets: LabelSets, calibration: Calibration | None) -> LabelPosterior:
    """Return the posterior over label sets from features (n, k), by weights (k + 1, c)."""
    choice = UNCALIBRATED if calibration is None else calibration.choice
    return LabelPosterior(_scores_of(weights), label_sets, choice)


def _scores_of(weights: Matrix) -> LabelScores:
    return LabelScores(weights[:-1], weights[-1], None, 0.0)


@dataclass(frozen=True)
class _FixedScores:
    """Label scores that are solved already, with the one ridge that there is."""

    weights: Matrix

    def rough_scores(self, X: Any, xi: float, shares: Sequence[float]) -> Iterator[Matrix]:
        return iter([_scores_of(self.weights)(X)] * len(shares))


def compare_encoders(
    features: Outputs,
    outputs: Outputs,
    L: Matrix,
    xi: Mapping[str, float],
    held_out: NDArray[np.int64],
    trained: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[dict[str, Calibration], EncoderTrial]:
    """Calibrate label scores by the rows held out, and score the encoders by these as queries for those trained on."""
    signs = fused_signs({name: found[trained] for name, found in outputs.items()})
    weights = label_weights({name: found[trained] for name, found in features.items()}, L[trained], xi)
    sets = LabelSets.empty(L.shape[1], signs.shape[1]).add(L[trained], signs)
    calibrations = {
        name: Calibration.empty((xi[name],), (0.0,)).with_rows(
            features[name][held_out].astype(np.float64), L[held_out], sets, _FixedScores(weights[name])
        )
        for name in features
    }
    to_codes = BayesCodes(sets, signs.shape[1])

    def project(modality: str, encoder: str) -> NDArray[np.float32]:
        if encoder == "bits":
            return outputs[modality][held_out]
        found = features[modality][held_out]
        if encoder == "posterior":
            return PosteriorEncoder(weights[modality], sets)(with_one(found))
        return to_codes(label_posterior(weights[modality], sets, calibrations[modality]).logits(found))

    trial = EncoderTrial.empty(signs.shape[1], L.shape[1])
    sampled = trial.with_samples(L[trained], signs, rng)
    scored = sampled.with_queries(L[held_out], list(outputs), ENCODERS, project)
    return calibrations, dataclasses.replace(trial, scores=scored.scores, n_queries=scored.n_queries)
