"""The conditions that are equal for all methods of a comparison: data, labels, split, views, directions, protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import (
    check_choice,
    check_finite,
    check_finite_sparse,
    check_integer,
    check_numeric,
    check_real,
    is_sparse,
    listed,
)
from pyhash._inputs.chunks import Remainder, check_remainder, cut
from pyhash._inputs.labels import check_class_indices, check_label_matrix
from pyhash.comparison.joined_names import split_names
from pyhash.comparison.learned_labels import LearnedLabels, choose_labels, choose_relevance, count_labels, has_label
from pyhash.comparison.metrics import Metric, choose_metrics
from pyhash.comparison.records import Conditions, InstanceFields
from pyhash.datasets.dataset import Dataset
from pyhash.datasets.published import published_split
from pyhash.evaluation.grades import GradeBy
from pyhash.evaluation.protocol import Protocol, resolve_protocol
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

Direction = tuple[str, str]
Database = Literal["learned", "encoded", "fused"]
Rounds = Literal["shallow", "online", "all", "none"]

RANDOM_SPLIT = "random"
# Share of the rows that become queries if a data set has no split.
QUERY_FRACTION = 0.1


def direction_name(direction: Direction) -> str:
    """Return text such as "image->text"."""
    return "->".join(direction)


@dataclass(frozen=True)
class Experiment:
    """The checked choices of a comparison; ``plan_experiment`` creates it.

    Rows without labels of relevance, or without labels that a method learns, are on neither side of the split. The rows
    of the database are in ascending order, which is the order of ties by id; the order in which a method learns them
    does not matter. Methods learn `learned_rows`, which are those of the database or, with `learn_rows`, some of them,
    or, with a learn_fraction below 1, all that are not in the database.
    """

    data: Dataset
    labels: LearnedLabels
    own_labels: Mapping[str, LearnedLabels]  # of methods that learn others, by name
    relevance: str
    split: str
    views: tuple[str, ...]
    directions: tuple[Direction, ...]
    database: Database
    weights: Mapping[str, float] | None
    learn_fraction: float
    chunk_size: int
    remainder: Remainder
    rounds: Rounds
    protocols: Mapping[str, Protocol]
    top_n: tuple[int, ...]
    metrics: tuple[Metric, ...]
    n_threads: int | None
    learned_rows: NDArray[np.int64]
    database_rows: NDArray[np.int64]
    query_rows: NDArray[np.int64]
    n_unlabelled: int
    instances: InstanceFields | None

    @property
    def n_classes(self) -> int:
        """Number of classes of the labels of relevance."""
        return count_labels(self.data, self.relevance)

    @property
    def groups(self) -> NDArray[Any] | None:
        """Parent of each class of relevance; None unless these are the finest layer of a hierarchy with one parent."""
        if not self.data.hierarchy or self.relevance != self.data.layers[-1]:
            return None
        parents = self.data.hierarchy[-1]
        return parents if parents.ndim == 1 else None

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each view that is learned."""
        return {name: int(self.data.views[name].shape[1]) for name in self.views}

    def stream(self, seed: int) -> NDArray[np.int64]:
        """Return the rows to learn in the order in which every method learns them."""
        return np.random.default_rng(seed).permutation(self.learned_rows)

    @property
    def chunks(self) -> list[slice]:
        """Chunks of the rows to learn, in the order in which they are learned."""
        return cut(len(self.learned_rows), self.chunk_size, self.remainder)

    @property
    def searches_learned(self) -> bool:
        """Whether the rows that are searched are those that are learned."""
        return np.array_equal(self.learned_rows, self.database_rows)

    def scores_rounds_of(self, model: HashingMethod) -> bool:
        """Return whether a method is scored after every round; one that learns whole data is then fitted again."""
        if self.rounds in ("all", "none"):
            return self.rounds == "all"
        return isinstance(model, OnlineMethod) or (self.rounds == "shallow" and not model.is_deep)

    def modalities_of(self, query: str) -> tuple[str, ...]:
        """Return the modalities of a side of a direction, such as "image+text"."""
        return _modalities_of(query, self.views)

    def views_of(self, rows: NDArray[np.int64]) -> dict[str, Features]:
        """Return the features of the given rows."""
        return {name: self.data.views[name][rows] for name in self.views}

    def relevance_of(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the labels of relevance of the given rows: rows that share one are relevant to each other."""
        labels: NDArray[Any] = self.data.labels[self.relevance][rows]
        return labels

    @property
    def has_ndcg(self) -> bool:
        """Whether nDCG is measured."""
        return any(metric.kind == "ndcg" for metric in self.metrics)

    @property
    def grades(self) -> GradeBy:
        """How nDCG grades items.

        By the layers of the hierarchy if its finest layer says what is relevant, else by the number of shared labels.
        """
        if self.data.hierarchy and self.relevance == self.data.layers[-1]:
            return "layers"
        return "labels" if self.data.labels[self.relevance].ndim == 2 else "binary"

    def grading_labels_of(self, rows: NDArray[np.int64]) -> NDArray[Any] | list[NDArray[Any]]:
        """Return the labels by which `grades` grades the given rows."""
        if self.grades == "layers":
            return [self.data.labels[layer][rows] for layer in self.data.layers]
        return self.relevance_of(rows)

    def labels_of(self, method: str) -> LearnedLabels:
        """Return the labels that the method of that name learns; of a sweep, the method without its values."""
        return self.own_labels.get(method, self.labels)

    def labels_for(
        self, model: HashingMethod, labels: LearnedLabels, rows: NDArray[np.int64]
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Return the labels of the given rows in the form that the method learns from."""
        if getattr(model, "hierarchy", None) is not None:
            return [self.data.labels[layer][rows] for layer in self.data.layers]
        return labels.matrix(self.data, rows)

    def conditions(self, labels: LearnedLabels) -> Conditions:
        """Return everything that changes a score of a method that learns these labels, except for the method itself."""
        return {
            "data": {
                "name": self.data.name,
                "fingerprint": self._fingerprint(labels),
                "n_database": len(self.database_rows),
                "n_queries": len(self.query_rows),
                "n_unlabelled": self.n_unlabelled,
                "n_learned": len(self.learned_rows),
            },
            "labels": labels.name,
            "layers": list(labels.layers),
            "relevance": self.relevance,
            "split": self.split,
            "views": list(self.views),
            "directions": [list(pair) for pair in self.directions],
            "database": self.database,
            "weights": None if self.weights is None else dict(self.weights),
            "learn_fraction": self.learn_fraction,
            "chunk_size": self.chunk_size,
            "remainder": self.remainder,
            "protocols": {name: protocol.describe() for name, protocol in self.protocols.items()},
            "top_n": list(self.top_n),
            "metrics": [metric.name for metric in self.metrics],
            "grades": self.grades if self.has_ndcg else None,
            "instances": self.instances,
        }

    def _fingerprint(self, labels: LearnedLabels) -> str:
        digest = self._digest_of_views.copy()
        graded = self.data.layers if self.has_ndcg and self.grades == "layers" else ()
        kinds = dict.fromkeys((self.relevance, *labels.kinds, *labels.layers, *graded))
        _add(digest, [self.data.labels[kind] for kind in kinds] + (labels.hierarchy(self.data) or []))
        return str(digest.hexdigest())[:32]

    @cached_property
    def _digest_of_views(self) -> Any:
        """Hash of the rows of each side, of what they show, and of the views, which may be large."""
        digest = hashlib.sha256()
        _add(digest, [self.learned_rows, self.database_rows, self.query_rows])
        for name in self.views:
            view = self.data.views[name]
            _add(digest, [view.data, view.indices, view.indptr] if is_sparse(view) else [view])
        if self.data.instance_ids is not None:
            _add(digest, [self.data.instance_ids])
        return digest


def _add(digest: Any, arrays: Sequence[Any]) -> None:
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)


