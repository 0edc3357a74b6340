"""Markdown table of a comparison: means over seeds, and their spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyhash.comparison.records import Record, ScoreKind, directions_of, runs_of, score_of, unique

# Scores of a direction in the table, and the ends of their titles.
_KINDS: dict[ScoreKind, str] = {"map": "", "map_weighted": " weighted"}


def describe_protocol(records: Sequence[Record], protocol: str) -> str:
    """Return a sentence that says what the scores of a protocol are."""
    first = records[0]
    data, n_seeds = first["data"], len(unique(record["seed"] for record in records))
    seeds = "1 seed" if n_seeds == 1 else f"mean ± sample standard deviation of {n_seeds} seeds"
    left_out = f", {data['n_unlabelled']:,} without labels left out" if data["n_unlabelled"] else ""
    return (
        f"mAP of {data['name']}, {first['labels']} relevance, split {first['split']} "
        f"({data['n_database']:,} rows to learn and search, {data['n_queries']:,} queries{left_out}), "
        f"views {', '.join(first['views'])}, database codes {first['database']}, chunks of {first['chunk_size']:,}; "
        f"protocol {protocol}: {first['protocols'][protocol]}; {seeds}."
    )


def make_table(records: Sequence[Record], protocol: str) -> str:
    """Return the table of one protocol: a row for each method and length, two columns for each direction."""
    columns = [(direction, kind) for direction in directions_of(records) for kind in _KINDS]
    titles = ["method", "bits", "bytes per item", *(direction + _KINDS[kind] for direction, kind in columns)]
    lines = [titles, ["---"] * len(titles)]
    for method in unique(record["method"] for record in records):
        for n_bits in unique(record["n_bits"] for record in runs_of(records, method)):
            runs = runs_of(records, method, n_bits)
            cells = [
                mean_and_spread([score_of(run, protocol, direction)[kind] for run in runs])
                for direction, kind in columns
            ]
            lines.append([method, str(n_bits), str(runs[0]["bytes_per_item"]), *cells])
    return "\n".join(f"| {' | '.join(map(_as_cell, line))} |" for line in lines) + "\n"


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
