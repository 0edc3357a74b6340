"""Scores of each query of the runs of a comparison, in memory or in files beside the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file
from pyhash.comparison.metrics import MAP
from pyhash.comparison.records import DISTANCES, Distance, Record, directions_of

QUERIES = "queries"


class QueryScores:
    """Scores of each query by run.

    An array of one run has shape (n_protocols, n_directions, n_metrics, 2, n_queries), in the order of its record, with
    the plain distance before the weighted one. NaN marks a query that was skipped.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._arrays: dict[str, NDArray[np.float64]] = {}

    def add(self, key: str, scores: NDArray[np.float64]) -> None:
        """Keep the scores of the run of that key; in a folder they are on disk when the call returns."""
        if self._folder is None:
            self._arrays[key] = scores
            return
        path = _path(self._folder, key)
        path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as file:
            np.save(file, scores, allow_pickle=False)

    def mean_of_runs(
        self, runs: Sequence[Record], protocol: str, direction: str, metric: str, distance: Distance
    ) -> NDArray[np.float64]:
        """Return the mean over runs, which differ in their seeds, of the score of each query (n_queries,)."""
        first = runs[0]
        place = (
            list(first["protocols"]).index(protocol),
            directions_of([first]).index(direction),
            first.get("metrics", [MAP]).index(metric),
            DISTANCES.index(distance),
        )
        scores: NDArray[np.float64] = np.mean([self._of(run)[place] for run in runs], axis=0)
        return scores

    def _of(self, run: Record) -> NDArray[np.float64]:
        key = run["key"]
        if key not in self._arrays:
            self._arrays[key] = self._read(run)
        return self._arrays[key]

    def _read(self, run: Record) -> NDArray[np.float64]:
        """Return the scores of the file of a run."""
        named = f"{run['method']}, {run['n_bits']} bits, seed {run['seed']}"
        path = None if self._folder is None else _path(self._folder, run["key"])
        if path is None or not path.exists():
            where = "" if path is None else f": {path} is missing"
            raise ValueError(f"intervals must have the scores of each query, {named} has none{where}")
        try:
            scores = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path} must hold the scores of each query of {named}: {error}") from None
        n_metrics = len(run.get("metrics", [MAP]))
        shape = (len(run["protocols"]), len(run["directions"]), n_metrics, len(DISTANCES), run["data"]["n_queries"])
        if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype != np.float64:
            raise ValueError(f"{path} must hold the scores of each query of {named}, float64 of shape {shape}")
        return scores


def _path(folder: Path, key: str) -> Path:
    return folder / QUERIES / f"{key}.npy"
