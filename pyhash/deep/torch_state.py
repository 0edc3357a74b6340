"""Torch's global state: random numbers and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def forked_rng(device: torch.device) -> Iterator[None]:
    """Restore torch's random numbers, of the CPU and of the device, at the end of the block."""
    kind = "cuda" if device.type == "cpu" else device.type
    index = device.index
    if index is None:
        index = torch.cuda.current_device() if device.type == "cuda" else 0
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [index], device_type=kind):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread within the block.

    A second thread makes steps of small networks a quarter faster, and ten times slower where another process uses the
    core.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_seed(seed: int, stream: int, device: torch.device, process: int = 0) -> None:
    """Seed the random numbers of the CPU and of the device with a seed and the number of a stream.

    Processes that train together draw different ones. ``torch.manual_seed`` would seed all devices, also those whose
    random numbers ``forked_rng`` does not restore.
    """
    entropy = [seed, stream, process] if process else [seed, stream]
    drawn = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(drawn)
    elif device.type != "cpu":
        getattr(torch, device.type).manual_seed(drawn)
