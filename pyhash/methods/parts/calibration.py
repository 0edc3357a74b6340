"""Calibration of label scores: the candidates, and how likely each made the labels of rows not yet learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_real, is_sparse
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.ridge import LEAST_RIDGE_OF_KERNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.feature_sums import FeatureSums

TEMPERATURES = (4.0, 6.0, 8.0, 11.0, 15.0, 20.0, 28.0, 40.0)
EXPONENTS = (0.0, 0.5, 1.0)
# Ridges of kernel features and of bags of words of unit length; of other features, by their mean square.
_KERNEL_RIDGES = (LEAST_RIDGE_OF_KERNELS, 0.003, 0.03, 0.3, 3.0)
_COUNT_RIDGES = (0.1, 0.3, 1.0, 3.0)
_RELATIVE_RIDGES = (0.1, 1.0, 10.0, 100.0)
_SHARES = (0.0, 0.02, 0.04, 0.08, 0.16)
# Rows of a chunk that are predicted at most, and exponentials that all candidates together take at most.
MAX_ROWS = 500
_MAX_EXPONENTIALS = 1 << 25
# A ridge is tried no longer if its mean precision is behind the best one by more than the first of these, and so much
# more as few rows tell: the second, divided by the root of their number.
_MARGIN, _MARGIN_OF_ROW = 0.01, 0.1
# Every ridge tried costs a factorization a chunk. Once so many rows were predicted, few remain, and from the next chunk
# on fewer.
_ROWS_TO_CHOOSE = 200
_MOST_AT_FIRST, _MOST = 3, 2


class SolvesScores(Protocol):
    """Solver of label scores, such as ``ScoreSolver``."""

    def rough_scores(self, X: Features, xi: float, shares: Sequence[float]) -> Iterator[Matrix]:
        """Iterate over the scores (n, c) of rows with ridge `xi` and each of the shares of naive Bayes."""


class Choice(NamedTuple):
    """A candidate: how labels are scored, and how scores become probabilities."""

    ridge: float  # xi
    share: float  # a, of naive Bayes
    temperature: float  # tau
    exponent: float  # rho, of the frequency of a label set


UNCALIBRATED = Choice(0.1, 0.0, 15.0, 0.0)


@dataclass(frozen=True)
class Calibration:
    """Running scores of all candidates, for one modality, on rows that were not learned yet.

    ``P(u) ~ n_u^rho exp(tau (s . u - |u|^2 / 2))`` over the label sets u seen; rho is 0 where every set is one label.
    The scores s, so xi and a, are those whose ranking of the sets has the greatest mean average precision; tau and rho
    are then those of the greatest likelihood. Sums over earlier rows are halved with every 500 rows.
    """

    ridges: tuple[float, ...]
    shares: tuple[float, ...]
    precisions: NDArray[np.float64]  # (ridges, shares): sum of average precisions; -infinity where no longer tried
    losses: NDArray[np.float64]  # (ridges, shares, TEMPERATURES, EXPONENTS): sum of negative log likelihoods
    n_rows: float  # rows predicted, older ones counting less likewise

    @classmethod
    def empty(cls, ridges: tuple[float, ...], shares: tuple[float, ...]) -> Calibration:
        """Return the calibration before any row was predicted."""
        shape = len(ridges), len(shares)
        return cls(ridges, shares, np.zeros(shape), np.zeros((*shape, len(TEMPERATURES), len(EXPONENTS))), 0.0)

    @property
    def choice(self) -> Choice:
        """The best candidate, the first of equal ones."""
        if self.n_rows == 0:
            return UNCALIBRATED
        i, j = np.unravel_index(int(np.argmax(self.precisions)), self.precisions.shape)
        k, m = np.unravel_index(int(np.argmin(self.losses[i, j])), self.losses.shape[2:])
        return Choice(self.ridges[i], self.shares[j], TEMPERATURES[k], EXPONENTS[m])

    def with_rows(self, X: Features, L: Matrix, label_sets: LabelSets, solver: SolvesScores) -> Calibration:
        """Return the calibration after predicting rows X (n, d) with labels L (n, c).

        `label_sets` and `solver` are those of other rows. Rows with a label set that is not in the table are left out.
        """
        if label_sets.has_several and np.isinf(self.losses).any():  # so far every row had one label
            return Calibration.empty(self.ridges, self.shares).with_rows(X, L, label_sets, solver)
        number = label_sets.find(L)
        tried = np.flatnonzero(np.isfinite(self.precisions).any(axis=1))
        exponents = EXPONENTS if label_sets.has_several else EXPONENTS[:1]
        n_candidates = len(tried) * len(self.shares) * len(TEMPERATURES) * len(exponents)
        most = max(1, _MAX_EXPONENTIALS // (n_candidates * max(1, len(label_sets.counts))))
        rows = np.flatnonzero(number >= 0)[:most]
        if len(rows) == 0:
            return self
        X, number = X[rows], number[rows]
        similar = label_sets.similar_to(number) if label_sets.has_several else None
        kept = 0.5 ** (len(rows) / MAX_ROWS)
        precisions, losses = kept * self.precisions, kept * self.losses
        losses[:, :, :, len(exponents) :] = np.inf
        log_counts = np.log(label_sets.counts)
        for i in tried:
            for j, scores in enumerate(solver.rough_scores(X, self.ridges[i], self.shares)):
                fit = label_sets.fit_of(scores)
                precisions[i, j] += _average_precisions(fit, number, similar, label_sets.counts).sum()
                for k, temperature in enumerate(TEMPERATURES):
                    for m, exponent in enumerate(exponents):
                        losses[i, j, k, m] += _negative_log_likelihood(
                            temperature * fit + exponent * log_counts, number
                        )
        n_rows = kept * self.n_rows + len(rows)
        best = precisions.max(axis=1)
        precisions[best < best.max() - n_rows * (_MARGIN + _MARGIN_OF_ROW / np.sqrt(n_rows))] = -np.inf
        if n_rows >= _ROWS_TO_CHOOSE:
            most = _MOST_AT_FIRST if self.n_rows < _ROWS_TO_CHOOSE else _MOST
            precisions[np.argsort(-best, kind="stable")[most:]] = -np.inf
        return Calibration(self.ridges, self.shares, precisions, losses, n_rows)

    def plus(self, other: Calibration) -> Calibration:
        """Return the calibration by the predictions of both, each weighted as it is.

        Only what both still try stays; if that is nothing, the calibration of more rows.

        Raises
        ------
        ValueError
            If the candidates are not the same.
        """
        if (self.ridges, self.shares) != (other.ridges, other.shares):
            raise ValueError(f"{self.ridges} with {self.shares}, and {other.ridges} with {other.shares}")
        precisions = self.precisions + other.precisions
        if np.isinf(precisions).all():
            return self if self.n_rows >= other.n_rows else other
        return Calibration(self.ridges, self.shares, precisions, self.losses + other.losses, self.n_rows + other.n_rows)

    def renewed(self) -> Calibration:
        """Return the calibration with the same candidates, before any row was predicted."""
        return Calibration.empty(self.ridges, self.shares)

    def describe(self) -> dict[str, float]:
        """Return the choice, its mean precision and negative log likelihood, and the number of rows predicted."""
        n_rows = self.n_rows or float("nan")
        choice = self.choice
        losses = (
            self.losses[self.ridges.index(choice.ridge), self.shares.index(choice.share)] if self.n_rows else np.nan
        )
        return {
            **choice._asdict(),
            "precision": float(self.precisions.max()) / n_rows,
            "loss": float(np.min(losses)) / n_rows,
            "n_rows": self.n_rows,
        }

    def store(self, name: str, arrays: Arrays) -> Fields:
        """Return header fields, and put the sums into `arrays` under `name`."""
        arrays |= {f"{name}.precisions": self.precisions, f"{name}.losses": self.losses}
        return {"ridges": list(self.ridges), "shares": list(self.shares), "n_rows": self.n_rows}

    @classmethod
    def restore(cls, fields: Fields, name: str, archive: Archive) -> Calibration:
        """Return the calibration of a file; raise if its parts do not fit together."""
        ridges = tuple(check_real("ridges", ridge, 0.0, exclusive=True) for ridge in fields["ridges"])
        shares = tuple(check_real("shares", share, 0.0) for share in fields["shares"])
        empty = cls.empty(ridges, shares)
        precisions = archive.array(f"{name}.precisions", np.float64, empty.precisions.shape)
        losses = archive.array(f"{name}.losses", np.float64, empty.losses.shape)
        if np.isnan(losses).any() or not np.isfinite(precisions.max(initial=-np.inf)):
            raise ValueError(f"{name} must have the sums of at least one ridge and one share")
        return cls(ridges, shares, precisions, losses, check_real("n_rows", fields["n_rows"], 0.0))


def candidates_of(feature_map: Any, X: Features, sums: FeatureSums) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the ridges and shares of naive Bayes to try for a modality: its map, some mapped rows, its sums."""
    if isinstance(feature_map, RBFAnchors):
        return _KERNEL_RIDGES, (0.0,)
    if is_sparse(X) and X.data.min(initial=0.0) >= 0:
        return _COUNT_RIDGES, _SHARES
    mean_square = float(np.trace(sums.XX)) / max(1, sums.XX.shape[0])
    return tuple(ratio * (mean_square or 1.0) for ratio in _RELATIVE_RIDGES), (0.0,)


