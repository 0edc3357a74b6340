"""Scores from their definitions; ties by trying every order."""

import itertools
import math

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


def first_hit(relevance, *, top_n, cutoff):
    """Return, of relevance in rank order, 1 / rank of the first hit within the cutoff, or 0, then found for each N."""
    ranks = [rank for rank, relevant in enumerate(relevance, start=1) if relevant]
    first = ranks[0] if ranks else np.inf
    return [1 / first if first <= (cutoff or np.inf) else 0.0, *(float(first <= n) for n in top_n)]


def first_hit_with_ties(distances, relevance, *, top_n, cutoff, ties):
    """Return ``first_hit`` of the order by id, of the best or worst order, or its mean over all orders."""
    if ties == "id":
        order = np.argsort(distances, kind="stable")
        return first_hit([relevance[i] for i in order], top_n=top_n, cutoff=cutoff)
    of_orders = [first_hit(order, top_n=top_n, cutoff=cutoff) for order in orders(distances, relevance)]
    return {"expected": np.mean, "best": np.max, "worst": np.min}[ties](of_orders, axis=0)


def discounted_gain(gains, cutoff):
    """Return the sum of gains in rank order, each divided by log2(rank + 1)."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:cutoff], start=1))


def ndcg(grades, *, cutoff, exponential):
    """Return the nDCG of grades in rank order, or None if no item has a grade above 0."""
    gains = [2**grade - 1 if exponential else grade for grade in grades]
    ideal = discounted_gain(sorted(gains, reverse=True), cutoff)
    return discounted_gain(gains, cutoff) / ideal if ideal else None


def ndcg_with_ties(distances, grades, *, cutoff, exponential, ties):
    """Return ``ndcg`` of the order by id, of the best or worst order, or its mean over all orders."""
    if ties == "id":
        order = np.argsort(distances, kind="stable")
        return ndcg([grades[i] for i in order], cutoff=cutoff, exponential=exponential)
    of_orders = [ndcg(order, cutoff=cutoff, exponential=exponential) for order in orders(distances, grades)]
    return None if None in of_orders else {"expected": np.mean, "best": np.max, "worst": np.min}[ties](of_orders)


def grade_by_layers(query, item):
    """Return the number of layers, from the first to the first gap, in which two lists of label sets share a label."""
    grade = 0
    for of_query, of_item in zip(query, item, strict=True):
        if not set(of_query) & set(of_item):
            break
        grade += 1
    return grade
