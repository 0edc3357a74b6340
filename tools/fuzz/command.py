"""The command line of a fuzzer: for some seconds, batches of cases from a seed that is printed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from tools.fuzz.child import Case, Finding, run_cases

Batch = Callable[[np.random.Generator], Sequence[Case]]


def fuzz(name: str, make_batch: Batch, seconds: float, seed: int) -> list[Finding]:
    """Run batches until the time is over; print every kind of fault once, and how many cases ran."""
    print(f"{name}: seed {seed}, {seconds:g} s", flush=True)
    end, number, n_cases = time.monotonic() + seconds, 0, 0
    findings: list[Finding] = []
    seen: set[str] = set()
    while number == 0 or time.monotonic() < end:
        cases = make_batch(np.random.default_rng([seed, number]))
        for finding in run_cases(cases):
            findings.append(finding)
            kind = f"{finding.case.split(' ')[0]} {finding.fault[:60]}"
            if kind not in seen:
                seen.add(kind)
                print(f"  batch {number}: {finding.case}: {finding.fault}", flush=True)
        number, n_cases = number + 1, n_cases + len(cases)
    print(f"{name}: {n_cases} cases, {len(findings)} faults", flush=True)
    return findings


def main(name: str, make_batch: Batch) -> int:
    """Read ``--seconds`` and ``--seed``; return 1 if there were faults."""
    parser = argparse.ArgumentParser(description=f"Fuzzer of {name}.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    return 1 if fuzz(name, make_batch, arguments.seconds, arguments.seed) else 0
