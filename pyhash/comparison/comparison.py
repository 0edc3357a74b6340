"""Comparison of methods under equal conditions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pyhash._frames import Library, make_frame
from pyhash._inputs.checks import MAX_BITS, check_bool, check_choice, check_integer, listed
from pyhash._inputs.chunks import Remainder
from pyhash.comparison.experiment import Database, Direction, Experiment, Rounds, plan_experiment
from pyhash.comparison.identity import identify
from pyhash.comparison.learned_labels import LearnedLabels
from pyhash.comparison.metrics import MAP
from pyhash.comparison.query_scores import QueryScores
from pyhash.comparison.records import Identity, Record, unique
from pyhash.comparison.refits import RefitNotice
from pyhash.comparison.result_lines import ResultLines, open_results
from pyhash.comparison.score_columns import score_columns
from pyhash.comparison.sweep import Sweep, SweepPoint, plan_sweep
from pyhash.comparison.table import (
    describe_instances,
    describe_protocol,
    make_instance_table,
    make_table,
    table_cells,
)
from pyhash.comparison.trial import run_trial
from pyhash.datasets.dataset import Dataset
from pyhash.errors import NotFittedError
from pyhash.evaluation.protocol import Protocol
from pyhash.methods.contract import HashingMethod
from pyhash.methods.recipes import make_method, parse_name

Factory = Callable[[int, int], HashingMethod]
Scores = Literal["labels", "instances"]

# Between the name of a recipe and the labels that this method learns.
AT = "@"


@dataclass(frozen=True)
class Comparison:
    """Results of ``compare``.

    Attributes
    ----------
    records : list of dict
        One for each method, length and seed, in that order. docs/howto/comparing-fairly.md lists the fields.
    n_reused : int
        Number of records that the folder `out` held before.
    n_dropped : int
        1 if the file of that folder ended within a line, which was removed, else 0.
    query_scores : QueryScores
        Scores of each query, for the intervals of `table`.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> result = compare(make_multilabel(300), ["lsh"], bits=[8])
    >>> result.protocols
    ['shoh']
    >>> result.records[0]["bytes_per_item"]
    1
    """

    records: list[Record]
    n_reused: int = 0
    n_dropped: int = 0
    query_scores: QueryScores = field(default_factory=QueryScores, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        methods = unique(record["method"] for record in self.records)
        bits = unique(str(record["n_bits"]) for record in self.records)
        n_seeds = len(unique(record["seed"] for record in self.records))
        seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
        return f"Comparison({len(self)} records: {', '.join(methods)}; {', '.join(bits)} bits; {seeds})"

    def _repr_html_(self) -> str:
        from pyhash import _html

        title = f"Comparison with {len(self)} records"
        if not self.records:
            return _html.section(title)
        header, *rows = table_cells(self.records, self.protocols[0])
        return _html.section(
            title,
            _html.table(header, rows[: _html.N_TABLE_ROWS]),
            _html.more(len(rows), _html.N_TABLE_ROWS),
            _html.note(self.describe()),
        )

    @property
    def protocols(self) -> list[str]:
        """Names of the protocols, in order."""
        return list(self.records[0]["protocols"])

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were measured, mAP first."""
        return list(self.records[0].get("metrics", [MAP]))

    @property
    def has_instances(self) -> bool:
        """Whether finding the same thing was measured: the data names things, and the database has that of a query."""
        instances = self.records[0]["instances"]
        return instances is not None and instances["n_queries"] > 0

    def describe(
        self, protocol: str | None = None, *, of: Scores = "labels", metric: str = MAP, intervals: bool = False
    ) -> str:
        """Return a sentence that says what the scores of a protocol are: data, split, views, choices, seeds.

        Parameters
        ----------
        protocol : str, optional
            One of `protocols`. By default the first.
        of : {"labels", "instances"}
            Which scores: of finding items with the same label, or of finding the same thing.
        metric : str
            One of `metrics`; only for `of` "labels".
        intervals : bool
            Whether to say what the intervals and marks of `table` are; only for `of` "labels".

        Returns
        -------
        str

        Raises
        ------
        TypeError
            If `intervals` is not a bool.
        ValueError
            If `protocol` is not one of `protocols`, `metric` not one of `metrics`, or `of` none of the choices listed.
        ValueError
            If `of` is "instances" with another metric than "map" or with intervals.
        """
        if self._check_scores(of, metric, intervals) == "instances":
            return describe_instances(self.records, self._protocol(protocol))
        return describe_protocol(self.records, self._protocol(protocol), metric, intervals=intervals)

    def table(
        self, protocol: str | None = None, *, of: Scores = "labels", metric: str = MAP, intervals: bool = False
    ) -> str:
        """Return the scores of a protocol as a Markdown table.

        Parameters
        ----------
        protocol : str, optional
            One of `protocols`. By default the first.
        of : {"labels", "instances"}
            Which scores: of finding items with the same label, or of finding the same thing.
        metric : str
            One of `metrics`; only for `of` "labels".
        intervals : bool
            Whether each score has its interval and, where several methods have codes of one length, a mark; only for
            `of` "labels".

        Returns
        -------
        str
            For several seeds their mean and, after ±, their sample standard deviation. "labels": a row for each method
            and length; for each direction the metric by Hamming distance and by weighted distance. "instances": a row
            for each method, length and distance; for each direction mAP, hit rates and mean reciprocal rank, or "-" if
            they were not measured.

        Raises
        ------
        TypeError
            If `intervals` is not a bool.
        ValueError
            If `protocol` is not one of `protocols`, `metric` not one of `metrics`, or `of` none of the choices listed.
        ValueError
            If `of` is "instances" with another metric than "map" or with intervals.
        ValueError
            If `intervals` is set and the scores of the queries of a record are missing or damaged.

        Notes
        -----
        Intervals are those of ``pyhash.evaluation.confidence_interval`` at level 0.95: bootstrap over the queries, of
        the mean over seeds. Under each column, the methods of one length are compared by
        ``pyhash.evaluation.paired_test`` over the same queries. The best is bold. An arrow, "↓", marks the methods
        that are lower than it with p < 0.05. As the best is chosen by the same scores, p-values are corrected for all
        pairs of methods, by Holm's method. Nothing is marked where methods have different empty queries that are
        skipped, as with a cutoff and denominator "hits"; ``empty_queries="zero"`` avoids this.

        Examples
        --------
        >>> from pyhash.datasets import make_multilabel
        >>> result = compare(make_multilabel(300), ["lemon", "lsh"], bits=[8], metrics=["ndcg@10"])
        >>> for line in result.table(metric="ndcg@10", intervals=True).splitlines()[2:]:
        ...     print(" | ".join(line.split(" | ")[:4]))
        | lemon | 8 | 1 | **0.484** [0.402, 0.568]
        | lsh | 8 | 1 | 0.279 [0.227, 0.354] ↓
        """
        if self._check_scores(of, metric, intervals) == "instances":
            return make_instance_table(self.records, self._protocol(protocol))
        query_scores = self.query_scores if intervals else None
        return make_table(self.records, self._protocol(protocol), metric, query_scores)

    def to_frame(self, protocol: str | None = None, *, library: Library | None = None) -> Any:
        """Return the scores of a protocol as a data frame of pandas or polars: one row for each record.

        Parameters
        ----------
        protocol : str, optional
            One of `protocols`. By default the first.
        library : {"pandas", "polars"}, optional
            By default pandas, or polars where pandas is not installed.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            Columns method, n_bits, seed, labels, bytes_per_item and train_seconds. For sweeps a column "parameter.NAME"
            for each parameter that was varied, without a value in the rows of other methods. Then for each direction
            and each of `metrics` the score by Hamming distance, such as "image->text map", and by weighted distance,
            "image->text map weighted". A score is missing where all queries were skipped.

        Raises
        ------
        ImportError
            If the library is not installed, or neither is.
        ValueError
            If `protocol` is not one of `protocols`, or `library` none of the choices.

        Examples
        --------
        >>> from pyhash.datasets import make_multilabel
        >>> result = compare(make_multilabel(300), ["lemon", "lsh"], bits=[8], seeds=2)
        >>> frame = result.to_frame(library="pandas")
        >>> frame.groupby("method")["image->text map"].mean().round(2).to_dict()
        {'lemon': 0.64, 'lsh': 0.47}
        """
        return make_frame(score_columns(self.records, self._protocol(protocol)), library)

    def save_charts(self, directory: str | os.PathLike[str], *, protocol: str | None = None) -> list[str]:
        """Draw the charts into a folder.

        Parameters
        ----------
        directory : path-like
            Created if missing. Files of the same names are replaced.
        protocol : str, optional
            One of `protocols`. By default the first.

        Returns
        -------
        list of str
            Names of the files. For each direction: mAP by bits and by bytes per item, and by round by plain and by
            weighted distance; for each length also precision-recall and precision at N. For each method: distances
            between classes, training curves of methods that are trained by epochs, and the convergence of those that
            learned with ``record=True``. Once: training time by round. For each sweep of one or two parameters and each
            direction, mAP by the values, with a heat map for each length where there are two; sweeps are in no other
            chart.

        Raises
        ------
        ValueError
            If `protocol` is not one of `protocols`.
        ImportError
            If matplotlib is not installed.
        OSError
            If a file cannot be written.
        """
        from pyhash.comparison.charts import draw_comparison

        return draw_comparison(self.records, self._protocol(protocol), directory)

    def _protocol(self, protocol: str | None) -> str:
        return self.protocols[0] if protocol is None else check_choice("protocol", protocol, tuple(self.protocols))

    def _check_scores(self, of: Scores, metric: str, intervals: bool) -> str:
        """Return `of`; raise unless the choices of a table fit together."""
        check_choice("of", of, get_args(Scores))
        check_choice("metric", metric, tuple(self.metrics))
        if check_bool("intervals", intervals) and of == "instances":
            raise ValueError("intervals must be False with of='instances', got True")
        if metric != MAP and of == "instances":
            raise ValueError(f"metric must be 'map' with of='instances', got {metric!r}")
        return of


