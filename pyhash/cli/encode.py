"""``pyhash encode``: the codes of one's own data."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pyhash._files.atomic import atomic_file
from pyhash.cli import argument_types as types
from pyhash.cli.columns import read_columns
from pyhash.cli.data_arguments import add_data_arguments, open_rows, values_checked
from pyhash.cli.parser import CommandParser
from pyhash.cli.progress import rows_with_bar
from pyhash.cli.retriever_folder import kinds_of, open_retriever


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Encode data with the model of a folder, each row from all modalities that the data has, together. The codes "
        "are packed: 8 bits in each uint8, ceil(bits / 8) of them in a row."
    )
    parser.examples = (
        "pyhash encode model photos --out codes.npy",
        "cat captions.txt | pyhash encode model - > codes.npy",
    )
    parser.add_argument("folder", type=types.path, metavar="FOLDER", help="folder that `pyhash learn` wrote")
    add_data_arguments(parser, standard_input=True, payload=False, held_out=None)
    parser.add_argument(
        "--out",
        type=types.codes_file,
        default=types.PIPE,
        metavar="FILE",
        help="codes.npy, or codes.npz with `codes`, `n_bits` and, after --ids, `ids` (default: -, a .npy file on "
        "standard output)",
    )
    parser.add_argument(
        "--chunk-size", type=types.integer(1), default=2000, help="number of rows to encode at a time (default: 2000)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Encode the data that the arguments describe, and write the codes."""
    out: Path | str = arguments.out
    if out == types.PIPE and sys.stdout is not None and sys.stdout.isatty():
        raise ValueError("codes are binary: name a file, --out codes.npy, or redirect standard output")
    with open_retriever(arguments.folder) as retriever, values_checked():
        source = open_rows(arguments, kinds_of(retriever), known=read_columns(arguments.folder))
        parts, ids = [], []
        for rows in rows_with_bar("encoding", source, arguments.chunk_size):
            parts.append(retriever.encode(rows.items))
            if rows.ids is not None:
                ids.append(rows.ids)
        if not parts:
            raise ValueError(f"{source.name} must hold at least one row to encode, got none")
        codes = np.concatenate(parts)
        arrays: dict[str, Any] = {"codes": codes, "n_bits": np.array(retriever.index.n_bits)}
    if ids:
        arrays["ids"] = np.concatenate(ids)
    if out == types.PIPE:
        content = io.BytesIO()
        np.save(content, codes)
        sys.stdout.buffer.write(content.getbuffer())
        return
    with atomic_file(out) as file:
        if Path(out).suffix == ".npz":
            np.savez(file, **arrays)
        else:
            np.save(file, codes)
    print(f"written to {out}: {len(codes):,} codes of {int(arrays['n_bits'])} bits")
