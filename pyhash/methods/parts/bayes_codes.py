"""Bayes codes: the code, and the weights of its bits, that retrieve best under the posterior over label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.calibration import Choice
from pyhash.methods.parts.label_scores import LabelScores
from pyhash.methods.parts.label_sets import LabelSets

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


class LabelPosterior:
    """Posterior over the label sets seen, from mapped features (n, d) of one modality.

    ``P(u) ~ n_u^rho exp(tau (s . u - |u|^2 / 2))`` for scores s of the labels.
    """

    def __init__(self, scores: LabelScores, label_sets: LabelSets, choice: Choice) -> None:
        self._scores = scores
        self._label_sets = label_sets
        self._temperature = choice.temperature
        self._prior = choice.exponent * np.log(label_sets.counts)

    def logits(self, X: Features) -> Matrix:
        """Return log P (n, u), up to a number for each row."""
        return self._temperature * self._label_sets.fit_of(self._scores(X)) + self._prior


class BayesCodes:
    """From a posterior over label sets to codes and weights of their bits, with the kernel of the C++ core.

    Attributes
    ----------
    mean_codes : ndarray of shape (u, n_bits), float32
        Mean signs of each label set.
    """

    def __init__(self, label_sets: LabelSets, n_bits: int) -> None:
        self.mean_codes = np.ascontiguousarray(label_sets.mean_codes[:, :n_bits], dtype=np.float32)
        self._counts = label_sets.counts.astype(np.float64)
        self._sets = label_sets.sets if label_sets.has_several else None

    def __call__(self, logits: Matrix) -> NDArray[np.float32]:
        """Return projections (n, n_bits): their signs are the plain code, their magnitudes the weights.

        Posteriors are given as logits (n, u).
        """
        P = logits - logits.max(axis=1, keepdims=True)
        np.exp(P, out=P)
        P /= P.sum(axis=1, keepdims=True)
        # Scores that overflow make rows of NaN, which the caller refuses.
        finite = np.isfinite(P).all(axis=1)
        projections = np.full((len(P), self.mean_codes.shape[1]), np.nan, dtype=np.float32)
        found = _bayes_codes(P[finite].astype(np.float32), self.mean_codes, self._counts, self._sets)
        # Weights above 1 count as 1 in weighted distances; the scale of all does not matter.
        projections[finite] = found / np.maximum(np.abs(found).max(axis=1, keepdims=True), 1)
        return projections


def _bayes_codes(
    P: NDArray[np.float32], mean_codes: NDArray[np.float32], counts: Matrix, sets: NDArray[np.uint8] | None
) -> NDArray[np.float32]:
    P, M = P.astype(np.float64), mean_codes.astype(np.float64)
    (n, c), r = P.shape, M.shape[1]
    if sets is None:
        T = P * counts**-0.3
    else:
        bits = np.unpackbits(sets, axis=1, bitorder="little").astype(np.float64)
        R = P @ (bits @ bits.T > 0)
        T = counts * R**2
    T /= T.sum(axis=1, keepdims=True)
    target = T @ M
    step = 1 / (max(np.linalg.norm(M, 2) ** 2 / c, r / 2) + 0.01)
    f = y = np.zeros((n, r))
    t = 1.0
    for _ in range(60):
        z = y @ M.T
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        new = y - step * (z @ M - target + 0.01 * y)
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y = new + (t - 1) / t_new * (new - f)
        f, t = new, t_new
    out = np.empty((n, r), np.float32)
    for i in range(n):
        order = np.argsort(-P[i], kind="stable")
        top = order[: int(np.searchsorted(np.cumsum(P[i][order]), 0.999)) + 1]
        gains = P[i] if sets is None else counts * R[i]

        def utility(q: Matrix, top: Any = top, gains: Any = gains) -> Matrix:
            D = q @ M.T
            if sets is None:
                d, own = D[:, top][:, :, None], counts[top]
                b = (D[:, None, :] > d + 1e-9) @ counts
                b += 0.5 * ((np.abs(D[:, None, :] - d) <= 1e-9) @ counts - own)
                precisions: Matrix = 1 - b / own * np.log((b + own + 0.5) / (b + 0.5))
                found: Matrix = precisions @ gains[top]
                return found
            near = np.argsort(-D, axis=1, kind="stable")
            g, m = gains[near], counts[near]
            shares = (np.cumsum(g, axis=1) - 0.5 * g) / (np.cumsum(m, axis=1) - 0.5 * m)
            means: Matrix = (g * shares).sum(axis=1)
            return means

        starts = np.vstack([f[i][None], (P[i] @ M)[None], M[order[:16]]])
        starts = np.where(starts >= 0, 1.0, -1.0)
        u = utility(starts)
        q, best = starts[int(np.argmax(u))].copy(), u.max()
        for _ in range(2):
            u = utility(q * (1 - 2 * np.eye(r)))
            j = int(np.argmax(u))
            if u[j] <= best + 1e-12:
                break
            q[j], best = -q[j], u[j]
        out[i] = q * np.maximum(q * f[i], 0.001 * np.abs(f[i]).mean())
    return out
