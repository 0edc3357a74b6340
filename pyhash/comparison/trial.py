"""One method, one length, one seed: learned, measured, and put into a record."""

from __future__ import annotations

import gc
import hashlib
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash import _core
from pyhash._inputs.checks import is_sparse, n_bytes_of
from pyhash.codes import pack
from pyhash.comparison.experiment import Direction, Experiment
from pyhash.evaluation.average_precision import mean_average_precision
from pyhash.evaluation.class_centers import class_distances
from pyhash.evaluation.curves import precision_at, precision_recall_curve
from pyhash.evaluation.protocol import Protocol
from pyhash.methods.contract import HashingMethod
from pyhash.methods.linear import OnlineMethod

Factory = Callable[[int, int], HashingMethod]
Record = dict[str, Any]

# Heat maps of more classes than these would be as large as all else in a record.
MAX_CLASSES_KEPT = 200
_CURVE_POINTS = 200
_MAX_LISTED = 1000


# --- what tells one combination from another --------------------------------------------------------------------------


def identify(experiment: Experiment, method: str, model: HashingMethod, n_bits: int, seed: int) -> Record:
    """The fields of a record that are known before anything is learned; ``key`` stands for all of them."""
    fields = {
        "method": method,
        "class": type(model).__name__,
        "n_bits": n_bits,
        "seed": seed,
        # Threads move no score.
        "parameters": {name: describe(value) for name, value in model.get_params().items() if name != "n_threads"},
        **experiment.identity,
        "pyhash": _version("pyhash-crossmodal"),
    }
    key = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
    return {"key": key, **fields}


