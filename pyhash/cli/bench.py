"""``pyhash bench``: compare methods under equal conditions, with a table and charts."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyhash import datasets
from pyhash._files.atomic import atomic_file
from pyhash._inputs.checks import check_choice
from pyhash._inputs.chunks import Remainder
from pyhash._inputs.value_text import value_text
from pyhash.cli import argument_types as types
from pyhash.cli.charts import require_charts
from pyhash.cli.parser import CommandParser
from pyhash.cli.protocols import protocol_of, protocol_text
from pyhash.comparison import PRESETS, Comparison, compare
from pyhash.comparison.comparison import AT
from pyhash.comparison.experiment import RANDOM_SPLIT, Database, Direction, Rounds, direction_name
from pyhash.comparison.metrics import MAP
from pyhash.comparison.preset import by_view
from pyhash.comparison.records import Record
from pyhash.comparison.result_lines import RESULTS
from pyhash.comparison.sweep import Grid
from pyhash.datasets import Dataset
from pyhash.datasets.published import PUBLISHED_QUERIES
from pyhash.datasets.table_sources import is_table_path

TABLE = "table.md"
CHARTS = "charts"
_EMOJI_VIEWS = ("image_deep", "text")
_ROUNDS: Rounds = "shallow"
_METHODS = ("boch", "lemon+rbf", "cca-itq")


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Run every method at every length with every seed, and write results.jsonl, table.md and charts. Runs whose "
        "results are in the folder are not repeated: after Ctrl-C, the same command resumes."
    )
    parser.examples = ("pyhash bench --data multilabel --methods lemon,cca-itq --bits 16,32 --seeds 2 --no-charts",)
    parser.argument_default = argparse.SUPPRESS  # the defaults are those of compare_methods
    parser.add_argument(
        "--preset",
        metavar="PAPER/DATASET",
        help="the experiment of a paper, such as shoh/fashionvc, which other options override; 'list' prints all, with "
        "what each paper leaves open",
    )
    parser.add_argument(
        "--data",
        help="emoji, hierarchical, multilabel, or a .npz, .mat, .parquet, .arrow or .csv file (default: emoji)",
    )
    parser.add_argument(
        "--names",
        type=types.pairs,
        metavar="VIEW=ARRAY,...",
        help="names of the arrays or columns in a file, such as image=X1,text=X2,labels=L (default: usual names)",
    )
    parser.add_argument(
        "--labels",
        metavar="KIND[+KIND...]",
        help="labels to learn, of one kind or of several joined by a plus (default: the finest of the hierarchy)",
    )
    parser.add_argument(
        "--relevance",
        metavar="KIND",
        help="labels that define relevance (default: those to learn, or the finest of several)",
    )
    parser.add_argument(
        "--split",
        help="rows that are queries: a split of the data, 'random' (a tenth of the rows), or a random split of a "
        "published size: mirflickr, nus-wide, nus-wide-2100, nus-wide-5000, iapr-tc12, fashionvc, ssense (default: the "
        "first of the data, or random)",
    )
    parser.add_argument(
        "--sweep",
        type=types.sweep,
        action="append",
        metavar="METHOD:PARAMETER=VALUE,...",
        help="run a method at every combination of values, such as lemon:alpha=1,1e2,beta=1,10; numbers, true, false, "
        "none or words; 0.2/0.8 for a sequence, image:0.1/text:1 for a value of each modality; may be repeated",
    )
    parser.add_argument(
        "--set",
        type=types.setting,
        action="append",
        dest="parameters",
        metavar="METHOD:PARAMETER=VALUE,...",
        help="parameters of a method in the place of its defaults, such as lemon:alpha=1e2,beta=10; may be repeated",
    )
    parser.add_argument(
        "--views",
        type=types.names,
        help="modalities to learn, such as image,text (default: all; for emoji image_deep,text)",
    )
    parser.add_argument(
        "--methods",
        type=types.names,
        help="names joined by commas, such as boch+instance,lemon+rbf,dsfh+posterior; @ and kinds of labels after a "
        "name are what this method learns, such as lemon@level1+level2 (default: boch,lemon+rbf,cca-itq; with --sweep "
        "none)",
    )
    parser.add_argument("--bits", type=types.integers(1), help="lengths of codes in bits (default: 16,32,64)")
    parser.add_argument("--seeds", type=types.integer(1), help="number of seeds: 0, 1, ... (default: 3)")
    parser.add_argument(
        "--chunk-size",
        type=types.integer(1),
        help="number of rows that online methods learn at a time (default: 2000)",
    )
    parser.add_argument(
        "--remainder",
        choices=("keep", "merge"),
        help="what becomes of a last chunk of fewer rows: learned as it is, or joined to the one before (default: "
        "keep)",
    )
    parser.add_argument(
        "--rounds",
        choices=("shallow", "online", "all", "none"),
        help="methods with mAP after every round: all but deep ones, where methods that learn whole data are fitted "
        "again on the rows so far; only online ones, which saves these fits; all; or none (default: shallow)",
    )
    parser.add_argument(
        "--protocol",
        type=types.names,
        dest="protocols",
        metavar="PROTOCOL",
        help="presets, or choices such as cutoff=50:ties=expected, joined by commas (default: shoh)",
    )
    parser.add_argument(
        "--metrics",
        type=types.names,
        help="metrics beside mAP, joined by commas: ndcg, mrr, ndcg@N, recall@N, precision@N; each has a table",
    )
    parser.add_argument(
        "--intervals",
        action="store_true",
        help="show 95 %% intervals over queries in the tables, and which methods are below the best significantly",
    )
    parser.add_argument(
        "--directions",
        type=types.directions,
        metavar="QUERY->DATABASE,...",
        help="modalities of queries and database, such as 'image->text,image+text->text' (default: every pair)",
    )
    parser.add_argument(
        "--database",
        choices=("learned", "encoded", "fused"),
        help="codes to search: those learned, those encoded from the modality searched, or those encoded from all "
        "modalities together (default: learned)",
    )
    parser.add_argument(
        "--weights",
        type=types.weights,
        metavar="VIEW=NUMBER,...",
        help="weights of modalities where several are fused (default: 1 each)",
    )
    parser.add_argument(
        "--learn-fraction",
        type=types.fraction,
        metavar="SHARE",
        help="share of the database rows to learn; below 1 only the others are searched, which needs --database "
        "encoded or fused (default: 1)",
    )
    parser.add_argument(
        "--learn-rows",
        type=types.integer(1),
        metavar="N",
        help="number of database rows to learn; all are searched, which needs --database encoded or fused (default: "
        "all)",
    )
    parser.add_argument("--out", type=types.folder, help="folder to write (default: pyhash-bench)")
    parser.add_argument(
        "--no-charts", dest="charts", action="store_false", help="draw no charts; matplotlib is then not needed"
    )
    parser.add_argument(
        "--threads",
        type=types.integer(1),
        dest="n_threads",
        metavar="THREADS",
        help="number of threads (default: PYHASH_NUM_THREADS, or all CPUs)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the comparison, or the preset, that the arguments describe."""
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("command", "run", "usage_error", "preset")
    }
    if "preset" in arguments:
        run_preset(arguments.preset, given)
    else:
        compare_methods(**given)


