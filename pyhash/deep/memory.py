"""Errors of memory that say what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of the CPU, of CUDA and MPS devices.
_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


@contextmanager
def named_memory_errors(batch_size: int, accumulation_steps: int) -> Iterator[None]:
    """Raise a MemoryError that says what to change in place of torch's errors, and of Python's, in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_of_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not is_of_memory and not any(message in str(error) for message in _MESSAGES):
            raise
        raise MemoryError(
            f"training ran out of memory: lower batch_size, which is {batch_size}, and raise accumulation_steps, which "
            f"is {accumulation_steps}, by as much"
        ) from error