def describe(value: Any) -> Any:
    """A parameter as JSON: long arrays as their hash, what is of no known kind as its repr."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if is_sparse(value):
        value = value.toarray()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.size <= _MAX_LISTED:
            return value.tolist()
        digest = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()[:32]
        return {"dtype": value.dtype.str, "shape": list(value.shape), "sha256": digest}
    if callable(getattr(value, "get_params", None)):
        return {"class": type(value).__name__, **{name: describe(entry) for name, entry in value.get_params().items()}}
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # where it lies says nothing


def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


def versions() -> dict[str, str]:
    """What ran, and where."""
    import scipy

    torch = sys.modules.get("torch")  # is asked only if a method has loaded it
    return {
        "pyhash": _version("pyhash-crossmodal"),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_level": _core.cpu_level(),
        **({} if torch is None else {"torch": str(torch.__version__)}),
    }


# --- a run ------------------------------------------------------------------------------------------------------------


def run_trial(experiment: Experiment, model: HashingMethod, identity: Record) -> Record:
    """Learns and measures; `identity` is that of the model."""
    _load_what_methods_load()
    if "n_threads" in model.get_params() and model.get_params()["n_threads"] is None:
        model.set_params(n_threads=experiment.n_threads)
    order = experiment.stream(identity["seed"])
    memory_before = _begin_peak()
    if isinstance(model, OnlineMethod):
        rounds, learned = _learn_stream(experiment, model, order)
    else:
        rounds, learned = _learn_whole(experiment, model, order)
    memory_peak = None if memory_before is None else _resident("VmHWM")
    ranked = np.argsort(order)
    codes = _Codes(experiment, model, learned[ranked], experiment.database_rows)
    scores = [
        _score(codes, direction, name, protocol)
        for name, protocol in experiment.protocols.items()
        for direction in experiment.directions
    ]
    return {
        **identity,
        "scores": scores,
        "rounds": rounds,
        "train_seconds": sum(entry["train_seconds"] for entry in rounds) + rounds[-1]["solve_seconds"],
        "encode_seconds": codes.encode_seconds,
        "bytes_per_item": n_bytes_of(identity["n_bits"]),
        "float_bytes_per_item": 4 * identity["n_bits"],
        "memory": {"before": memory_before, "peak": memory_peak},
        "encoders": model.encoders_,
        "training": _json_numbers(describe(getattr(model, "history_", None))),
        "class_distances": _class_distances(codes),
        "versions": versions(),
    }


def _load_what_methods_load() -> None:
    """So that the first combination does not pay for all."""
    import scipy.cluster.vq
    import scipy.linalg
    import scipy.sparse  # noqa: F401


def _learn_stream(
    experiment: Experiment, model: OnlineMethod, order: NDArray[np.int64]
) -> tuple[list[Record], NDArray[np.uint8]]:
    """What was measured after each chunk, and the codes learned, in the order of learning."""
    rounds, packed = [], []
    for start in range(0, len(order), experiment.chunk_size):
        rows = order[start : start + experiment.chunk_size]
        views, labels = experiment.views_of(rows), experiment.labels_for(model, rows)
        begin = time.perf_counter()
        model.partial_fit(views, labels)
        times = _times(experiment, model, begin)
        packed.append(model.codes_)
        seen = order[: start + len(rows)]
        ranked = np.argsort(seen)
        codes = _Codes(experiment, model, np.concatenate(packed)[ranked], seen[ranked])
        rounds.append({"n_seen": len(seen), **times, "map": codes.plain_scores()})
    return rounds, np.concatenate(packed)


def _learn_whole(
    experiment: Experiment, model: HashingMethod, order: NDArray[np.int64]
) -> tuple[list[Record], NDArray[np.uint8]]:
    """As ``_learn_stream`` in one round, which is not measured: the end is."""
    views, labels = experiment.views_of(order), experiment.labels_for(model, order)
    begin = time.perf_counter()
    model.fit(views, labels)
    return [{"n_seen": len(order), **_times(experiment, model, begin), "map": None}], model.codes_


def _times(experiment: Experiment, model: HashingMethod, begin: float) -> dict[str, float]:
    """Seconds of learning since `begin`, and those that the projections take, which are solved when first needed."""
    learned = time.perf_counter()
    for name in experiment.views:
        model.project(experiment.data.views[name][:1], modality=name)
    return {"train_seconds": learned - begin, "solve_seconds": time.perf_counter() - learned}


class _Codes:
    """Codes and projections of both sides at one moment of learning, each made once."""

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

    def queries(self, modality: str) -> NDArray[np.float32]:
        """Projections of the queries."""
        if modality not in self._queries:
            features = self.experiment.data.views[modality][self.experiment.query_rows]
            begin = time.perf_counter()
            self._queries[modality] = self.model.project(features, modality=modality)
            self.encode_seconds[modality] = time.perf_counter() - begin
        return self._queries[modality]

    def database_projections(self, modality: str) -> NDArray[np.float32]:
        """Projections of the database rows, from one of their modalities."""
        if modality not in self._database:
            features = self.experiment.data.views[modality][self.rows]
            self._database[modality] = self.model.project(features, modality=modality)
        return self._database[modality]

    def database(self, modality: str) -> NDArray[np.uint8]:
        """Codes that are searched."""
        if self.experiment.database == "learned":
            return self._learned
        return pack(self.database_projections(modality))

    def labels(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Labels of queries and database."""
        return self.experiment.labels_of(self.experiment.query_rows), self.experiment.labels_of(self.rows)

    def mean_average_precision(self, direction: Direction, protocol: Protocol, metric: str) -> float:
        """The score of codes: plain ("hamming") or weighted by the projections."""
        query, database = direction
        projections = self.queries(query)
        return mean_average_precision(
            projections if metric == "weighted_hamming" else pack(projections),
            self.database(database),
            *self.labels(),
            metric=metric,
            n_bits=projections.shape[1],
            protocol=protocol,
            n_threads=self.experiment.n_threads,
        ).value

    def plain_scores(self) -> dict[str, float | None]:
        """The plain mAP of each direction under the first protocol."""
        protocol = next(iter(self.experiment.protocols.values()))
        return {
            direction_name(pair): _number(self.mean_average_precision(pair, protocol, "hamming"))
            for pair in self.experiment.directions
        }