def compare(
    data: Dataset,
    methods: Sequence[str] | Mapping[str, Factory] = (),
    *,
    sweep: Sweep | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    bits: Sequence[int] = (16, 32, 64),
    seeds: int | Sequence[int] = 1,
    labels: str | None = None,
    relevance: str | None = None,
    split: str | None = None,
    views: Sequence[str] | None = None,
    directions: Sequence[Direction] | None = None,
    database: Database = "learned",
    weights: Mapping[str, float] | None = None,
    learn_fraction: float = 1.0,
    learn_rows: int | None = None,
    chunk_size: int = 2000,
    remainder: Remainder = "keep",
    rounds: Rounds = "shallow",
    protocols: Sequence[Protocol | str] = ("shoh",),
    top_n: Sequence[int] = (1, 5, 10, 50, 100, 500, 1000),
    metrics: Sequence[str] = (MAP,),
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    n_threads: int | None = None,
) -> Comparison:
    """Run every method at every length with every seed, under equal conditions.

    Parameters
    ----------
    data : Dataset
        Data to learn and to search.
    methods : sequence of str, or mapping of str to function
        Names of recipes, such as "lemon+rbf" (see ``pyhash.methods.make_method``). A name may end in the labels that
        this method learns in the place of `labels`: "lemon@level1+level2". Or a mapping of names to functions: each is
        called with (n_bits, seed) and returns a new HashingMethod. May be left out if `sweep` names some.
    sweep : mapping of str to mapping, optional
        Values of parameters by method, such as ``{"lemon": {"alpha": [1, 100], "beta": [1, 10]}}``: the method runs
        once for each combination of the values, beside the `methods`. The method is a key of `methods` if these are
        functions, else the name of a recipe. A sequence of such mappings makes several sweeps of one method.
    parameters : mapping of str to mapping, optional
        Parameters that differ from the defaults by method, such as ``{"lemon": {"alpha": 100}}``. They also hold in
        sweeps of the method.
    bits : sequence of int
        Lengths of the codes in bits.
    seeds : int or sequence of int
        Seeds of the methods and of the order in which rows are learned. A number n means 0, ..., n - 1.
    labels : str, optional
        Labels to learn: one of ``data.labels``, or several joined by a plus, such as "level1+level2", whose classes
        are learned side by side as if they were of one kind. By default, or for "hierarchy", the finest layer of the
        hierarchy. Methods that take a hierarchy get it if the labels that they learn are its finest layer.
    relevance : str, optional
        One of ``data.labels``, or "hierarchy" for the finest layer: rows that share such a label are relevant to each
        other. By default `labels`; if these are several kinds, the finest layer of the hierarchy, if it is among them.
    split : str, optional
        One of ``data.splits``. By default the first. If there is no split, or for "random" if the data has no split of
        that name, a tenth of the rows, drawn with seed 0, are queries.
    views : sequence of str, optional
        Modalities to learn. By default all.
    directions : sequence of (str, str), optional
        Pairs of the modality of the queries and the modality of the database. Queries may have several modalities, such
        as ("image+text", "text"): they are fused by ``project_fused``. By default every ordered pair of two views.
    database : {"learned", "encoded", "fused"}
        Codes that are searched. "learned": the codes that the method learned for the rows, one for all modalities.
        "encoded": the codes that ``encode`` returns for the modality of the database. "fused": the codes that
        ``encode_fused`` returns for all views of a row together.
    weights : mapping of str to float, optional
        Weights of views where several are fused, each above 0; by default 1.
    learn_fraction : float
        Share of the database rows that methods learn, drawn with seed 0. Below 1, only the other rows are searched, as
        in a database whose items have no labels; `database` must then be "encoded" or "fused".
    learn_rows : int, optional
        Number of database rows that methods learn, drawn with seed 0; all rows of the database are searched, as in
        papers that train on a part of it. By default all are learned. Below, `database` must be "encoded" or "fused".
    chunk_size : int
        Number of rows of a round, which online methods learn at a time. Other methods learn all rows so far at once.
    remainder : {"keep", "merge"}
        What becomes of a last chunk of fewer rows: "keep" learns it as it is, "merge" joins it to the chunk before.
    rounds : {"shallow", "online", "all", "none"}
        Methods whose mAP is measured after every round: "shallow", all but deep ones; "online", only online methods;
        "all", deep methods too; "none", no method, which leaves the scores after the last round. Online methods go on
        from round to round. Methods that learn whole data are fitted again on all rows so far: n rounds take about
        n / 2 times as long as one fit of all rows, if its time grows in proportion to the rows. A line on stderr says
        where these fits take more than a minute, unless `progress` is False.
    protocols : sequence of Protocol or str
        Protocols of the scores. Charts and rounds show the first.
    top_n : sequence of int
        Each N of precision at N. Those above the size of the database or a cutoff are left out.
    metrics : sequence of str
        Metrics beside mAP, which is always measured: "ndcg", "mrr", and with a number N, such as "ndcg@10", "ndcg@N",
        "recall@N" and "precision@N". nDCG has linear gains. The grade of an item is the number of layers of the
        hierarchy that it shares with the query if the finest of them says what is relevant, else the number of labels
        shared.
    out : path-like, optional
        Folder of results.jsonl, to which each combination is added when it is finished, and of a folder "queries" with
        the scores of each query. A combination that the file holds, with the same data, choices, parameters and version
        of pyhash, is not run again.
    progress : bool, optional
        Whether to show progress on stderr: a bar on a terminal, elsewhere a line for each combination. By default only
        on a terminal.
    n_threads : int, optional
        Number of threads of methods and evaluation. It changes no score, and does not limit the threads of numpy.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If `data` is not a Dataset.
    TypeError
        If `methods` is neither a sequence of names nor a mapping of names to functions.
    TypeError
        If `sweep` or `parameters` is not a mapping of methods to mappings.
    TypeError
        If bits, seeds, top_n, chunk_size or n_threads holds something other than integers, or `progress` is not a bool.
    TypeError
        If metrics are not a sequence of names.
    TypeError
        If `learn_fraction` is not a number, or `weights` not a mapping of names to numbers.
    TypeError
        If a function does not take (n_bits, seed), or does not return a HashingMethod.
    ValueError
        If a method, labels, relevance, split, view, direction, database, remainder, rounds or protocol is unknown.
    ValueError
        If `relevance` is missing where labels join several kinds and the finest layer is not one of them.
    ValueError
        If bits, seeds, views, directions or protocols is empty, or there is neither a method nor a sweep.
    ValueError
        If a method has no parameter of a name in `sweep` or `parameters`; the message lists those it has.
    ValueError
        If `sweep` gives a parameter no value, or the same one twice.
    ValueError
        If `parameters` names a method that is not compared.
    ValueError
        If bits, chunk_size, n_threads or an entry of top_n is below 1, or a seed below 0.
    ValueError
        If a metric is unknown, or its N above the size of the database or the cutoff of a protocol.
    ValueError
        If learn_fraction is not in (0, 1], is below 1 with database "learned", or leaves no row to search.
    ValueError
        If learn_rows is below 1 or above the number of rows of the database, or fewer with database "learned", or given
        with a learn_fraction below 1.
    ValueError
        If a weight is for no view, or not above 0.
    ValueError
        If values of the data are not finite, or labels out of range.
    ValueError
        If the split leaves no labelled row for the database or the queries.
    ValueError
        If a method has fewer features than bits and cannot learn such codes. No combination is run then.
    TypeError, ValueError
        If a method refuses a combination as it learns, such as a parameter of the wrong type or out of range. The
        message names the combination; earlier ones are in `out`.
    ValueError
        If a function returns a model of another length, or one that has learned.
    OSError
        If `out` cannot be written.
    BlockingIOError
        If another comparison writes to `out`.

    Notes
    -----
    Rows without labels of relevance, without `labels`, or without those that one of the methods learns in their place,
    are left out. The database is ranked in the order of the data set, hence ties by id do not depend on the seed.
    ``map_float`` of a record ranks by the cosine of the projections, with the database encoded from the modality
    searched: its difference to ``map`` is the cost of binarizing. Memory is resident memory, before learning and at its
    peak while a method learns, on Linux only.

    If the data set says which thing a row shows (``Dataset.instances``), finding the same thing is measured too, as
    ``pyhash.evaluation.instance_retrieval`` does. Queries whose thing is not in the database are then left out.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> result = compare(make_multilabel(300), ["lemon", "cca-itq"], bits=[8, 16], seeds=2)
    >>> result
    Comparison(8 records: lemon, cca-itq; 8, 16 bits; 2 seeds)
    >>> print(result.table().splitlines()[0])
    | method | bits | bytes per item | image->text | image->text weighted | text->image | text->image weighted |

    The name of each combination of a sweep has its values:

    >>> swept = compare(make_multilabel(300), sweep={"lemon": {"alpha": [1, 1e4]}}, bits=[8])
    >>> [record["method"] for record in swept.records]
    ['lemon[alpha=1]', 'lemon[alpha=10000]']
    """
    if progress is not None:
        check_bool("progress", progress)
    points = plan_sweep(sweep)
    names, own = _check_methods(methods, points)
    recipes = [name for name in (*names, *(point.method for point in points)) if name not in own]
    experiment = plan_experiment(
        data,
        labels=labels,
        own_labels=_own_labels(recipes),
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
        protocols=protocols,
        top_n=top_n,
        metrics=metrics,
        n_threads=n_threads,
    )
    combinations = _plan(
        experiment,
        _candidates(experiment, names, own, points, parameters),
        _check_bits(bits),
        _check_seeds(seeds),
    )
    results: AbstractContextManager[ResultLines | None] = nullcontext() if out is None else open_results(out)
    with results as file:
        done = {} if file is None else file.records
        found = {combination.key: done[combination.key] for combination in combinations if combination.key in done}
        n_reused = len(found)
        missing = [combination for combination in combinations if combination.key not in found]
        query_scores = QueryScores() if file is None else file.query_scores
        notice = RefitNotice(enabled=progress is not False)
        for combination in _with_progress(missing, n_reused, progress):
            record, per_query = combination.run(experiment, notice)
            if file is None:
                query_scores.add(record["key"], per_query)
            else:
                file.append(record, per_query)
            found[combination.key] = record
        records = [found[combination.key] for combination in combinations]
        return Comparison(records, n_reused, 0 if file is None else file.n_dropped, query_scores)


