"""Comparison of the encoders on data that the model has not learned yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_integer, check_real, n_bytes_of
from pyhash.codes import pack
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.label_sets import pack_label_sets, unpack_label_sets

if TYPE_CHECKING:
    from pyhash._files.archive import Archive

ENCODERS = ("bits", "posterior", "bayes")
# At most so many rows of a chunk are queries, and so many codes are kept: the cost does not grow with the stream.
MAX_QUERIES = 500
_MAX_KEPT = 2000


@dataclass(frozen=True)
class EncoderTrial:
    """Running scores of all encoders, and a uniform sample of the codes so far.

    The score of a query is the mean of its plain and its weighted average precision.
    """

    scores: dict[str, tuple[float, ...]]  # by modality: sum over queries for each of ENCODERS
    n_queries: int
    codes: NDArray[np.uint8]  # (n_kept, ceil(n_bits / 8))
    labels: NDArray[np.uint8]  # (n_kept, ceil(n_classes / 8)), packed
    keys: Matrix  # (n_kept,) the smallest of all random keys drawn, one a sample

    @classmethod
    def empty(cls, n_bits: int, n_classes: int) -> EncoderTrial:
        """Return the trial before any sample."""
        return cls(
            {},
            0,
            np.zeros((0, n_bytes_of(n_bits)), np.uint8),
            np.zeros((0, n_bytes_of(n_classes)), np.uint8),
            np.zeros(0),
        )

    def choice(self, *modalities: str) -> str:
        """Return the encoder with the best score of some modalities, the first of equal ones; "bits" at first."""
        sums = [self.scores[name] for name in modalities if name in self.scores]
        scores = [sum(of_encoder) for of_encoder in zip(*sums, strict=True)] or [0.0]
        return ENCODERS[scores.index(max(scores))]

    def with_samples(self, L: Matrix, B: NDArray[np.int8], rng: np.random.Generator) -> EncoderTrial:
        """Return the trial with more learned samples: labels L (n, c), signs B (n, r).

        Samples without a label are left out.
        """
        is_labelled = L.any(axis=1)
        L, B = L[is_labelled], B[is_labelled]
        keys = np.concatenate([self.keys, rng.random(len(B))])
        kept = np.sort(np.argsort(keys, kind="stable")[:_MAX_KEPT])
        codes = np.concatenate([self.codes, pack(B)])[kept]
        labels = np.concatenate([self.labels, pack_label_sets(L)])[kept]
        return EncoderTrial(self.scores, self.n_queries, codes, labels, keys[kept])

    def with_queries(
        self,
        L: Matrix,
        modalities: list[str],
        encoders: Sequence[str],
        project: Callable[[str, str], NDArray[np.float32]],
    ) -> EncoderTrial:
        """Return the trial with more queries: labels L (n, c), projections from ``project(modality, encoder)``.

        `encoders` are the first of ``ENCODERS``, all that the model can use; the others score 0.
        """
        from pyhash.evaluation.average_precision import mean_average_precision

        if len(self.codes) == 0 or len(L) == 0:
            return self
        database_labels = unpack_label_sets(self.labels, L.shape[1])

        def score(projections: NDArray[np.float32]) -> float:
            total = 0.0
            metric: Literal["hamming", "weighted_hamming"]
            for metric, queries in (("hamming", pack(projections)), ("weighted_hamming", projections)):
                found = mean_average_precision(
                    queries,
                    self.codes,
                    L,
                    database_labels,
                    metric=metric,
                    n_bits=projections.shape[1],
                    protocol="shoh",
                )
                total += 0.5 * float(found.per_query.sum())
            return total

        scores = dict(self.scores)
        for modality in modalities:
            before = scores.get(modality, (0.0,) * len(ENCODERS))
            new = [score(project(modality, encoder)) for encoder in encoders]
            scores[modality] = tuple(a + b for a, b in zip_longest(before, new, fillvalue=0.0))
        return EncoderTrial(scores, self.n_queries + len(L), self.codes, self.labels, self.keys)

    def widened(self, n_classes: int) -> EncoderTrial:
        """Return the trial with room for more classes."""
        n_new = n_bytes_of(n_classes) - self.labels.shape[1]
        return replace(self, labels=np.pad(self.labels, ((0, 0), (0, n_new))))

    def store(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return header fields, and put arrays into `arrays`."""
        arrays |= {"trial.codes": self.codes, "trial.labels": self.labels, "trial.keys": self.keys}
        return {"scores": {name: list(sums) for name, sums in self.scores.items()}, "n_queries": self.n_queries}

    @classmethod
    def restore(cls, fields: Any, archive: Archive, n_bits: int, n_classes: int) -> EncoderTrial:
        """Return the trial of a file; raise if its parts do not fit together."""
        codes = archive.array("trial.codes", np.uint8, (None, n_bytes_of(n_bits)))
        return cls(
            {
                name: _restore_sums(sums, len(ENCODERS) if archive.version > 1 else 2)
                for name, sums in fields["scores"].items()
            },
            check_integer("n_queries", fields["n_queries"], 0),
            codes,
            archive.array("trial.labels", np.uint8, (len(codes), n_bytes_of(n_classes))),
            archive.array("trial.keys", np.float64, (len(codes),)),
        )


def _restore_sums(sums: Any, n: int) -> tuple[float, ...]:
    """Return the sums of a file, which has `n`: files of version 1 lack that of "bayes"."""
    if len(sums) != n:
        raise ValueError(f"scores must have a sum for each of {n} encoders, got {len(sums)}")
    found = (check_real("scores", total, 0.0) for total in sums)
    return (*found, *(0.0,) * (len(ENCODERS) - n))
