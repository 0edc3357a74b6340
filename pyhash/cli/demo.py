"""``pyhash demo``: learn the built-in data as a stream, measure, and answer queries."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyhash import evaluation, plotting
from pyhash._inputs.labels import one_hot
from pyhash.cli import argument_types as types
from pyhash.cli.charts import require_charts
from pyhash.cli.parser import CommandParser
from pyhash.cli.scores import retrieval_scores
from pyhash.cli.staged_folder import staged
from pyhash.codes import pack
from pyhash.datasets import Dataset, load_emoji
from pyhash.index import CodeIndex
from pyhash.methods import make_method
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod
from pyhash.methods.recipes import parse_name
from pyhash.retriever import Retriever
from pyhash.retriever.manifest import is_own_file
from pyhash.retriever.payload_tables import arrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyhash._inputs.checks import Features

# The view of the data that is each modality.
_VIEWS = {"image": "image_deep", "text": "text_deep"}
_ENCODERS = {"image": "emoji-image", "text": "emoji-text"}
# Direction of each query modality; a code that is searched stands for both modalities of its pair.
_DIRECTIONS = {"image": "image->text", "text": "text->image"}
_PROTOCOL = evaluation.Protocol.preset("shoh")
_RELEVANCE = "level2"
_LABELS = "subgroup"  # the column of the payload that is the same
# Codes of classes tie for all items of a class, hence ties by expectation.
_SAME_PROTOCOL = evaluation.Protocol(ties="expected")
_N_ANSWERS = 10
_N_EXAMPLES = 12
_N_SHOWN = 6
_ROUNDS_CHART = "map_by_round.png"
_CURVE_CHART = "precision_recall.png"
_RESULTS = "results.json"
# Of this command as it was before folders of Retrievers.
_EARLIER = ("model.npz", "model.safetensors", "catalogue.json")


@dataclass(frozen=True)
class Round:
    """Measurements after a chunk, or after all pairs at once."""

    n_seen: int
    learn_seconds: float
    solve_seconds: float
    scores: dict[str, float]  # mAP by direction, by plain and by weighted distance


@dataclass(frozen=True)
class MethodResult:
    """A model that has learned the stream, the index of its codes, and its measurements."""

    model: HashingMethod
    index: CodeIndex
    rounds: list[Round]
    same: dict[str, float | None]  # share of the queries that find their own emoji; None if it is never in the index


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Learn 8,000 image-text pairs in chunks with each method, measure retrieval after every chunk, and answer "
        "twelve text queries with the last method. The model and the index of the last method, and charts of all "
        "methods, are written to a folder that `pyhash search` and `pyhash explore` read."
    )
    parser.examples = ("pyhash demo --methods lemon --no-charts --out my-demo",)
    parser.add_argument(
        "--methods",
        type=types.names,
        default=["lemon+rbf", "boch+instance"],
        help="names joined by commas, such as dsfh or dhsl; the last method answers the queries and is saved. Methods "
        "that are not online learn all pairs in one round (default: lemon+rbf,boch+instance)",
    )
    parser.add_argument(
        "--bits", type=types.integer(1), default=64, help="length of a code in bits (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=types.integer(0), default=0, help="seed of all random choices (default: %(default)s)"
    )
    parser.add_argument(
        "--split",
        choices=("pair", "emoji"),
        default="pair",
        help="queries: new pictures of known emoji (pair), or emoji never seen (emoji) (default: %(default)s)",
    )
    parser.add_argument(
        "--chunk-size",
        type=types.integer(1),
        default=2000,
        help="number of pairs that online methods learn at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=types.folder, default=Path("pyhash-demo"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--no-charts", action="store_true", help="draw no charts; matplotlib is then not needed")


def run(arguments: argparse.Namespace) -> None:
    """Run the demo that the arguments describe."""
    learn_and_answer(
        methods=arguments.methods,
        n_bits=arguments.bits,
        seed=arguments.seed,
        split=arguments.split,
        chunk_size=arguments.chunk_size,
        out=arguments.out,
        charts=not arguments.no_charts,
    )


def learn_and_answer(
    *, methods: Sequence[str], n_bits: int, seed: int, split: str, chunk_size: int, out: Path, charts: bool
) -> None:
    """Learn and measure with every method, answer queries with the last, and write all results to a folder."""
    if charts:
        require_charts()
    twice = [name for name in methods if methods.count(name) > 1]
    if twice:
        raise ValueError(f"--methods must name every method once, got {twice[0]} twice")
    arrow()  # noticed before any work where it is missing
    data = load_emoji()
    data = replace(data, views={modality: data.views[view] for modality, view in _VIEWS.items()})
    # Make all models first: wrong names and missing extras are noticed before any work.
    for name in methods:
        parse_name("methods", name)
    models = {
        name: make_method(name, n_bits=n_bits, seed=seed, views=data.views, hierarchy=data.hierarchy)
        for name in methods
    }
    with staged(out, _is_owned) as stage:
        queries = data.split(split)[1]
        print(f"{data}\nsplit '{split}': {len(data) - len(queries)} pairs to learn and search, {len(queries)} queries")
        print(f"mAP: {_RELEVANCE} relevance, {_PROTOCOL.describe()}; by weighted distance unless it says plain")
        learned = {
            name: _learn_stream(name, data, split, queries, model, chunk_size, seed) for name, model in models.items()
        }
        _print_summary(learned)
        _show_examples(data, queries, learned, seed)

        _write_retriever(data, queries, learned[methods[-1]], stage)
        results: dict[str, Any] = {"n_bits": n_bits, "seed": seed, "split": split, "chunk_size": chunk_size}
        rounds = {name: [asdict(r) for r in of_method.rounds] for name, of_method in learned.items()}
        same = {name: of_method.same for name, of_method in learned.items()}
        results |= {"rounds": rounds, f"same_emoji_in_first_{_N_ANSWERS}": same}
        (stage / _RESULTS).write_text(json.dumps(results, indent=1))
        if charts:
            _draw_rounds(learned, stage / _ROUNDS_CHART)
            _draw_precision_recall(data, queries, learned, stage / _CURVE_CHART)
        written = sorted(file.name for file in stage.iterdir())
    print(f"\nwritten to {out}: {', '.join(written)}")
    print(f'now try: pyhash search {out} "cat face"')


def _learn_stream(
    name: str,
    data: Dataset,
    split: str,
    queries: NDArray[np.int64],
    model: HashingMethod,
    chunk_size: int,
    seed: int,
) -> MethodResult:
    """Learn in chunks; methods that are not online learn all pairs in one round."""
    print(f"\n{name}: {model!r}\n")
    index = CodeIndex(model.n_bits)
    size = chunk_size if isinstance(model, OnlineMethod) else len(data)
    labels = "hierarchy" if getattr(model, "hierarchy", None) is not None else _RELEVANCE
    columns = [f"{direction} mAP" for direction in _DIRECTIONS.values()]
    print("  ".join(["pairs", *columns, "learn s", "solve s"]))
    rounds: list[Round] = []
    chunks = list(data.chunks(size, seed, split=split, labels=labels))
    # None: only where stderr is a terminal. A bar of a single round shows nothing; deep methods have their own.
    disable = None if isinstance(model, OnlineMethod) else True
    with tqdm(chunks, desc="learning", unit="chunk", disable=disable, leave=False) as bar:
        for chunk in bar:
            start = time.perf_counter()
            _learn_chunk(model, chunk.views, chunk.labels, len(data.label_names[_RELEVANCE]))
            learned = time.perf_counter()
            for modality in _DIRECTIONS:
                model.project(data.views[modality][:1], modality=modality)  # the first use solves for the projections
            solved = time.perf_counter()
            index.add(model.codes_, chunk.rows, model=model)
            scores = _measure(data, queries, model, index)
            rounds.append(Round(len(index), learned - start, solved - learned, scores))
            shown = [scores[_weighted(direction)] for direction in _DIRECTIONS.values()]
            cells = [f"{score:>{len(column)}.3f}" for score, column in zip(shown, columns, strict=True)]
            bar.write("  ".join([f"{len(index):>5}", *cells, f"{learned - start:>7.3f}", f"{solved - learned:>7.3f}"]))
    return MethodResult(model, index, rounds, _find_same(data, queries, model, index))


def _learn_chunk(
    model: HashingMethod, views: dict[str, Features], labels: NDArray[Any] | list[NDArray[Any]], n_classes: int
) -> None:
    # As a matrix of all classes: the first chunk may lack some of them.
    known = labels if isinstance(labels, list) else one_hot(labels, n_classes)
    if isinstance(model, OnlineMethod):
        model.partial_fit(views, known)
    else:
        model.fit(views, known)


def _weighted(direction: str) -> str:
    return f"{direction} weighted"


class _Queries(NamedTuple):
    """The queries of one modality, as codes for plain distance or as projections for weighted distance."""

    modality: str
    distance: Literal["plain", "weighted"]
    metric: Literal["hamming", "weighted_hamming"]
    rows: NDArray[Any]

    @property
    def name(self) -> str:
        direction = _DIRECTIONS[self.modality]
        return _weighted(direction) if self.distance == "weighted" else direction


def _rankings(data: Dataset, queries: NDArray[np.int64], model: HashingMethod) -> Iterator[_Queries]:
    """Yield the queries of each modality for plain and for weighted distance."""
    for modality in _DIRECTIONS:
        projections = model.project(data.views[modality][queries], modality=modality)
        yield _Queries(modality, "plain", "hamming", pack(projections))
        yield _Queries(modality, "weighted", "weighted_hamming", projections)


def _measure(data: Dataset, queries: NDArray[np.int64], model: HashingMethod, index: CodeIndex) -> dict[str, float]:
    """Return the mAP of each direction and distance; items of the query's subgroup are relevant."""
    labels = data.labels[_RELEVANCE]
    return {
        asked.name: evaluation.mean_average_precision(
            asked.rows,
            index.codes,
            labels[queries],
            labels[index.ids],
            metric=asked.metric,
            n_bits=index.n_bits,
            protocol=_PROTOCOL,
        ).value
        for asked in _rankings(data, queries, model)
    }


