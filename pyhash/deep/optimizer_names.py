"""Names of torch's optimizers and schedules of learning rates."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

# Those made of functions or other schedules cannot be described by plain values.
_NOT_PLAIN = ("lambdalr", "multiplicativelr", "sequentiallr", "chainedscheduler")
COSINE, NONE = "cosine", "none"


def _takes_no_closure(cls: type[Optimizer]) -> bool:
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is None or closure.default is not inspect.Parameter.empty


OPTIMIZERS: dict[str, type[Optimizer]] = {
    name.lower(): cls
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, Optimizer) and cls not in (Optimizer, torch.optim.SparseAdam)
    and _takes_no_closure(cls)
}  # fmt: skip
SCHEDULERS: dict[str, type[LRScheduler]] = {
    name.lower(): cls
    for name, cls in vars(lr_scheduler).items()
    if isinstance(cls, type) and issubclass(cls, LRScheduler) and not name.startswith("_")
    and cls is not LRScheduler and name.lower() not in _NOT_PLAIN
}  # fmt: skip


def check_optimizer(value: object) -> str | type[Optimizer]:
    """Return the name in lower case of an optimizer of torch, or a class of another one."""
    checked: str | type[Optimizer] = _name_or_class("optimizer", value, OPTIMIZERS, (), Optimizer)
    return checked


def check_scheduler(value: object) -> str | type[LRScheduler]:
    """Return the name in lower case of a schedule of torch, "cosine" or "none", or a class of another one."""
    checked: str | type[LRScheduler] = _name_or_class("scheduler", value, SCHEDULERS, (COSINE, NONE), LRScheduler)
    return checked


def _name_or_class(name: str, value: object, known: Mapping[str, type], more: Sequence[str], base: type) -> Any:
    if isinstance(value, str) and value.lower() in (*known, *more):
        return value.lower()
    if isinstance(value, type) and issubclass(value, base):
        own = value.__name__.lower()
        if known.get(own) is value:
            return own
        if not value.__module__.startswith("torch."):
            return value
    choices = ", ".join(map(repr, (*more, *sorted(known))))
    raise ValueError(f"{name} must be one of {choices}, or a subclass of {base.__name__} of your own, got {value!r}")
