"""Bayes codes: the code, and the weights of its bits, that retrieve best under the posterior over label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.threads import resolve_n_threads
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.calibration import Choice
from pyhash.methods.parts.label_scores import LabelScores
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.posterior import softmax

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.onnx_graph import Graph


class LabelPosterior:
    """Posterior over the label sets seen, from mapped features (n, d) of one modality.

    ``P(u) ~ n_u^rho exp(tau (s . u - |u|^2 / 2))`` for scores s of the labels.
    """

    def __init__(self, scores: LabelScores, label_sets: LabelSets, choice: Choice) -> None:
        self._scores = scores
        self._label_sets = label_sets
        self._temperature = choice.temperature
        self._prior: Matrix = choice.exponent * np.log(label_sets.counts)

    def logits(self, X: Features) -> Matrix:
        """Return log P (n, u), up to a number for each row."""
        return self._temperature * self._label_sets.fit_of(self._scores(X)) + self._prior

    def in_graph(self, graph: Graph, x: str) -> str:
        """Return the logits (n, u) of rows x (n, d) float64 of a graph."""
        fit = self._label_sets.fit_in_graph(graph, self._scores.in_graph(graph, x))
        return str(graph.add("Add", graph.add("Mul", np.float64(self._temperature), fit), self._prior))


class BayesCodes:
    """From a posterior over label sets to codes and weights of their bits, with the kernel of the C++ core.

    Attributes
    ----------
    mean_codes : ndarray of shape (u, n_bits), float32
        Mean signs of each label set.
    """

    def __init__(self, label_sets: LabelSets, n_bits: int) -> None:
        self.mean_codes = np.ascontiguousarray(label_sets.mean_codes[:, :n_bits], dtype=np.float32)
        # A class that fades counts as one row: its weight n^-0.3 would grow without bound.
        self._counts = np.maximum(label_sets.counts, 1.0)
        self._sets = label_sets.sets if label_sets.has_several else None

    def __call__(self, logits: Matrix) -> NDArray[np.float32]:
        """Return projections (n, n_bits): their signs are the plain code, their magnitudes the weights.

        Posteriors are given as logits (n, u).
        """
        P = softmax(logits)
        # Scores that overflow make rows of NaN, which the caller refuses.
        finite = np.isfinite(P).all(axis=1)
        projections = np.full((len(P), self.mean_codes.shape[1]), np.nan, dtype=np.float32)
        P32 = np.ascontiguousarray(P[finite], dtype=np.float32)
        found = _core.bayes_codes(P32, self.mean_codes, self._counts, self._sets, resolve_n_threads(None))
        # Weights above 1 count as 1 in weighted distances; the scale of all does not matter.
        projections[finite] = found / np.maximum(np.abs(found).max(axis=1, keepdims=True), 1)
        return projections

    def in_graph(self, graph: Graph, logits: str) -> str:
        """Return the projections (n, n_bits) float32 of posteriors given as logits (n, u) float64 of a graph."""
        from pyhash.methods.parts.onnx_bayes import BayesGraph

        share = None
        if self._sets is not None:
            L = np.unpackbits(self._sets, axis=1).astype(np.float32)
            share = L @ L.T > 0
        return BayesGraph(graph, self.mean_codes, self._counts, share).projections(graph.softmax(logits))