@dataclass(frozen=True)
class _Combination:
    """One method at one length with one seed."""

    name: str
    factory: Factory
    labels: LearnedLabels
    identity: Identity
    point: SweepPoint | None

    def __str__(self) -> str:
        return f"{self.name}, {self.identity['n_bits']} bits, seed {self.identity['seed']}"

    @property
    def key(self) -> str:
        """Key of the record."""
        return self.identity["key"]

    def run(self, experiment: Experiment, notice: RefitNotice) -> tuple[Record, NDArray[np.float64]]:
        """Learn and measure; return the record and the scores of each query."""
        model = self.factory(self.identity["n_bits"], self.identity["seed"])
        _refuse_learned(self.name, model)
        try:
            record, per_query = run_trial(experiment, model, self.labels, self.identity, notice)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self}: {error}") from error
        return {**record, "swept": None if self.point is None else self.point.describe()}, per_query


@dataclass(frozen=True)
class _Candidate:
    """A method, or one combination of a sweep, under the name of its results."""

    name: str
    factory: Factory
    labels: LearnedLabels
    point: SweepPoint | None


def _plan(
    experiment: Experiment, candidates: Sequence[_Candidate], bits: list[int], seeds: list[int]
) -> list[_Combination]:
    """Return every combination; make each model once, to raise for wrong names and parameters before any work."""
    combinations = []
    for candidate in candidates:
        name, factory = candidate.name, candidate.factory
        for n_bits in bits:
            for seed in seeds:
                try:
                    model = factory(n_bits, seed)
                except TypeError as error:
                    # Such as LEMON itself, which takes its parameters by name only.
                    raise TypeError(f"methods[{name!r}] must take (n_bits, seed): {error}") from error
                if not isinstance(model, HashingMethod):
                    raise TypeError(f"methods[{name!r}] must return a HashingMethod, got {type(model).__name__}")
                if model.n_bits != n_bits:
                    raise ValueError(
                        f"methods[{name!r}] must return a method of {n_bits} bits when asked for it, got {model.n_bits}"
                    )
                identity = identify(experiment, name, model, candidate.labels, n_bits, seed)
                combination = _Combination(name, factory, candidate.labels, identity, candidate.point)
                try:
                    model.check_n_features(len(experiment.learned_rows), experiment.n_features)
                except ValueError as error:
                    raise ValueError(f"{combination}: {error}") from error
                combinations.append(combination)
    return combinations