def direction_name(direction: Direction) -> str:
    """Such as "image->text"."""
    return "->".join(direction)


def _score(codes: _Codes, direction: Direction, name: str, protocol: Protocol) -> Record:
    """All scores of one direction under one protocol."""
    experiment = codes.experiment
    query, database = direction
    projections = codes.queries(query)
    plain = {"n_bits": projections.shape[1], "protocol": protocol, "n_threads": experiment.n_threads}
    sides = (pack(projections), codes.database(database), *codes.labels())
    found = mean_average_precision(*sides, **plain)
    limit = min(protocol.cutoff or len(codes.rows), len(codes.rows))
    top_n = [n for n in experiment.top_n if n <= limit]
    precision = precision_at(*sides, top_n=top_n, **plain).values.tolist() if top_n else []
    curve = precision_recall_curve(*sides, **plain)
    shown = _thinned(len(curve.thresholds))
    as_float = mean_average_precision(
        _unit_rows(projections),
        _unit_rows(codes.database_projections(database)),
        *codes.labels(),
        metric=_cosine_distance,
        protocol=protocol,
        n_threads=experiment.n_threads,
    )
    return {
        "protocol": name,
        "direction": direction_name(direction),
        "map": _number(found.value),
        "map_weighted": _number(codes.mean_average_precision(direction, protocol, "weighted_hamming")),
        "map_float": _number(as_float.value),
        "n_empty": found.n_empty,
        "precision_at": {str(n): _number(value) for n, value in zip(top_n, precision, strict=True)},
        "precision_recall": {
            "rank": curve.thresholds[shown].tolist(),
            "precision": [_number(value, 6) for value in curve.precision[shown]],
            "recall": [_number(value, 6) for value in curve.recall[shown]],
        },
    }


def _thinned(n: int) -> NDArray[np.int64]:
    """Positions of about 200 of n ranks: the first ones closer together, the rest evenly; all where they are few."""
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


def _class_distances(codes: _Codes) -> Record | None:
    """Distances between class centers of the codes searched, by the modality encoded ("learned": of all at once)."""
    experiment = codes.experiment
    if experiment.n_classes > MAX_CLASSES_KEPT:
        return None
    learned = experiment.database == "learned"
    modalities = dict.fromkeys(database for _, database in experiment.directions)
    searched = {"learned": codes.database("")} if learned else {name: codes.database(name) for name in modalities}
    labels, n_bits = codes.labels()[1], codes.model.n_bits
    of = {}
    for name, rows in searched.items():
        result = class_distances(rows, labels, n_bits=n_bits, n_classes=experiment.n_classes)
        of[name] = [[None if np.isnan(d) else int(d) for d in row] for row in result.distances]
    parents = experiment.data.hierarchy[-1] if experiment.layers else None
    return {
        "distances": of,
        "class_names": [str(name) for name in experiment.data.label_names.get(experiment.labels, ())],
        "groups": parents.tolist() if parents is not None and parents.ndim == 1 else None,
    }


def _json_numbers(value: Any) -> Any:
    """Lists and mappings of numbers as JSON: what is not finite, as a loss that diverged, is None."""
    if isinstance(value, dict):
        return {key: _json_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_json_numbers(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float, digits: int | None = None) -> float | None:
    """As JSON, which has no NaN."""
    if np.isnan(value):
        return None
    return float(value) if digits is None else round(float(value), digits)


# --- memory -----------------------------------------------------------------------------------------------------------

_STATUS = Path("/proc/self/status")


def _begin_peak() -> int | None:
    """Has the system measure the peak of resident memory from now on; returns what is resident, in bytes.

    None where it cannot: getrusage only knows the peak of a process since it began, which would be that of the
    combinations before.
    """
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _resident("VmRSS")


def _resident(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])
