"""How networks are trained: the options that all deep methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from pyhash._inputs.checks import check_bool, check_choice, check_fraction, check_integer, check_real

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainingOptions:
    """Options of training, the same for every deep method.

    Options of None have the value of the method's preset. An object never changes and may be shared by several models;
    ``dataclasses.replace``, or ``model.set_params(training__epochs=20)``, makes one with other values.

    Parameters
    ----------
    epochs : int or None
        Passes over the data.
    batch_size : int or None
        Rows of a step, at least 2.
    optimizer : {"adam", "sgd"} or None
        The optimizer, with torch's defaults but for the learning rates, which are the method's.
    decay : {"cosine", "none"} or None
        "cosine": learning rates fall to 0 along a cosine. "none": they stay.
    max_grad_norm : float or None
        Length that gradients are clipped to; 0: they are not clipped.
    validation_fraction : float
        Part of the rows that is held out of training, from 0 to below 1. After every epoch at most 500 of these rows
        query at most 5,000 of the others, and the weights of the epoch with the best mean mAP are kept. 0: no
        validation, the last weights are kept.
    patience : int or None
        Training ends after this many epochs without a better validation mAP; None: it never ends early.
    mixed_precision : bool
        Whether networks compute in bfloat16 where that is safe. CUDA devices that lack it use float16 and scaled
        gradients.
    device : str or torch.device
        Where networks are trained and run: a torch device, or "auto": cuda where there is one, else mps, else cpu.

    Raises
    ------
    TypeError
        If an option has another type.
    ValueError
        If a number is out of range.
    ValueError
        If `optimizer` or `decay` is none of the choices.

    Examples
    --------
    >>> from pyhash.deep import SDCH, TrainingOptions
    >>> model = SDCH(n_bits=16, training=TrainingOptions(epochs=5, patience=2))
    >>> model.set_params(training__epochs=20).training
    TrainingOptions(epochs=20, patience=2)
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    decay: str | None = None
    max_grad_norm: float | None = None
    validation_fraction: float = 0.1
    patience: int | None = None
    mixed_precision: bool = False
    device: str | torch.device = "auto"

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[Any], Any]] = {
            "epochs": lambda value: check_integer("epochs", value, 1),
            "batch_size": lambda value: check_integer("batch_size", value, 2),
            "optimizer": lambda value: check_choice("optimizer", value, ("adam", "sgd")),
            "decay": lambda value: check_choice("decay", value, ("cosine", "none")),
            "max_grad_norm": lambda value: check_real("max_grad_norm", value, 0.0),
            "patience": lambda value: check_integer("patience", value, 1),
        }
        checked = {
            name: check(getattr(self, name)) for name, check in checks.items() if getattr(self, name) is not None
        }
        checked["validation_fraction"] = check_fraction("validation_fraction", self.validation_fraction)
        checked["mixed_precision"] = check_bool("mixed_precision", self.mixed_precision)
        if not isinstance(self.device, (str, torch.device)):
            raise TypeError(f'device must be "auto" or a torch device, got {self.device!r}')
        for name, value in checked.items():
            object.__setattr__(self, name, value)

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
    optimizer: str
    decay: str
    max_grad_norm: float
    validation_fraction: float
    patience: int | None
    mixed_precision: bool
    device: torch.device
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the options among `values`, which may hold more."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})
