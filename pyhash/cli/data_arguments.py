"""The argument DATA and the options that say what is in it, which several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyhash.cli import argument_types as types
from pyhash.cli.columns import Columns
from pyhash.cli.dataset_rows import SUFFIXES, DatasetRows
from pyhash.cli.rows import HeldOut, RowSource
from pyhash.cli.standard_input import FORMATS, read_table
from pyhash.cli.table_rows import TableRows

_DATA = (
    "a folder of pictures with a .csv file; a .csv, .parquet or .arrow file, or a folder of .parquet files; feature "
    "matrices in a .npz or .mat file"
)
_PIPE = "; or - for standard input: a text on each line, JSON lines, or CSV"


def add_data_arguments(
    parser: argparse.ArgumentParser, *, standard_input: bool, payload: bool, held_out: str | None
) -> None:
    """Add DATA and the options that say what is in it; `held_out` is the help of --hold-out and --split."""
    parser.add_argument("data", type=types.data, metavar="DATA", help=_DATA + (_PIPE if standard_input else ""))
    parser.add_argument(
        "--view",
        type=types.pairs,
        action="append",
        metavar="MODALITY=COLUMN",
        help="column or array of a modality, such as image=photo,text=title; may be repeated; modalities that are not "
        "named are left out (default: the one column of pictures is image, the one of texts is text, and features go "
        "by the names of their columns)",
    )
    parser.add_argument("--ids", metavar="COLUMN", help="column of integer ids (default: the next free ones)")
    if standard_input:
        parser.add_argument(
            "--format",
            choices=FORMATS,
            help="what standard input holds (default: jsonl if it begins with a brace, else lines)",
        )
    if payload:
        parser.add_argument(
            "--payload",
            type=types.names,
            metavar="COLUMN,...",
            help="columns to keep with each item, for answers and filters (default: all of texts, labels and numbers)",
        )
        parser.add_argument(
            "--no-pictures",
            dest="pictures",
            action="store_false",
            help="keep no small pictures, of at most 256 pixels, with the items",
        )
    if held_out is not None:
        parser.add_argument("--hold-out", type=types.integer(2), metavar="N", help=f"every N-th row: {held_out}")
        parser.add_argument("--split", metavar="NAME", help=f"query rows of a split of a .npz or .mat file: {held_out}")


@contextmanager
def values_checked() -> Iterator[None]:
    """Turn the TypeError of a value in the data, or of a parameter, into a ValueError: the user gave it."""
    try:
        yield
    except TypeError as error:
        raise ValueError(str(error)) from error


def open_rows(
    arguments: argparse.Namespace,
    modalities: Mapping[str, str] | None = None,
    *,
    known: Columns | None = None,
    held_out: bool = False,
    known_labels: Sequence[str] | None = None,
) -> RowSource:
    """Return the rows of DATA.

    `modalities` are those of a folder, and what their items are; None: those of the data. `known` are the columns that
    the folder keeps. `held_out`: only the rows that --hold-out or --split names, else all but these. Labels that are
    not named are one of `known_labels`, by default any; a command without --labels has none.
    """
    data, given = arguments.data, vars(arguments)
    views = {modality: column for pairs in given["view"] or () for modality, column in pairs.items()} or None
    if modalities is not None:
        unknown = [modality for modality in views or () if modality not in modalities]
        if unknown:
            raise ValueError(f"--view must name modalities of the folder, {', '.join(modalities)}, got {unknown[0]!r}")
    is_matrices = isinstance(data, Path) and data.suffix.lower() in SUFFIXES
    shared: dict[str, Any] = {
        "views": views,
        "ids": given["ids"],
        "labels": given.get("labels"),
        "payload": given.get("payload"),
    }
    shared["known"] = Columns() if known is None else known
    source: RowSource
    if is_matrices:
        source = DatasetRows(
            data,
            **shared,
            modalities=None if modalities is None else tuple(modalities),
            split=given.get("split"),
            queries=held_out,
        )
    else:
        if given.get("split") is not None:
            raise ValueError(f"--split must go with a .npz or .mat file, got {data}; --hold-out N takes every N-th row")
        if data == types.PIPE:
            texts = [modality for modality, kind in (modalities or {}).items() if kind == "text"]
            data = read_table(given.get("format"), (texts or ["text"])[0])
        source = TableRows(
            data,
            **shared,
            pictures=given.get("pictures", False) and given.get("add", True),  # only of items that are added
            modalities=modalities,
            known_labels=known_labels if "labels" in given else (),
        )
    every = given.get("hold_out")
    return source if every is None else HeldOut(source, every, held_out=held_out)
