"""Runs cases in forked children: a crash, a hang or too much memory is a finding, and the next case goes on."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# Far above what any case needs: files have some kilobytes, arrays some rows.
MEMORY = 1 << 28
SECONDS = 30

# Addresses beyond those in use when a child begins; threads reserve many that they do not touch.
_ADDRESSES = 1 << 32


@dataclass(frozen=True)
class Case:
    """Something to run; `run` returns what is wrong, or None."""

    name: str
    run: Callable[[], str | None]


@dataclass(frozen=True)
class Finding:
    """A fault of a case."""

    case: str
    fault: str


def run_cases(cases: Sequence[Case], seconds: int = SECONDS, memory: int = MEMORY) -> list[Finding]:
    """Run the cases in order, in as few children as their crashes allow."""
    findings, first = [], 0
    while first < len(cases):
        last = first
        lines, status = _run_child(cases, first, seconds, memory)
        for line in lines:
            number, _, fault = line.partition(" ")
            last = int(number)
            if fault:
                findings.append(Finding(cases[last].name, fault))
        if status != 0:
            findings.append(Finding(cases[last].name, _death(status, seconds)))
        first = len(cases) if status == 0 else last + 1
    return findings


def _run_child(cases: Sequence[Case], first: int, seconds: int, memory: int) -> tuple[Iterator[str], int]:
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        _be_child(cases, first, writable, seconds, memory)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8", errors="replace") as pipe:
        lines = pipe.read().splitlines()
    return iter(lines), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be_child(cases: Sequence[Case], first: int, writable: int, seconds: int, memory: int) -> None:
    """Write the number of each case before it runs, and again with its fault; never return."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if in_use := _addresses_in_use():
            resource.setrlimit(resource.RLIMIT_AS, (in_use + _ADDRESSES, resource.RLIM_INFINITY))
        for number in range(first, len(cases)):
            os.write(writable, f"{number} \n".encode())
            before = _peak_memory()
            signal.alarm(seconds)
            fault = cases[number].run()
            signal.alarm(0)
            if (taken := _peak_memory() - before) > memory:
                fault = f"takes {taken >> 20} MiB; {fault or 'no other fault'}"
            if fault:
                os.write(writable, f"{number} {' '.join(fault.split())[:500]}\n".encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _peak_memory() -> int:
    """Return the most bytes of memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _addresses_in_use() -> int:
    """Return the bytes of address space that this process has; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _death(status: int, seconds: int) -> str:
    if status == -signal.SIGALRM:
        return f"hangs: not done after {seconds} s"
    return f"crashes with {signal.Signals(-status).name}" if status < 0 else f"ends the process with exit code {status}"
