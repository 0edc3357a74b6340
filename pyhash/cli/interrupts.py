"""Signals that end a command, and a block that they cannot interrupt."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Ctrl-C, a request to end, and the alarm with which ``main`` repeats either.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@contextmanager
def undivided() -> Iterator[None]:
    """Ignore interrupts until the end of the block."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
