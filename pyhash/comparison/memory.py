"""Peak of the resident memory while a method learns; known on Linux only."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROCESS = Path("/proc/self")


class PeakMemory:
    """Resident memory before a method learns, and its peak over the steps in which it learns.

    Attributes
    ----------
    before, peak : int or None
        In bytes; None if unknown.
    """

    def __init__(self) -> None:
        gc.collect()
        self.before = _resident("VmRSS") if _restart() else None
        self.peak = self.before

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the memory of a step; what is resident between the steps does not count."""
        if self.peak is None:
            yield
            return
        _restart()
        yield
        self.peak = max(self.peak, _resident("VmHWM") or 0)


def _restart() -> bool:
    """Start a new measurement of the peak; return whether the system does that.

    getrusage does not serve: its peak is that of the whole process, earlier methods included.
    """
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB", (_PROCESS / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])
