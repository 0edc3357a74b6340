"""Callbacks: what a user's own objects are shown of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass
class EpochState:
    """What a callback sees of a training after an epoch, in its method ``on_epoch_end(state)``.

    Parameters
    ----------
    epoch : int
        Number of the epoch, from 1.
    losses : dict of str to float
        Terms of the loss, means over the batches.
    loss : float
        Their sum.
    validation : dict of str to float, or None
        The mAP of rows held out, by direction, such as "image->text".
    learning_rates : dict of str to float
        By group of parameters, of the last step.
    seconds : float
        How long the epoch took.
    network : torch Module
        The networks, in eval mode. A callback must not change them.
    stop : bool
        A callback sets it to True to end the training after this epoch.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> from pyhash.deep import DHSL, TrainingOptions
    >>> class EndBelow:
    ...     def on_epoch_end(self, state):
    ...         state.stop = state.loss < 100
    >>> data = make_multilabel(100)
    >>> model = DHSL(n_bits=8, hidden=[8], training=TrainingOptions(epochs=5))
    >>> model = model.fit(data.views, data.labels["classes"], callbacks=[EndBelow()])
    >>> len(model.history_)
    1
    """

    epoch: int
    losses: dict[str, float]
    loss: float
    validation: dict[str, float] | None
    learning_rates: dict[str, float]
    seconds: float
    network: nn.Module = field(repr=False)
    stop: bool = False


def check_callbacks(callbacks: object) -> Sequence[Any]:
    """Return callbacks; raise a TypeError unless each has a method ``on_epoch_end``."""
    if callbacks is None:
        return ()
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a sequence of objects with on_epoch_end, got {callbacks!r}")
    for callback in callbacks:
        if not callable(getattr(callback, "on_epoch_end", None)):
            raise TypeError(f"callbacks must have a method on_epoch_end, got {callback!r}")
    return callbacks


def end_epoch(callbacks: Sequence[Any], entry: Mapping[str, Any], network: nn.Module) -> bool:
    """Show an epoch's entry of the history to all callbacks; return whether one of them ends the training."""
    kept: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value for name, value in entry.items()}
    state = EpochState(**kept, network=network)
    is_over = False
    for callback in callbacks:
        callback.on_epoch_end(state)
        is_over = is_over or bool(state.stop)  # the next one may set it to False
    return is_over
