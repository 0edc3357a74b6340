"""Approximate indexes of other libraries: built once for each set of codes and kept in .benchmarks/indexes.

Run ``python -m benchmarks.approximate`` to build all that the curves need and that are missing; it takes hours on one
core. ``python -m benchmarks.approximate FAISS-HNSW mixture 1000000`` builds one.
"""

import argparse
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.code_sets import NAMES, make_codes

FOLDER = Path(__file__).parents[1] / ".benchmarks" / "indexes"
N_BITS, N_LISTS = 64, 4096
_ROWS_A_LIST = 50  # to train on


@dataclass(frozen=True)
class Kind:
    """A kind of approximate index, and the setting that trades time for recall."""

    name: str
    package: str
    build: Callable[[np.ndarray], Any]
    save: Callable[[Any, str], None]
    load: Callable[[str], Any]
    setting: str
    values: tuple[int, ...]
    search: Callable[[Any, np.ndarray, int, int], np.ndarray]  # (index, queries, k, value): distances

    def _file(self, name: str, codes: np.ndarray) -> Path:
        version = metadata.version(self.package)
        crc = zlib.crc32(codes)
        return FOLDER / f"{self.name}-{name}-{len(codes)}-{crc:08x}.{self.package}-{version}"

    def kept(self, name: str, codes: np.ndarray) -> Any | None:
        """Return the index of these codes, if it was built before."""
        file = self._file(name, codes)
        return self.load(str(file)) if file.exists() else None

    def build_and_keep(self, name: str, codes: np.ndarray) -> None:
        """Build the index of these codes, if it is not kept already."""
        file = self._file(name, codes)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            begin, partial = time.process_time(), file.with_name(f"{file.name}.{os.getpid()}")
            self.save(self.build(codes), str(partial))
            partial.rename(file)
            print(f"{file.name}: {time.process_time() - begin:.0f} s", flush=True)


def _save_faiss(index, file):
    import faiss

    faiss.write_index_binary(index, file)


def _load_faiss(file):
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss.read_index_binary(file)


def _build_ivf(codes):
    import faiss

    faiss.omp_set_num_threads(1)
    n_lists = min(N_LISTS, len(codes) // _ROWS_A_LIST)
    quantizer = faiss.IndexBinaryFlat(N_BITS)
    index = faiss.IndexBinaryIVF(quantizer, N_BITS, n_lists)
    sample = np.random.default_rng(0).choice(len(codes), min(len(codes), N_LISTS * _ROWS_A_LIST), replace=False)
    index.train(codes[np.sort(sample)])
    index.add(codes)
    return index


def _search_ivf(index, queries, k, n_probe):
    index.nprobe = n_probe
    return index.search(queries, k)[0]


def _build_hnsw(codes):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryHNSW(N_BITS, 32 if len(codes) < 10_000_000 else 16)  # of ten million, memory and hours
    index.add(codes)
    return index


def _search_hnsw(index, queries, k, ef):
    index.hnsw.efSearch = ef
    return index.search(queries, k)[0]


def _build_multi_hash(codes):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryMultiHash(N_BITS, 4, N_BITS // 4)
    index.add(codes)
    return index


def _search_multi_hash(index, queries, k, n_flips):
    index.nflip = n_flips
    return index.search(queries, k)[0]


def _build_usearch(codes):
    from usearch.index import Index

    index = Index(ndim=N_BITS, metric="hamming", dtype="b1")
    index.add(np.arange(len(codes)), codes, threads=1)
    return index


def _load_usearch(file):
    from usearch.index import Index

    return Index.restore(file)


def _search_usearch(index, queries, k, expansion):
    index.expansion_search = expansion
    return index.search(queries, k, threads=1).distances.reshape(len(queries), k)


_FAISS = {"package": "faiss-cpu", "save": _save_faiss, "load": _load_faiss}
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "FAISS-IVF",
            build=_build_ivf,
            setting="nprobe",
            values=(1, 2, 4, 8, 16, 32, 64, 128),
            search=_search_ivf,
            **_FAISS,
        ),
        Kind(
            "FAISS-HNSW",
            build=_build_hnsw,
            setting="efSearch",
            values=(10, 16, 32, 64, 128, 256, 512),
            search=_search_hnsw,
            **_FAISS,
        ),
        Kind(
            "FAISS-MultiHash",
            build=_build_multi_hash,
            setting="flips",
            values=(0, 1, 2),
            search=_search_multi_hash,
            **_FAISS,
        ),
        Kind(
            "usearch",
            "usearch",
            build=_build_usearch,
            save=lambda index, file: index.save(file),
            load=_load_usearch,
            setting="expansion",
            values=(16, 32, 64, 128, 256, 512),
            search=_search_usearch,
        ),
    )
}

_LEARNED_AND_NOT = ("mixture", "itq", "clustered")
# Graphs of ten million codes take hours to build.
NEEDED = [
    *((kind, name, 1_000_000) for name in _LEARNED_AND_NOT for kind in KINDS),
    *((kind, name, 10_000_000) for name in _LEARNED_AND_NOT for kind in ("FAISS-IVF", "FAISS-MultiHash")),
    *((kind, "mixture", 10_000_000) for kind in ("FAISS-HNSW", "usearch")),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("name", nargs="?", choices=NAMES)
    parser.add_argument("n", nargs="?", type=int)
    given = parser.parse_args()
    for kind, name, n in NEEDED if given.kind is None else [(given.kind, given.name, given.n)]:
        KINDS[kind].build_and_keep(name, make_codes(name, n, 0, N_BITS)[0])


if __name__ == "__main__":
    main()
