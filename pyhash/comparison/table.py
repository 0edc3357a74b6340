"""Markdown tables of a comparison: means over seeds, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pyhash.comparison.intervals import LEVEL, Estimate, estimate
from pyhash.comparison.metrics import MAP, parse_metric
from pyhash.comparison.query_scores import QueryScores
from pyhash.comparison.records import (
    DISTANCES,
    Distance,
    InstanceScore,
    Record,
    directions_of,
    metric_value,
    relevance_of,
    runs_of,
    score_of,
    unique,
)

# Ends of the titles of scores by distance, and names of distances in the table of finding the same thing.
_ENDS: dict[Distance, str] = {"hamming": "", "weighted_hamming": " weighted"}
_DISTANCE_NAMES: dict[Distance, str] = {"hamming": "plain", "weighted_hamming": "weighted"}
# What nDCG counts.
_GRADES = {"layers": "layers shared", "labels": "labels shared", "binary": "a label shared"}
_INSTANCE_SCORES: dict[str, Callable[[InstanceScore], float | None]] = {
    "mAP": lambda scores: scores["map"],
    "hit@1": lambda scores: scores["hit_rate"]["1"],
    "hit@10": lambda scores: scores["hit_rate"].get("10"),
    "MRR": lambda scores: scores["mrr"],
}


def describe_protocol(records: Sequence[Record], protocol: str, metric: str = MAP, *, intervals: bool = False) -> str:
    """Return a sentence that says what the scores of a protocol are, and one for the intervals if they are shown."""
    first = records[0]
    data, n_seeds = first["data"], len(unique(record["seed"] for record in records))
    seeds = "1 seed" if n_seeds == 1 else f"mean ± sample standard deviation of {n_seeds} seeds"
    left_out = f", {data['n_unlabelled']:,} without labels left out" if data["n_unlabelled"] else ""
    rows = f"{data['n_database']:,} rows to learn and search"
    if first["learn_fraction"] < 1:
        rows = f"{data['n_learned']:,} rows to learn, {data['n_database']:,} others to search"
    elif data["n_learned"] < data["n_database"]:
        rows = f"{data['n_learned']:,} of {data['n_database']:,} rows to learn, all to search"
    weights = "" if first["weights"] is None else f", weights {_listed(first['weights'])}"
    is_merged = first.get("remainder") == "merge"  # missing in records of earlier versions
    merged = ", a shorter last one joined to the one before" if is_merged else ""
    name = parse_metric(metric)
    grades = f" (linear gains of {_GRADES[str(first['grades'])]})" if name.kind == "ndcg" else ""
    described = (
        f"{name.title}{grades} of {data['name']}, {relevance_of(first)} relevance{_learned(records)}, "
        f"split {first['split']} ({rows}, {data['n_queries']:,} queries{left_out}), views {', '.join(first['views'])}, "
        f"database codes {first['database']}{weights}, chunks of {first['chunk_size']:,}{merged}; "
        f"{_protocol(first, protocol)}; {seeds}."
    )
    if not intervals:
        return described
    of_seeds = ", of the mean over seeds" if n_seeds > 1 else ""
    return (
        f"{described} In brackets: {100 * LEVEL:g} % intervals by bootstrap over the queries{of_seeds}. Bold: the best "
        f"method of a length. ↓: lower than the best, by sign flips over the same queries, p < {1 - LEVEL:.2g} after "
        f"Holm's correction for all pairs of methods."
    )


def _learned(records: Sequence[Record]) -> str:
    """Return the labels that were learned, where they are not those of relevance, with the methods if they differ."""
    kinds = unique(record["labels"] for record in records)
    if kinds == [relevance_of(records[0])]:
        return ""
    if len(kinds) == 1:
        return f", learned from {kinds[0]}"
    methods = [", ".join(unique(run["method"] for run in records if run["labels"] == kind)) for kind in kinds]
    listed = [f"{kind} ({names})" for kind, names in zip(kinds, methods, strict=True)]
    return f", learned from {' and '.join(listed)}"


def _listed(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{view} {weight:g}" for view, weight in weights.items())


def _protocol(record: Record, name: str) -> str:
    """Return the name and the choices of a protocol; the choices once if they are its name."""
    choices = record["protocols"][name]
    return f"protocol {choices}" if name == choices else f"protocol {name}: {choices}"


def describe_instances(records: Sequence[Record], protocol: str) -> str:
    """Return a sentence that says what the scores of finding the same thing are."""
    first = records[0]
    instances = first["instances"]
    if instances is None:
        return f"{first['data']['name']} does not say which thing a row shows."
    n, total, name = instances["n_queries"], first["data"]["n_queries"], instances["name"]
    if n == 0:
        return f"No item of the database has the {name} of a query: finding the same item cannot be measured."
    return (
        f"Finding an item with the {name} of the query, of the {n:,} of {total:,} queries for which the database has "
        f"one. hit@N: share of queries with at least one such item among the first N; MRR: mean of 1 / rank of the "
        f"first; {_protocol(first, protocol)}."
    )


def make_table(
    records: Sequence[Record], protocol: str, metric: str = MAP, query_scores: QueryScores | None = None
) -> str:
    """Return the table of one protocol as Markdown; see ``table_cells``."""
    return _markdown(table_cells(records, protocol, metric, query_scores))


def table_cells(
    records: Sequence[Record], protocol: str, metric: str = MAP, query_scores: QueryScores | None = None
) -> list[list[str]]:
    """Return titles and rows of one protocol: a row for each method and length, two columns for each direction.

    With the scores of queries, it has intervals, and marks which methods are below the best of their length.
    """
    columns = [(direction, distance) for direction in directions_of(records) for distance in DISTANCES]
    titles = ["method", "bits", "bytes per item", *(direction + _ENDS[distance] for direction, distance in columns)]
    lines, rows = [titles], _rows_of(records)
    estimates: dict[tuple[int, _Column], Estimate] = {}
    if query_scores is not None:
        estimates = _estimates(rows, columns, protocol, metric, query_scores)
    for number, runs in enumerate(rows):
        first = runs[0]
        cells = []
        for column in columns:
            direction, distance = column
            values = [metric_value(score_of(run, protocol, direction), metric, distance) for run in runs]
            cells.append(_with_estimate(mean_and_spread(values), estimates.get((number, column))))
        lines.append([first["method"], str(first["n_bits"]), str(first["bytes_per_item"]), *cells])
    return lines


_Column = tuple[str, Distance]


def _estimates(
    rows: Sequence[Sequence[Record]],
    columns: Sequence[_Column],
    protocol: str,
    metric: str,
    query_scores: QueryScores,
) -> dict[tuple[int, _Column], Estimate]:
    """Return the estimate of each cell, by the number of its row and its column."""
    lengths = unique(runs[0]["n_bits"] for runs in rows)
    families = [
        {
            (number, column): query_scores.mean_of_runs(runs, protocol, column[0], metric, column[1])
            for number, runs in enumerate(rows)
            if runs[0]["n_bits"] == n_bits
        }
        for n_bits in lengths
        for column in columns
    ]
    return estimate(families)


def _with_estimate(text: str, found: Estimate | None) -> str:
    """Return the text of a cell with its interval and mark."""
    if found is None or text == "-":
        return text
    if found.rank == "best":
        text = f"**{text}**"
    if found.interval is not None:
        text += " [{:.3f}, {:.3f}]".format(*found.interval)
    return f"{text} ↓" if found.rank == "lower" else text


def make_instance_table(records: Sequence[Record], protocol: str) -> str:
    """Return the table of finding the same thing: a row for each method, length and distance."""
    columns = [(direction, score) for direction in directions_of(records) for score in _INSTANCE_SCORES]
    lines = [["method", "bits", "distance", *(f"{direction} {score}" for direction, score in columns)]]
    for runs in _rows_of(records):
        for distance, name in _DISTANCE_NAMES.items():
            cells = [
                mean_and_spread([_instance_value(run, protocol, direction, distance, score) for run in runs])
                for direction, score in columns
            ]
            lines.append([runs[0]["method"], str(runs[0]["n_bits"]), name, *cells])
    return _markdown(lines)


def _instance_value(record: Record, protocol: str, direction: str, distance: str, score: str) -> float | None:
    """Return one score of finding the same thing; None if it was not measured."""
    by_distance = score_of(record, protocol, direction)["instances"]
    return None if by_distance is None else _INSTANCE_SCORES[score](by_distance[distance])


def _rows_of(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records of each method and length: one for each seed."""
    return [
        runs_of(records, method, n_bits)
        for method in unique(record["method"] for record in records)
        for n_bits in unique(record["n_bits"] for record in runs_of(records, method))
    ]


def _markdown(lines: list[list[str]]) -> str:
    """Return rows of cells as a Markdown table; the first row are the titles."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(map(_as_cell, line))} |" for line in ruled) + "\n"


def _as_cell(text: str) -> str:
    """Escape text so that it ends neither a cell nor a line."""
    return " ".join(text.split()).replace("|", "\\|")


def mean_and_spread(values: Sequence[float | None]) -> str:
    """Return text such as "0.512 ± 0.004": without spread for one value, "-" if a value is missing."""
    if any(value is None for value in values):
        return "-"
    numbers = np.array(values, dtype=np.float64)
    if len(numbers) == 1:
        return f"{numbers[0]:.3f}"
    return f"{numbers.mean():.3f} ± {numbers.std(ddof=1):.3f}"
