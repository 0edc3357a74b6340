import numpy as np
from numpy.typing import NDArray

def available_cpu_levels() -> list[str]: ...
def cpu_level() -> str: ...
def set_cpu_level(level: str) -> None: ...

class CodeSet:
    def __init__(self, codes: NDArray[np.uint8], lean: bool) -> None: ...
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
    def stats(self) -> dict[str, int]: ...

def cyclic_descent(
    signs: NDArray[np.int8],
    h: NDArray[np.floating],
    q: NDArray[np.floating],
    max_sweeps: int,
    n_threads: int,
) -> list[int]: ...
def hamming_distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8], n_threads: int) -> NDArray[np.uint32]: ...
def weighted_distances(
    projections: NDArray[np.float64], codes: NDArray[np.uint8], n_threads: int
) -> NDArray[np.float64]: ...
def rank_relevance(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], relevance: NDArray[np.uint8], n_threads: int
) -> NDArray[np.uint8]: ...
def count_by_distance(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], relevance: NDArray[np.uint8], n_threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
