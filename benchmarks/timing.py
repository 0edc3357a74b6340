"""Timing in turns: ratios of medians within one run are comparable, seconds are not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contestant:
    """A function to time: of run(prepare()), only run is timed."""

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    share: float = 1.0  # how much of the work it does, a part or several times; its times are scaled to all of it


@dataclass(frozen=True)
class Effort:
    """Time and rounds for one contestant."""

    seconds: float  # about, of all its rounds
    fewest: int
    most: int

    def rounds(self, seconds_each: float, share: float) -> int:
        slow = share < 1 or seconds_each > self.seconds
        fewest = min(self.fewest, 3) if slow else self.fewest
        return int(np.clip(self.seconds / max(seconds_each, 1e-9), fewest, self.most))


def clocks() -> np.ndarray:
    """Return CPU seconds of the process, and wall-clock seconds."""
    return np.array([time.process_time(), time.perf_counter()])


def time_in_turns(contestants: dict[str, Contestant], effort: Effort) -> dict[str, dict[str, float]]:
    """Return the medians of each contestant: {name: {"cpu", "wall", "spread", "rounds", "share"}}."""
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
    """Return the wall-clock seconds of a call, after a first one that may build layouts; a slow one runs once."""
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
