"""Labels in files: 0/1 in any numeric type, or one column of class numbers that need not start at 0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash._inputs.labels import name_rows

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


def class_names(n: int, prefix: str = "class") -> list[str]:
    """Return numbered names for n classes."""
    return [f"{prefix}.{c}" for c in range(n)]


def as_labels(path: Path, name: str, matrix: Features) -> tuple[NDArray[Any], list[str]]:
    """Return labels (n, c) and names of classes; one column of class numbers becomes class indices from 0."""
    dense: NDArray[Any] = matrix.toarray() if is_sparse(matrix) else np.asarray(matrix)
    if dense.dtype.kind == "f":
        unknown = np.flatnonzero(~np.isfinite(dense).all(axis=1))
        if unknown.size:
            raise ValueError(f"{path}: {name} must not hold NaN or infinity, got some in {name_rows(unknown)}")
    if dense.shape[1] > 1:
        check_binary(path, name, dense)
        return dense.astype(np.uint8), class_names(dense.shape[1])
    column = dense[:, 0]
    wrong = np.flatnonzero((column < 0) | (column != np.floor(column)))
    if wrong.size:
        raise ValueError(f"{path}: {name} must be class numbers >= 0, got {column[wrong[0]]:g} in {name_rows(wrong)}")
    numbers, classes = np.unique(column.astype(np.int64), return_inverse=True)
    return classes.reshape(-1).astype(np.int64), [str(number) for number in numbers]


def check_binary(path: Path, name: str, matrix: NDArray[Any]) -> None:
    """Raise unless a matrix holds only 0 and 1."""
    is_wrong = (matrix != 0) & (matrix != 1)
    wrong = np.flatnonzero(is_wrong.any(axis=1))
    if wrong.size:
        value = matrix[wrong[0]][is_wrong[wrong[0]]][0]
        hint = "; of labels -1 and +1, save L > 0" if value == -1 else ""
        raise ValueError(f"{path}: {name} must hold only 0 and 1, got {value:g} in {name_rows(wrong)}{hint}")
