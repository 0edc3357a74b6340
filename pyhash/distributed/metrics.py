"""Mean average precision of queries in dask arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_rows
from pyhash.distributed.cluster import check_client, compute
from pyhash.distributed.row_errors import name_block
from pyhash.distributed.row_pieces import check_dask_rows, cut_rows, is_dask_array
from pyhash.evaluation import average_precision
from pyhash.evaluation.average_precision import MeanAveragePrecision
from pyhash.evaluation.protocol import Protocol, resolve_protocol

if TYPE_CHECKING:
    from dask.array import Array
    from dask.delayed import Delayed
    from distributed import Client

    from pyhash.evaluation.rankings import Metric


def mean_average_precision(
    queries: Array,
    database: Array | ArrayLike | None,
    query_labels: Array | ArrayLike,
    database_labels: Array | ArrayLike,
    *,
    metric: Metric = "hamming",
    n_bits: int | None = None,
    protocol: Protocol | str | None = None,
    n_threads: int = 1,
    client: Client | None = None,
) -> MeanAveragePrecision:
    """Compute the mean average precision of the rankings of a database, one task for each block of queries.

    Parameters
    ----------
    queries : dask.array.Array
        As for ``pyhash.evaluation.mean_average_precision``.
    database, query_labels, database_labels : dask.array.Array or array_like
        Likewise. Every worker holds the whole database and its labels.
    metric, n_bits, protocol
        Likewise.
    n_threads : int
        Threads of a task; a worker runs a task on each of its own threads already.
    client : distributed.Client, optional
        By default what Dask chooses: the current client, else threads of this process.

    Returns
    -------
    MeanAveragePrecision
        Equal to the result of the local function, whatever the blocks: queries do not depend on each other.

    Raises
    ------
    TypeError
        If `queries` is not a dask array, or `client` neither None nor a client that waits for results.
    ValueError
        If an array has blocks of unknown sizes.
    ValueError
        If `query_labels` has another number of rows than `queries`.
    TypeError, ValueError
        As ``pyhash.evaluation.mean_average_precision``.
    ClusterError
        If the cluster lost its scheduler, or its workers died again and again.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> from pyhash import codes, distributed
    >>> signs = np.random.default_rng(0).choice([-1, 1], size=(60, 16))
    >>> packed, labels = codes.pack(signs), np.arange(60) % 3
    >>> queries = da.from_array(packed[:10], chunks=(4, -1))
    >>> distributed.mean_average_precision(queries, packed, labels[:10], labels)
    mAP 0.3893 (full list, denominator hits, empty queries skip, ties id; 10 queries, 0 empty)
    """
    from dask import delayed

    client = check_client(client)
    protocol = resolve_protocol(protocol)
    rows = check_dask_rows("queries", queries)
    n = rows.shape[0]
    labels = _rows_of("query_labels", query_labels)
    if labels.ndim == 0 or labels.shape[0] != n:
        raise ValueError(f"query_labels must have {n} rows, as many as there are codes, got shape {labels.shape}")
    starts = np.cumsum([0, *(size for size in rows.chunks[0] if size)]).tolist()
    bounds = starts if n else [0, 0]  # no queries: the local function says so
    whole = [
        None if database is None else _in_one_piece(_rows_of("database", database)),
        _in_one_piece(_rows_of("database_labels", database_labels)),
    ]
    score = delayed(_score_block, pure=False)
    tasks = [
        score(first, last, block, of_block, *whole, metric, n_bits, protocol, n_threads)
        for (first, last), block, of_block in zip(
            pairwise(bounds), cut_rows(rows, bounds), _pieces(labels, bounds), strict=True
        )
    ]
    return MeanAveragePrecision.of_queries(np.concatenate(compute(tasks, client)), protocol)


def _rows_of(name: str, value: Any) -> Any:
    """Return a dask array, or rows in memory, as they can be sliced; values are not checked."""
    return check_dask_rows(name, value) if is_dask_array(value) else as_rows(name, value)


def _pieces(rows: Any, bounds: Sequence[int]) -> list[Any]:
    if is_dask_array(rows):
        return list(cut_rows(rows, bounds))
    return [rows[first:last] for first, last in pairwise(bounds)]


def _in_one_piece(rows: Any) -> Delayed:
    """Return rows as one task, whose result goes to every worker once."""
    from dask import delayed

    if is_dask_array(rows):
        return cut_rows(rows, [0, rows.shape[0]])[0]
    return delayed(rows, pure=False)


def _score_block(
    first: int,
    last: int,
    queries: Any,
    query_labels: Any,
    database: Any,
    database_labels: Any,
    metric: Metric,
    n_bits: int | None,
    protocol: Protocol,
    n_threads: int,
) -> NDArray[np.float64]:
    """Return the average precisions of a block of queries; NaN where the divisor is 0."""
    with name_block("queries", first, last):
        found = average_precision.mean_average_precision(
            queries,
            database,
            query_labels,
            database_labels,
            metric=metric,
            n_bits=n_bits,
            protocol=replace(protocol, empty_queries="skip"),
            n_threads=n_threads,
        )
    return found.per_query
