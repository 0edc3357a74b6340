"""``pyhash learn``: learn codes from one's own data, into a folder that all other commands take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.cli import argument_types as types
from pyhash.cli.columns import write_columns
from pyhash.cli.data_arguments import add_data_arguments, open_rows, values_checked
from pyhash.cli.parser import CommandParser
from pyhash.cli.progress import rows_with_bar
from pyhash.cli.retriever_folder import new_folder
from pyhash.cli.rows import Rows, RowSource, joined
from pyhash.encoders import ENCODER_NAMES, make_encoder
from pyhash.encoders.contract import Encoder
from pyhash.methods.online import OnlineMethod
from pyhash.methods.recipes import RECOMMENDED, parse_name
from pyhash.methods.registry import method_class
from pyhash.retriever import Retriever

# Of items that are no features already. Pictures: the weights come with a package, nothing is downloaded.
_ENCODERS = {"text": "bag-of-words", "image": "efficientnet-lite0"}
# Without labels: for several modalities, and for one.
_UNSUPERVISED = ("cca-itq", "pca-itq")


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Learn binary codes from pictures, texts or features, and write a folder of encoders, model and index that "
        "`pyhash encode`, `index`, `search`, `evaluate` and `explore` take. A folder that `pyhash learn` wrote is "
        "replaced, whole or not at all; other files are not touched."
    )
    parser.examples = ("pyhash learn photos --labels category --add --out model",)
    add_data_arguments(parser, standard_input=False, payload=True, held_out="is left out, to be used by `evaluate`")
    parser.add_argument("--out", type=types.folder, required=True, help="folder to write")
    parser.add_argument(
        "--labels",
        metavar="COLUMN",
        help="column of labels to learn; lists, or texts with commas, semicolons or bars, are several labels of a row "
        "(default: the one column of labels, or the finest labels of a .npz or .mat file)",
    )
    parser.add_argument(
        "--encoder",
        type=types.pairs,
        action="append",
        metavar="MODALITY=NAME",
        help=f"what makes features of texts or pictures, one of {', '.join(_encoder_names())}; may be repeated "
        "(default: text=bag-of-words, image=efficientnet-lite0)",
    )
    parser.add_argument(
        "--method",
        help=f"name of a method, as for `pyhash bench` (default: {RECOMMENDED}; without labels {_UNSUPERVISED[0]}, or "
        f"{_UNSUPERVISED[1]} for one modality)",
    )
    parser.add_argument("--bits", type=types.integer(1), default=64, help="length of a code in bits (default: 64)")
    parser.add_argument("--seed", type=types.integer(0), default=0, help="seed of all random choices (default: 0)")
    parser.add_argument(
        "--set",
        type=types.parameters,
        action="append",
        dest="parameters",
        metavar="PARAMETER=VALUE,...",
        help="parameters of the method in the place of its defaults, such as alpha=1e2,beta=10; may be repeated",
    )
    parser.add_argument(
        "--chunk-size",
        type=types.integer(1),
        default=2000,
        help="number of rows that online methods learn at a time (default: 2000)",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="read and learn chunk by chunk, in the order of DATA, which may be larger than memory; rows sorted by "
        "class are learned less well (default: read all rows, and shuffle them)",
    )
    parser.add_argument("--add", action="store_true", help="add the rows that are learned to the index")


def run(arguments: argparse.Namespace) -> None:
    """Learn the data that the arguments describe, and write the folder."""
    with new_folder(arguments.out) as folder:
        with values_checked():
            source = open_rows(arguments)
        method = arguments.method or _default_method(source)
        is_online = issubclass(method_class(parse_name("--method", method)[0]), OnlineMethod)
        if arguments.stream and not is_online:
            raise ValueError(f"--stream must go with a method that learns chunk by chunk, such as boch, got {method}")
        with values_checked():
            retriever, n = _learned(source, method, arguments, is_online)
        retriever.save(folder)
        retriever.close()
        write_columns(folder, source.columns)
    labels = "no labels" if source.columns.labels is None else f"labels {source.columns.labels}"
    print(f"learned {n:,} rows of {', '.join(source.kinds)} by {method}, {arguments.bits} bits, {labels}")
    print(f"written to {arguments.out}: {len(retriever):,} items in the index")


def _learned(source: RowSource, method: str, arguments: argparse.Namespace, is_online: bool) -> tuple[Retriever, int]:
    """Return a Retriever that has learned the rows of a source, and their number."""
    given = {modality: name for pairs in arguments.encoder or () for modality, name in pairs.items()}
    parameters = {name: value for values in arguments.parameters or () for name, value in values.items()}
    encoders = make_encoders(source.kinds, given)
    retriever = Retriever(encoders, method, arguments.bits, seed=arguments.seed, parameters=parameters)
    if arguments.stream:
        return retriever, _learn_stream(retriever, source, arguments)
    return retriever, _learn_shuffled(retriever, source, arguments, is_online)


def _learn_shuffled(retriever: Retriever, source: RowSource, arguments: argparse.Namespace, is_online: bool) -> int:
    """Learn all rows in random order; without ids of their own, they keep their places as ids.

    Methods that are not online learn the rows that have every modality; the others are only added.
    """
    parts = list(rows_with_bar("reading", source, arguments.chunk_size))
    if not parts:
        raise ValueError(f"{source.name} must hold at least one row to learn, got none")
    rows = joined(parts)
    order = np.random.default_rng(arguments.seed).permutation(len(rows))
    shuffled = rows.take(order)
    if shuffled.ids is None:
        shuffled = replace(shuffled, ids=order)
    whole = np.all([shuffled.has(modality) for modality in shuffled.items], axis=0)
    if is_online or whole.all():
        _learn(retriever, shuffled, arguments)
        return len(rows)
    if not whole.any():
        raise ValueError(f"{source.name} must have a row with {' and '.join(shuffled.items)}, got none")
    learned, others = shuffled.take(np.flatnonzero(whole)), shuffled.take(np.flatnonzero(~whole))
    _learn(retriever, learned, arguments)
    if arguments.add:
        retriever.add(others.items, others.ids, others.payload or None)
    return len(learned)


def _learn(retriever: Retriever, rows: Rows, arguments: argparse.Namespace) -> None:
    added = _added(rows, rows.ids) if arguments.add else {}
    retriever.learn(rows.items, rows.labels, **added, chunk_size=arguments.chunk_size, progress=_shown())


def _learn_stream(retriever: Retriever, source: RowSource, arguments: argparse.Namespace) -> int:
    """Learn chunk by chunk, as they come."""
    n = 0
    for rows in rows_with_bar("learning", source, arguments.chunk_size):
        added = _added(rows, rows.ids) if arguments.add else {}
        retriever.partial_learn(rows.items, rows.labels, **added)
        n += len(rows)
    if n == 0:
        raise ValueError(f"{source.name} must hold at least one row to learn, got none")
    return n


def _shown() -> bool:
    """Return whether bars are shown: where stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def _added(rows: Rows, ids: NDArray[np.int64] | None) -> dict[str, Any]:
    return {"add": True, "ids": ids, "payload": rows.payload or None}


