"""Peak of the resident memory while a method learns; known on Linux only."""

from __future__ import annotations

import gc
import re
from pathlib import Path

_PROCESS = Path("/proc/self")


def reset_peak() -> int | None:
    """Start a new measurement of the peak; return the resident memory now, in bytes, or None if unknown.

    getrusage does not serve: its peak is that of the whole process, earlier methods included.
    """
    gc.collect()
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return None
    return _resident("VmRSS")


def read_peak() -> int | None:
    """Return the peak of the resident memory since ``reset_peak``, in bytes, or None if unknown."""
    return _resident("VmHWM")


def _resident(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB", (_PROCESS / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])
