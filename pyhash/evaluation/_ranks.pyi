import numpy as np
from numpy.typing import NDArray

def relevance_of_labels(
    query_labels: NDArray[np.uint8], items: NDArray[np.uint64], out: NDArray[np.uint64]
) -> None: ...
def relevance_of_runs(
    items: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], out: NDArray[np.uint64]
) -> None: ...
def count_relevant(relevance: NDArray[np.uint64], out: NDArray[np.int64]) -> None: ...
def average_precision_ranked(
    offsets: NDArray[np.int64], ranks: NDArray[np.uint32], cutoff: int, denominator: int, out: NDArray[np.float64]
) -> None: ...
def average_precision_grouped(
    n_all: NDArray[np.int64],
    n_relevant: NDArray[np.int64],
    cutoff: int,
    denominator: int,
    ties: int,
    out: NDArray[np.float64],
) -> None: ...
def hits_ranked(offsets: NDArray[np.int64], ranks: NDArray[np.uint32], out: NDArray[np.float64]) -> None: ...
def hits_grouped(
    n_all: NDArray[np.int64], n_relevant: NDArray[np.int64], ties: int, out: NDArray[np.float64]
) -> None: ...
def first_hit_ranked(
    offsets: NDArray[np.int64],
    ranks: NDArray[np.uint32],
    top_n: NDArray[np.int64],
    cutoff: int,
    found: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> None: ...
def first_hit_grouped(
    n_all: NDArray[np.int64],
    n_relevant: NDArray[np.int64],
    top_n: NDArray[np.int64],
    cutoff: int,
    ties: int,
    found: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> None: ...
def group_equal(
    distances: NDArray[np.float64],
    relevance: NDArray[np.uint8],
    n_all: NDArray[np.int64],
    n_relevant: NDArray[np.int64],
) -> None: ...
