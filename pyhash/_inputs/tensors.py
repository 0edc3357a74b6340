"""Tensors of torch as arrays, without importing torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Deeper lists make no array of numpy.
_MAX_DEPTH = 64


def is_tensor(value: object) -> bool:
    """Return whether `value` is a tensor of torch."""
    # A module that is still being imported has made no tensors yet.
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(value, kind)


def tensor_values(name: str, tensor: Any) -> NDArray[Any]:
    """Return the values of a tensor, on any device and with or without a gradient, as an array.

    Floating types that numpy lacks, such as bfloat16, become float32.
    """
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got one of layout {tensor.layout}; call .to_dense() on it")
    values = tensor.detach()
    if values.is_floating_point() and values.dtype not in (torch.float16, torch.float32, torch.float64):
        values = values.float()
    try:
        return np.asarray(values.cpu().resolve_conj().resolve_neg().numpy())
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"{name} must be a tensor of values that numpy has, got {tensor.dtype}: {error}") from None


def with_tensor_values(name: str, items: Sequence[Any], depth: int = 0) -> Sequence[Any]:
    """Return a list in which the values of tensors take their place, in lists within it too."""
    torch = sys.modules.get("torch")
    if getattr(torch, "Tensor", None) is None or depth == _MAX_DEPTH:
        return items
    # The types are few, the items may be many.
    kinds = (torch.Tensor, list, tuple)  # type: ignore[union-attr]
    if not any(issubclass(kind, kinds) for kind in set(map(type, items))):
        return items
    return [
        tensor_values(name, item)
        if is_tensor(item)
        else with_tensor_values(name, item, depth + 1)
        if isinstance(item, (list, tuple))
        else item
        for item in items
    ]