def compare_methods(
    *,
    data: str = "emoji",
    names: Mapping[str, str] | None = None,
    methods: Sequence[str] | None = None,
    sweep: Sequence[tuple[str, Grid]] = (),
    parameters: Sequence[tuple[str, Mapping[str, Any]]] = (),
    bits: Sequence[int] = (16, 32, 64),
    seeds: int = 3,
    labels: str | None = None,
    relevance: str | None = None,
    split: str | None = None,
    views: Sequence[str] | None = None,
    chunk_size: int = 2000,
    remainder: Remainder = "keep",
    rounds: Rounds = _ROUNDS,
    protocols: Sequence[str] = ("shoh",),
    metrics: Sequence[str] = (),
    intervals: bool = False,
    directions: Sequence[Direction] | None = None,
    database: Database = "learned",
    weights: Mapping[str, float] | None = None,
    learn_fraction: float = 1.0,
    learn_rows: int | None = None,
    out: Path = Path("pyhash-bench"),
    charts: bool = True,
    n_threads: int | None = None,
) -> None:
    """Run the comparison, print the table, and write results, table and charts to a folder."""
    if charts:
        require_charts()
    resolved = [protocol_of(text) for text in protocols]
    if methods is None:
        methods = () if sweep else _METHODS
    grids: dict[str, list[Grid]] = {}
    for method, grid in sweep:
        grids.setdefault(method, []).append(grid)
    chosen: dict[str, dict[str, Any]] = {}
    for method, values in parameters:
        chosen.setdefault(method, {}).update(values)
    dataset = _load(data, names)
    if split is not None:
        check_choice("split", split, tuple(dict.fromkeys((*dataset.splits, RANDOM_SPLIT, *PUBLISHED_QUERIES))))
    if split in PUBLISHED_QUERIES and split not in dataset.splits:
        if len(dataset) <= PUBLISHED_QUERIES[split]:
            raise ValueError(
                f"--split {split} draws {PUBLISHED_QUERIES[split]:,} queries and must leave rows to learn, got "
                f"{len(dataset):,} rows; --split random draws a tenth"
            )
        dataset = datasets.published_split(dataset, split)
    if data == "emoji" and views is None:
        views = _EMOJI_VIEWS
    chosen = by_view(chosen, list(dataset.views) if views is None else views)
    print(f"{dataset}\n{_describe_split(dataset, split)}")
    try:
        result = compare(
            dataset,
            methods,
            sweep=grids,
            parameters=chosen,
            bits=bits,
            seeds=seeds,
            labels=labels,
            relevance=relevance,
            split=split,
            views=views,
            directions=directions,
            database=database,
            weights=weights,
            learn_fraction=learn_fraction,
            learn_rows=learn_rows,
            chunk_size=chunk_size,
            remainder=remainder,
            rounds=rounds,
            protocols=resolved,
            metrics=metrics,
            out=out,
            progress=True,
            n_threads=n_threads,
        )
    except KeyboardInterrupt:
        print(f"\nfinished runs are in {out}: the same command resumes from there", file=sys.stderr)
        raise
    except TypeError as error:
        if not (grids or chosen):
            raise
        # A value that the user gave, such as a word in the place of a number.
        raise ValueError(str(error)) from error
    _print_reused(result, out)
    tables = "\n".join(_tables(result, name, intervals=intervals) for name in result.protocols)
    print(f"\n{tables}")
    command = _command(
        result, data, names, labels, directions, methods, grids, chosen, bits, seeds, rounds, protocols, out
    )
    if intervals:
        command += " --intervals"
    with atomic_file(out / TABLE) as file:
        file.write(f"# {dataset.name}\n\n    {command}\n\n{tables}\n{_describe_versions(result)}\n".encode())
    written = [RESULTS, TABLE]
    if charts:
        written += [f"{CHARTS}/{name}" for name in result.save_charts(out / CHARTS)]
    print(f"written to {out}: {', '.join(written)}")


