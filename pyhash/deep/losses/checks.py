"""Checks of the tensors given to a loss: types, shapes and devices, not values."""

from __future__ import annotations

import torch


def check_matrix(name: str, value: object, axes: str) -> None:
    """Raise unless `value` is a floating-point matrix that is not empty; `axes` names its axes, such as ``(n, r)``."""
    _check_tensor(name, value, f"a floating-point tensor of shape {axes}, neither side 0", floating=True)


def check_matrix_like(name: str, value: torch.Tensor, axes: str, other_name: str, other: torch.Tensor) -> None:
    """Raise unless `value` is a floating-point matrix with the columns, dtype and device of another one."""
    check_matrix(name, value, axes)
    if value.dtype != other.dtype:
        raise TypeError(f"{name} must have the dtype of {other_name}, {other.dtype}, got {value.dtype}")
    if value.shape[1] != other.shape[1]:
        raise ValueError(f"{name} must have as many columns as {other_name}, {other.shape[1]}, got {value.shape[1]}")
    _check_device(name, value, other_name, other)


def check_companion(
    name: str, value: torch.Tensor, shape: tuple[int, int], other_name: str, other: torch.Tensor
) -> None:
    """Raise unless `value` is a matrix of real numbers of this shape, on the device of another one."""
    wanted = f"a tensor of real numbers of shape {shape}"
    _check_tensor(name, value, wanted, floating=False)
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} must be {wanted}, got shape {tuple(value.shape)}")
    _check_device(name, value, other_name, other)


def _check_tensor(name: str, value: object, wanted: str, *, floating: bool) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}")
    if value.is_complex() or (floating and not value.is_floating_point()):
        raise TypeError(f"{name} must be {wanted}, got dtype {value.dtype}")
    if value.ndim != 2 or value.numel() == 0:
        raise ValueError(f"{name} must be {wanted}, got shape {tuple(value.shape)}")


def _check_device(name: str, value: torch.Tensor, other_name: str, other: torch.Tensor) -> None:
    if value.device != other.device:
        raise ValueError(f"{name} must be on the device of {other_name}, {other.device}, got {value.device}")
