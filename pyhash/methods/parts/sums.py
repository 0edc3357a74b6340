"""Sums over samples, which add up: the sums of parts of the data are together those of all."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self


class Sums:
    """Base class of frozen dataclasses whose fields are sums over samples.

    A field holds an array, a number, other sums, or a list or dict of these. None stands for a sum that is not known,
    and makes that of a whole unknown.
    """

    # Fields that are no sums; results have those of `self`.
    not_sums: ClassVar[frozenset[str]] = frozenset()

    def plus(self, other: Self) -> Self:
        """Return the sums over the samples of both."""
        return self._combined(operator.add, other)

    def minus(self, other: Self) -> Self:
        """Return the sums less those over some of the samples."""
        return self._combined(operator.sub, other)

    def scaled(self, factor: float) -> Self:
        """Return the sums with every sample weighted by a factor."""
        return self._combined(lambda own: own * factor)

    def _combined(self, combine: Callable[..., Any], *others: Sums) -> Self:
        """Return the sums with each field combined with that of others, which have the same shape."""
        found = {
            name: _combine(combine, own, *(getattr(other, name) for other in others))
            for name, own in vars(self).items()
            if name not in self.not_sums
        }
        return replace(self, **found)  # type: ignore[type-var]


def _combine(combine: Callable[..., Any], own: Any, *others: Any) -> Any:
    if own is None or any(other is None for other in others):
        return None
    if isinstance(own, Sums):
        return own._combined(combine, *others)
    if isinstance(own, list):
        return [_combine(combine, *values) for values in zip(own, *others, strict=True)]
    if isinstance(own, dict):
        return {name: _combine(combine, value, *(other[name] for other in others)) for name, value in own.items()}
    return combine(own, *others)