def _average_precisions(
    fit: Matrix, number: NDArray[np.intp], similar: NDArray[np.bool_] | None, counts: NDArray[np.int64]
) -> Matrix:
    """Return the average precision (n,) of ranking all rows by the fit (n, u) of their label sets.

    Relevant are the sets that `similar` (n, u) says; if it is None, the set of the row itself. Of n_u relevant rows
    behind b others and a relevant ones, the precisions add up to about
    ``n_u - b log((a + b + n_u + 1/2) / (a + b + 1/2))``.
    """
    if similar is None:
        own = counts[number]
        ahead = np.where(fit > fit[np.arange(len(fit)), number][:, None], counts, 0).sum(axis=1)
        found: Matrix = 1 - ahead / own * np.log((ahead + own + 0.5) / (ahead + 0.5))
        return found
    order = np.argsort(-fit, axis=1, kind="stable")
    n = counts[order]
    relevant = np.where(np.take_along_axis(similar, order, axis=1), n, 0)
    ahead = np.cumsum(n, axis=1) - n
    others = ahead - (np.cumsum(relevant, axis=1) - relevant)
    sums = np.where(relevant > 0, n - others * np.log((ahead + n + 0.5) / (ahead + 0.5)), 0.0)
    means: Matrix = sums.sum(axis=1) / relevant.sum(axis=1)
    return means


def _negative_log_likelihood(logits: Matrix, number: NDArray[np.intp]) -> float:
    """Return the sum over rows of ``-log softmax(logits)[number]``."""
    largest = logits.max(axis=1)
    log_sums = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
    return float((log_sums - logits[np.arange(len(logits)), number]).sum())
