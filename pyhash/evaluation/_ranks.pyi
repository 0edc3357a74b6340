import numpy as np
from numpy.typing import NDArray

def relevance_of_sets(
    query_sets: NDArray[np.uint32], database_sets: NDArray[np.uint32], out: NDArray[np.uint8]
) -> None: ...
def relevance_of_classes(
    query_classes: NDArray[np.int64], database_classes: NDArray[np.int64], out: NDArray[np.uint8]
) -> None: ...
def average_precision_ranked(
    ranked: NDArray[np.uint8], cutoff: int, denominator: int, out: NDArray[np.float64]
) -> None: ...
def average_precision_grouped(
    n_all: NDArray[np.int64],
    n_relevant: NDArray[np.int64],
    cutoff: int,
    denominator: int,
    ties: int,
    out: NDArray[np.float64],
) -> None: ...
def hits_ranked(ranked: NDArray[np.uint8], out: NDArray[np.float64]) -> None: ...
def hits_grouped(
    n_all: NDArray[np.int64], n_relevant: NDArray[np.int64], ties: int, out: NDArray[np.float64]
) -> None: ...
def first_hit_ranked(
    ranked: NDArray[np.uint8],
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
    ranked: NDArray[np.uint8],
    n_all: NDArray[np.int64],
    n_relevant: NDArray[np.int64],
) -> None: ...
