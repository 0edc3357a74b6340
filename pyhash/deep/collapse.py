"""The warning of collapsed codes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

# Codes are too few if they are less than this part of the kinds of labels. Counted as if all were equally frequent:
# a few rows with codes of their own do not hide that the others have one.
_MIN_CODES = 0.25
# More constant bits are too many, and more bits in which two modalities are opposite: where so many rows of one have +1
# and of the other -1. With fewer kinds of labels many bits are constant in any case.
_MAX_CONSTANT = 0.5
_NEARLY_NONE, _NEARLY_ALL = 0.1, 0.9
_MIN_KINDS = 8


class CollapseWarning(UserWarning):
    """A warning that training gave most samples the same few codes, or modalities opposite codes.

    The message says how many codes are distinct, how many bits are constant or opposite, and what to change.
    """


def warn_of_collapse(
    codes: Mapping[str, NDArray[np.uint8]], n_bits: int, n_classes: int, label_sets: NDArray[np.int64], advice: str
) -> None:
    """Warn if a modality has few distinct codes or many constant bits, or two modalities have opposite bits.

    Parameters
    ----------
    codes : mapping of str to ndarray of shape (n, ceil(n_bits / 8))
        Packed codes of the rows of each modality.
    label_sets : ndarray of shape (n_sets,)
        Number of rows of each distinct set of labels.
    advice : str
        What to change.
    """
    n_kinds = min(n_classes, len(label_sets))  # of several labels nearly every row may have a set of its own
    n_expected = min(n_classes, effective_number(label_sets), 2.0**n_bits)
    shares = {}
    for modality, rows in codes.items():
        counts = np.unique(rows, axis=0, return_counts=True)[1]
        share = np.unpackbits(rows, axis=1, count=n_bits, bitorder="little").mean(axis=0)
        n_constant = int(((share == 0) | (share == 1)).sum())
        few = len(counts) < min(n_kinds, 2) or effective_number(counts) < _MIN_CODES * n_expected
        if few or (n_constant > _MAX_CONSTANT * n_bits and n_kinds >= _MIN_KINDS):
            _warn(
                f"the codes of {modality!r} have collapsed: {len(rows)} samples with {n_kinds} kinds of labels have "
                f"{len(counts)} distinct codes, the most frequent in {100 * counts.max() / len(rows):.0f} % of the "
                f"samples, and {n_constant} of {n_bits} bits are constant; {advice}"
            )
        else:
            shares[modality] = share
    for a, b in combinations(shares, 2) if n_kinds >= _MIN_KINDS else ():
        low, high = np.minimum(shares[a], shares[b]), np.maximum(shares[a], shares[b])
        n_opposite = int(((low <= _NEARLY_NONE) & (high >= _NEARLY_ALL)).sum())
        if n_opposite > _MAX_CONSTANT * n_bits:
            _warn(
                f"the codes of {a!r} and {b!r} lie apart: {n_opposite} of {n_bits} bits are nearly always +1 in one "
                f"and -1 in the other, whatever the labels; {advice}"
            )


def effective_number(counts: NDArray[np.int64]) -> float:
    """Return the number of equally frequent kinds that two rows would share as often as kinds with these counts."""
    return float(1 / np.square(counts / counts.sum()).sum())


def _warn(message: str) -> None:
    # A bar of the caller's, such as that of a comparison, is cleared while the warning is shown.
    with tqdm.external_write_mode(file=sys.stderr):
        warnings.warn(message, CollapseWarning, stacklevel=5)
