"""The device on which networks are trained and run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def resolve_device(device: object) -> torch.device:
    """Return a torch device that this machine has; "auto": cuda if there is one, else mps, else cpu.

    "auto" is the CPU where Accelerate was told to use it, as by ``accelerate launch --cpu``.
    """
    import torch

    if not isinstance(device, (str, torch.device)):
        raise TypeError(f'device must be "auto" or a torch device, got {device!r}')
    if device == "auto":
        if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "t", "yes", "y", "on"):
            return torch.device("cpu")
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).cpu()  # "meta", among others, gives nothing back
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f'device must be "auto" or a torch device that this machine has, got {device!r}: {reason}'
        ) from None
    return resolved
