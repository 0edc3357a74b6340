"""Timing in turns: what counts is the ratio of medians of one run, not the seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contestant:
    """Something to time; only run(prepare()) is timed, without prepare."""

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    share: float = 1.0  # the part of the work that it does; its times are scaled to all of it


@dataclass(frozen=True)
class Effort:
    """How long one contestant is timed."""

    seconds: float  # about, of all its rounds
    fewest: int
    most: int

    def rounds(self, seconds_each: float, share: float) -> int:
        slow = share < 1 or seconds_each > self.seconds
        fewest = min(self.fewest, 3) if slow else self.fewest
        return int(np.clip(self.seconds / max(seconds_each, 1e-9), fewest, self.most))


def clocks() -> np.ndarray:
    """CPU seconds of the process, and seconds on the wall."""
    return np.array([time.process_time(), time.perf_counter()])


def time_in_turns(contestants: dict[str, Contestant], effort: Effort) -> dict[str, dict[str, float]]:
    """Medians of each contestant: {name: {"cpu", "wall", "spread", "rounds", "share"}}."""
    rounds = {name: effort.rounds(_warm_up(c, effort), c.share) for name, c in contestants.items()}
    n_rounds = max(rounds.values())
    times: dict[str, list[np.ndarray]] = {name: [] for name in contestants}
    for i in range(n_rounds):
        for name, contestant in contestants.items():
            # One that runs less often takes its turns evenly, so that a slow phase of the machine hits all.
            if (i + 1) * rounds[name] // n_rounds > i * rounds[name] // n_rounds:
                times[name].append(_once(contestant))
    return {name: _summary(np.array(times[name]), c.share) for name, c in contestants.items()}


def _warm_up(contestant: Contestant, effort: Effort) -> float:
    """Wall seconds of a call, after one that may still make layouts; a slow one is not called twice."""
    wall = _once(contestant)[1]
    return wall if 4 * wall > effort.seconds else _once(contestant)[1]


def _once(contestant: Contestant) -> np.ndarray:
    argument = contestant.prepare()
    start = clocks()
    contestant.run(argument)
    return clocks() - start


def _summary(times: np.ndarray, share: float) -> dict[str, float]:
    cpu, wall = np.median(times, axis=0)
    low, high = np.quantile(times[:, 1], [0.25, 0.75])
    return {
        "cpu": cpu / share,
        "wall": wall / share,
        "spread": (high - low) / wall,
        "rounds": len(times),
        "share": share,
    }
