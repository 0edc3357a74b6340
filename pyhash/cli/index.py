"""``pyhash index``: add items to a folder, remove, count or check them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyhash.cli import argument_types as types
from pyhash.cli.columns import read_columns
from pyhash.cli.data_arguments import add_data_arguments, open_rows, values_checked
from pyhash.cli.parser import CommandParser
from pyhash.cli.progress import rows_with_bar
from pyhash.cli.retriever_folder import is_retriever, kinds_of, open_retriever
from pyhash.cli.standard_input import read_lines
from pyhash.index import CodeIndex
from pyhash.index.manifest import MANIFEST
from pyhash.retriever import Retriever

_BOTH = "folder that `pyhash learn` wrote, or directory of a CodeIndex"


def add_arguments(parser: CommandParser) -> None:
    """Add the description and the commands within this one."""
    parser.description = "Add items to a folder, remove, count or check them."
    commands = parser.add_subparsers(dest="index_command", required=True, metavar="COMMAND")

    add = commands.add_parser("add", help="encode items and add them")
    add.description = (
        "Encode the rows of DATA and add them to the index, all or none of them. A row may lack modalities that were "
        "learned: texts without pictures are found like pictures with texts."
    )
    add.examples = (
        "pyhash index add model more-photos",
        "cat captions.txt | pyhash index add model -",
    )
    _add_folder(add, "folder that `pyhash learn` wrote")
    add_data_arguments(add, standard_input=True, payload=True, held_out="is left out")
    add.add_argument(
        "--labels",
        metavar="COLUMN",
        help="column of labels to keep as labels: lists, or texts with commas, semicolons or bars, are several of a "
        "row (default: the one column of labels, if there is one)",
    )
    add.add_argument(
        "--chunk-size", type=types.integer(1), default=2000, help="number of rows to encode at a time (default: 2000)"
    )
    add.set_defaults(run_index=_add)

    remove = commands.add_parser("remove", help="remove items by their ids")
    remove.description = "Remove items by their ids, all or none of them."
    remove.examples = ("pyhash index remove model --ids 1,2,3", "cat ids.txt | pyhash index remove model --ids -")
    _add_folder(remove, _BOTH)
    remove.add_argument(
        "--ids",
        type=types.ids,
        required=True,
        metavar="ID,...",
        help="ids joined by commas, or - for standard input: an id on each line",
    )
    remove.set_defaults(run_index=_remove)

    stats = commands.add_parser("stats", help="print what the index consists of")
    stats.description = "Print the number of items, and what the index consists of."
    stats.examples = ("pyhash index stats model --json",)
    _add_folder(stats, _BOTH)
    stats.add_argument("--json", action="store_true", help="print it as a line of JSON")
    stats.set_defaults(run_index=_stats)

    verify = commands.add_parser("verify", help="read every byte and check it")
    verify.description = "Read every file and check it against its checksum; exit with 1 if one is damaged or missing."
    verify.examples = ("pyhash index verify model",)
    _add_folder(verify, _BOTH)
    verify.set_defaults(run_index=_verify)

    compact = commands.add_parser("compact", help="rewrite the index without what was removed")
    compact.description = "Rewrite the index as one segment, without the items that were removed."
    compact.examples = ("pyhash index compact model",)
    _add_folder(compact, _BOTH)
    compact.set_defaults(run_index=_compact)


def _add_folder(parser: CommandParser, what: str) -> None:
    parser.add_argument("folder", type=types.path, metavar="FOLDER", help=what)


def run(arguments: argparse.Namespace) -> None:
    """Run the command within this one."""
    arguments.run_index(arguments)


@contextmanager
def _opened(folder: Path, *, read_only: bool) -> Iterator[tuple[CodeIndex, Retriever | None]]:
    """Open a folder, or the directory of an index, for which there is no Retriever; commit what the block changes."""
    if is_retriever(folder) or not (folder / MANIFEST).is_file():
        with open_retriever(folder, read_only=read_only) as retriever:
            yield retriever.index, retriever
            if not read_only:
                retriever.commit()
        return
    with CodeIndex.open(folder) as index:
        yield index, None
        if not read_only:
            index.commit()


def _add(arguments: argparse.Namespace) -> None:
    with open_retriever(arguments.folder, read_only=False) as retriever, values_checked():
        source = open_rows(arguments, kinds_of(retriever), known=read_columns(arguments.folder))
        n = 0
        for rows in rows_with_bar("adding", source, arguments.chunk_size):
            retriever.add(rows.items, rows.ids, rows.payload or None)
            n += len(rows)
        retriever.commit()
        print(f"added {n:,} items; {arguments.folder} has {len(retriever):,}")


def _remove(arguments: argparse.Namespace) -> None:
    ids = _ids_of_lines() if arguments.ids == types.PIPE else arguments.ids
    try:
        with _opened(arguments.folder, read_only=False) as (index, retriever):
            (index if retriever is None else retriever).remove(ids)
            n_left = len(index)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    print(f"removed {len(set(ids)):,} items; {arguments.folder} has {n_left:,}")


def _ids_of_lines() -> list[int]:
    ids = []
    for line in read_lines():
        try:
            ids.append(int(line))
        except ValueError:
            raise ValueError(f"standard input must hold an integer id on each line, got {line[:40]!r}") from None
    return ids


def _stats(arguments: argparse.Namespace) -> None:
    with _opened(arguments.folder, read_only=True) as (index, retriever):
        stats: dict[str, Any] = {"n_bits": index.n_bits, "generation": index.generation, **index.stats()}
        if retriever is not None:
            stats |= {
                "method": type(retriever.model).__name__,
                "modalities": kinds_of(retriever),
                "payload": {field.name: str(field.type) for field in retriever.payload.schema},
            }
    if arguments.json:
        print(json.dumps(stats))
        return
    layouts = stats.pop("layouts")
    for name, value in stats.items():
        shown = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else value
        print(f"{name:<12}  {shown}")
    for layout in layouts:
        print(f"{'segment':<12}  {layout['n']} codes, {layout['layout']}: {layout['reason']}")


def _verify(arguments: argparse.Namespace) -> None:
    with _opened(arguments.folder, read_only=True) as (index, retriever):
        index.verify()
        if retriever is not None:
            # To open it was to read and check all but the index and these two.
            read_columns(arguments.folder)
            _ = retriever.evaluation
        print(f"{arguments.folder} is whole: {len(index):,} items")


def _compact(arguments: argparse.Namespace) -> None:
    with _opened(arguments.folder, read_only=False) as (index, _):
        n_removed = index.stats()["n_removed"]
        index.compact()
    print(f"rewrote {arguments.folder} as one segment, without {n_removed:,} removed items")