def _check_methods(
    methods: Sequence[str] | Mapping[str, Factory], points: Sequence[SweepPoint]
) -> tuple[list[str], dict[str, Factory]]:
    """Return the names of the methods, each once, and the functions of those that are given by functions."""
    if isinstance(methods, str):
        methods = (methods,)
    own: dict[str, Factory] = {}
    if isinstance(methods, Mapping):
        for name, factory in methods.items():
            if not isinstance(name, str) or not callable(factory):
                raise TypeError(f"methods must be names, or functions by name, got {factory!r} for {name!r}")
        own = dict(methods)
    names = listed("methods", methods, "names, or a mapping of names to functions")
    for argument, given in (("methods", names), ("sweep", [point.method for point in points])):
        for name in given:
            if not isinstance(name, str):
                raise TypeError(f"{argument} must be names, or functions by name, got {name!r}")
            if name not in own:
                parse_name(argument, name.partition(AT)[0])
    if not names and not points:
        raise ValueError("methods must name at least one, got none")
    return unique(names), own


def _own_labels(names: Iterable[str]) -> dict[str, str]:
    """Return the labels of the recipes that learn others than the rest, by the whole name."""
    parts = {name: name.partition(AT) for name in names}
    return {name: labels for name, (_, at, labels) in parts.items() if at}


