"""``pyhash search``: find items for words, a picture, or another item."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyhash._inputs.ids import MIN_ID
from pyhash.cli import argument_types as types
from pyhash.cli.parser import CommandParser
from pyhash.cli.retriever_folder import kinds_of, open_retriever
from pyhash.cli.standard_input import read_lines
from pyhash.retriever import Result, Results, Retriever

_WIDTH = 40  # characters of a column of the payload, at most


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and examples of the command."""
    parser.description = (
        "Find the items of a folder that are nearest to words, to a picture, to both together, or to another item, by "
        "Hamming distance weighted by the query."
    )
    parser.examples = (
        "pyhash search model red flower -k 5",
        "pyhash search model --image photos/001.jpg --where category=flower --json",
        "cat queries.txt | pyhash search model - > answers.jsonl",
    )
    parser.intermixed = True
    parser.add_argument(
        "folder", type=types.path, metavar="FOLDER", help="folder that `pyhash learn` or `pyhash demo` wrote"
    )
    parser.add_argument(
        "query",
        nargs="*",
        metavar="WORDS",
        help="words to search for; or - for standard input: a query on each line, answered by a line of JSON",
    )
    parser.add_argument("--image", type=types.path, metavar="FILE", help="picture to search for")
    parser.add_argument("--like", type=types.integer(MIN_ID), metavar="ID", help="id of an item: find more like this")
    parser.add_argument("-k", type=types.integer(1), default=10, help="number of items to find (default: 10)")
    parser.add_argument(
        "--where",
        type=types.condition,
        action="append",
        metavar="COLUMN=VALUE",
        help="only items with this value in a column of the payload; may be repeated: values of one column are "
        "alternatives, conditions on several must all hold",
    )
    parser.add_argument("--plain", action="store_true", help="rank by plain Hamming distance, in bits")
    parser.add_argument("--json", action="store_true", help="print the answer as a line of JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print what is nearest to the query."""
    text = " ".join(arguments.query).strip()
    n_given = sum((bool(text), arguments.image is not None, arguments.like is not None))
    if n_given == 0 or (n_given > 1 and arguments.like is not None) or (n_given > 1 and text == types.PIPE):
        arguments.usage_error("give WORDS, --image FILE or both; or --like ID alone; or - alone")
    with open_retriever(arguments.folder) as retriever:
        options = {
            "k": arguments.k,
            "where": where_of(retriever, arguments.where or ()),
            "weighted": not arguments.plain,
        }
        if text == types.PIPE:
            _answer_lines(retriever, options)
            return
        if arguments.like is not None:
            query: dict[str, Any] = {"like": arguments.like}
        else:
            query = _query(retriever, text, None if arguments.image is None else str(arguments.image))
        unknown = unknown_words(retriever, query)
        try:
            results = retriever.search(**query, **options)
        except KeyError as error:  # there is no item --like
            raise ValueError(error.args[0]) from None
    if arguments.json:
        print(_json_line({"query": query, **({"unknown_words": unknown} if unknown else {}), "hits": hits(results)}))
        return
    if unknown:
        print(f"not in the vocabulary: {' '.join(unknown)}")
    for line in table_lines(results):
        print(line)


def _query(retriever: Retriever, text: str, image: str | None) -> dict[str, Any]:
    """Return the query by modality: words go to the one modality of texts, a picture to that of pictures."""
    kinds = kinds_of(retriever)
    query = {}
    for kind, item, what in (("text", text, "WORDS"), ("image", image, "--image")):
        if item:
            of_kind = [modality for modality in kinds if kinds[modality] == kind]
            if not of_kind:
                known = ", ".join(f"{modality} ({kind})" for modality, kind in kinds.items())
                raise ValueError(f"{what} must go with a folder that has encoded {kind}s, its modalities are {known}")
            query[kind if kind in of_kind else of_kind[0]] = item
    return query


def _answer_lines(retriever: Retriever, options: Mapping[str, Any]) -> None:
    """Answer each line of standard input by a line of JSON; one without an answer gets an error there."""
    n = n_failed = 0
    for line in read_lines():
        n += 1
        query = _query(retriever, line, None)
        try:
            answer = {"query": query, "hits": hits(retriever.search(**query, **options))}
        except ValueError as error:
            n_failed += 1
            answer = {"query": query, "error": str(error)}
        print(_json_line(answer))
    if n_failed:
        raise ValueError(f"{n_failed} of {n} queries have no answer")


def where_of(retriever: Retriever, conditions: Sequence[tuple[str, str]]) -> dict[str, list[Any]] | None:
    """Return the filter that some conditions are: texts become values of the column's type."""
    where: dict[str, list[Any]] = {}
    for column, text in conditions:
        names = retriever.payload.column_names
        if column not in names:
            raise ValueError(
                f"--where must be of a column of the payload, {', '.join(names) or 'none'}; got {column!r}"
            )
        where.setdefault(column, []).append(_value(retriever.payload.schema.field(column).type, column, text))
    return where or None


def _value(kind: Any, column: str, text: str) -> Any:
    from pyarrow import types as arrow

    kind = kind.value_type if arrow.is_list(kind) or arrow.is_large_list(kind) else kind
    try:
        if arrow.is_boolean(kind):
            return {"true": True, "false": False}[text.lower()]
        if arrow.is_integer(kind):
            return int(text)
        return float(text) if arrow.is_floating(kind) else text
    except (ValueError, KeyError):
        raise ValueError(f"--where {column} must be a value of type {kind}, got {text!r}") from None


def unknown_words(retriever: Retriever, query: Mapping[str, Any]) -> list[str]:
    """Return the words of a query that its encoder has no column for."""
    for modality, kind in kinds_of(retriever).items():
        if kind == "text" and modality in query:
            encoder: Any = retriever.encoders[modality]
            return list(encoder.unknown_words(query[modality])) if hasattr(encoder, "unknown_words") else []
    return []


def hits(results: Results) -> list[dict[str, Any]]:
    """Return results as values of JSON, without pictures."""
    return [
        {
            "rank": result.rank,
            "id": result.id,
            "distance": round(result.distance, 6),
            "payload": _shown(result),
        }
        for result in results
    ]


def _shown(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.payload.items() if not isinstance(value, bytes)}


def table_lines(results: Results) -> Iterator[str]:
    """Yield the lines of a table, with the columns of the payload that are no pictures."""
    shown = [_shown(result) for result in results]
    names = list(dict.fromkeys(name for values in shown for name in values))
    rows = [["rank", "distance", "id", *names]]
    for result, values in zip(results, shown, strict=True):
        distance = f"{result.distance:.3f}" if isinstance(result.distance, float) else str(result.distance)
        rows.append([str(result.rank), distance, str(result.id), *(_cell(values.get(name)) for name in names)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        texts = [cell.ljust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join([*numbers, *texts]).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
