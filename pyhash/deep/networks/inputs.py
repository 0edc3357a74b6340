"""Inputs of networks: tensors, dicts of them, or bags of words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pyhash._inputs.checks import is_sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows with a smaller part of values that are not zero are bags of words; denser ones are faster as dense rows.
_MAX_DENSITY = 0.05
ROWS_LOOKED_AT = 8192


@dataclass(frozen=True)
class Bags:
    """Rows of a sparse matrix as ``embedding_bag`` takes them."""

    columns: Tensor  # int64, of all rows one after another
    values: Tensor  # float32, as many
    offsets: Tensor  # int64 (n,), where each row begins


# Rows (n, d) of features.
FeatureInput: TypeAlias = "Tensor | Bags"
# What the network of one modality takes: features, or what its backbone takes, each tensor with a row for each sample.
Input: TypeAlias = "FeatureInput | dict[str, Input]"


def map_tensors(function: Callable[[Tensor], Tensor], x: Input) -> Input:
    """Return an input of the same structure, in which the result of the function is in place of each tensor."""
    if isinstance(x, Tensor):
        return function(x)
    if isinstance(x, Bags):
        return Bags(function(x.columns), function(x.values), function(x.offsets))
    return {name: map_tensors(function, part) for name, part in x.items()}


def tensors_of(x: Input) -> list[Tensor]:
    """Return all tensors of an input, in the order of its structure."""
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, Bags):
        return [x.columns, x.values, x.offsets]
    return [tensor for part in x.values() for tensor in tensors_of(part)]


def to_device(x: Input, device: torch.device) -> Input:
    """Return an input on a device; from pinned memory to a GPU without waiting for the copy."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"), x)


def n_rows(x: Input) -> int:
    """Return the number of rows of an input."""
    if isinstance(x, dict):
        return n_rows(next(iter(x.values())))
    return len(x.offsets if isinstance(x, Bags) else x)


def scaled_pictures(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return values of 8 bits as float32 in [0, 1]."""
    scaled = rows.astype(np.float32)
    scaled /= 255  # in place: pictures are large
    return scaled


def as_float32(rows: Any) -> Any:
    """Return rows, dense or sparse, as float32; too large values become infinite."""
    with np.errstate(over="ignore"):
        return rows.astype(np.float32, copy=False)


def is_bag_of_words(rows: Any) -> bool:
    """Return whether most values of the first rows (n, d), dense or sparse, are zero."""
    some = rows[:ROWS_LOOKED_AT]
    n_set = some.nnz if is_sparse(some) else np.count_nonzero(some)
    return bool(n_set < _MAX_DENSITY * some.shape[0] * some.shape[1])


def make_input(rows: Any, as_bags: bool) -> FeatureInput:
    """Return float32 rows (n, d) as a tensor or as bags."""
    if not as_bags:
        dense: NDArray[np.float32] = rows.toarray() if is_sparse(rows) else rows
        # A copy where need be: torch shares memory, warns of arrays that are read only, and refuses strides below 0,
        # which a contiguous array of one row may have.
        dense = np.require(dense, requirements=["C", "W"])
        return torch.from_numpy(dense.copy() if min(dense.strides) < 0 else dense)
    if not is_sparse(rows):
        from scipy.sparse import csr_array

        rows = csr_array(rows)
    return Bags(
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(np.require(rows.data, requirements=["C", "W"])),
        torch.from_numpy(rows.indptr[:-1].astype(np.int64)),
    )
