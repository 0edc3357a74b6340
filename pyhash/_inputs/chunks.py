"""The cut of rows into chunks, the same for data sets, methods and comparisons."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast, get_args

from pyhash._inputs.checks import check_choice

Remainder = Literal["keep", "merge"]


def check_remainder(remainder: object) -> Remainder:
    """Return what becomes of a last chunk that is too short; raise unless it is one of the choices."""
    return cast("Remainder", check_choice("remainder", remainder, get_args(Remainder)))


def cut(n: int, size: int, remainder: Remainder = "keep") -> list[slice]:
    """Return the slices of chunks of `size` rows of `n`; a shorter last one is kept, or joined to the one before."""
    starts = list(range(0, n, size))
    if remainder == "merge" and len(starts) > 1 and n % size:
        starts.pop()
    return [slice(start, end) for start, end in pairwise([*starts, n])]
