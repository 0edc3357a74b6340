"""Scores of a comparison as columns of a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyhash._inputs.value_text import value_text
from pyhash.comparison.metrics import MAP
from pyhash.comparison.records import DISTANCES, Record, directions_of, metric_value, score_of, unique

_FIELDS = ("method", "n_bits", "seed", "labels", "bytes_per_item", "train_seconds")


def score_columns(records: Sequence[Record], protocol: str) -> dict[str, list[Any]]:
    """Return columns with one value for each record, by name."""
    columns: dict[str, list[Any]] = {name: [dict(record)[name] for record in records] for name in _FIELDS}
    swept = [(record.get("swept") or {"values": {}})["values"] for record in records]
    for name in unique(name for values in swept for name in values):
        columns[f"parameter.{name}"] = _parameter([values.get(name) for values in swept])
    metrics = list(records[0].get("metrics", [MAP]))
    for direction in directions_of(records):
        scores = [score_of(record, protocol, direction) for record in records]
        for metric in metrics:
            for distance in DISTANCES:
                end = " weighted" if distance == "weighted_hamming" else ""
                columns[f"{direction} {metric}{end}"] = [metric_value(score, metric, distance) for score in scores]
    return columns


def _parameter(values: list[Any]) -> list[Any]:
    """Return numbers as they are; where a value is something else, all as text: a column is of one type."""
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return values
    return [None if value is None else value_text(value) for value in values]