def run_preset(name: str, given: Mapping[str, Any]) -> None:
    """Print what a preset is, and run it; options that are given override its own. "list" prints all presets."""
    if name == "list":
        print("\n\n".join(preset.describe() for preset in PRESETS.values()))
        return
    preset = PRESETS[check_choice("--preset", name, ("list", *PRESETS))]
    options = {**preset.choices(), **given}
    if "sweep" not in given:
        options["sweep"] = [(method, grid) for method, grids in preset.sweep.items() for grid in grids]
    compared = {*options["methods"], *dict(options["sweep"])}
    if "protocols" not in given:
        options["protocols"] = [p if isinstance(p, str) else protocol_text(p) for p in preset.protocols]
    print(f"{preset.describe()}\n")
    compare_methods(**options | {"parameters": [*preset.parameters_of(compared).items(), *given.get("parameters", [])]})


def _load(data: str, names: Mapping[str, str] | None) -> Dataset:
    """Return the data set of that name or file."""
    built_in = {
        "emoji": datasets.load_emoji,
        "hierarchical": datasets.make_hierarchical,
        "multilabel": datasets.make_multilabel,
    }
    if data in built_in:
        if names is not None:
            raise ValueError(f"--names must go with a file, got --data {data}")
        return built_in[data]()
    path = Path(data)
    if path.suffix.lower() == ".npz":
        return datasets.load_npz(path, names)
    if data and is_table_path(path):
        return datasets.load_table(path, names)
    if path.suffix.lower() == ".mat" or (data and path.is_dir()):
        return datasets.load_mat(path, names=names)
    raise ValueError(
        f"--data must be emoji, hierarchical, multilabel, or a file that ends in .mat, .npz, .parquet, .arrow or .csv, "
        f"got {data!r}"
    )