def plan_experiment(
    data: Dataset,
    *,
    labels: str | None,
    own_labels: Mapping[str, str],
    relevance: str | None,
    split: str | None,
    views: Sequence[str] | None,
    directions: Sequence[Direction] | None,
    database: Database,
    weights: Mapping[str, float] | None,
    learn_fraction: float,
    learn_rows: int | None,
    chunk_size: int,
    remainder: Remainder,
    rounds: Rounds,
    protocols: Sequence[Protocol | str],
    top_n: Sequence[int],
    metrics: Sequence[str],
    n_threads: int | None,
) -> Experiment:
    """Check the arguments of ``compare`` and return the experiment that they describe.

    `own_labels` are the labels of methods that learn others than `labels`, by the names of these methods.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset, got {type(data).__name__}")
    learned = choose_labels("labels", data, labels)
    own = {method: choose_labels(f"the labels of {method!r}", data, kinds) for method, kinds in own_labels.items()}
    relevant = choose_relevance(data, relevance, learned)
    data, split = _choose_split(data, split)
    chosen = _choose_views(data, views)
    of_database, of_queries = data.split(split)
    of_methods = (learned, *own.values())
    kinds = dict.fromkeys(kind for labels in of_methods for kind in (*labels.kinds, *labels.layers))
    _check_values(data, chosen, tuple(dict.fromkeys((relevant, *kinds))))
    labelled = np.logical_and.reduce([has_label(data, relevant), *(labels.known(data) for labels in of_methods)])
    database_rows, query_rows = of_database[labelled[of_database]], of_queries[labelled[of_queries]]
    for side, rows in (("database", database_rows), ("queries", query_rows)):
        if len(rows) == 0:
            raise ValueError(f"split {split!r} must leave labelled rows for the {side}, got none")
    database = cast("Database", check_choice("database", database, get_args(Database)))
    learned_rows, database_rows = _choose_learned(database_rows, learn_fraction, learn_rows, database)
    chosen_protocols = _choose_protocols(protocols)
    experiment = Experiment(
        data=data,
        labels=learned,
        own_labels=own,
        relevance=relevant,
        split=split,
        views=chosen,
        directions=_choose_directions(directions, chosen),
        database=database,
        weights=_check_weights(weights, chosen),
        learn_fraction=float(learn_fraction),
        chunk_size=check_integer("chunk_size", chunk_size, 1),
        remainder=check_remainder(remainder),
        rounds=cast("Rounds", check_choice("rounds", rounds, get_args(Rounds))),
        protocols=chosen_protocols,
        top_n=tuple(sorted({check_integer("top_n", n, 1) for n in listed("top_n", top_n, "integers")})),
        metrics=choose_metrics(metrics, len(database_rows), list(chosen_protocols.values())),
        n_threads=None if n_threads is None else check_integer("n_threads", n_threads, 1),
        learned_rows=learned_rows,
        database_rows=database_rows,
        query_rows=query_rows,
        n_unlabelled=len(data) - int(np.count_nonzero(labelled)),
        instances=_count_instances(data, database_rows, query_rows),
    )
    if experiment.has_ndcg and experiment.grades == "layers":
        _check_values(data, (), data.layers)
    return experiment


def _count_instances(
    data: Dataset, database_rows: NDArray[np.int64], query_rows: NDArray[np.int64]
) -> InstanceFields | None:
    """Return the number of queries whose thing is in the database; None if the data set does not name things."""
    ids = data.instance_ids
    if data.instances is None or ids is None:
        return None
    n_queries = int(np.count_nonzero(np.isin(ids[query_rows], ids[database_rows])))
    return {"name": data.instances, "n_queries": n_queries}


def _choose_split(data: Dataset, split: str | None) -> tuple[Dataset, str]:
    if split is not None and not isinstance(split, str):
        raise TypeError(f"split must be the name of a split, got {type(split).__name__}")
    if split is None:
        split = next(iter(data.splits), RANDOM_SPLIT)
    if split == RANDOM_SPLIT and split not in data.splits:
        if len(data) < 2:
            raise ValueError(f"data must have at least 2 rows, one to learn from and one to query, got {len(data)}")
        data = published_split(data, max(1, int(QUERY_FRACTION * len(data))), name=RANDOM_SPLIT)
    return data, check_choice("split", split, tuple(dict.fromkeys((*data.splits, RANDOM_SPLIT))))


def _choose_views(data: Dataset, views: Sequence[str] | None) -> tuple[str, ...]:
    names = listed("views", data.views if views is None else views, "names")
    chosen = tuple(check_choice("views", view, tuple(data.views)) for view in names)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"views must name at least one view and each once, got {', '.join(chosen) or 'none'}")
    return chosen


def _choose_directions(directions: Sequence[Direction] | None, views: tuple[str, ...]) -> tuple[Direction, ...]:
    if directions is None:
        return tuple(permutations(views, 2)) or ((views[0], views[0]),)
    pairs = []
    for pair in listed("directions", directions, "pairs (query modality, database modality)"):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(f"directions must be pairs (query modality, database modality), got {pair!r}")
        query, database = pair
        for view in (*(_modalities_of(query, views) if isinstance(query, str) else (query,)), database):
            check_choice("directions", view, views)
        pairs.append((query, database))
    if not pairs:
        raise ValueError("directions must hold at least one pair, got none")
    return tuple(dict.fromkeys(pairs))


def _modalities_of(query: str, views: tuple[str, ...]) -> tuple[str, ...]:
    """Return the modalities of queries such as "image" or "image+text"; the name of a view may hold a plus itself."""
    named = split_names(query, views)
    if len(set(named)) < len(named):
        raise ValueError(f"directions must name each modality of the queries once, got {query!r}")
    return named


def _choose_learned(
    rows: NDArray[np.int64], learn_fraction: float, learn_rows: int | None, database: Database
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to learn and the rows to search: all of both, or rows drawn with seed 0 and the others or all."""
    if check_real("learn_fraction", learn_fraction, 0, exclusive=True) > 1:
        raise ValueError(f"learn_fraction must be at most 1, got {learn_fraction}")
    if learn_rows is not None:
        if check_integer("learn_rows", learn_rows, 1) > len(rows):
            raise ValueError(f"learn_rows must be at most the {len(rows)} rows of the database, got {learn_rows}")
        if learn_fraction != 1:
            raise ValueError(f"learn_rows must be None with a learn_fraction of {learn_fraction}, got {learn_rows}")
    if learn_fraction == 1 and learn_rows in (None, len(rows)):
        return rows, rows
    if database == "learned":
        name, given, needed = ("learn_fraction", learn_fraction, 1)
        if learn_rows is not None:
            name, given, needed = ("learn_rows", learn_rows, len(rows))
        raise ValueError(
            f"{name} must be {needed} with database 'learned', got {given}: rows that are not learned have no learned "
            f"codes"
        )
    if learn_rows is not None:
        return np.sort(np.random.default_rng(0).permutation(rows)[:learn_rows]), rows
    n_learned = max(1, int(learn_fraction * len(rows)))
    if n_learned == len(rows):
        raise ValueError(f"learn_fraction must leave rows to search, got {learn_fraction} of {len(rows)}")
    drawn = np.random.default_rng(0).permutation(rows)
    return np.sort(drawn[:n_learned]), np.sort(drawn[n_learned:])


