from typing import Any

import numpy as np
from numpy.typing import NDArray

def available_cpu_levels() -> list[str]: ...
def unavailable_cpu_levels() -> list[str]: ...
def cpu_level() -> str: ...
def set_cpu_level(level: str) -> None: ...

class CodeSet:
    """An immutable set of codes (n, n_bytes), C-contiguous, with the layouts that make searching it fast.

    The codes are not copied. `layout` is "auto" (tables are built where they pay), "scan" (never) or "multi-index" (at
    the first search; equal codes are then not grouped); tables take at most `layout_bytes_per_code` bytes a code. A
    `lean` set makes no layout when it is searched.
    """

    def __init__(self, codes: NDArray[np.uint8], lean: bool, layout: str, layout_bytes_per_code: float) -> None: ...
    def build_tables(self, n_threads: int) -> None:
        """Build tables now, unless there are some, or none fits the budget; also for a lean set.

        Raises ValueError if the layout is "scan".
        """

    def tables(self) -> tuple[int, bool, NDArray[np.uint8]] | None:
        """Return the tables of the codes as given, or None: n_tables, with_codes and a read-only view of all bytes."""

    def use_tables(self, n_tables: int, with_codes: bool, bytes: NDArray[np.uint8]) -> None:
        """Use tables that were built for these codes, before any search. The bytes are not copied and not trusted.

        Raises ValueError if their number does not fit, if there are tables, or if the layout is "scan". A search raises
        RuntimeError where it meets damaged bytes.
        """

    def search(
        self,
        queries: NDArray[np.uint8],
        k: int | None,
        radius: int | None,
        all_ties: bool,
        mask: NDArray[np.uint8] | None,
        n_threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]: ...
    def search_weighted(
        self,
        projections: NDArray[np.float64],
        k: int | None,
        radius: float | None,
        all_ties: bool,
        mask: NDArray[np.uint8] | None,
        n_threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
    def stats(self) -> dict[str, Any]: ...

def bayes_codes(
    posterior: NDArray[np.float32],
    mean_codes: NDArray[np.float32],
    counts: NDArray[np.float64],
    sets: NDArray[np.uint8] | None,
    n_threads: int,
) -> NDArray[np.float32]:
    """Return projections (n, r): their signs are the code that retrieves best, their magnitudes the weights of bits.

    `posterior` (n, u) holds the probabilities of u label sets, `mean_codes` (u, r) the mean signs of the rows of each,
    `counts` (u,) the number of these rows; sets without rows are left out of everything. `sets` (u, n_bytes) are their
    packed labels if sets have several, or None if each is a class of its own. All arrays are C-contiguous. The rows of
    the posterior need not sum to 1. csrc/core/bayes_codes.hpp has the equations.
    """

def cyclic_descent(
    signs: NDArray[np.int8],
    h: NDArray[np.floating],
    q: NDArray[np.floating],
    max_sweeps: int,
    n_threads: int,
) -> list[int]: ...
def sum_similar(
    queries: NDArray[np.uint8], sets: NDArray[np.uint8], values: NDArray[np.float64], n_threads: int
) -> NDArray[np.float64]:
    """Return, for each query, the sum of `values` over the label sets that share a label with it.

    `queries` (n, n_bytes) and `sets` (u, n_bytes) are packed label sets (bit l in byte l // 8 at position l % 8), in
    any order, repeated or not; `values` is (u, r); the result is (n, r). All arrays are C-contiguous. Exact where
    values are whole numbers and the magnitudes of each column add up to less than 2**53, as sums of signs do. Needs no
    (n, u) array.
    """

def mask_bytes(n_rows: int) -> int: ...
def hamming_distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8], n_threads: int) -> NDArray[np.uint32]: ...
def weighted_distances(
    projections: NDArray[np.float64], codes: NDArray[np.uint8], n_threads: int
) -> NDArray[np.float64]: ...
def rank_relevant(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], relevance: NDArray[np.uint64], n_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]: ...
def pack_settled_signs(
    rows: NDArray[np.float32],
    products: NDArray[np.float32],
    errors: NDArray[np.float32] | None,
    weights: NDArray[np.float64],
    mean: NDArray[np.float64],
    intercepts: NDArray[np.float32],
    n_threads: int,
    codes: NDArray[np.uint8],
) -> NDArray[np.uint8]: ...
def count_by_distance(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], relevance: NDArray[np.uint64], n_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
