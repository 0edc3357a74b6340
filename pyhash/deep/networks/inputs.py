"""Inputs of networks: tensors, dicts of them, or bags of words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class TensorSpec:
    """The shape of a row of a tensor, and the dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def has_any_length(self) -> bool:
        """Whether the lengths of axes differ from batch to batch, as those of texts in tokens do."""
        return not self.dtype.is_floating_point


# What the inputs of a modality look like, whatever their number of rows.
InputSpec: TypeAlias = "TensorSpec | dict[str, InputSpec]"


def spec_of(x: Input) -> InputSpec:
    """Return the specification that an input satisfies; a bag of words has none."""
    if isinstance(x, Bags):
        raise TypeError("x must be a tensor or a dict of tensors, got a bag of words")
    if isinstance(x, dict):
        return {name: spec_of(part) for name, part in x.items()}
    return TensorSpec(tuple(x.shape[1:]), x.dtype)


def specs_of_tensors(spec: InputSpec) -> list[TensorSpec]:
    """Return the specifications of all tensors."""
    if isinstance(spec, TensorSpec):
        return [spec]
    return [tensor for part in spec.values() for tensor in specs_of_tensors(part)]


def n_features_of(spec: InputSpec) -> int:
    """Return how many numbers a row holds."""
    return sum(math.prod(each.shape) for each in specs_of_tensors(spec))


def as_specified(what: str, x: Input, spec: InputSpec) -> Input:
    """Return an input in the dtypes of a specification; raise a ValueError if it does not satisfy it.

    Integers and bools may have axes of other lengths: texts are as long as the longest of a batch.
    """
    if isinstance(spec, dict):
        if not isinstance(x, dict) or x.keys() != spec.keys():
            got = f"one with {', '.join(map(repr, x))}" if isinstance(x, dict) else "an array"
            raise ValueError(f"{what} must be a dict with {', '.join(map(repr, spec))}, got {got}")
        return {name: as_specified(f"{what}[{name!r}]", x[name], part) for name, part in spec.items()}
    if not isinstance(x, Tensor):
        raise ValueError(f"{what} must be an array, got a dict")
    fits = x.ndim == 1 + len(spec.shape) and (spec.has_any_length or tuple(x.shape[1:]) == spec.shape)
    if not fits:
        lengths = (", any length" * len(spec.shape)) if spec.has_any_length else "".join(f", {d}" for d in spec.shape)
        raise ValueError(f"{what} must have shape (n{lengths}), got {tuple(x.shape)}")
    if torch.promote_types(x.dtype, spec.dtype) != spec.dtype:
        raise ValueError(f"{what} must hold {_name_of(spec.dtype)}, as in training, got {_name_of(x.dtype)}")
    if spec.dtype.is_floating_point and not x.dtype.is_floating_point and is_picture(x.shape):
        # Those of 8 bits are scaled by now.
        raise ValueError(f"{what} must hold pictures of floats or of uint8, as in training, got {_name_of(x.dtype)}")
    return x.to(spec.dtype)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether values of 8 bits in this shape are pictures (n, c, h, w): grey, of three colours, or of four."""
    return len(shape) == 4 and shape[1] in (1, 3, 4)


def take_rows(x: Input, numbers: Tensor) -> Input:
    """Return the rows of an input with these numbers (m,) int64, on its device."""
    if isinstance(x, Tensor):
        return x[numbers]
    if isinstance(x, dict):
        return {name: take_rows(part, numbers) for name, part in x.items()}
    ends = torch.cat([x.offsets[1:], x.offsets.new_tensor([len(x.columns)])])
    lengths = (ends - x.offsets)[numbers]
    offsets = lengths.cumsum(0) - lengths
    entries = torch.arange(int(lengths.sum()), device=numbers.device)
    entries += torch.repeat_interleave(x.offsets[numbers] - offsets, lengths)
    return Bags(x.columns[entries], x.values[entries], offsets)


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
