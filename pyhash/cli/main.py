"""Signals, exit codes and errors of the ``pyhash`` command.

Exit codes: 0 success, 1 error, 2 wrong usage, 128 + number of the signal after an interrupt: 130 for Ctrl-C.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pyhash.cli.interrupts import INTERRUPTS
from pyhash.cli.parser import make_parser
from pyhash.errors import IndexChangedError

_SECONDS_TO_CATCH = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    # Signals that are ignored stay so: a shell lets commands in the background ignore Ctrl-C.
    numbers = [n for n in INTERRUPTS if signal.getsignal(n) is not signal.SIG_IGN]
    received = [signal.SIGINT]

    def interrupt(number: int, _: object) -> NoReturn:
        # Finalizers, also those of imports, and some C code drop exceptions: SIGALRM raises it again until it is caught
        # below.
        if number != signal.SIGALRM:
            received.append(signal.Signals(number))
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_CATCH)
        raise _Interrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        argv = sys.argv[1:] if argv is None else argv
        # The command is the first word. Its module alone is imported, here, where interrupts are caught.
        command = [word for word in argv if not word.startswith("-")][:1]
        arguments = make_parser(command).parse_args(argv)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal that lacks an emoji shows a question mark. Lines are whole where stderr goes to the same file.
            sys.stdout.reconfigure(errors="replace", line_buffering=True)
        arguments.run(arguments)
        if sys.stdout is not None:  # None where the caller closed it
            sys.stdout.flush()
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("pyhash: interrupted", file=sys.stderr)
        return 128 + received[-1]  # as shells report a process that a signal ended
    except BrokenPipeError:
        # The reader has ended, as in `pyhash search ... | head -1`; discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, ImportError, MemoryError, OverflowError, IndexChangedError) as error:
        # A MemoryError raised by Python has no message.
        print(f"pyhash: {str(error) or 'out of memory'}", file=sys.stderr)
        return 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C or SIGTERM.

    Not KeyboardInterrupt itself: if that passes through exec(), as during an import, it decides the exit code of
    Python even if it is caught.
    """


if __name__ == "__main__":
    sys.exit(main())
