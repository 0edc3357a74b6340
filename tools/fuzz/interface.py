"""The public interface as targets: a call, its parameters from its signature, and valid values for those it needs."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import duckdb
import numpy as np
import pyarrow
from sklearn.feature_extraction.text import HashingVectorizer

import pyhash
from pyhash import (
    codes,
    comparison,
    datasets,
    deep,
    distributed,
    encoders,
    evaluation,
    interop,
    methods,
    plotting,
    search,
)

MODULES = (codes, search, interop, evaluation, datasets, methods, deep, comparison, plotting, encoders)

# Results, which the library makes, and what takes no arguments or draws a figure.
NOT_CALLED = {
    "Hits", "HitLists", "ClassDistances", "MeanAveragePrecision", "PrecisionAt", "PrecisionRecallCurve", "Comparison",
    "Chunk", "FeatureMap", "Centering", "Standardizing", "UnitLength", "CollapseWarning", "load_emoji",
    "InstanceRetrieval", "require_matplotlib", "save_figure", "AlexNet", "PRESETS", "Preset",
    "MeanReciprocalRank", "NDCG", "RecallAt", "ConfidenceInterval", "PairedTest",
    "EpochState", "SyncResult", "Table",
    "Encoder", "ENCODER_NAMES",
    # They would ask hubs for models, or load large ones.
    "SentenceTransformersEncoder", "TransformersEncoder", "OpenCLIPEncoder", "TimmEncoder", "TorchvisionEncoder",
    "UniversalSentenceEncoder", "EfficientNetLite0",
    # They need a server, and a library whose threads do not survive a fork.
    "PostgresTable", "LanceTable",
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A call of the public interface; `call` makes what it needs anew and returns a function of the arguments."""

    name: str
    parameters: tuple[str, ...]
    valid: Mapping[str, Any]
    prepare: Callable[[], tuple[Callable[..., Any], Callable[[], object]]]
    named: tuple[str, ...] = ()  # what a message may name beside the parameters


def _lengths(items: list[Any]) -> list[list[int]]:
    return [[len(item)] for item in items]


def _encoder() -> encoders.CallableEncoder:
    return encoders.CallableEncoder(_lengths, kind="text", name="lengths", version="1")


def _bag() -> encoders.BagOfWords:
    return encoders.BagOfWords(8).partial_fit(["a b"])


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@cache
def examples() -> dict[str, Any]:
    """Return a valid value for every parameter that some call requires, by name."""
    rng = _rng()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    data = datasets.make_multilabel(24, n_classes=3, n_features={"a": 4, "b": 3})
    packed = rng.integers(0, 256, (24, 2), dtype=np.uint8)
    labels = np.arange(24) % 3
    datasets.save_npz(folder / "data.npz", data)
    model = pyhash.LEMON(16).fit({"a": rng.normal(size=(24, 20)), "b": rng.normal(size=(24, 17))}, labels)
    model.save(folder / "model.npz")
    part = pyhash.BOCH(16).fit({"a": rng.normal(size=(24, 20))}, labels)
    curve = evaluation.precision_recall_curve(packed[:4], packed, labels[:4], labels, n_bits=16)
    table = pyarrow.table({"x": rng.normal(size=(24, 4)).tolist(), "label": labels, "text": ["a b"] * 24})
    return {
        "folder": folder,
        "signs": np.ones((3, 16)), "projections": rng.normal(size=(3, 16)), "codes": packed, "n_bits": 16,
        "query_codes": packed[:3], "database_codes": packed, "radius": 5, "k": 3,
        "weighted_rerank.projections": rng.normal(size=(3, 16)), "candidates": np.arange(12).reshape(3, 4),
        "hits": [search.hamming_top_k(packed[:3], packed, 2)], "strings": ["0" * 16], "values": [b"ab", b"cd"],
        "msb_bytes": packed, "ids": np.arange(24), "index": interop.to_faiss_index(packed, None, 16),
        "query_ids": np.arange(4), "database_ids": np.arange(24), "words": np.array([[1], [2]]),
        "labels": labels, "queries": packed[:4], "database": packed, "query_labels": labels[:4],
        "database_labels": labels, "top_n": [1, 5], "path": folder / "out", "dataset": data, "data": data,
        "preset": "shoh", "name": "lsh", "methods": ["lsh"], "bits": [8], "X": rng.normal(size=(5, 20)),
        "modality": "a", "views": {"a": rng.normal(size=(24, 20)), "b": rng.normal(size=(24, 17))},
        "paired_test.a": [0.1, 0.4, 0.3], "paired_test.b": [0.1, 0.2, 0.5], "scores": [0.1, 0.2],
        "n_bytes": [1, 2], "n_seen": [1, 2], "curve": curve, "epochs": [1, 2],
        "ConvergenceDisplay.chunks": [1, 1], "ConvergenceDisplay.values": {"objective": [1.0, 0.5]},
        "losses": {"total": [1.0, 0.5]}, "size": 7, "SensitivityDisplay.values": {"alpha": [1, 100]},
        "B": rng.choice(np.array([-1, 1], np.int8), (24, 4)), "H": np.eye(4), "Q": rng.normal(size=(24, 4)),
        "max_sweeps": 3, "models": [part, part.emptied()],
        "write_run.hits": search.hamming_top_k(packed[:4], packed, 3), "offset": 1, "source": lambda offset: [],
        "open_table.source": table, "load_table.source": table, "stream.views": {"a": "x"},
        "Dataset.name": "mine", "Dataset.labels": data.labels, "label_names": data.label_names,
        "hierarchy": data.hierarchy, "layers": data.layers, "splits": data.splits, "Dataset.views": data.views,
        "distributed.encode.model": model, "distributed.encode.X": da.from_array(rng.normal(size=(9, 20)), chunks=4),
        "distributed.fit.views": {"a": da.from_array(rng.normal(size=(24, 5)), chunks=(9, 5))},
        "distributed.mean_average_precision.queries": da.from_array(packed[:4], chunks=(3, 2)),
        "distributed.ShardedIndex.folders": folder / "shards", "n_shards": 2,
        "item": np.zeros((4, 5, 3), np.uint8), "function": _lengths, "kind": "text", "version": "1",
        "encoder": _encoder(), "vectorizer": HashingVectorizer(n_features=8), "items": ["a", "b c"],
        "texts": ["a", "b c"], "text": "a d",
        "ClassDistanceDisplay.result": evaluation.class_distances(packed, labels, n_bits=16),
        "PrecisionAtDisplay.result": evaluation.precision_at(
            packed[:4], packed, labels[:4], labels, top_n=3, n_bits=16
        ),
    }  # fmt: skip


