"""Records of a comparison: their fields, and the selection of those that a table or a chart shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, TypeVar, get_args

Value = TypeVar("Value")
ScoreKind = Literal["map", "map_weighted", "map_float"]
Distance = Literal["hamming", "weighted_hamming"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)


class DataFields(TypedDict):
    """The data set of a comparison."""

    name: str
    fingerprint: str
    n_database: int
    n_queries: int
    n_unlabelled: int
    n_learned: int


class InstanceFields(TypedDict):
    """What says which thing a row shows, and the number of queries whose thing is in the database."""

    name: str
    n_queries: int


class Conditions(TypedDict):
    """Everything that changes a score, except for the method and its parameters.

    `grades` are those of nDCG, None if it is not among the metrics. Records of earlier versions lack `relevance`, which
    was `labels`; `remainder`, which was "keep"; `metrics`, which were "map" alone, and `grades`.
    """

    data: DataFields
    labels: str
    layers: list[str]
    relevance: str
    split: str
    views: list[str]
    directions: list[list[str]]
    database: str
    weights: dict[str, float] | None
    learn_fraction: float
    chunk_size: int
    remainder: str
    protocols: dict[str, str]
    top_n: list[int]
    metrics: list[str]
    grades: str | None
    instances: InstanceFields | None


# Not a class: "class" is a keyword.
_ClassName = TypedDict("_ClassName", {"class": str})


class Identity(_ClassName, Conditions):
    """The fields of a record that are known before learning; `key` is a hash of the others."""

    key: str
    method: str
    n_bits: int
    seed: int
    parameters: dict[str, Any]
    scored_by_round: bool
    pyhash: str


class CurvePoints(TypedDict):
    """Points of a precision-recall curve."""

    rank: list[int]
    precision: list[float | None]
    recall: list[float | None]


class InstanceScore(TypedDict):
    """Scores of finding the same thing with one distance; hit rate and recall by N."""

    map: float | None
    mrr: float
    hit_rate: dict[str, float]
    recall: dict[str, float]


class Score(TypedDict):
    """Scores of one direction under one protocol; None where all queries were skipped.

    `metrics` holds the metrics beside mAP, by name and distance; records of earlier versions lack it. `instances` holds
    scores by distance; None if no query's thing is in the database.
    """

    protocol: str
    direction: str
    map: float | None
    map_weighted: float | None
    map_float: float | None
    metrics: dict[str, dict[Distance, float | None]]
    n_empty: int
    precision_at: dict[str, float | None]
    precision_recall: CurvePoints
    instances: dict[str, InstanceScore] | None


class Round(TypedDict):
    """Measurements after a chunk, or after all rows so far at once; records of version 0.1 lack `map_weighted`."""

    n_seen: int
    train_seconds: float
    solve_seconds: float
    map: dict[str, float | None] | None
    map_weighted: dict[str, float | None] | None


class ClassDistanceFields(TypedDict):
    """Distances between class centers of the codes that are searched, by modality, with names and groups of classes."""

    distances: dict[str, list[list[int | None]]]
    class_names: list[str]
    groups: list[int] | None


class SweptFields(TypedDict):
    """A combination of a sweep: the method, and the values of the parameters that were varied."""

    method: str
    values: dict[str, Any]


class Record(Identity):
    """One method at one length with one seed; records of version 0.1 lack `training`, `optimisation` and `swept`."""

    scores: list[Score]
    rounds: list[Round]
    train_seconds: float
    encode_seconds: dict[str, float]
    bytes_per_item: int
    float_bytes_per_item: int
    memory: dict[str, int | None]
    encoders: dict[str, str]
    training: list[dict[str, Any]] | None  # by epoch
    optimisation: list[dict[str, Any]] | None  # by iteration, with record=True
    class_distances: ClassDistanceFields | None
    versions: dict[str, str]
    swept: SweptFields | None


def unique(values: Iterable[Value]) -> list[Value]:
    """Return each value once, in order of first appearance."""
    return list(dict.fromkeys(values))


def relevance_of(record: Record) -> str:
    """Return the kind of labels that say what is relevant; records of earlier versions have only `labels`."""
    return record.get("relevance", record["labels"])


def score_of(record: Record, protocol: str, direction: str) -> Score:
    """Return the scores of one direction under one protocol."""
    return next(entry for entry in record["scores"] if (entry["protocol"], entry["direction"]) == (protocol, direction))


def metric_value(score: Score, metric: str, distance: Distance) -> float | None:
    """Return the mean of a metric by a distance."""
    if metric == "map":
        return score["map"] if distance == "hamming" else score["map_weighted"]
    return score["metrics"][metric][distance]


def directions_of(records: Sequence[Record]) -> list[str]:
    """Return the names of the directions, in order."""
    return unique(entry["direction"] for record in records for entry in record["scores"])


def runs_of(records: Sequence[Record], method: str, n_bits: int | None = None) -> list[Record]:
    """Return the records of a method, of one length if given: one for each seed."""
    return [
        record for record in records if record["method"] == method and (n_bits is None or record["n_bits"] == n_bits)
    ]
