"""A preset: an experiment of a paper, with its data, split, methods, parameters and evaluation."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyhash._inputs.checks import listed
from pyhash._inputs.value_text import value_text
from pyhash.comparison.comparison import Comparison, check_parameters, compare
from pyhash.comparison.sweep import Grid, plan_sweep
from pyhash.datasets.dataset import Dataset
from pyhash.datasets.published import PUBLISHED_QUERIES, published_split
from pyhash.evaluation.protocol import Protocol

_WIDTH = 100


class PerView(dict[str, Any]):
    """Values of a parameter by the paper's names of the views."""

    def of(self, views: Sequence[str]) -> dict[str, Any]:
        """Return the values by the given names: the same ones, or if they are others, in the paper's order."""
        if len(views) != len(self):
            raise ValueError(f"views must be {len(self)}, one for each value of {value_text(self)}, got {len(views)}")
        return dict(self) if set(views) == set(self) else dict(zip(views, self.values(), strict=True))


@dataclass(frozen=True)
class Preset:
    """An experiment of a paper, to be repeated on the user's copy of its data.

    Attributes
    ----------
    name : str
        PAPER/DATASET, or PAPER/DATASET/PART for an ablation or a sweep.
    paper : str
        Authors, title and year.
    results : str
        Tables and figures that it repeats.
    n_rows : int
        Number of pairs that the paper uses, queries among them.
    n_features : dict of str to int
        Features of each view in the paper.
    n_classes : tuple of int
        Number of classes; for a hierarchy one number a layer, coarse to fine.
    methods : dict of str to dict
        Names of methods, each with the parameters that differ from its defaults. A method of `sweep` runs only there.
    sweep : dict of str to sequence of dict
        As for ``compare``.
    bits : tuple of int
        Lengths of codes.
    split : str or None
        A published split, which says the number of queries. None: that of the data.
    chunk_size, remainder, rounds, labels, relevance, database, learn_rows, protocols, seeds
        As for ``compare``.
    notes : tuple of str
        Where the paper is silent or contradicts itself, and what differs here.

    Examples
    --------
    >>> from pyhash.comparison import PRESETS
    >>> PRESETS["seoch/mirflickr"].chunk_size
    2000
    >>> print(PRESETS["seoch/mirflickr"].describe().splitlines()[0])
    seoch/mirflickr: Tables 1 and 4, Figure 1
    """

    name: str
    paper: str
    results: str
    n_rows: int
    n_features: Mapping[str, int]
    n_classes: tuple[int, ...]
    methods: Mapping[str, Mapping[str, Any]]
    bits: tuple[int, ...]
    split: str | None
    sweep: Mapping[str, Sequence[Grid]] = field(default_factory=dict)
    chunk_size: int = 2000
    remainder: str = "merge"
    rounds: str = "online"
    labels: str | None = None
    relevance: str | None = None
    database: str = "learned"
    learn_rows: int | None = None
    protocols: tuple[Protocol | str, ...] = ("shoh",)
    seeds: int | None = None
    notes: tuple[str, ...] = ()

    def compare(self, data: Dataset, **choices: Any) -> Comparison:
        """Run the experiment.

        Parameters
        ----------
        data : Dataset
            The user's copy of the data, or any other.
        **choices
            Arguments of ``pyhash.comparison.compare``, which take precedence over those of the preset. `parameters` of
            a method are added to those of the preset.

        Returns
        -------
        Comparison

        Raises
        ------
        TypeError, ValueError, OSError, BlockingIOError
            As ``compare`` and ``published_split``.

        Examples
        --------
        >>> from pyhash.comparison import PRESETS
        >>> from pyhash.datasets import make_multilabel
        >>> data = make_multilabel(2400, n_classes=6, n_features={"image": 20, "text": 30})
        >>> PRESETS["seoch/mirflickr"].compare(data, methods=["seoch/paper"], bits=[8])
        Comparison(1 records: seoch/paper; 8 bits; 1 seed)
        """
        if not isinstance(data, Dataset):
            raise TypeError(f"data must be a Dataset, got {type(data).__name__}")
        options = self.choices() | choices
        split, methods = options["split"], options["methods"]
        if split in PUBLISHED_QUERIES and split not in data.splits:
            data = published_split(data, split)
        names = [methods] if isinstance(methods, str) else listed("methods", methods, "names")
        # Functions of the user have their own parameters, also under a name of the preset.
        recipes = {*names, *(point.method for point in plan_sweep(options["sweep"]))} - set(
            methods if isinstance(methods, Mapping) else ()
        )
        views = listed("views", data.views if options.get("views") is None else options["views"], "names")
        parameters = by_view(self.parameters_of(recipes), views)
        for name, values in check_parameters(choices.get("parameters")).items():
            parameters[name] = {**parameters.get(name, {}), **values}
        options["parameters"] = parameters
        return compare(data, **options)

    def parameters_of(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the preset's parameters of the methods named that have some.

        Parameters
        ----------
        names : collection of str
            Names of methods; those that are not the preset's have no parameters.

        Returns
        -------
        dict of str to dict
        """
        return {name: dict(values) for name, values in self.methods.items() if values and name in names}

    def choices(self) -> dict[str, Any]:
        """Return the arguments of ``compare``, but for `parameters`, which depend on the views.

        Returns
        -------
        dict
        """
        swept = set(self.sweep)
        return {
            "methods": [name for name in self.methods if name not in swept],
            "sweep": dict(self.sweep),
            "bits": list(self.bits),
            "split": self.split,
            "chunk_size": self.chunk_size,
            "remainder": self.remainder,
            "rounds": self.rounds,
            "labels": self.labels,
            "relevance": self.relevance,
            "database": self.database,
            "learn_rows": self.learn_rows,
            "protocols": list(self.protocols),
            **({} if self.seeds is None else {"seeds": self.seeds}),
        }

    def describe(self) -> str:
        """Return what the preset repeats, its choices, and what the paper leaves open, as lines of text.

        Returns
        -------
        str
        """
        lines = [
            f"{self.name}: {self.results}",
            self.paper,
            f"data of the paper: {self.n_rows:,} pairs; features {_features(self.n_features)}; "
            f"classes {_classes(self.n_classes)}",
            f"queries: {_queries(self.split)}; bits {', '.join(map(str, self.bits))}; "
            f"chunks of {self.chunk_size:,}, a short last one: {self.remainder}; "
            f"rows to learn: {'all' if self.learn_rows is None else f'{self.learn_rows:,}'}; "
            f"database codes {self.database}; protocol {', '.join(map(_protocol, self.protocols))}",
            *(_method(name, values, self.sweep.get(name, ())) for name, values in self.methods.items()),
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in lines)


def by_view(parameters: Mapping[str, Mapping[str, Any]], views: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return parameters of methods with values by view as mappings."""
    return {
        method: {name: value.of(views) if isinstance(value, PerView) else value for name, value in values.items()}
        for method, values in parameters.items()
    }


def _features(n_features: Mapping[str, int]) -> str:
    return ", ".join(f"{view} {n:,}" for view, n in n_features.items())


def _classes(n_classes: Sequence[int]) -> str:
    return " and ".join(map(str, n_classes))


def _protocol(protocol: Protocol | str) -> str:
    return protocol if isinstance(protocol, str) else protocol.describe()


def _queries(split: str | None) -> str:
    return "the split of the data" if split is None else f"{PUBLISHED_QUERIES[split]:,}, split {split}"


def _method(name: str, values: Mapping[str, Any], grids: Sequence[Grid]) -> str:
    settings = ", ".join(f"{parameter} {value_text(value)}" for parameter, value in values.items())
    sweeps = "; ".join(
        " and ".join(f"{parameter} in {', '.join(map(value_text, column))}" for parameter, column in grid.items())
        for grid in grids
    )
    return ": ".join(part for part in (f"method {name}", settings, sweeps and f"sweep of {sweeps}") if part)