def _find_same(
    data: Dataset, queries: NDArray[np.int64], model: HashingMethod, index: CodeIndex
) -> dict[str, float | None]:
    """Return the share of the queries, by direction and distance, whose own emoji is among the first answers."""
    emoji = data.items["emoji_id"]
    if not np.isin(emoji[queries], emoji[index.ids]).any():
        return {asked.name: None for asked in _rankings(data, queries, model)}
    return {
        asked.name: float(
            evaluation.instance_retrieval(
                asked.rows,
                index.codes,
                emoji[queries],
                emoji[index.ids],
                top_n=_N_ANSWERS,
                metric=asked.metric,
                n_bits=index.n_bits,
                protocol=_SAME_PROTOCOL,
            ).hit_rate[0]
        )
        for asked in _rankings(data, queries, model)
    }


def _print_summary(learned: dict[str, MethodResult]) -> None:
    """Print the last scores of every method by plain and by weighted distance."""
    print(f"\nafter all pairs; same emoji: share of the queries that find their own among the first {_N_ANSWERS}\n")
    columns = [column for direction in _DIRECTIONS.values() for column in (f"{direction} mAP", "same emoji")]
    wide = max(len(name) for name in ("method", *learned))
    print("  ".join([f"{'method':<{wide}}", "distance", *columns]))
    for name, of_method in learned.items():
        for distance in ("plain", "weighted"):
            cells = []
            for direction in _DIRECTIONS.values():
                column = _weighted(direction) if distance == "weighted" else direction
                cells += [of_method.rounds[-1].scores[column], of_method.same[column]]
            shown = [
                f"{'-' if cell is None else format(cell, '.3f'):>{len(column)}}"
                for cell, column in zip(cells, columns, strict=True)
            ]
            print("  ".join([f"{name:<{wide}}", f"{distance:<8}", *shown]))
    if all(share is None for of_method in learned.values() for share in of_method.same.values()):
        print("-: no picture of these emoji was learned, so no answer can show them")


