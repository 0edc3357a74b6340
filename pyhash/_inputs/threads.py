"""The number of threads of a call."""

from __future__ import annotations

import os

from pyhash._inputs.checks import check_integer

# No machine can use more.
_MAX_THREADS = 1024


def resolve_n_threads(n_threads: int | None) -> int:
    """Return `n_threads`, or PYHASH_NUM_THREADS if it is None, or else the number of CPUs this process may use."""
    if n_threads is not None:
        return min(check_integer("n_threads", n_threads, 1), _MAX_THREADS)
    wanted = os.environ.get("PYHASH_NUM_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"PYHASH_NUM_THREADS must be an integer >= 1, got {wanted!r}")
        return min(int(wanted), _MAX_THREADS)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
