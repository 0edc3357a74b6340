"""Mean average precision of several sets of codes, for displays that compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from numpy.typing import ArrayLike

from pyhash.evaluation import Protocol, mean_average_precision
from pyhash.evaluation.rankings import Metric
from pyhash.plotting.charts import require_matplotlib

Key = TypeVar("Key")


def score_sets(
    queries: Mapping[Key, ArrayLike],
    database: Mapping[Key, ArrayLike],
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    *,
    keys: str,
    n_bits_of: Callable[[Key], int | None],
    metric: Metric,
    protocol: Protocol | str | None,
    n_threads: int | None,
) -> dict[Key, float]:
    """Return the mean average precision of the codes of each key; error messages call the keys `keys`."""
    require_matplotlib()  # raise before the scores are computed
    for name, codes in (("queries", queries), ("database", database)):
        if not isinstance(codes, Mapping):
            raise TypeError(f"{name} must be a mapping of {keys} to codes, got {type(codes).__name__}")
    if not queries:
        raise ValueError("queries must hold at least one set of codes, got none")
    if set(queries) != set(database):
        raise ValueError(f"database must have the keys of queries, {list(queries)}, got {list(database)}")
    return {
        key: mean_average_precision(
            queries[key],
            database[key],
            query_labels,
            database_labels,
            metric=metric,
            n_bits=n_bits_of(key),
            protocol=protocol,
            n_threads=n_threads,
        ).value
        for key in queries
    }
