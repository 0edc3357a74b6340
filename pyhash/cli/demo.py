"""``pyhash demo``: learn the built-in data as a stream, measure, and answer queries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyhash import evaluation, plotting
from pyhash._inputs.labels import one_hot
from pyhash.cli.charts import require_charts
from pyhash.cli.model_folder import MODELS, Catalogue, ModelFolder, Picture, staged, write_json, write_model_folder
from pyhash.codes import pack
from pyhash.datasets import Dataset, load_emoji
from pyhash.index import CodeIndex
from pyhash.methods import make_method
from pyhash.methods.contract import HashingMethod
from pyhash.methods.linear import OnlineMethod
from pyhash.methods.recipes import parse_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyhash._inputs.checks import Features

# Direction of each query modality; a code that is searched stands for both modalities of its pair.
_DIRECTIONS = {"image_deep": "image->text", "text": "text->image"}
_PROTOCOL = evaluation.Protocol.preset("shoh")
_RELEVANCE = "level2"
_N_EXAMPLES = 12
_ROUNDS_CHART = "map_by_round.png"
_CURVE_CHART = "precision_recall.png"


@dataclass(frozen=True)
class Round:
    """Measurements after a chunk, or after all pairs at once."""

    n_seen: int
    learn_seconds: float
    solve_seconds: float
    scores: dict[str, float]  # mAP by direction, by Hamming and by weighted distance


def run(
    *, methods: Sequence[str], n_bits: int, seed: int, split: str, chunk_size: int, out: Path, charts: bool
) -> None:
    """Learn and measure with every method, answer queries with the last, and write all results to a folder."""
    if charts:
        require_charts()
    twice = [name for name in methods if methods.count(name) > 1]
    if twice:
        raise ValueError(f"--methods must name every method once, got {twice[0]} twice")
    data = load_emoji()
    views = {name: data.views[name] for name in _DIRECTIONS}
    # Make all models first: wrong names and missing extras are noticed before any work.
    for name in methods:
        parse_name("methods", name)
    models = {
        name: make_method(name, n_bits=n_bits, seed=seed, views=views, hierarchy=data.hierarchy) for name in methods
    }
    with staged(out, owned=(_ROUNDS_CHART, _CURVE_CHART, *MODELS)) as stage:
        queries = data.split(split)[1]
        print(f"{data}\nsplit '{split}': {len(data) - len(queries)} pairs to learn and search, {len(queries)} queries")
        print(f"mAP, {_RELEVANCE} relevance, {_PROTOCOL.describe()}")
        learned = {
            name: _learn_stream(name, data, split, queries, model, chunk_size, seed) for name, model in models.items()
        }
        answering = methods[-1]
        chosen = learned[answering]
        _show_examples(answering, data, queries, chosen, seed)

        write_model_folder(stage, ModelFolder(chosen.model, chosen.index, _catalogue(data, chosen.index)))
        results = {"n_bits": n_bits, "seed": seed, "split": split, "chunk_size": chunk_size}
        rounds = {name: [asdict(r) for r in of_method.rounds] for name, of_method in learned.items()}
        write_json(stage / "results.json", {**results, "rounds": rounds})
        if charts:
            _draw_rounds(learned, stage / _ROUNDS_CHART)
            _draw_precision_recall(data, queries, learned, stage / _CURVE_CHART)
        written = sorted(file.name for file in stage.iterdir())
    print(f"\nwritten to {out}: {', '.join(written)}")
    print(f'now try: pyhash search {out} "cat face"')


@dataclass(frozen=True)
class MethodResult:
    """A model that has learned the stream, the index of its codes, and its measurements."""

    model: HashingMethod
    index: CodeIndex
    rounds: list[Round]


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
    columns = [name + kind for name in _DIRECTIONS.values() for kind in ("", " weighted")]
    print("  ".join(["pairs", *columns, "learn s", "solve s"]))
    rounds: list[Round] = []
    chunks = list(data.chunks(size, seed, split=split, views=tuple(_DIRECTIONS), labels=labels))
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
            cells = [f"{rounds[-1].n_seen:>5}", *(f"{scores[column]:>{len(column)}.3f}" for column in columns)]
            bar.write("  ".join([*cells, f"{learned - start:>7.3f}", f"{solved - learned:>7.3f}"]))
    return MethodResult(model, index, rounds)


def _learn_chunk(
    model: HashingMethod, views: dict[str, Features], labels: NDArray[Any] | list[NDArray[Any]], n_classes: int
) -> None:
    # As a matrix of all classes: the first chunk may lack some of them.
    known = labels if isinstance(labels, list) else one_hot(labels, n_classes)
    if isinstance(model, OnlineMethod):
        model.partial_fit(views, known)
    else:
        model.fit(views, known)


def _measure(data: Dataset, queries: NDArray[np.int64], model: HashingMethod, index: CodeIndex) -> dict[str, float]:
    labels = data.labels[_RELEVANCE]
    scores = {}
    metric: Literal["hamming", "weighted_hamming"]
    for modality, direction in _DIRECTIONS.items():
        projections = model.project(data.views[modality][queries], modality=modality)
        for kind, rows, metric in (("", pack(projections), "hamming"), (" weighted", projections, "weighted_hamming")):
            score = evaluation.mean_average_precision(
                rows,
                index.codes,
                labels[queries],
                labels[index.ids],
                metric=metric,
                n_bits=index.n_bits,
                protocol=_PROTOCOL,
            )
            scores[direction + kind] = score.value
    return scores


def _show_examples(name: str, data: Dataset, queries: NDArray[np.int64], learned: MethodResult, seed: int) -> None:
    """Print twelve texts of the query rows, the emoji that they find, and the rank of the right one."""
    model, index = learned.model, learned.index
    emoji, subgroup = data.items["emoji_id"], data.labels[_RELEVANCE]
    print(f"\ntexts that were not learned, and the emoji that they find ({name}, weighted distance):\n")
    for row in np.random.default_rng(seed).choice(queries, size=min(_N_EXAMPLES, len(queries)), replace=False):
        projections = model.project(data.views["text"][[row]], modality="text")
        ids = index.search_weighted(projections, k=len(index)).ids[0]
        found = list(dict.fromkeys(data.items["codepoints"][ids].tolist()))[:6]
        right, what = emoji[ids] == emoji[row], "right one"
        if not right.any():  # the split holds back every picture of this emoji
            right, what = subgroup[ids] == subgroup[row], "emoji not in the index; first of its group"
        where = f"{what} at rank {int(np.argmax(right)) + 1}" if right.any() else "none of its group in the index"
        print(f"  {_glyph(str(data.items['codepoints'][row]))}  {data.items['text'][row]}")
        print(f"      {'  '.join(_glyph(points) for points in found)}   {where}")


def _glyph(codepoints: str) -> str:
    return "".join(chr(int(point, 16)) for point in codepoints.split("-"))


def _catalogue(data: Dataset, index: CodeIndex) -> Catalogue:
    subgroups = data.label_names[_RELEVANCE]
    return Catalogue(
        modality="text",
        vocabulary=data.vocabulary,
        pictures={
            number: Picture(
                emoji=_glyph(str(data.items["codepoints"][number])),
                name=str(data.items["name"][number]),
                vendor=str(data.items["vendor"][number]),
                subgroup=subgroups[data.labels[_RELEVANCE][number]],
            )
            for number in index.ids.tolist()
        },
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
