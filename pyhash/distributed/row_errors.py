"""Errors in a block of rows, whose messages count from the start of the block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def name_block(name: str, first: int, last: int) -> Iterator[None]:
    """Say in a TypeError or ValueError which rows, from `first` to before `last`, the block has."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"in the block of rows {first} to {last - 1} of {name}: {error}") from error