def make_encoders(kinds: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Encoder | None]:
    """Return the encoder of each modality, None for features."""
    for modality in given:
        if modality not in kinds:
            raise ValueError(f"--encoder must name one of the modalities {', '.join(kinds)}, got {modality!r}")
        if kinds[modality] == "features":
            raise ValueError(f"--encoder must not name {modality!r}, whose items are features already")
    encoders: dict[str, Encoder | None] = {}
    for modality, kind in kinds.items():
        if kind == "features":
            encoders[modality] = None
            continue
        name = given.get(modality, _ENCODERS[kind])
        try:
            encoders[modality] = make_encoder(name, kind=kind)
        except ValueError as error:
            raise ValueError(f"--encoder {modality}={name}: {error}") from None
        except ImportError as error:
            if modality in given:
                raise
            raise ImportError(
                f"{error}, or name another encoder: --encoder {modality}=NAME, NAME one of "
                f"{', '.join(_encoder_names())}"
            ) from None
    return encoders


def _encoder_names() -> list[str]:
    return [f"{name}MODEL" if name.endswith(":") else name for name in ENCODER_NAMES]


def _default_method(source: RowSource) -> str:
    if source.columns.labels is not None:
        return RECOMMENDED
    return _UNSUPERVISED[0 if len(source.kinds) > 1 else 1]
