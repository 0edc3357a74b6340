"""The axis of stored matrices that holds the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

Shape = tuple[int, int]


def by_rows(
    path: Path, parts: Sequence[Mapping[str, Features]], stored: Sequence[Mapping[str, str]]
) -> list[dict[str, Features]]:
    """Return the matrices of each part with samples as rows.

    Matrices of one part have the samples in common, those of one key have the width in common over all parts, and are
    stored the same way. `stored` are their names in the file, for messages.
    """
    shapes = [{key: matrix.shape for key, matrix in part.items()} for part in parts]
    shown = ", ".join(f"{stored[i][key]} {shape}" for i, part in enumerate(shapes) for key, shape in part.items())
    fitting = _fitting(shapes)
    if not fitting:
        raise ValueError(f"{path}: matrices must have the number of samples in common, got {shown}")
    # A square matrix fits both ways. It is assumed to be stored like the others.
    uniform = [flips for flips in fitting if len(set(flips)) == 1]
    chosen = fitting if len(fitting) == 1 else uniform
    if len(chosen) != 1:
        raise ValueError(
            f"{path}: cannot tell whether samples are rows or columns of {shown}; the shapes fit both ways"
        )
    flips = dict(zip(shapes[0], chosen[0], strict=True))
    return [{key: matrix.T if flips[key] else matrix for key, matrix in part.items()} for part in parts]


def _fitting(shapes: Sequence[Mapping[str, Shape]]) -> list[tuple[bool, ...]]:
    """Return the ways of transposing keys so that all shapes agree; a single sample only if nothing else fits."""
    keys = list(shapes[0])
    several: list[tuple[bool, ...]] = []
    single: list[tuple[bool, ...]] = []
    # Only the dimensions of the first matrix can be the number of samples, so few combinations are tried.
    for n_first in sorted(set(next(iter(shapes[0].values())))):
        options = []
        for key in keys:
            rows, columns = shapes[0][key]
            options.append([flip for flip, n in ((False, rows), (True, columns)) if n == n_first])
        for flips in product(*options):
            turned = [{k: part[k][::-1] if f else part[k] for k, f in zip(keys, flips, strict=True)} for part in shapes]
            sizes = [{shape[0] for shape in part.values()} for part in turned]
            widths = [{part[key][1] for part in turned} for key in keys]
            if all(len(found) == 1 for found in sizes + widths):
                (single if {1} in sizes else several).append(flips)
    return several or single
