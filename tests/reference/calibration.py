"""Calibration of label scores (docs/methods.md), one row, one label set and one candidate at a time."""

import math

import numpy as np


def label_scores(X, X_seen, L_seen, *, xi, share):
    """Return the scores (n, c): ridge regression of centered labels, and a share of naive Bayes."""
    mean, frequency = X_seen.mean(axis=0), L_seen.mean(axis=0)
    centered = X_seen - mean
    W = np.linalg.inv(centered.T @ centered + xi * np.eye(X.shape[1])) @ centered.T @ (L_seen - frequency)
    words = np.maximum(X_seen.T @ L_seen, 0) + 0.01
    out = []
    for x in X:
        ratios = [sum(x[j] * math.log(words[j, c] / words[:, c].sum()) for j in range(len(x))) for c in range(len(W.T))]
        bayes = [ratio - max(ratios) if share else 0 for ratio in ratios]
        out.append((x - mean) @ W + share * np.array(bayes))
    return np.array(out)


def fit(s, u):
    """Return how well the scores s (c,) fit a label set u (c,)."""
    return sum(a * b for a, b in zip(s, u, strict=True)) - sum(b * b for b in u) / 2


def average_precision(fits, counts, relevant):
    """Return the average precision of ranking rows by the fit of their label sets.

    The rows of relevant sets are ranked one set after the other, those of equal fit by their numbers.
    """
    if sum(relevant) == 1:
        (mine,) = (i for i, is_relevant in enumerate(relevant) if is_relevant)
        b, n = sum(count for f, count in zip(fits, counts, strict=True) if f > fits[mine]), counts[mine]
        return 1 - b / n * math.log((b + n + 0.5) / (b + 0.5))
    total = ahead = others = n_relevant = 0.0
    for i in sorted(range(len(fits)), key=lambda i: (-fits[i], i)):
        if relevant[i]:
            total += counts[i] - others * math.log((ahead + counts[i] + 0.5) / (ahead + 0.5))
            n_relevant += counts[i]
        else:
            others += counts[i]
        ahead += counts[i]
    return total / n_relevant


def negative_log_likelihood(fits, counts, own, *, tau, rho):
    """Return ``-log P(own)`` for ``P(u) ~ n_u^rho exp(tau fit_u)``."""
    weights = [count**rho * math.exp(tau * (f - max(fits))) for f, count in zip(fits, counts, strict=True)]
    return -math.log(weights[own] / sum(weights))


def sums_over_rows(X, L, X_seen, L_seen, *, xi, share, temperatures, exponents):
    """Return the sum of average precisions, of losses by temperature and exponent, and the number of rows."""
    sets = []
    for u in map(tuple, L_seen):
        if u not in sets:
            sets.append(u)
    counts = [sum(tuple(row) == u for row in L_seen) for u in sets]
    has_several = any(sum(u) > 1 for u in sets)
    precision, losses, n = 0.0, np.zeros((len(temperatures), len(exponents))), 0
    for s, u in zip(label_scores(X, X_seen, L_seen, xi=xi, share=share), map(tuple, L), strict=True):
        if u not in sets:
            continue
        n += 1
        fits = [fit(s, v) for v in sets]
        relevant = [any(a and b for a, b in zip(u, v, strict=True)) if has_several else u == v for v in sets]
        precision += average_precision(fits, counts, relevant)
        for k, tau in enumerate(temperatures):
            for m, rho in enumerate(exponents):
                losses[k, m] += negative_log_likelihood(fits, counts, sets.index(u), tau=tau, rho=rho)
    return precision, losses, n
