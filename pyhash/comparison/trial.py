"""One run of a comparison: learn with one method, length and seed, measure, and return the record."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import n_bytes_of
from pyhash.codes import pack
from pyhash.comparison.experiment import Direction, Experiment, direction_name
from pyhash.comparison.identity import describe, versions
from pyhash.comparison.joined_names import JOIN
from pyhash.comparison.learned_labels import LearnedLabels
from pyhash.comparison.memory import PeakMemory
from pyhash.comparison.metrics import Metric
from pyhash.comparison.records import (
    DISTANCES,
    ClassDistanceFields,
    Distance,
    Identity,
    InstanceScore,
    Record,
    Round,
    Score,
)
from pyhash.comparison.refits import RefitNotice
from pyhash.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from pyhash.evaluation.class_centers import class_distances
from pyhash.evaluation.curves import precision_at, precision_recall_curve, recall_at
from pyhash.evaluation.discounted_gain import ndcg
from pyhash.evaluation.instance_retrieval import instance_retrieval
from pyhash.evaluation.protocol import Protocol
from pyhash.evaluation.reciprocal_rank import mean_reciprocal_rank
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

# With more classes, their distances would be the largest part of a record.
_MAX_CLASSES = 200
_CURVE_POINTS = 200
# Each N of hit rate and recall of the same thing.
_INSTANCE_TOP_N = (1, 5, 10)


def run_trial(
    experiment: Experiment, model: HashingMethod, labels: LearnedLabels, identity: Identity, notice: RefitNotice
) -> tuple[Record, NDArray[np.float64]]:
    """Learn these labels and measure with `model`, whose identity is `identity`; return the record and query scores.

    The scores of queries have the shape (n_protocols, n_directions, n_metrics, 2, n_queries) of ``QueryScores``.
    """
    _load_scipy()
    if "n_threads" in model.get_params() and model.get_params()["n_threads"] is None:
        model.set_params(n_threads=experiment.n_threads)
    order = experiment.stream(identity["seed"])
    memory = PeakMemory()
    rounds, codes = _learn(experiment, model, labels, order, memory, notice)
    learning = rounds if isinstance(model, OnlineMethod) else rounds[-1:]
    scores, per_query = [], []
    for name, protocol in experiment.protocols.items():
        for direction in experiment.directions:
            score, of_queries = _score(codes, direction, name, protocol)
            scores.append(score)
            per_query.append(of_queries)
    shape = len(experiment.protocols), len(experiment.directions), *per_query[0].shape
    history = _finite_or_none(describe(getattr(model, "history_", None)))
    iterates = "record" in model.get_params()  # its history is of iterations, not of epochs
    record: Record = {
        **identity,
        "scores": scores,
        "rounds": rounds,
        "train_seconds": sum(entry["train_seconds"] for entry in learning) + rounds[-1]["solve_seconds"],
        "encode_seconds": codes.encode_seconds,
        "bytes_per_item": n_bytes_of(identity["n_bits"]),
        "float_bytes_per_item": 4 * identity["n_bits"],
        "memory": {"before": memory.before, "peak": memory.peak},
        "encoders": model.encoders_,
        "training": None if iterates else history,
        "optimisation": history if iterates else None,
        "class_distances": _class_distances(codes),
        "versions": versions(),
        "swept": None,
    }
    return record, np.array(per_query).reshape(shape)


def _load_scipy() -> None:
    """Load the parts of scipy that methods use: their loading does not count as learning."""
    import scipy.cluster.vq
    import scipy.linalg
    import scipy.sparse  # noqa: F401


def _learn(
    experiment: Experiment,
    model: HashingMethod,
    labels: LearnedLabels,
    order: NDArray[np.int64],
    memory: PeakMemory,
    notice: RefitNotice,
) -> tuple[list[Round], _Codes]:
    """Learn chunk by chunk, or all rows so far again after each round; return the rounds and the codes after the last.

    A method that learns whole data begins with the first round whose rows are enough for it. If it is not scored after
    every round, it has one.
    """
    is_online, is_scored = isinstance(model, OnlineMethod), experiment.scores_rounds_of(model)
    chunks = experiment.chunks if is_online or is_scored else experiment.chunks[-1:]
    if not is_online:
        chunks = [slice(0, chunk.stop) for chunk in chunks if _is_enough(experiment, model, chunk.stop)]
    rounds: list[Round] = []
    learned: list[NDArray[np.uint8]] = []
    for chunk in chunks:
        rows = order[chunk]
        views, targets = experiment.views_of(rows), experiment.labels_for(model, labels, rows)
        with memory.measured():
            begin = time.perf_counter()
            if isinstance(model, OnlineMethod):
                model.partial_fit(views, targets)
            else:
                model.fit(views, targets)
            train_seconds = time.perf_counter() - begin
            solve_seconds = _solve(experiment, model)
        learned = [*(learned if is_online else []), model.codes_]
        codes = _codes_after(experiment, model, order[: chunk.stop], np.concatenate(learned))
        rounds.append(
            {
                "n_seen": chunk.stop,
                "train_seconds": train_seconds,
                "solve_seconds": solve_seconds,
                "map": codes.scores("hamming") if is_scored else None,
                "map_weighted": codes.scores("weighted_hamming") if is_scored else None,
            }
        )
        if not is_online and chunk is not chunks[-1]:
            seconds = [entry["train_seconds"] + entry["solve_seconds"] for entry in rounds]
            notice.update(type(model).__name__, [before.stop for before in chunks[:-1]], seconds)
    return rounds, codes


def _is_enough(experiment: Experiment, model: HashingMethod, n: int) -> bool:
    """Return whether `n` rows are enough for a method; all rows are, or it says what they lack."""
    try:
        model.check_n_features(n, experiment.n_features)
    except ValueError:
        return n == len(experiment.learned_rows)
    return True


def _solve(experiment: Experiment, model: HashingMethod) -> float:
    """Have the model solve for its projections, which happens at the first use; return the seconds that it takes."""
    begin = time.perf_counter()
    for name in experiment.views:
        model.project(experiment.data.views[name][:1], modality=name)
    return time.perf_counter() - begin


def _codes_after(
    experiment: Experiment, model: HashingMethod, seen: NDArray[np.int64], learned: NDArray[np.uint8]
) -> _Codes:
    """Return the codes after the rows `seen`, whose learned codes are given in the same order.

    The rows that are searched are those seen, or if these are not searched, the whole database.
    """
    if not experiment.searches_learned:
        return _Codes(experiment, model, learned, experiment.database_rows)
    ranked = np.argsort(seen)
    return _Codes(experiment, model, learned[ranked], seen[ranked])


class _Codes:
    """Codes and projections of queries and database at one moment of learning, each computed once."""

    def __init__(
        self, experiment: Experiment, model: HashingMethod, learned: NDArray[np.uint8], rows: NDArray[np.int64]
    ) -> None:
        self.experiment = experiment
        self.model = model
        self.rows = rows
        self.encode_seconds: dict[str, float] = {}
        self._learned = learned
        self._queries: dict[str, NDArray[np.float32]] = {}
        self._database: dict[str, NDArray[np.float32]] = {}

    def queries(self, query: str) -> NDArray[np.float32]:
        """Return the projections of the queries from one modality, or from several such as "image+text"."""
        if query not in self._queries:
            modalities = self.experiment.modalities_of(query)
            views = {name: self.experiment.data.views[name][self.experiment.query_rows] for name in modalities}
            begin = time.perf_counter()
            self._queries[query] = self._project(views)
            self.encode_seconds[query] = time.perf_counter() - begin
        return self._queries[query]

    def database_projections(self, modality: str) -> NDArray[np.float32]:
        """Return the projections of the database rows from the modality searched, or from all if they are fused."""
        experiment = self.experiment
        modalities = experiment.views if experiment.database == "fused" else (modality,)
        key = JOIN.join(modalities)
        if key not in self._database:
            self._database[key] = self._project({name: experiment.data.views[name][self.rows] for name in modalities})
        return self._database[key]

    def _project(self, views: dict[str, Features]) -> NDArray[np.float32]:
        """Return the projections of rows from their only modality, or from all of several."""
        if len(views) == 1:
            (modality,) = views
            return self.model.project(views[modality], modality=modality)
        given = self.experiment.weights
        weights = None if given is None else {name: given[name] for name in views if name in given}
        return self.model.project_fused(views, weights=weights)

    def database(self, modality: str) -> NDArray[np.uint8]:
        """Return the codes that are searched."""
        if self.experiment.database == "learned":
            return self._learned
        return pack(self.database_projections(modality))

    def labels(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the labels of relevance of queries and database."""
        return self.experiment.relevance_of(self.experiment.query_rows), self.experiment.relevance_of(self.rows)

    def sides(self, direction: Direction, distance: Distance) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return the queries, as a distance takes them, and the codes that are searched."""
        query, database = direction
        projections = self.queries(query)
        return projections if distance == "weighted_hamming" else pack(projections), self.database(database)

    def mean_average_precision(
        self, direction: Direction, protocol: Protocol, distance: Distance
    ) -> MeanAveragePrecision:
        """Return the mAP of a direction."""
        sides = *self.sides(direction, distance), *self.labels()
        return mean_average_precision(*sides, metric=distance, protocol=protocol, **self._choices)

    @property
    def _choices(self) -> dict[str, Any]:
        return {"n_bits": self.model.n_bits, "n_threads": self.experiment.n_threads}

    def measure(
        self, metric: Metric, direction: Direction, protocol: Protocol, distance: Distance
    ) -> tuple[float, NDArray[np.float64]]:
        """Return a metric other than mAP of a direction, and its scores by query."""
        kept = {"metric": distance, "protocol": protocol, **self._choices}
        sides, experiment = self.sides(direction, distance), self.experiment
        if metric.kind == "ndcg":
            kept["protocol"] = replace(protocol, cutoff=metric.n or protocol.cutoff)
            graded = (experiment.grading_labels_of(rows) for rows in (experiment.query_rows, self.rows))
            gained = ndcg(*sides, *graded, grades=experiment.grades, **kept)
            return gained.value, gained.per_query
        if metric.kind == "mrr":
            inverse = mean_reciprocal_rank(*sides, *self.labels(), **kept)
            return inverse.value, inverse.per_query
        at = (recall_at if metric.kind == "recall" else precision_at)(*sides, *self.labels(), top_n=metric.n, **kept)
        return float(at.values[0]), at.per_query[:, 0]

    def instance_scores(self, direction: Direction, protocol: Protocol) -> dict[str, InstanceScore] | None:
        """Return the scores of finding the same thing by distance; None if no query's thing is in the database.

        Queries whose thing is not there are left out under every protocol: no code could find it.
        """
        experiment, ids = self.experiment, self.experiment.data.instance_ids
        if ids is None or experiment.instances is None or experiment.instances["n_queries"] == 0:
            return None
        query, database = direction
        projections = self.queries(query)
        scores: dict[str, InstanceScore] = {}
        for metric in DISTANCES:
            found = instance_retrieval(
                projections if metric == "weighted_hamming" else pack(projections),
                self.database(database),
                ids[experiment.query_rows],
                ids[self.rows],
                top_n=[n for n in _INSTANCE_TOP_N if n <= (protocol.cutoff or n)],
                metric=metric,
                n_bits=projections.shape[1],
                protocol=replace(protocol, empty_queries="skip"),
                n_threads=experiment.n_threads,
            )
            names = found.top_n.astype(str).tolist()
            scores[metric] = {
                "map": _number(found.map),
                "mrr": found.mrr,
                "hit_rate": dict(zip(names, found.hit_rate.tolist(), strict=True)),
                "recall": dict(zip(names, found.recall.tolist(), strict=True)),
            }
        return scores

    def scores(self, metric: Distance) -> dict[str, float | None]:
        """Return the mAP of each direction by a distance under the first protocol."""
        protocol = next(iter(self.experiment.protocols.values()))
        return {
            direction_name(pair): _number(self.mean_average_precision(pair, protocol, metric).value)
            for pair in self.experiment.directions
        }


def _score(codes: _Codes, direction: Direction, name: str, protocol: Protocol) -> tuple[Score, NDArray[np.float64]]:
    """Return the scores of one direction under one protocol, and those of queries, (n_metrics, 2, n_queries)."""
    experiment = codes.experiment
    query, database = direction
    projections = codes.queries(query)
    n_bits, n_threads = projections.shape[1], experiment.n_threads
    sides = (pack(projections), codes.database(database), *codes.labels())
    found, weighted = (codes.mean_average_precision(direction, protocol, distance) for distance in DISTANCES)
    others = {
        metric.name: {distance: codes.measure(metric, direction, protocol, distance) for distance in DISTANCES}
        for metric in experiment.metrics[1:]  # mAP is the first
    }
    limit = min(protocol.cutoff or len(codes.rows), len(codes.rows))
    top_n = [n for n in experiment.top_n if n <= limit]
    precision: list[float] = []
    if top_n:
        found_at = precision_at(*sides, top_n=top_n, n_bits=n_bits, protocol=protocol, n_threads=n_threads)
        precision = found_at.values.tolist()
    curve = precision_recall_curve(*sides, n_bits=n_bits, protocol=protocol, n_threads=n_threads)
    shown = _thinned(len(curve.thresholds))
    as_float = mean_average_precision(
        _unit_rows(projections),
        _unit_rows(codes.database_projections(database)),
        *codes.labels(),
        metric=_cosine_distance,
        protocol=protocol,
        n_threads=n_threads,
    )
    score: Score = {
        "protocol": name,
        "direction": direction_name(direction),
        "map": _number(found.value),
        "map_weighted": _number(weighted.value),
        "map_float": _number(as_float.value),
        "metrics": {
            name: {distance: _number(value) for distance, (value, _) in by_distance.items()}
            for name, by_distance in others.items()
        },
        "n_empty": found.n_empty,
        "precision_at": {str(n): _number(value) for n, value in zip(top_n, precision, strict=True)},
        "precision_recall": {
            "rank": curve.thresholds[shown].tolist(),
            "precision": [_number(value, 6) for value in curve.precision[shown]],
            "recall": [_number(value, 6) for value in curve.recall[shown]],
        },
        "instances": codes.instance_scores(direction, protocol),
    }
    of_others = [[per_query for _, per_query in by_distance.values()] for by_distance in others.values()]
    return score, np.array([[found.per_query, weighted.per_query], *of_others])


def _thinned(n: int) -> NDArray[np.int64]:
    """Return at most 200 of the positions 0, ..., n - 1: half spaced geometrically, half evenly."""
    if n <= _CURVE_POINTS:
        return np.arange(n)
    half = _CURVE_POINTS // 2
    ranks = np.concatenate([np.geomspace(1, n, half), np.linspace(1, n, half)])
    return np.unique(np.rint(ranks).astype(np.int64)) - 1


def _unit_rows(projections: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = projections.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    unit: NDArray[np.float64] = rows / lengths
    return unit


def _cosine_distance(queries: NDArray[Any], database: NDArray[Any]) -> NDArray[Any]:
    distances: NDArray[Any] = 1.0 - queries @ database.T
    return distances


def _class_distances(codes: _Codes) -> ClassDistanceFields | None:
    """Return the distances between class centers by the modality encoded, or as "learned" or "fused"."""
    experiment = codes.experiment
    if experiment.n_classes > _MAX_CLASSES:
        return None
    if experiment.database == "encoded":
        searched = {name: codes.database(name) for _, name in experiment.directions}
    else:
        searched = {experiment.database: codes.database(experiment.directions[0][1])}
    labels, n_bits = codes.labels()[1], codes.model.n_bits
    distances = {}
    for name, rows in searched.items():
        result = class_distances(rows, labels, n_bits=n_bits, n_classes=experiment.n_classes)
        distances[name] = [[None if np.isnan(d) else int(d) for d in row] for row in result.distances]
    groups = experiment.groups
    return {
        "distances": distances,
        "class_names": [str(name) for name in experiment.data.label_names.get(experiment.relevance, ())],
        "groups": None if groups is None else groups.tolist(),
    }


def _finite_or_none(value: Any) -> Any:
    """Replace numbers that are not finite, such as the loss of a diverged training, by None: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite_or_none(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite_or_none(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float, digits: int | None = None) -> float | None:
    """Return the value, rounded if `digits` is given; None for NaN, which JSON lacks."""
    if np.isnan(value):
        return None
    return float(value) if digits is None else round(float(value), digits)
