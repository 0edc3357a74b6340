"""The signals that end a command, and the moments when they must not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Ctrl-C, a request to end, and the alarm by which ``main`` repeats either.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@contextmanager
def undivided() -> Iterator[None]:
    """Ignores interrupts for a moment: what happens in the block happens whole."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
