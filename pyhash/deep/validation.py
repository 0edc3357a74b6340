"""Validation: how well rows held out of training find the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.codes import pack
from pyhash.deep.similarity import ordered_pairs_of
from pyhash.evaluation.average_precision import mean_average_precision
from pyhash.methods.parts.encoder_trial import MAX_QUERIES

# Rows that are searched, at most: a score costs little beside an epoch.
_MAX_DATABASE = 5000


def split_rows(n: int, fraction: float, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of rows that are held out, and of those that are trained on, both ascending."""
    n_held = int(n * fraction)
    order = rng.permutation(n)
    return np.sort(order[:n_held]), np.sort(order[n_held:])


@dataclass(frozen=True)
class Validation:
    """Rows held out of training, as queries, and rows trained on, as the database."""

    queries: NDArray[np.int64]
    database: NDArray[np.int64]
    query_labels: NDArray[Any]
    database_labels: NDArray[Any]

    @classmethod
    def draw(
        cls, L: NDArray[Any], held_out: NDArray[np.int64], trained: NDArray[np.int64], rng: np.random.Generator
    ) -> Validation:
        """Draw at most 500 of the rows held out and at most 5,000 of the others; L (n, c) are the labels of all."""
        queries = np.sort(rng.permutation(held_out)[:MAX_QUERIES])
        database = np.sort(rng.permutation(trained)[:_MAX_DATABASE])
        return cls(queries, database, L[queries], L[database])

    def scores(self, queries: Mapping[str, NDArray[Any]], database: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Return the plain mAP (full list) of each ordered pair of modalities, from the outputs (n, n_bits)."""
        return {
            f"{query}->{searched}": mean_average_precision(
                pack(queries[query]),
                pack(database[searched]),
                self.query_labels,
                self.database_labels,
                n_bits=queries[query].shape[1],
                protocol="shoh",
            ).value
            for query, searched in ordered_pairs_of(list(queries))
        }
