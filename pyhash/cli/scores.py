"""Scores of a set of queries: what ``pyhash evaluate`` prints, and a folder keeps for its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyhash import evaluation
from pyhash.evaluation import Protocol

TOP_N = 10
_CURVE_POINTS = 100


def retrieval_scores(
    queries: Any, index: Any, relevance: Sequence[Any], protocol: Protocol, metric: Any
) -> dict[str, Any]:
    """Return the scores of queries against an index, as a folder keeps them, and a curve of some points."""
    arguments = (queries, index.codes, *relevance)
    options = {"metric": metric, "n_bits": index.n_bits, "protocol": protocol}
    first = {**options, "top_n": min(TOP_N, len(index)), "protocol": replace(protocol, cutoff=None)}
    mean = evaluation.mean_average_precision(*arguments, **options)
    if math.isnan(mean.value):
        raise ValueError("queries must share labels with indexed items, none does")
    curve = evaluation.precision_recall_curve(*arguments, **options)
    points = np.unique(np.geomspace(1, len(curve.recall), _CURVE_POINTS).round().astype(int)) - 1
    return {
        "map": mean.value,
        "ndcg": evaluation.ndcg(*arguments, **options).value,
        "mrr": evaluation.mean_reciprocal_rank(*arguments, **options).value,
        f"precision_at_{TOP_N}": float(evaluation.precision_at(*arguments, **first).values[0]),
        f"recall_at_{TOP_N}": float(evaluation.recall_at(*arguments, **first).values[0]),
        "curve": {"recall": curve.recall[points].tolist(), "precision": curve.precision[points].tolist()},
    }
