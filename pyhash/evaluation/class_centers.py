"""Hamming distances between the centers of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash._inputs.checks import check_codes, check_integer, check_n_bits
from pyhash._inputs.labels import (
    MAX_CLASSES,
    check_class_indices,
    check_label_matrix,
    count_class_indices,
    is_class_indices,
)
from pyhash.codes import pack


@dataclass(frozen=True)
class ClassDistances:
    """Distances between class centers, with the centers and the number of samples of each class.

    Attributes
    ----------
    distances : ndarray of shape (n_classes, n_classes), float64
        Hamming distances in bits, symmetric. NaN in the row and the column of a class without samples.
    centers : ndarray of shape (n_classes, ceil(n_bits / 8)), uint8
        Packed codes of the centers. Zeros for a class without samples.
    counts : ndarray of shape (n_classes,), int64
        Number of samples of each class. A sample with several labels counts in each of its classes.
    n_bits : int
        Length of a code in bits.
    """

    distances: NDArray[np.float64]
    centers: NDArray[np.uint8]
    counts: NDArray[np.int64]
    n_bits: int

    def __repr__(self) -> str:
        n_empty = int(np.count_nonzero(self.counts == 0))
        return f"ClassDistances({len(self.counts)} classes, {self.n_bits} bits; {n_empty} without samples)"


def class_distances(
    codes: ArrayLike, labels: ArrayLike, *, n_bits: int, n_classes: int | None = None
) -> ClassDistances:
    """Compute the Hamming distances between the centers of classes.

    They show which classes have similar codes. The center of a class is the sign of the mean of its samples' signs:
    a bit is 1 where it is 1 in more than half of the samples.

    Parameters
    ----------
    codes : array_like of shape (n, ceil(n_bits / 8)), uint8
        Packed codes.
    labels : array_like of shape (n,) or (n, n_classes)
        Class indices, or a 0/1 matrix, dense or sparse.
    n_bits : int
        Length of a code in bits.
    n_classes : int, optional
        By default the greatest class index plus one, or the number of columns of the matrix.

    Returns
    -------
    ClassDistances

    Raises
    ------
    TypeError
        If codes are not uint8.
    TypeError
        If labels are neither integers nor a 0/1 matrix.
    ValueError
        If the shapes of codes, labels, n_bits and n_classes do not fit together.
    ValueError
        If a label is out of range.
    ValueError
        If there is no code.

    Notes
    -----
    Figure 8 of SHOH (Han et al., TOMM 2024) shows these distances as a heat map, which
    ``pyhash.plotting.ClassDistanceDisplay`` draws.

    Examples
    --------
    >>> from pyhash import codes
    >>> rows = codes.pack([[1, 1, 1], [1, 1, -1], [-1, -1, 1]])
    >>> result = class_distances(rows, [0, 0, 1], n_bits=3)
    >>> codes.unpack(result.centers, n_bits=3)
    array([[ 1,  1, -1],
           [-1, -1,  1]], dtype=int8)
    >>> result.distances
    array([[0., 3.],
           [3., 0.]])
    """
    n_bits = check_n_bits(n_bits)
    packed = check_codes("codes", codes, n_bits)
    if n_classes is not None:
        n_classes = check_integer("n_classes", n_classes, 1, MAX_CLASSES)
    if len(packed) == 0:
        raise ValueError("codes must have at least one row, got none")
    # One entry for each pair of a sample and one of its classes.
    if is_class_indices("labels", labels):
        classes = check_class_indices("labels", labels, n_classes)
        n_classes = n_classes or count_class_indices("labels", classes)
        rows, n_labelled = np.arange(len(classes)), len(classes)
    else:
        matrix = check_label_matrix("labels", labels, n_classes)
        rows, classes = np.nonzero(matrix)
        n_labelled, n_classes = matrix.shape
    if n_labelled != len(packed):
        raise ValueError(f"labels must have {len(packed)} rows, as many as there are codes, got {n_labelled}")

    distances = np.full((n_classes, n_classes), np.nan)  # allocated first: too many classes fail before any work
    counts = np.bincount(classes, minlength=n_classes).astype(np.int64)
    is_set = np.empty((n_classes, n_bits), dtype=bool)
    for bit in range(n_bits):
        has_bit = (packed[rows, bit // 8] >> (bit % 8)) & 1 == 1
        is_set[:, bit] = 2 * np.bincount(classes[has_bit], minlength=n_classes) > counts
    centers = pack(is_set)
    present = np.flatnonzero(counts)
    distances[np.ix_(present, present)] = _core.hamming_distances(centers[present], centers[present], 1)
    return ClassDistances(distances, centers, counts, n_bits)
