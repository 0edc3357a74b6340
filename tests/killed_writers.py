"""Writers that end in the middle of their work, for tests of what they leave on disk."""

import os
import signal
import sys

STEPS = ("fsync", "replace", "unlink")


def fork(function):
    """Run a function in a child that ends with it; return the id of its process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return pid


def was_killed(pid):
    """Wait for the end of a child; return whether a signal killed it. It must not end by an error."""
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
    return status != 0


def die_at_step(number, steps=STEPS):
    """End this process at its `number`-th step on the disk from now on, before the step is done."""
    n_calls = 0

    def dying(function):
        def step(*args, **kwargs):
            nonlocal n_calls
            if n_calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            n_calls += 1
            return function(*args, **kwargs)

        return step

    for name in steps:
        setattr(os, name, dying(getattr(os, name)))


def count_lines(function, files, die_at=None):
    """Run a function; return how many lines of the named files ran. The process ends at line `die_at` of them."""
    n_lines = 0

    def trace(frame, event, _):
        nonlocal n_lines
        if event == "call":
            return trace if any(part in frame.f_code.co_filename for part in files) else None
        if event == "line":
            if n_lines == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            n_lines += 1
        return trace

    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(None)
    return n_lines