def _candidates(
    experiment: Experiment,
    names: Sequence[str],
    own: Mapping[str, Factory],
    points: Sequence[SweepPoint],
    parameters: Mapping[str, Mapping[str, Any]] | None,
) -> list[_Candidate]:
    """Return the methods, each with its parameters, and after them the combinations of sweeps."""
    fixed, compared = check_parameters(parameters), unique([*names, *(point.method for point in points)])
    for method in fixed:
        if method not in compared:
            raise ValueError(f"parameters must be of methods that are compared, {', '.join(compared)}; got {method!r}")
    return [
        _Candidate(
            point.name if point else name,
            _factory(name, experiment, own, fixed.get(name, {}), point),
            experiment.labels_of(name),
            point,
        )
        for name, point in [*((name, None) for name in names), *((point.method, point) for point in points)]
    ]


def check_parameters(parameters: Mapping[str, Mapping[str, Any]] | None) -> Mapping[str, Mapping[str, Any]]:
    """Return the argument `parameters` of ``compare``, checked; empty if it is None."""
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must be a mapping of methods to parameters, got {type(parameters).__name__}")
    for method, values in parameters.items():
        if not isinstance(values, Mapping):
            raise TypeError(f"parameters[{method!r}] must be a mapping of names to values, got {type(values).__name__}")
    return parameters


