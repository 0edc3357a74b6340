"""Optimizers and schedules of learning rates: those of torch, by name or class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from pyhash.deep.optimizer_names import COSINE, NONE, OPTIMIZERS, SCHEDULERS
from pyhash.deep.training_options import ResolvedOptions

if TYPE_CHECKING:
    from accelerate.optimizer import AcceleratedOptimizer

# Schedules that torch's documentation steps after every batch.
_BY_STEP = ("onecyclelr", "cycliclr")


def make_optimizer(options: ResolvedOptions, groups: Sequence[tuple[list[nn.Parameter], float]]) -> Optimizer:
    """Return the optimizer of groups of parameters, each with its learning rate."""
    cls = OPTIMIZERS[options.optimizer] if isinstance(options.optimizer, str) else options.optimizer
    given = dict(options.optimizer_options)
    implementations = ("fused", "foreach", "capturable", "differentiable")
    if cls in (torch.optim.Adam, torch.optim.AdamW) and not any(name in given for name in implementations):
        # One pass over the weights of a step in place of ten; on the CPU torch has it since 2.4.
        version = tuple(int(part) for part in torch.__version__.split(".")[:2])
        given["fused"] = options.device.type == "cuda" or (options.device.type == "cpu" and version >= (2, 4))
    parameters = [{"params": params, "lr": rate} for params, rate in groups]
    try:
        return cls(parameters, **given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"optimizer_options must suit {cls.__name__} and the networks: {error}") from error


class Schedule:
    """Learning rates that change after every step, or after every epoch.

    Attributes
    ----------
    n_steps : int
        Number of steps, or of epochs, that it took note of.
    """

    def __init__(
        self, options: ResolvedOptions, accelerator: Accelerator, optimizer: AcceleratedOptimizer, steps: int
    ) -> None:
        self.n_steps = 0
        self._optimizer = optimizer
        scheduler = _make_scheduler(options, optimizer.optimizer, steps)
        self._by_step = options.scheduler in (COSINE, *_BY_STEP)
        self._is_cyclic = options.scheduler == "cycliclr"
        # Epochs of a sampler of the user's own may have more steps than the first one: rates then stay at the end.
        total = getattr(scheduler, "total_steps", None)
        self._most = total - 1 if total else math.inf if self._is_cyclic else options.epochs * steps
        # After a step that mixed precision skipped, Accelerate's wrapper does nothing.
        self._scheduler: Any = (
            accelerator.prepare_scheduler(scheduler) if self._by_step and scheduler is not None else scheduler
        )
        self._takes_loss = isinstance(scheduler, ReduceLROnPlateau)

    def end_step(self) -> None:
        """Take note of a step of the optimizer."""
        if self._by_step and not self._optimizer.step_was_skipped:
            if self.n_steps < self._most:
                self._scheduler.step()
            self.n_steps += 1

    def end_epoch(self, loss: float) -> None:
        """Take note of an epoch and its loss."""
        if not self._by_step and self._scheduler is not None:
            self._scheduler.step(*[loss] if self._takes_loss else [])
            self.n_steps += 1

    def resume(self, n_steps: int, losses: Sequence[float]) -> None:
        """Repeat the steps of a training that continues; `losses` are those of its epochs."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # its optimizer did step
            if not self._by_step:
                for loss in losses:
                    self.end_epoch(loss)
            elif n_steps > 0:
                repeated = int(min(n_steps, self._most))
                if self._is_cyclic:  # it goes on for ever, and its rates depend on the number of steps alone
                    self._scheduler.scheduler.last_epoch = n_steps - 1
                    repeated = 1
                for _ in range(repeated):
                    self._scheduler.step()
                self.n_steps = n_steps


def _make_scheduler(options: ResolvedOptions, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """Return the schedule of an optimizer that takes so many steps in an epoch."""
    if options.scheduler == NONE:
        return None
    if options.scheduler == COSINE:
        return CosineAnnealingLR(optimizer, options.epochs * steps)
    cls = SCHEDULERS[options.scheduler] if isinstance(options.scheduler, str) else options.scheduler
    given = dict(options.scheduler_options)
    if cls is OneCycleLR:
        given.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
        if not {"total_steps", "epochs", "steps_per_epoch"} & given.keys():
            given["total_steps"] = options.epochs * steps
    if cls is CosineAnnealingLR:
        given.setdefault("T_max", options.epochs)
    try:
        return cls(optimizer, **given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"scheduler_options must suit {cls.__name__}: {error}") from error
