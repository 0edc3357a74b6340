"""Bayes codes by their definitions, one query and one code at a time, in float64."""

import numpy as np


def kept_sets(P):
    """Return the likeliest sets that have 0.999 of the posterior, by falling probability."""
    order = sorted(range(len(P)), key=lambda c: (-P[c], c))
    kept, mass = [], 0.0
    for c in order:
        if mass >= 0.999:
            break
        kept.append(c)
        mass += P[c]
    return kept


def share_a_label(sets):
    """Return the matrix (u, u) of whether packed label sets have a label in common."""
    return np.array([[bool((a & b).any()) for b in sets] for a in sets])


def relevance(P, sets):
    """Return for each set the probability that it has a label in common with the query; None for classes."""
    if sets is None:
        return None
    share, kept = share_a_label(sets), kept_sets(P)
    return np.array([sum(P[v] for v in kept if share[c, v]) for c in range(len(P))])


def target(P, counts, R):
    """Return the distribution over sets whose mean code the log-linear model is fitted to."""
    if R is None:
        T = P * counts**-0.3
    else:
        T = counts * R**2
        if T.sum() == 0:
            T = P
    return T / T.sum()


def log_linear(f, M, T):
    """Return objective and gradient of the log-linear model over the codes M (u, r)."""
    z = M @ f
    largest = z.max()
    e = np.exp(z - largest)
    value = -f @ (T @ M) + largest + np.log(e.sum()) + 0.005 * f @ f
    return value, e / e.sum() @ M - T @ M + 0.01 * f


def weights(M, T):
    """Return f (r,) after 60 accelerated gradient steps."""
    f = ahead = np.zeros(M.shape[1])
    for k in range(60):
        after = ahead - log_linear(ahead, M, T)[1] / (0.75 * M.shape[1] + 0.01)
        ahead = after + k / (k + 3) * (after - f)
        f = after
    return f


def distances(q, M):
    """Return the Hamming distances of a code q (r,), of -1 and 1, from the signs of each row of M."""
    return ((M > 0) != (q > 0)).sum(axis=1)


def precision_of_class(b, n):
    """Return the average precision of n rows that come after b others."""
    return 1 - b / n * np.log((b + n + 0.5) / (b + 0.5))


def expected_precision(q, P, M, counts, R):
    """Return the expected average precision of a code q (r,); by degrees of relevance, the sum of precisions."""
    d = distances(q, M)
    if R is None:
        total = 0.0
        for c in kept_sets(P):
            others = np.arange(len(P)) != c
            b = counts[others & (d < d[c])].sum() + 0.5 * counts[others & (d == d[c])].sum()
            total += P[c] * precision_of_class(b, counts[c])
        return total
    total = t = s = 0.0
    for distance in sorted(set(d)):
        n, k = counts[d == distance].sum(), (counts * R)[d == distance].sum()
        total += k / n * (k + (s + 1 - k / n - t * k / n) * np.log((t + n + 0.5) / (t + 0.5)))
        t, s = t + n, s + k
    return total


def tells_nothing(f):
    """Return whether f (r,) is no more than rounding."""
    return np.abs(f).mean() <= 1e-6


def starts(f, P, M):
    """Return the codes from which flips start."""
    values = [f, P @ M, M[kept_sets(P)[0]]]
    return [np.where(v > 0, 1, -1) for v in values[int(tells_nothing(f)) :]]


def flipped(q):
    """Return the codes that differ from q in one bit."""
    codes = np.repeat(q[None], len(q), axis=0)
    np.fill_diagonal(codes, -q)
    return codes


def only_sets_with_rows(P, M, counts, sets=None):
    """Return P, scaled to sum 1, M, counts and relevance of the sets that have rows."""
    has_rows = counts > 0
    P = P[has_rows].astype(float)
    P /= P.sum()
    return P, M[has_rows].astype(float), counts[has_rows], relevance(P, None if sets is None else sets[has_rows])


def bayes_code(P, M, counts, R):
    """Return the code (r,) and f (r,) of one query with posterior P (u,)."""
    f = weights(M, target(P, counts, R))

    def value(q):
        return expected_precision(q, P, M, counts, R)

    q = max(starts(f, P, M), key=value)
    least_gain = 1e-6 if R is None else 1e-6 * (counts * R).sum()
    for _ in range(2):
        best = max(flipped(q), key=value)
        if value(best) <= value(q) + least_gain:
            break
        q = best
    return q, f


def bayes_projection(q, f):
    """Return the projections (r,) of a code and f."""
    return q * np.maximum(q * f, 1.0 if tells_nothing(f) else 0.001 * np.abs(f).mean())
