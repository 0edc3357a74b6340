"""``pyhash demo``: the built-in data as a stream, from the first chunk to answers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyhash import evaluation, plotting
from pyhash.cli.model_folder import Catalogue, ModelFolder, Picture, staged, write_json, write_model_folder
from pyhash.codes import pack
from pyhash.datasets import Dataset, load_emoji
from pyhash.index import CodeIndex
from pyhash.methods import SHOH

# Query modality, and the name of the direction: the codes that are searched stand for both modalities of a pair.
_DIRECTIONS = {"image_deep": "image->text", "text": "text->image"}
_PROTOCOL = evaluation.Protocol.preset("shoh")
_RELEVANCE = "level2"
_N_EXAMPLES = 12
_ROUNDS_CHART = "map_by_round.png"
_CURVE_CHART = "precision_recall.png"


@dataclass(frozen=True)
class Round:
    """What was measured after a chunk."""

    n_seen: int
    learn_seconds: float
    solve_seconds: float
    scores: dict[str, float]  # mAP by direction, plain and weighted


def run(*, n_bits: int, seed: int, split: str, chunk_size: int, out: Path, charts: bool) -> None:
    """Learns, measures, answers, and writes it all to a folder."""
    if charts:
        try:
            plotting.require_matplotlib()
        except ImportError as error:
            raise ImportError(f"{error}, or run with --no-charts") from None
    with staged(out, owned=(_ROUNDS_CHART, _CURVE_CHART)) as stage:
        data = load_emoji()
        queries = data.split(split)[1]
        model = SHOH(n_bits=n_bits, hierarchy=data.hierarchy, seed=seed)
        index = CodeIndex(n_bits)
        print(f"{data}\nsplit '{split}': {len(data) - len(queries)} pairs to learn and search, {len(queries)} queries")
        print(f"{model!r}\nmAP, {_RELEVANCE} relevance, {_PROTOCOL.describe()}\n")
        rounds = _learn_stream(data, split, queries, model, index, chunk_size, seed)
        _show_examples(data, queries, model, index, seed)

        write_model_folder(stage, ModelFolder(model, index, _catalogue(data, index)))
        results = {"n_bits": n_bits, "seed": seed, "split": split, "chunk_size": chunk_size}
        write_json(stage / "results.json", {**results, "rounds": [asdict(r) for r in rounds]})
        if charts:
            _draw_rounds(rounds, stage / _ROUNDS_CHART)
            _draw_precision_recall(data, queries, model, index, stage / _CURVE_CHART)
        written = sorted(file.name for file in stage.iterdir())
    print(f"\nwritten to {out}: {', '.join(written)}")
    print(f'now try: pyhash search {out} "cat face"')


def _learn_stream(
    data: Dataset, split: str, queries: NDArray[np.int64], model: SHOH, index: CodeIndex, chunk_size: int, seed: int
) -> list[Round]:
    columns = [name + kind for name in _DIRECTIONS.values() for kind in ("", " weighted")]
    print("  ".join(["pairs", *columns, "learn s", "solve s"]))
    rounds = []
    chunks = list(data.chunks(chunk_size, seed, split=split, views=tuple(_DIRECTIONS)))
    with tqdm(chunks, desc="learning", unit="chunk") as bar:
        for chunk in bar:
            start = time.perf_counter()
            model.partial_fit(chunk.views, chunk.labels)
            learned = time.perf_counter()
            for modality in _DIRECTIONS:
                model.project(data.views[modality][:1], modality=modality)  # solves for the projections
            solved = time.perf_counter()
            index.add(model.codes_, chunk.rows, model=model)
            scores = _measure(data, queries, model, index)
            rounds.append(Round(len(index), learned - start, solved - learned, scores))
            cells = [f"{rounds[-1].n_seen:>5}", *(f"{scores[name]:>{len(name)}.3f}" for name in columns)]
            bar.write("  ".join([*cells, f"{learned - start:>7.3f}", f"{solved - learned:>7.3f}"]))
    return rounds


def _measure(data: Dataset, queries: NDArray[np.int64], model: SHOH, index: CodeIndex) -> dict[str, float]:
    labels = data.labels[_RELEVANCE]
    scores = {}
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


def _show_examples(data: Dataset, queries: NDArray[np.int64], model: SHOH, index: CodeIndex, seed: int) -> None:
    """A dozen texts of the query rows, what they find, and where the right one ranks."""
    emoji, subgroup = data.items["emoji_id"], data.labels[_RELEVANCE]
    print("\ntexts never learned, and what they find (weighted distance):\n")
    for row in np.random.default_rng(seed).choice(queries, size=min(_N_EXAMPLES, len(queries)), replace=False):
        projections = model.project(data.views["text"][[row]], modality="text")
        ids = index.search_weighted(projections, k=len(index)).ids[0]
        found = list(dict.fromkeys(data.items["codepoints"][ids].tolist()))[:6]
        right, what = emoji[ids] == emoji[row], "right one"
        if not right.any():  # the split holds back every picture of this emoji
            right, what = subgroup[ids] == subgroup[row], "first of its kind, the emoji itself is not in the index,"
        where = f"{what} at rank {int(np.argmax(right)) + 1}" if right.any() else "none of its kind in the index"
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


def _draw_rounds(rounds: list[Round], path: Path) -> None:
    ax = None
    for name in rounds[-1].scores:
        style = "--" if name.endswith("weighted") else "-"
        display = plotting.RoundsDisplay([r.n_seen for r in rounds], [r.scores[name] for r in rounds], name=name)
        ax = display.plot(ax, linestyle=style).ax_
    plotting.save_figure(display.ax_, path)


def _draw_precision_recall(
    data: Dataset, queries: NDArray[np.int64], model: SHOH, index: CodeIndex, path: Path
) -> None:
    labels, ax = data.labels[_RELEVANCE], None
    for modality, direction in _DIRECTIONS.items():
        curve = evaluation.precision_recall_curve(
            model.encode(data.views[modality][queries], modality=modality),
            index.codes,
            labels[queries],
            labels[index.ids],
            n_bits=index.n_bits,
            protocol=_PROTOCOL,
        )
        display = plotting.PrecisionRecallDisplay(curve, name=direction)
        ax = display.plot(ax).ax_
    plotting.save_figure(display.ax_, path)