def _check_weights(weights: Mapping[str, float] | None, views: tuple[str, ...]) -> dict[str, float] | None:
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights must be a mapping of modalities to numbers, got {type(weights).__name__}")
    checked = {}
    for view, weight in weights.items():
        check_choice("weights", view, views)
        checked[view] = check_real(f"weights[{view!r}]", weight, 0, exclusive=True)
    return checked


def _choose_protocols(protocols: Sequence[Protocol | str]) -> dict[str, Protocol]:
    if isinstance(protocols, (str, Protocol)):
        protocols = (protocols,)
    resolved = [(given, resolve_protocol(given, "protocols")) for given in listed("protocols", protocols, "protocols")]
    if not resolved:
        raise ValueError("protocols must name at least one, got none")
    return {given if isinstance(given, str) else protocol.describe(): protocol for given, protocol in resolved}


def _check_values(data: Dataset, views: Sequence[str], labels: Sequence[str]) -> None:
    """Raise for values that every method would refuse later; the message has their row in the data set."""
    for key in views:
        name, view = f"views[{key!r}]", data.views[key]
        check_numeric(name, view.data if is_sparse(view) else view)
        check_finite_sparse(name, view, 0) if is_sparse(view) else check_finite(name, view)
    for key in labels:
        name, array = f"labels[{key!r}]", data.labels[key]
        check_class_indices(name, array) if array.ndim == 1 else check_label_matrix(name, array)
        count_labels(data, key)
