"""Scores from their definitions; ties by trying every order."""

import itertools

import numpy as np


def average_precision(relevance, *, cutoff, denominator):
    """Return the average precision of relevance in rank order, or None if the divisor is zero."""
    n_relevant = int(sum(relevance))
    cutoff = len(relevance) if cutoff is None else cutoff
    hits, total = 0, 0.0
    for rank, relevant in enumerate(relevance[:cutoff], start=1):
        if relevant:
            hits += 1
            total += hits / rank
    divisor = {"hits": hits, "relevant": n_relevant, "min": min(cutoff, n_relevant)}[denominator]
    return total / divisor if divisor else None


def orders(distances, relevance):
    """Yield relevance in rank order, for every order of the items within each group of equal distance."""
    groups = [
        [rel for dist, rel in zip(distances, relevance, strict=True) if dist == value]
        for value in sorted(set(distances))
    ]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [rel for part in parts for rel in part]


def average_precision_with_ties(distances, relevance, *, cutoff, denominator, ties):
    """Return the average precision of one query under the protocol, or None if the query is empty."""
    if ties == "id":
        order = np.argsort(distances, kind="stable")
        return average_precision([relevance[i] for i in order], cutoff=cutoff, denominator=denominator)
    if ties in ("best", "worst"):
        sign = -1 if ties == "best" else 1
        order = sorted(range(len(distances)), key=lambda i: (distances[i], sign * relevance[i]))
        return average_precision([relevance[i] for i in order], cutoff=cutoff, denominator=denominator)
    scores = [average_precision(o, cutoff=cutoff, denominator=denominator) for o in orders(distances, relevance)]
    if all(score is None for score in scores):
        return None
    return float(np.mean([0.0 if score is None else score for score in scores]))


def hits_by_rank(distances, relevance, ties):
    """Return the number of relevant items among the first 1, 2, ...; for expected ties the mean over orders."""
    if ties == "id":
        order = np.argsort(distances, kind="stable")
        return np.cumsum([relevance[i] for i in order])
    if ties in ("best", "worst"):
        sign = -1 if ties == "best" else 1
        order = sorted(range(len(distances)), key=lambda i: (distances[i], sign * relevance[i]))
        return np.cumsum([relevance[i] for i in order])
    return np.mean([np.cumsum(o) for o in orders(distances, relevance)], axis=0)
