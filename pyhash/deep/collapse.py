"""Codes that say nothing: what training may end in, and how to tell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# A quarter as many distinct codes as label sets, or a quarter of the bits the same everywhere: less is chance.
_SHARE = 0.25
_MIN_LABEL_SETS = 4


class CollapseWarning(UserWarning):
    """Training gave most samples the same few codes."""


def warn_of_collapse(codes: Mapping[str, NDArray[np.uint8]], n_bits: int, n_label_sets: int, advice: str) -> None:
    """Warns if the packed codes of a modality are few, or bits of them constant."""
    if n_label_sets < _MIN_LABEL_SETS:
        return
    for modality, rows in codes.items():
        n_distinct = len(np.unique(rows, axis=0))
        signs = np.unpackbits(rows, axis=1, count=n_bits, bitorder="little")
        n_constant = int((signs == signs[0]).all(axis=0).sum())
        if n_distinct < _SHARE * min(n_label_sets, 2.0**n_bits):
            what = f"{len(rows)} samples with {n_label_sets} label sets have {n_distinct} distinct codes"
        elif n_constant > _SHARE * n_bits:
            what = f"{n_constant} of {n_bits} bits are the same in all samples"
        else:
            continue
        warnings.warn(f"the codes of {modality!r} have collapsed: {what}; {advice}", CollapseWarning, stacklevel=4)