def _describe_split(dataset: Dataset, split: str | None) -> str:
    if RANDOM_SPLIT not in dataset.splits and (split == RANDOM_SPLIT or (split is None and not dataset.splits)):
        return "split random: a tenth of the rows, drawn with seed 0, are queries"
    return f"split {split or next(iter(dataset.splits))}"


def _tables(result: Comparison, protocol: str, *, intervals: bool) -> str:
    """Return the tables of a protocol, each after the sentence that describes it."""
    tables = "\n".join(
        f"{result.describe(protocol, metric=metric, intervals=intervals)}\n\n"
        f"{result.table(protocol, metric=metric, intervals=intervals)}"
        for metric in result.metrics
    )
    if result.records[0]["instances"] is not None:
        tables += f"\n{result.describe(protocol, of='instances')}\n"
    if result.has_instances:
        tables += f"\n{result.table(protocol, of='instances')}"
    return tables


def _print_reused(result: Comparison, out: Path) -> None:
    if result.n_dropped:
        print(f"the last line of {out / RESULTS} was incomplete and was removed")
    if result.n_reused:
        print(f"{result.n_reused} of {len(result)} combinations were in {out / RESULTS} and were not run again")


def _command(
    result: Comparison,
    data: str,
    names: Mapping[str, str] | None,
    labels: str | None,
    directions: Sequence[Direction] | None,
    methods: Sequence[str],
    sweep: Mapping[str, Sequence[Grid]],
    parameters: Mapping[str, Mapping[str, Any]],
    bits: Sequence[int],
    seeds: int,
    rounds: Rounds,
    protocols: Sequence[str],
    out: Path,
) -> str:
    """Return the command that repeats this run: with all defaults, and files without their folders."""
    first = result.records[0]
    # A method with labels of its own does not tell those of the others.
    labels = next((record["labels"] for record in result.records if AT not in record["method"]), labels)
    options = {
        "--data": Path(data).name,
        **({} if names is None else {"--names": _joined(names)}),
        **({} if labels is None else {"--labels": labels}),
        **({} if first["relevance"] == labels else {"--relevance": first["relevance"]}),
        "--split": first["split"],
        "--views": ",".join(first["views"]),
        **({"--methods": ",".join(methods)} if methods else {}),
        "--bits": ",".join(map(str, bits)),
        "--seeds": str(seeds),
        "--chunk-size": str(first["chunk_size"]),
        **({} if first["remainder"] == "keep" else {"--remainder": first["remainder"]}),
        **({} if rounds == _ROUNDS else {"--rounds": rounds}),
        "--protocol": ",".join(protocols),
        **({} if result.metrics == [MAP] else {"--metrics": ",".join(result.metrics)}),
        **(
            {}
            if directions is None
            else {"--directions": ",".join(direction_name((query, side)) for query, side in directions)}
        ),
        "--database": first["database"],
        **({} if first["weights"] is None else {"--weights": _joined(first["weights"])}),
        **({} if first["learn_fraction"] == 1 else {"--learn-fraction": f"{first['learn_fraction']:g}"}),
        **_learn_rows(first),
        "--out": out.resolve().name,
    }
    repeated = [("--sweep", _grid_text(method, grid)) for method, grids in sweep.items() for grid in grids]
    repeated += [
        ("--set", _grid_text(method, {name: [value] for name, value in values.items()}))
        for method, values in parameters.items()
    ]
    return shlex.join(["pyhash", "bench", *(word for option in (*options.items(), *repeated) for word in option)])


def _grid_text(method: str, grid: Grid) -> str:
    """Return text such as lemon:alpha=1,100,beta=1,10."""
    columns = (f"{name}={','.join(map(value_text, values))}" for name, values in grid.items())
    return f"{method}:{','.join(columns)}"


def _learn_rows(record: Record) -> dict[str, str]:
    """Return the option that learns a part of the rows that are searched."""
    data = record["data"]
    is_part = record["learn_fraction"] == 1 and data["n_learned"] < data["n_database"]
    return {"--learn-rows": str(data["n_learned"])} if is_part else {}


def _joined(pairs: Mapping[str, object]) -> str:
    return ",".join(f"{key}={value}" for key, value in pairs.items())


def _describe_versions(result: Comparison) -> str:
    parts = []
    for name in ("pyhash", "numpy", "scipy", "python"):
        found = sorted({record["versions"][name] for record in result.records})
        parts.append(f"{name} {' and '.join(found)}")
    return f"Made with {', '.join(parts)}."
