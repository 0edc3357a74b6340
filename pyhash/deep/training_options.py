"""How networks are trained: the options that all deep methods share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyhash._inputs.checks import check_choice, check_fraction, check_integer, check_real
from pyhash._inputs.paths import check_path
from pyhash.deep.optimizer_names import COSINE, NONE, check_optimizer, check_scheduler
from pyhash.deep.trackers import check_log_dir, check_trackers

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

_PRECISIONS = ("no", "fp16", "bf16")
# What options of None are where a preset does not name them.
_OTHERWISE: dict[str, Any] = {
    "accumulation_steps": 1,
    "optimizer_options": {},
    "scheduler_options": {},
    "validation_fraction": 0.1,
    "mixed_precision": False,
    "trackers": (),
}
# Options that belong to one machine or run: no file and no checkpoint keeps them.
OF_A_RUN = ("trackers", "log_dir")


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainingOptions:
    """Options of training, the same for every deep method.

    Options of None have the value of the method's preset, and where it has none the one that stands here. An object
    never changes and may be shared by several models; ``dataclasses.replace``, or
    ``model.set_params(training__epochs=20)``, makes one with other values.

    Parameters
    ----------
    epochs : int or None
        Passes over the data.
    batch_size : int or None
        Rows of a batch, at least 2. Losses compare all rows of a batch with each other. That of a DataLoader counts
        where this is None and its own is above 1.
    accumulation_steps : int or None
        Batches whose gradients are averaged for a step of the optimizer; 1.
    optimizer : str or type, or None
        An optimizer of ``torch.optim`` by its name, in any case, such as "adam", "adamw" or "sgd", or by its class; or
        a subclass of ``torch.optim.Optimizer`` of your own, which files do not keep. The learning rates are the
        method's. LBFGS is not among them, since it evaluates the loss several times a step.
    optimizer_options : mapping of str or None
        More arguments of the optimizer, such as ``{"momentum": 0.9}``; plain values. Those of a preset go with its
        optimizer.
    scheduler : str or type, or None
        The schedule of the learning rates. "cosine": they fall to 0 along a cosine (torch's CosineAnnealingLR, stepped
        after every step of the optimizer). "none": they stay. Or a schedule of ``torch.optim.lr_scheduler`` by its name
        or class: OneCycleLR and CyclicLR are stepped after every step, all others after every epoch, ReduceLROnPlateau
        with the loss of the epoch; or a subclass of LRScheduler of your own, which files do not keep, stepped after
        every epoch.
    scheduler_options : mapping of str or None
        Arguments of the schedule; plain values. Where they are missing, OneCycleLR has the learning rates of the method
        as `max_lr` and all steps of the training as `total_steps`, and CosineAnnealingLR has `epochs` as `T_max`.
    max_grad_norm : float or None
        Length that gradients are clipped to; 0: they are not clipped.
    validation_fraction : float or None
        Part of the rows that is held out of training, from 0 to below 1; 0.1. After every epoch at most 500 of these
        rows query at most 5,000 of the others, and the weights of the epoch with the best mean mAP are kept. 0: no
        validation, the last weights are kept.
    patience : int or None
        Training ends after this many epochs without a better validation mAP; None: it never ends early.
    mixed_precision : {"no", "fp16", "bf16"} or bool, or None
        The type in which networks compute where that is safe, as in Accelerate; losses are always computed in float32.
        True: bf16, or fp16 on CUDA devices that lack it. None and False: "no".
    device : str or torch.device
        Where networks are trained and run: a torch device, or "auto": cuda where there is one, else mps, else cpu. Of
        several processes each has a device of its own.
    trackers : str or sequence of str, or None
        Where the measurements of every epoch are logged, by the names that Accelerate has for it, such as
        "tensorboard" or "wandb".
    log_dir : path-like or None
        The folder of trackers that write files, such as TensorBoard.

    Raises
    ------
    TypeError
        If an option has another type.
    ValueError
        If a number is out of range.
    ValueError
        If `optimizer`, `scheduler`, `mixed_precision` or a tracker is none of the choices.
    ImportError
        If the package of a tracker is not installed.

    Examples
    --------
    >>> from pyhash.deep import SDCH, TrainingOptions
    >>> model = SDCH(n_bits=16, training=TrainingOptions(epochs=5, patience=2))
    >>> model.set_params(training__epochs=20).training
    TrainingOptions(epochs=20, patience=2)
    >>> TrainingOptions(optimizer="SGD", optimizer_options={"momentum": 0.9}, scheduler="OneCycleLR")
    TrainingOptions(optimizer='sgd', optimizer_options={'momentum': 0.9}, scheduler='onecyclelr')
    """

    epochs: int | None = None
    batch_size: int | None = None
    accumulation_steps: int | None = None
    optimizer: str | type[Optimizer] | None = None
    optimizer_options: Mapping[str, Any] | None = field(default=None, hash=False)
    scheduler: str | type[LRScheduler] | None = None
    scheduler_options: Mapping[str, Any] | None = field(default=None, hash=False)
    max_grad_norm: float | None = None
    validation_fraction: float | None = None
    patience: int | None = None
    mixed_precision: str | bool | None = None
    device: str | torch.device = "auto"
    trackers: str | Sequence[str] | None = None
    log_dir: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[Any], Any]] = {
            "epochs": lambda value: check_integer("epochs", value, 1),
            "batch_size": lambda value: check_integer("batch_size", value, 2),
            "accumulation_steps": lambda value: check_integer("accumulation_steps", value, 1),
            "optimizer": check_optimizer,
            "optimizer_options": lambda value: _check_arguments("optimizer_options", value),
            "scheduler": check_scheduler,
            "scheduler_options": lambda value: _check_arguments("scheduler_options", value),
            "max_grad_norm": lambda value: check_real("max_grad_norm", value, 0.0),
            "validation_fraction": lambda value: check_fraction("validation_fraction", value),
            "patience": lambda value: check_integer("patience", value, 1),
            "mixed_precision": _check_precision,
            "trackers": check_trackers,
            "log_dir": lambda value: str(check_path("log_dir", value)),
        }
        if not isinstance(self.device, (str, torch.device)):
            raise TypeError(f'device must be "auto" or a torch device, got {self.device!r}')
        for name, check in checks.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check(getattr(self, name)))

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"TrainingOptions({', '.join(shown)})"

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all options."""
        return [f.name for f in fields(cls)]


