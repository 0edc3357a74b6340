"""How many threads a call uses."""

from __future__ import annotations

import os

from pyhash.checks import check_integer


def resolve_n_threads(n_threads: int | None) -> int:
    """The number of threads: the argument, else PYHASH_NUM_THREADS, else the CPUs that this process may run on."""
    if n_threads is not None:
        return check_integer("n_threads", n_threads, 1)
    wanted = os.environ.get("PYHASH_NUM_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"PYHASH_NUM_THREADS must be an integer >= 1, got {wanted!r}")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
