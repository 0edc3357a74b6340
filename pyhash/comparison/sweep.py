"""Sweeps: a method at every combination of values of some of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pyhash._inputs.checks import listed
from pyhash._inputs.value_text import value_text
from pyhash.comparison.identity import describe
from pyhash.comparison.records import SweptFields

Grid = Mapping[str, Sequence[Any]]
Sweep = Mapping[str, Grid | Sequence[Grid]]


@dataclass(frozen=True)
class SweepPoint:
    """One combination: a method, and values of its parameters."""

    method: str
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name in tables, such as "lemon[alpha=100,beta=1]"."""
        return f"{self.method}[{','.join(f'{name}={value_text(value)}' for name, value in self.values.items())}]"

    def describe(self) -> SweptFields:
        """Return the combination as JSON."""
        return {"method": self.method, "values": {name: describe(value) for name, value in self.values.items()}}


def plan_sweep(sweep: Sweep | None) -> list[SweepPoint]:
    """Check the argument `sweep` of ``compare``; return its combinations, the last parameter varying fastest."""
    if sweep is None:
        return []
    if not isinstance(sweep, Mapping):
        raise TypeError(f"sweep must be a mapping of methods to values by parameter, got {type(sweep).__name__}")
    points: list[SweepPoint] = []
    for method, grids in sweep.items():
        if not isinstance(method, str):
            raise TypeError(f"sweep must be by name of a method, got {method!r}")
        for grid in [grids] if isinstance(grids, Mapping) else listed(f"sweep[{method!r}]", grids, "mappings"):
            points += _points(method, grid)
    # A combination of two grids runs once for both.
    return list({(point.name, tuple(point.values)): point for point in points}.values())


def _points(method: str, grid: object) -> Iterator[SweepPoint]:
    name = f"sweep[{method!r}]"
    if not isinstance(grid, Mapping):
        raise TypeError(f"{name} must be a mapping of parameters to values, or several, got {type(grid).__name__}")
    if not grid:
        raise ValueError(f"{name} must name at least one parameter, got none")
    columns = {parameter: _column(f"{name}[{parameter!r}]", values) for parameter, values in grid.items()}
    return (SweepPoint(method, dict(zip(columns, values, strict=True))) for values in product(*columns.values()))


def _column(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of a parameter; raise if two of them have the same text in tables."""
    column = listed(name, values, "values")
    if not column:
        raise ValueError(f"{name} must hold at least one value, got none")
    texts = [value_text(value) for value in column]
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"{name} must hold each value once, got {text} {texts.count(text)} times")
    return column
