"""Names of the metrics that a comparison measures, such as "map", "ndcg@10" or "recall@100"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyhash._inputs.checks import check_integer, listed
from pyhash.evaluation.protocol import Protocol

MAP = "map"
# Titles of the metrics, and whether a number N follows.
_TITLES = {MAP: "mAP", "ndcg": "nDCG", "mrr": "MRR", "recall": "recall", "precision": "precision"}
_WITHOUT_N, _WITH_N = (MAP, "ndcg", "mrr"), ("ndcg", "recall", "precision")

_MAX_DIGITS = 18


@dataclass(frozen=True)
class Metric:
    """A metric by its kind and, for scores of the first N items, N."""

    kind: str
    n: int = 0  # none

    @property
    def name(self) -> str:
        """Name in arguments and records, such as "ndcg@10"."""
        return f"{self.kind}@{self.n}" if self.n else self.kind

    @property
    def title(self) -> str:
        """Name in text, such as "nDCG@10"."""
        return self.name.replace(self.kind, _TITLES[self.kind], 1)


def parse_metric(name: str) -> Metric:
    """Return the metric of that name."""
    if not isinstance(name, str):
        raise TypeError(f"metrics must be names such as 'ndcg@10', got {name!r}")
    kind, at, number = name.partition("@")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_DIGITS
    if not (kind in _WITH_N and is_number if at else kind in _WITHOUT_N):
        raise ValueError(
            f"metrics must be among 'map', 'mrr', 'ndcg', or with a number N 'ndcg@N', 'recall@N', 'precision@N', got "
            f"{name!r}"
        )
    return Metric(kind, check_integer("metrics", int(number), 1) if at else 0)


def choose_metrics(metrics: Sequence[str], n_database: int, protocols: Sequence[Protocol]) -> tuple[Metric, ...]:
    """Return the metrics, mAP first, each once; raise if an N is above the size of the database or a cutoff."""
    names = [metrics] if isinstance(metrics, str) else listed("metrics", metrics, "names")
    chosen = tuple(dict.fromkeys([Metric(MAP), *map(parse_metric, names)]))
    limit = min([n_database, *(protocol.cutoff for protocol in protocols if protocol.cutoff is not None)])
    for metric in chosen:
        if metric.n > limit:
            raise ValueError(
                f"metrics must have an N up to {limit}, the size of the database or the cutoff of a protocol, got "
                f"{metric.name!r}"
            )
    return chosen
