"""Ctrl-C while worker processes start or stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Defer Ctrl-C to the end of the block; processes that are forked or spawned within it never receive it.

    A terminal sends Ctrl-C to the workers of a DataLoader too. One that dies of it before torch's own handling begins
    makes torch raise a RuntimeError over the KeyboardInterrupt, and a KeyboardInterrupt between the start of the
    workers and the moment when the caller holds the iterator leaves them running.
    """
    received = False

    def receive(*_: object) -> None:
        nonlocal received
        received = True

    # Handlers run in the main thread alone. The mask does not replace one: another thread may take the signal.
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if handler is not None:
        signal.signal(signal.SIGINT, receive)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)