def _factory(
    name: str,
    experiment: Experiment,
    own: Mapping[str, Factory],
    parameters: Mapping[str, Any],
    point: SweepPoint | None,
) -> Factory:
    """Return a function of (n_bits, seed) that makes the method with its parameters and those of the sweep."""
    chosen = {**parameters, **({} if point is None else point.values)}
    if name in own:
        return (lambda n_bits, seed: own[name](n_bits, seed).set_params(**chosen)) if chosen else own[name]
    views = {view: experiment.data.views[view] for view in experiment.views}
    hierarchy = experiment.labels_of(name).hierarchy(experiment.data)
    recipe = name.partition(AT)[0]
    return lambda n_bits, seed: make_method(
        recipe, n_bits=n_bits, seed=seed, views=views, hierarchy=hierarchy, parameters=chosen
    )


def _refuse_learned(name: str, model: HashingMethod) -> None:
    """Raise if the model has learned: it would learn further instead of anew."""
    try:
        n_samples = model.n_samples_seen_
    except NotFittedError:
        return
    raise ValueError(
        f"methods[{name!r}] must return a new model at every call, got one that has learned {n_samples} rows"
    )


def _check_bits(bits: Sequence[int]) -> list[int]:
    lengths = unique(check_integer("bits", n_bits, 1, MAX_BITS) for n_bits in listed("bits", bits, "integers"))
    if not lengths:
        raise ValueError("bits must hold at least one length, got none")
    return lengths


def _check_seeds(seeds: int | Sequence[int]) -> list[int]:
    if not isinstance(seeds, Iterable):
        return list(range(check_integer("seeds", seeds, 1)))
    numbers = unique(check_integer("seeds", seed, 0) for seed in listed("seeds", seeds, "integers"))
    if not numbers:
        raise ValueError("seeds must hold at least one, got none")
    return numbers


def _with_progress(missing: list[_Combination], n_done: int, progress: bool | None) -> Iterator[_Combination]:
    """Yield the combinations to run; show each on stderr: a bar on a terminal, else a line."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    n = n_done + len(missing)
    if not (is_terminal if progress is None else progress):
        yield from missing
    elif is_terminal:
        from tqdm import tqdm

        with tqdm(total=n, initial=n_done, unit="run") as bar:
            for combination in missing:
                bar.set_description(str(combination))
                yield combination
                bar.update()
    else:
        for number, combination in enumerate(missing, n_done + 1):
            print(f"{number} of {n}: {combination}", file=sys.stderr, flush=True)
            yield combination
