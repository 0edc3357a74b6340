"""Records of a comparison as a Markdown table, and the numbers behind it: means over seeds, and their spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]

KINDS = {"map": "", "map_weighted": " weighted"}


def ordered(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of appearance."""
    return list(dict.fromkeys(values))


def score_of(record: Record, protocol: str, direction: str) -> Record:
    """The scores of one direction under one protocol."""
    found: Record = next(
        entry for entry in record["scores"] if (entry["protocol"], entry["direction"]) == (protocol, direction)
    )
    return found


def directions_of(records: Sequence[Record]) -> list[str]:
    """Directions, in order."""
    return ordered(entry["direction"] for record in records for entry in record["scores"])


def runs_of(records: Sequence[Record], method: str, n_bits: int | None = None) -> list[Record]:
    """The records of a method, of one length if given: one for each seed."""
    return [
        record for record in records if record["method"] == method and (n_bits is None or record["n_bits"] == n_bits)
    ]


def describe_protocol(records: Sequence[Record], protocol: str) -> str:
    """What was measured, in one sentence."""
    first = records[0]
    data, n_seeds = first["data"], len(ordered(record["seed"] for record in records))
    seeds = "1 seed" if n_seeds == 1 else f"mean ± sample standard deviation of {n_seeds} seeds"
    left_out = f", {data['n_unlabelled']:,} without labels left out" if data["n_unlabelled"] else ""
    return (
        f"mAP of {data['name']}, {first['labels']} relevance, split {first['split']} "
        f"({data['n_database']:,} rows to learn and search, {data['n_queries']:,} queries{left_out}), "
        f"views {', '.join(first['views'])}, database codes {first['database']}, chunks of {first['chunk_size']:,}; "
        f"protocol {protocol}: {first['protocols'][protocol]}; {seeds}."
    )


def make_table(records: Sequence[Record], protocol: str) -> str:
    """The table of one protocol: a row for each method and length, two columns for each direction."""
    columns = [(direction, kind) for direction in directions_of(records) for kind in KINDS]
    titles = ["method", "bits", "bytes per item", *(direction + KINDS[kind] for direction, kind in columns)]
    lines = [titles, ["---"] * len(titles)]
    for method in ordered(record["method"] for record in records):
        for n_bits in ordered(record["n_bits"] for record in runs_of(records, method)):
            runs = runs_of(records, method, n_bits)
            cells = [
                mean_and_spread([score_of(run, protocol, direction)[kind] for run in runs])
                for direction, kind in columns
            ]
            lines.append([method, str(n_bits), str(runs[0]["bytes_per_item"]), *cells])
    return "\n".join(f"| {' | '.join(map(_as_cell, line))} |" for line in lines) + "\n"


def _as_cell(text: str) -> str:
    """Text that neither ends a cell nor its line."""
    return " ".join(text.split()).replace("|", "\\|")


def mean_and_spread(values: Sequence[float | None]) -> str:
    """Such as "0.512 ± 0.004"; without a spread where there is one value, "-" where one is missing."""
    if any(value is None for value in values):
        return "-"
    numbers = np.array(values, dtype=np.float64)
    if len(numbers) == 1:
        return f"{numbers[0]:.3f}"
    return f"{numbers.mean():.3f} ± {numbers.std(ddof=1):.3f}"