# Where a name means something else than in other calls.
_SPECIAL: dict[str, dict[str, Any]] = {
    "load_npz": {"path": "data.npz"},
    "Retriever": {"encoders": {"a": None}},
    "load": {"path": "model.npz"},
    "StreamFolder": {"path": "stream", "model": pyhash.LEMON(16)},
    "reconstruct": {"ids": [1, 2]},
    "remove": {"ids": [1, 2]},
    "upsert": {"codes": np.ones((2, 2), np.uint8), "ids": [1, 99]},
    "add_classes": {"layer": 2, "parents": [0, 1]},
    "add": {"codes": np.ones((2, 2), np.uint8)},
    "compare": {"progress": False},
    "find_preset": {"name": "shoh/ssense"},
    "make_encoder": {"name": "bag-of-words"},
    "BitsDisplay": {"n_bits": [8, 16]},
    "from_bit_strings": {"n_bits": 16},
    "mean_average_precision": {"n_bits": 16},
    "ndcg": {"n_bits": 16},
    "mean_reciprocal_rank": {"n_bits": 16},
    "distributed.mean_average_precision": {"n_bits": 16},
    "distributed.ShardedIndex": {"n_bits": 16, "n_shards": 2},
    "distributed.fit": {"labels": np.arange(24) % 3},
    "make_hierarchical": {"n_samples": 40},
    "make_multilabel": {"n_samples": 40},
    "make_drifting": {"n_samples": 40},
    "partial_fit": {"present": {"a": np.arange(24) < 20}},
    "select": {"rows": [0, 5, 3]},
    "split": {"name": "mine"},
    "chunks": {"size": 7},
    "relation_matrix": {"rows": {"a": np.ones((2, 20))}, "columns": {"b": np.ones((3, 17))}},
}


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters
    return {name: each for name, each in parameters.items() if each.kind in kinds and name != "self"}


