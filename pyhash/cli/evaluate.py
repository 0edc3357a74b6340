"""``pyhash evaluate``: measure retrieval with queries that have labels."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from pyhash.cli import argument_types as types
from pyhash.cli.columns import read_columns
from pyhash.cli.data_arguments import add_data_arguments, open_rows, values_checked
from pyhash.cli.parser import CommandParser
from pyhash.cli.progress import rows_with_bar
from pyhash.cli.protocols import protocol_of
from pyhash.cli.relevant_labels import indexed_labels, label_arrays, labels_of
from pyhash.cli.retriever_folder import kinds_of, open_retriever
from pyhash.cli.rows import Rows, joined
from pyhash.cli.scores import TOP_N, retrieval_scores
from pyhash.evaluation import Protocol
from pyhash.retriever import Retriever

_COLUMNS = {
    "map": "mAP",
    "ndcg": "nDCG",
    "mrr": "MRR",
    f"precision_at_{TOP_N}": f"P@{TOP_N}",
    f"recall_at_{TOP_N}": f"R@{TOP_N}",
}


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and examples of the command."""
    parser.description = (
        "Search the index of a folder with every row of DATA, by each modality and by all together, and measure how "
        "well items that share a label are found. Use rows that were not learned."
    )
    parser.examples = ("pyhash evaluate model photos --hold-out 5 --labels category",)
    parser.add_argument("folder", type=types.path, metavar="FOLDER", help="folder that `pyhash learn` wrote")
    add_data_arguments(parser, standard_input=False, payload=False, held_out="only these are queries")
    parser.add_argument(
        "--labels",
        metavar="COLUMN",
        help="column of labels, of DATA and of the payload of the indexed items; an item is relevant to a query if "
        "they share a label (default: the one column of labels that both have)",
    )
    parser.add_argument(
        "--protocol",
        default="shoh",
        help="a preset, or choices such as cutoff=50:ties=expected, as for `pyhash bench` (default: shoh)",
    )
    parser.add_argument(
        "--chunk-size", type=types.integer(1), default=2000, help="number of rows to encode at a time (default: 2000)"
    )
    parser.add_argument("--save", action="store_true", help="keep the scores in the folder, for `pyhash explore`")
    parser.add_argument("--json", action="store_true", help="print the scores as a line of JSON")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the scores, and keep them if asked to."""
    protocol = protocol_of(arguments.protocol)
    if isinstance(protocol, str):
        protocol = Protocol.preset(protocol)
    with open_retriever(arguments.folder, read_only=not arguments.save) as retriever, values_checked():
        if len(retriever.index) == 0:
            raise ValueError(f"{arguments.folder} must have indexed items, got none: `pyhash index add` adds them")
        columns = retriever.payload.column_names
        known = read_columns(arguments.folder)
        source = open_rows(arguments, kinds_of(retriever), known=known, held_out=True, known_labels=columns)
        labels = source.columns.labels
        if labels is None or labels not in columns:
            raise ValueError(
                f"--labels must name a column of {source.name} that the payload of {arguments.folder} has too, got "
                f"{labels!r}; the payload has {', '.join(columns) or 'no columns'}"
            )
        parts = list(rows_with_bar("reading", source, arguments.chunk_size))
        if not parts:
            raise ValueError(f"{source.name} must hold at least one query, got none")
        queries = joined(parts)
        labelled = np.flatnonzero([label is not None for label in labels_of(queries)])
        if not labelled.size:
            raise ValueError(f"{source.name} must hold at least one row with a label, got none")
        n_dropped = len(queries) - len(labelled)
        queries = queries.take(labelled)
        directions = _directions(retriever, queries, labels, protocol, arguments.chunk_size)
        scores = {"rows": len(queries), "labels": labels, "directions": directions}
        if arguments.save:
            retriever.write_evaluation(scores)
    if arguments.json:
        print(json.dumps({**scores, "protocol": protocol.describe()}))
        return
    print(f"{len(queries):,} queries, {len(retriever.index):,} items; relevant: shares a label of {labels}")
    if n_dropped:
        print(f"{n_dropped:,} rows without a label are no queries")
    for name in queries.items:
        if n_lacking := len(queries) - int(queries.has(name).sum()):
            print(f"{n_lacking:,} rows without {name} are no queries by {name}")
    print(f"protocol: {protocol.describe()}")
    for line in _table_lines(directions):
        print(line)


def _directions(
    retriever: Retriever, queries: Rows, labels: str, protocol: Protocol, size: int
) -> dict[str, dict[str, Any]]:
    """Return the scores of queries by each modality, and by all together."""
    index = retriever.index
    found = {}
    for modalities in _sets(queries.items):
        asking = queries.take(np.flatnonzero(np.any([queries.has(name) for name in modalities], axis=0)))
        if not len(asking):
            continue
        wanted = labels_of(asking)
        relevance = label_arrays(wanted, indexed_labels(retriever, labels, wanted))
        parts = [
            {name: asking.items[name][start : start + size] for name in modalities}
            for start in range(0, len(asking), size)
        ]
        codes = np.concatenate([retriever.encode(part) for part in parts])
        projections = np.concatenate([retriever.project(part) for part in parts])
        found["+".join(modalities)] = {
            "plain": retrieval_scores(codes, index, relevance, protocol, "hamming"),
            "weighted": retrieval_scores(projections, index, relevance, protocol, "weighted_hamming"),
        }
    return found


def _sets(modalities: Iterable[str]) -> list[tuple[str, ...]]:
    each: list[tuple[str, ...]] = [(name,) for name in modalities]
    return each if len(each) == 1 else [*each, tuple(modalities)]


def _table_lines(directions: dict[str, dict[str, Any]]) -> list[str]:
    width = max(len("query"), *map(len, directions))
    lines = ["  ".join(["query".ljust(width), "distance", *(name.rjust(6) for name in _COLUMNS.values())])]
    for direction, kinds in directions.items():
        for kind, scores in kinds.items():
            cells = (f"{scores[name]:6.4f}" for name in _COLUMNS)
            lines.append("  ".join([direction.ljust(width), kind.ljust(8), *cells]))
    return lines