def _show_examples(data: Dataset, queries: NDArray[np.int64], learned: dict[str, MethodResult], seed: int) -> None:
    """Print twelve texts of the query rows, the emoji that the last method finds, and the rank of the right one."""
    emoji, subgroup, codepoints = data.items["emoji_id"], data.labels[_RELEVANCE], data.items["codepoints"]
    rows = np.random.default_rng(seed).choice(queries, size=min(_N_EXAMPLES, len(queries)), replace=False)
    ranked = {
        name: of_method.index.search_weighted(
            of_method.model.project(data.views["text"][rows], modality="text"), k=len(of_method.index)
        ).ids
        for name, of_method in learned.items()
    }
    *others, last = learned
    print(f"\ntexts that were not learned, and the emoji that they find ({last}, weighted distance):\n")
    for i, row in enumerate(rows):
        right, what = emoji == emoji[row], "right one"
        if not right[ranked[last][i]].any():  # the split holds back every picture of this emoji
            right, what = subgroup == subgroup[row], "emoji not in the index; first of its group"
        where = "none of its group in the index"
        if right[ranked[last][i]].any():
            rank = {name: int(np.argmax(right[ids[i]])) + 1 for name, ids in ranked.items()}
            compared = ", ".join(f"{name}: {rank[name]}" for name in others)
            where = f"{what} at rank {rank[last]}" + (f" ({compared})" if others else "")
        found = list(dict.fromkeys(codepoints[ranked[last][i]].tolist()))[:_N_SHOWN]
        print(f"  {_glyph(str(codepoints[row]))}  {data.items['text'][row]}")
        print(f"      {'  '.join(_glyph(points) for points in found)}   {where}")