def _valid(name: str, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    own = _SPECIAL.get(name, {})
    needed = [key for key, each in parameters.items() if each.default is inspect.Parameter.empty or key in own]
    values = {key: own.get(key, examples().get(f"{name}.{key}", examples().get(key))) for key in needed}
    if "path" in own:
        values["path"] = examples()["folder"] / own["path"]
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise LookupError(f"{name} needs an example of {', '.join(missing)}")
    return values


def _nothing() -> object:
    return None


def _function(name: str, function: Callable[..., Any]) -> Target:
    parameters = _parameters(function)
    return Target(name, tuple(parameters), _valid(name, parameters), lambda: (function, _nothing))


def _with_database(name: str) -> Target:
    """A call that takes an index or a table, on a DuckDB of its own: its threads do not survive a fork."""
    function = getattr(interop, name)

    def prepare() -> tuple[Callable[..., Any], Callable[[], object]]:
        connection, index = duckdb.connect(), _index()
        own = {"index": index, "connection": connection, "name": "items"}
        if name == "sync":
            own["table"] = interop.DuckDBTable(connection, "items")
        required = {key: own[key] for key, each in _parameters(function).items() if each.default is each.empty}
        return lambda **values: function(**{**required, **values}), lambda: _index_state(index)

    return Target(name, tuple(_parameters(function)), {}, prepare)


def _on_threads(name: str, function: Callable[..., Any]) -> Target:
    """A call of ``pyhash.distributed`` without a cluster; results that are lazy are computed."""
    parameters = _parameters(function)

    def prepare() -> tuple[Callable[..., Any], Callable[[], object]]:
        model = pyhash.LEMON(8).fit({"a": np.eye(5)}, np.arange(5) % 2)

        def call(**values: Any) -> None:
            if name == "distributed.fit":
                values = {"model": model, **values}
            # A child of this process has none of its threads.
            with dask.config.set(scheduler="synchronous"):
                dask.compute(function(**values))

        return call, lambda: _model_state(model)

    valid = _valid(name, {key: each for key, each in parameters.items() if (name, key) != ("distributed.fit", "model")})
    return Target(name, tuple(parameters), valid, prepare)


def _estimator(name: str, cls: type, **fixed: Any) -> Target:
    """A constructor and ``fit``: parameters are checked when something is learned."""
    parameters = _parameters(cls)
    views, labels = examples()["views"], examples()["labels"]

    def fit(**values: Any) -> None:
        cls(**{**fixed, **values}).fit(views, labels)

    if name == "RBFAnchors":

        def fit(**values: Any) -> None:
            cls(**{**fixed, **values}).fit(views["a"])

    return Target(name, tuple(parameters), {}, lambda: (fit, _nothing), named=("views", "labels"))


def _method(name: str, make: Callable[[], Any], method: str, state: Callable[[Any], object]) -> Target:
    parameters = _parameters(getattr(make(), method))

    def prepare() -> tuple[Callable[..., Any], Callable[[], object]]:
        instance = make()

        def call(**values: Any) -> None:
            result = getattr(instance, method)(**values)
            if inspect.isgenerator(result):
                for _ in result:
                    pass

        return call, lambda: state(instance)

    return Target(f"{name}.{method}", tuple(parameters), _valid(method, parameters), prepare)


def _index() -> pyhash.CodeIndex:
    index = pyhash.CodeIndex(16)
    index.add(examples()["codes"])
    return index


def _index_state(index: pyhash.CodeIndex) -> object:
    return len(index), index.ids.tobytes(), index.codes.tobytes(), index.n_bits


def _stream() -> pyhash.StreamFolder:
    stream = pyhash.StreamFolder(tempfile.mkdtemp(dir=examples()["folder"]), pyhash.LEMON(16))
    return stream.learn(examples()["views"], examples()["labels"], offset=1)


def _stream_state(stream: pyhash.StreamFolder) -> object:
    return stream.n_chunks, stream.offset, stream.model.n_samples_seen_, _index_state(stream.index)


def _retriever() -> pyhash.Retriever:
    views, labels = examples()["views"], examples()["labels"]
    retriever = pyhash.Retriever(dict.fromkeys(views), "lemon", 16)
    return retriever.learn(views, labels, add=True, payload={"n": np.arange(24), "text": ["x"] * 24})


def _retriever_state(retriever: pyhash.Retriever) -> object:
    return retriever.model.fingerprint, retriever.payload.to_pylist(), _index_state(retriever.index)


def _retriever_targets() -> list[Target]:
    """Calls of a Retriever of features; errors of these name them as those of the model do."""
    views = examples()["views"]
    found = []
    for method, valid in {
        "learn": {"items": views, "labels": examples()["labels"]},
        "partial_learn": {"items": views, "labels": examples()["labels"]},
        "add": {"items": views},
        "remove": {"ids": [1, 2]},
        "encode": {"items": views},
        "project": {"items": views},
        "search": {"a": views["a"][0]},
        "search_many": {"queries": {"a": views["a"][:3]}},
        "save": {"path": examples()["folder"] / "retriever"},
        "write_evaluation": {"evaluation": {"rows": 24, "labels": "x", "directions": {}}},
    }.items():
        parameters = tuple(dict.fromkeys([*_parameters(getattr(pyhash.Retriever, method)), *valid]))

        def prepare(method: str = method) -> tuple[Callable[..., Any], Callable[[], object]]:
            retriever = _retriever()
            return getattr(retriever, method), lambda: _retriever_state(retriever)

        named = ("views", "X", "index", "Retriever")
        found.append(Target(f"Retriever.{method}", parameters, valid, prepare, named))
    return found


def _dataset() -> datasets.Dataset:
    return replace(examples()["data"], splits={"mine": np.arange(24) < 6})


def _table() -> datasets.Table:
    return datasets.open_table(examples()["open_table.source"])


def _nothing_of(instance: datasets.Dataset | datasets.Table) -> object:
    return None


@cache
def _trained(cls: type) -> Any:
    """Return a trained model, the same for all cases: its methods do not change it."""
    training = deep.TrainingOptions(epochs=1, batch_size=8, validation_fraction=0.0)
    model = cls(8, hidden=(4,), training=training)
    return model.fit(examples()["views"], examples()["labels"])


def _model_state(model: Any) -> object:
    return model.codes_.tobytes(), model.n_samples_seen_, model.fingerprint, repr(model.get_params())


def _shoh_state(model: pyhash.SHOH) -> object:
    return _model_state(model), [labels.tolist() for labels in model.classes_], [c.tobytes() for c in model.centers_]


@cache
def targets() -> list[Target]:
    """Return every call that is fuzzed."""
    small = {"n_bits": 8}
    training = deep.TrainingOptions(epochs=1, batch_size=8, validation_fraction=0.0)
    trained = {"n_bits": 8, "hidden": (4,), "training": training}
    found = []
    for module in MODULES:
        for name in module.__all__:
            each = getattr(module, name)
            if name in NOT_CALLED:
                continue
            if name in ("sync", "DuckDBTable"):
                found.append(_with_database(name))
            elif not hasattr(each, "fit"):
                found.append(_function(name, each))
            elif name == "RBFAnchors":
                found.append(_estimator(name, each, n_anchors=5))
            else:
                found.append(_estimator(name, each, **(trained if module is deep else small)))
    found.append(_function("distributed.ShardedIndex", distributed.ShardedIndex))
    for name in ("encode", "fit", "mean_average_precision"):
        found.append(_on_threads(f"distributed.{name}", getattr(distributed, name)))
    found.append(_function("CodeIndex", pyhash.CodeIndex))
    for method in ("add", "upsert", "remove", "reconstruct", "blocks", "search", "search_radius", "search_weighted"):
        found.append(_method("CodeIndex", _index, method, _index_state))
    found.append(_method("CodeIndex", _index, "save", _index_state))
    found.append(_method("CodeIndex", _index, "open", _index_state))
    found += [_function("StreamChunk", pyhash.StreamChunk), _function("StreamFolder", pyhash.StreamFolder)]
    found += [_method("StreamFolder", _stream, method, _stream_state) for method in ("learn", "run")]
    found += [_function("Retriever", pyhash.Retriever), *_retriever_targets()]
    for method in ("select", "split", "chunks"):
        found.append(_method("Dataset", _dataset, method, _nothing_of))
    found += [_method("Table", _table, method, _nothing_of) for method in ("chunks", "stream")]
    for cls in (deep.SDCH, deep.DHSL):
        for method in ("project", "encode", "encode_fused", "save", "module"):
            found.append(_method(cls.__name__, lambda cls=cls: _trained(cls), method, _model_state))
    found.append(_method("DHSL", lambda: _trained(deep.DHSL), "relation_matrix", _model_state))
    for method in ("encode", "partial_fit", "unknown_words"):
        found.append(_method("BagOfWords", _bag, method, encoders.BagOfWords.to_state))
    found.append(_method("CallableEncoder", _encoder, "encode", lambda encoder: encoder.n_features))
    views, labels = examples()["views"], examples()["labels"]
    for cls in (methods.BOCH, methods.LEMON, methods.SHOH, methods.CCAITQ):

        def make(cls: type = cls) -> Any:
            return cls(16).fit(views, labels)

        names = ["fit", "project", "encode", "save"] + ["partial_fit"] * hasattr(cls, "partial_fit")
        names += ["forget", "emptied"] * (cls is methods.BOCH)
        found += [_method(cls.__name__, make, method, _model_state) for method in names]

    def make_hierarchical() -> pyhash.SHOH:
        return pyhash.SHOH(16, hierarchy=[[0, 0, 1]]).fit(views, labels)

    found.append(_method("SHOH", make_hierarchical, "add_classes", _shoh_state))
    return found