@dataclass(frozen=True)
class ResolvedOptions:
    """Options of one training, every value known."""

    epochs: int
    batch_size: int
    accumulation_steps: int
    optimizer: str | type[Optimizer]
    optimizer_options: Mapping[str, Any]
    scheduler: str | type[LRScheduler]
    scheduler_options: Mapping[str, Any]
    max_grad_norm: float
    validation_fraction: float
    patience: int | None
    mixed_precision: str
    device: torch.device
    trackers: tuple[str, ...]
    log_dir: str | None
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, Any], preset: Mapping[str, Any], device: torch.device, seed: int) -> Self:
        """Return the options among `values`, which may hold more, with the preset's in place of None.

        Raises
        ------
        ValueError
            If the device has no such mixed precision.
        ValueError
            If "cosine" or "none" have arguments.
        ValueError
            If a tracker that writes files has no folder.
        """
        chosen: dict[str, Any] = {f.name: values.get(f.name) for f in fields(cls)}
        # Arguments belong to the optimizer and the schedule that they are given with.
        apart = [f"{name}_options" for name in ("optimizer", "scheduler") if chosen[name] is not None]
        for name, value in {**_OTHERWISE, **{name: preset[name] for name in preset if name not in apart}}.items():
            if name in chosen and chosen[name] is None:
                chosen[name] = value
        if chosen["scheduler"] in (COSINE, NONE) and chosen["scheduler_options"]:
            raise ValueError(
                f"scheduler_options must be empty for {chosen['scheduler']!r}, got {chosen['scheduler_options']}"
            )
        check_log_dir(chosen["trackers"], chosen["log_dir"])
        precision = _resolve_precision(chosen["mixed_precision"], device)
        return cls(**{**chosen, "mixed_precision": precision, "device": device, "seed": seed})


def _check_precision(value: object) -> str | bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError(f'mixed_precision must be "no", "fp16", "bf16" or a bool, got {value!r}')
    return check_choice("mixed_precision", value, _PRECISIONS)


def _resolve_precision(value: str | bool, device: torch.device) -> str:
    """Return the name of a precision that the device has."""
    if isinstance(value, bool):
        is_old = device.type == "cuda" and not torch.cuda.is_bf16_supported()
        return "no" if not value else "fp16" if is_old else "bf16"
    if value == "fp16" and device.type == "cpu":
        raise ValueError("mixed_precision must be 'no' or 'bf16' on the CPU, got 'fp16'")
    return value


def _check_arguments(name: str, value: object) -> dict[str, Any]:
    """Return arguments by name; they must be plain values, which files can hold, and no learning rate."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must be a mapping of names to values, got {value!r}")
    for refused in ("lr", "params", "optimizer"):
        if refused in value:
            raise ValueError(f"{name} must not set {refused!r}: it is the method's")
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold numbers, strings, bools, None, or lists of them, got {value!r}") from None
    return dict(value)
