"""Distances between class centers, sample by sample and bit by bit."""

import math


def class_centers(signs, label_sets, n_classes):
    """Return the signs of the center of each class, None for a class without samples."""
    centers = []
    for c in range(n_classes):
        members = [row for row, labels in zip(signs, label_sets, strict=True) if c in labels]
        if not members:
            centers.append(None)
            continue
        means = [sum(row[bit] for row in members) / len(members) for bit in range(len(members[0]))]
        centers.append([1 if mean > 0 else -1 for mean in means])
    return centers


def class_distances(centers):
    """Return (n_classes, n_classes) floats, NaN where one of the two classes has no center."""
    out = [[math.nan] * len(centers) for _ in centers]
    for i, a in enumerate(centers):
        for j, b in enumerate(centers):
            if a is not None and b is not None:
                out[i][j] = float(sum(x != y for x, y in zip(a, b, strict=True)))
    return out