def _glyph(codepoints: str) -> str:
    return "".join(chr(int(point, 16)) for point in codepoints.split("-"))


def _is_owned(name: str) -> bool:
    return name in (_ROUNDS_CHART, _CURVE_CHART, *_EARLIER) or is_own_file(name)


def _write_retriever(data: Dataset, queries: NDArray[np.int64], result: MethodResult, folder: Path) -> None:
    """Write model, index and what to show of each picture, with the last scores."""
    ids = result.index.ids
    subgroups = data.labels[_RELEVANCE]
    payload = {
        "emoji": [_glyph(str(points)) for points in data.items["codepoints"][ids]],
        "name": data.items["name"][ids].tolist(),
        "text": data.items["text"][ids].tolist(),
        "vendor": data.items["vendor"][ids].tolist(),
        _LABELS: [data.label_names[_RELEVANCE][label] for label in subgroups[ids]],
    }
    with Retriever(_ENCODERS, result.model) as retriever:
        retriever.add_codes(result.index.codes, ids, payload)
        retriever.save(folder)
        relevance = (subgroups[queries], subgroups[ids])
        directions: dict[str, Any] = {modality: {} for modality in _DIRECTIONS}
        for asked in _rankings(data, queries, result.model):
            scores = retrieval_scores(asked.rows, result.index, relevance, _PROTOCOL, asked.metric)
            directions[asked.modality][asked.distance] = scores
        rounds = [
            {"n_seen": each.n_seen, **{name: each.scores[_weighted(to)] for name, to in _DIRECTIONS.items()}}
            for each in result.rounds
        ]
        retriever.write_evaluation(
            {"rows": len(queries), "labels": _LABELS, "directions": directions, "rounds": rounds}
        )


def _draw_rounds(learned: dict[str, MethodResult], path: Path) -> None:
    ax = None
    for name, of_method in learned.items():
        n_seen = [r.n_seen for r in of_method.rounds]
        for column in of_method.rounds[-1].scores:
            style = "--" if column.endswith("weighted") else "-"
            scores = [r.scores[column] for r in of_method.rounds]
            ax = plotting.RoundsDisplay(n_seen, scores, name=f"{name}, {column}").plot(ax, linestyle=style).ax_
    plotting.save_figure(cast("Axes", ax), path)


def _draw_precision_recall(
    data: Dataset, queries: NDArray[np.int64], learned: dict[str, MethodResult], path: Path
) -> None:
    labels, ax = data.labels[_RELEVANCE], None
    for name, of_method in learned.items():
        for modality, direction in _DIRECTIONS.items():
            ax = plotting.PrecisionRecallDisplay.from_codes(
                of_method.model.encode(data.views[modality][queries], modality=modality),
                of_method.index.codes,
                labels[queries],
                labels[of_method.index.ids],
                n_bits=of_method.index.n_bits,
                protocol=_PROTOCOL,
                name=f"{name}, {direction}",
                ax=ax,
            ).ax_
    plotting.save_figure(cast("Axes", ax), path)
