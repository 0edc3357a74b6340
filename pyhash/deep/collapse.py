"""The warning of collapsed codes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

# Fewer distinct codes for each kind of labels, or more constant bits, are a collapse.
_MIN_DISTINCT = 0.25
_MAX_CONSTANT = 0.5
# With fewer kinds of labels many bits are constant in any case.
_MIN_KINDS = 8


class CollapseWarning(UserWarning):
    """A warning that training gave most samples the same few codes."""


def warn_of_collapse(codes: Mapping[str, NDArray[np.uint8]], n_bits: int, n_kinds: int, advice: str) -> None:
    """Warn if a modality has few distinct codes, or many constant bits."""
    for modality, rows in codes.items():
        n_distinct = len(np.unique(rows, axis=0))
        signs = np.unpackbits(rows, axis=1, count=n_bits, bitorder="little")
        n_constant = int((signs == signs[0]).all(axis=0).sum())
        if n_distinct < max(_MIN_DISTINCT * min(n_kinds, 2.0**n_bits), min(n_kinds, 2)):
            what = f"{len(rows)} samples with {n_kinds} kinds of labels have {n_distinct} distinct codes"
        elif n_constant > _MAX_CONSTANT * n_bits and n_kinds >= _MIN_KINDS:
            what = f"{n_constant} of {n_bits} bits are the same in all samples"
        else:
            continue
        # A bar of the caller's, such as that of a comparison, is cleared while the warning is shown.
        with tqdm.external_write_mode(file=sys.stderr):
            warnings.warn(f"the codes of {modality!r} have collapsed: {what}; {advice}", CollapseWarning, stacklevel=4)
