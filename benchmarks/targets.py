"""Targets of the benchmarks. A missed target is reported; it is not a failure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A ratio of speeds: ours to the fastest peer whose name begins with `peers`, for records with all of `case`.

    Where records note recall, the peer has at least that much.
    """

    table: str
    case: dict[str, Any]
    times_as_fast: float
    peers: str = "FAISS"
    recall: float = 0.0


def _top_k(bits: int, k: int, multiples: tuple[float, ...]) -> list[Target]:
    sizes = [(18_000, 2000), (180_000, 500), (10_000_000, 32), (10_000_000, 1)]
    return [
        Target("top_k", {"codes": n, "queries": n_queries, "bits": bits, "k": k}, multiple)
        for (n, n_queries), multiple in zip(sizes, multiples, strict=True)
    ]


def _multi_index() -> Iterator[Target]:
    """Yield the ratios to a scan; where nothing else is asked for, the layout that is chosen must not be slower."""
    clustered = ("mixture", "itq", "clustered")
    gains = {
        **{(data, 10_000_000, 64, 10): (80.0, 15.0) for data in clustered},
        **{(data, 10_000_000, 64, 100): (25.0, 6.0) for data in clustered},
        **{(data, 1_000_000, 64, 10): (4.0, 3.0) for data in clustered},
        ("uniform", 10_000_000, 64, 10): (4.0, _NOT_SLOWER),
        ("mixture", 10_000_000, 128, 10): (30.0, 8.0),
    }
    others = [(data, 1_000_000, 64, 100) for data in clustered]
    others += [("uniform", 10_000_000, 128, 10), *(("uniform", 1_000_000, 64, k) for k in (10, 100))]
    others += [(data, 100_000, 64, 10) for data in ("mixture", "uniform")]
    for (data, n, bits, k), ratios in {**dict.fromkeys(others, (_NOT_SLOWER, _NOT_SLOWER)), **gains}.items():
        for n_queries, times_as_fast in zip((1, 32), ratios, strict=True):
            case = {"codes": n, "queries": n_queries, "bits": bits, "k": k, "data": data}
            yield Target("multi_index", case, times_as_fast, "scan")
    for n_queries, times_as_fast in ((1, 50.0), (32, _NOT_SLOWER)):
        yield Target("multi_index_radius", {"codes": 10_000_000, "queries": n_queries}, times_as_fast, "scan")
    for n in (1_000_000, 10_000_000):
        yield Target("multi_index_weighted", {"codes": n}, _NOT_SLOWER, "scan")


_NOT_SLOWER = 0.95
# Each holds for uniform and for clustered codes.
TARGETS = [
    *_top_k(64, 10, (4.5, 7.5, 8.0, 2.0)),
    *_top_k(64, 100, (4.0, 6.5, 6.0, 1.8)),
    *_top_k(128, 10, (3.0, 4.5, 5.5, 1.2)),
    *(Target("top_k", {"codes": 180_000, "queries": 500, "bits": b, "k": 10}, 3.0) for b in (16, 32, 256, 512)),
    *(Target("radius", {"codes": 180_000, "queries": 500, "bits": 64, "radius": r}, 3.0) for r in (8, 14)),
    Target("learned", {"codes": 1_000_000, "bits": 64, "k": 10}, 20.0),
    *(
        Target("weighted", {"codes": n, "queries": n_queries, "bits": bits, "k": 10}, 1.0)
        for n, n_queries in [(18_000, 500), (180_000, 100), (1_000_000, 32), (1_000_000, 1)]
        for bits in (64, 128)
    ),
    *_multi_index(),
    *(Target("curves", {"codes": n}, 1.0, "FAISS-IVF", recall=0.997) for n in (1_000_000, 10_000_000)),
    *(Target("curves", {"codes": n}, 1.0, "FAISS-HNSW", recall=0.95) for n in (1_000_000, 10_000_000)),
    Target("threads", {"codes": 10_000_000, "queries": 32, "threads": 2}, 1.9, "ours, 1 thread"),
    Target("threads", {"codes": 1_000_000, "queries": 1, "threads": 2}, 1.9, "ours, 1 thread"),
    Target("map", {"codes": 18_015, "queries": 2000, "bits": 32, "threads": 1}, 3.5, "numpy radix sort"),
    Target("map", {"codes": 18_015, "queries": 2000, "bits": 32, "threads": "all"}, 20.0, "numpy argsort"),
    *(Target("posterior", {"features": 1500, "bits": b}, 0.5, "bits") for b in (16, 32, 64)),
    *(Target("descent", {"codes": 200_000, "bits": b}, 8.0, "numpy float32") for b in (64, 128)),
    *(Target("descent", {"codes": 200_000, "bits": b}, 15.0, "numpy float64") for b in (64, 128)),
    Target("encode", {"codes": 1_000_000, "features": "as they are"}, 1 / 1.15, "matrix products"),
    Target("encode", {"codes": 100_000, "features": "RBF"}, 1 / 1.3, "matrix products"),
    Target("stream", {"codes": 10_000_000}, 0.9, "chunk 10"),
    *(Target("shards", {"codes": 10_000_000, "queries": 32, "shards": s}, 1 / 1.1, "one index") for s in (1, 2, 8)),
]


@dataclass(frozen=True)
class Verdict:
    """The measured ratio and the target, which is None if the record has none."""

    peer: str
    ratio: float
    target: float | None

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio >= self.target

    def __str__(self) -> str:
        return "" if self.target is None else f"target {self.target:g} {'met' if self.met else 'NOT MET'}"


def seconds(record: Record, name: str) -> float:
    """Return the median seconds of a contestant, by the clock of the record."""
    return record["times"][name][record["clock"]]


def fastest(record: Record, prefix: str, recall: float = 0.0) -> str | None:
    """Return the fastest contestant whose name begins with a prefix, of those with the recall if any is noted."""
    recalls = record["notes"].get("recall", {})
    names = [name for name in record["times"] if name.startswith(prefix) and recalls.get(name, 1.0) >= recall]
    return min(names, key=lambda name: seconds(record, name), default=None)


def ratio(record: Record, peer: str) -> float:
    """Return the ratio of speeds, ours to a peer."""
    return seconds(record, peer) / seconds(record, "ours")


def verdicts(record: Record) -> Iterator[Verdict]:
    """Return one verdict for each target of a record."""
    for target in TARGETS:
        peer = fastest(record, target.peers, target.recall)
        fits = target.table == record["table"] and target.case.items() <= record["case"].items()
        if fits and peer is not None:
            yield Verdict(peer, ratio(record, peer), target.times_as_fast)
