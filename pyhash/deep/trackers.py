"""Trackers of experiments, such as TensorBoard, by Accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers


def check_trackers(value: object) -> tuple[str, ...]:
    """Return the names of trackers whose packages are there."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"trackers must be a name or a sequence of names, got {value!r}")
    available = {str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ValueError(f"trackers must be of {', '.join(LOGGER_TYPE_TO_CLASS)}, got {name!r}")
        if name not in available:
            raise ImportError(f"trackers needs the package of {name!r}, which is not installed")
    return tuple(names)


def check_log_dir(trackers: Sequence[str], log_dir: str | None) -> None:
    """Raise a ValueError if a tracker that writes files has no folder."""
    for name in trackers:
        if LOGGER_TYPE_TO_CLASS[name].requires_logging_directory and log_dir is None:
            raise ValueError(f"log_dir must name a folder for the tracker {name!r}, got None")


@contextmanager
def tracking(accelerator: Accelerator, name: str, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Start the trackers of an accelerator, and finish them at the end of the block."""
    if accelerator.log_with:
        plain = (bool, int, float, str)
        shown = {key: value if isinstance(value, plain) else repr(value) for key, value in parameters.items()}
        accelerator.init_trackers(name, shown)
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()


def log_epoch(accelerator: Accelerator, entry: Mapping[str, Any]) -> None:
    """Log an epoch's entry of the history, each number under its name: ``losses/...``, ``validation/...``."""
    if not accelerator.trackers:
        return
    values = {"loss": entry["loss"], "seconds": entry["seconds"]}
    for kind in ("losses", "validation", "learning_rates"):
        values |= {f"{kind}/{name}": value for name, value in (entry[kind] or {}).items()}
    accelerator.log(values, step=entry["epoch"])
