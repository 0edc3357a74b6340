"""Tensors of torch as arrays, without importing torch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
