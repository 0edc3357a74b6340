"""Checks of the widths of layers."""

from __future__ import annotations

from collections.abc import Sequence

from pyhash._inputs.checks import MAX_WIDTH, check_integer


def check_widths(name: str, value: object, count: int | None = None) -> list[int]:
    """Return the widths of successive layers as a list; at least one, or exactly `count`."""
    wanted = "widths of at least one layer" if count is None else f"widths of {count} layers"
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of {wanted}, got {value!r}")
    if len(value) == 0 or (count is not None and len(value) != count):
        raise ValueError(f"{name} must be {wanted}, got {len(value)}")
    return [check_integer(name, width, 1, MAX_WIDTH) for width in value]
