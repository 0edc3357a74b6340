# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, autotestdict=False
"""Loops over labels and ranks: relevance, and the scores of rankings.

All arithmetic of the protocols is here, but for the discounted gains in ``discounted_gain.py``. A ranking has one of
two forms:

- ranked: the ranks of the relevant items, from 1, ascending; those of query i are ranks[offsets[i]:offsets[i + 1]],
  ranks (n_hits,) uint32, offsets (n_queries + 1,) int64; for ties by id;
- grouped: for each query the number of items and of relevant items in each group of equal distance, nearest group
  first, two (n_queries, n_groups) int64 arrays; for the other ties. Groups may be empty.

To adapt a protocol, start at ``average_precision_ranked``, the definition of average precision.
"""

from libc.math cimport exp, lgamma, NAN
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    int __builtin_popcountll(uint64_t word) nogil

# Denominators of average precision; the order of pyhash.evaluation.protocol.DENOMINATORS.
cdef enum:
    HITS = 0
    RELEVANT = 1
    MIN = 2

# Orders within a group of equal distance; the order of pyhash.evaluation.protocol.GROUPED_TIES.
cdef enum:
    EXPECTED = 0
    BEST = 1
    WORST = 2


# --- relevance --------------------------------------------------------------------------------------------------------
# Rows of bits, one row a query: bit j % 64 of word j / 64 is 1 where item j is relevant.

def relevance_of_labels(const uint8_t[:, ::1] query_labels, const uint64_t[:, ::1] items, uint64_t[:, ::1] out):
    """Set the bits of the items that share a label with query i; items[c] has the bits of those with label c."""
    cdef Py_ssize_t i, c, w
    cdef Py_ssize_t n_words = out.shape[1]
    with nogil:
        for i in range(out.shape[0]):
            for w in range(n_words):
                out[i, w] = 0
            for c in range(query_labels.shape[1]):
                if query_labels[i, c]:
                    for w in range(n_words):
                        out[i, w] |= items[c, w]


def relevance_of_runs(
    const int64_t[::1] items, const int64_t[::1] starts, const int64_t[::1] ends, uint64_t[:, ::1] out,
):
    """Set the bits of items[starts[i]:ends[i]], which ascend, for query i."""
    cdef Py_ssize_t i, j, w
    cdef uint64_t word
    with nogil:
        for i in range(out.shape[0]):
            for w in range(out.shape[1]):
                out[i, w] = 0
            w = 0
            word = 0
            for j in range(starts[i], ends[i]):
                if items[j] // 64 != w:
                    out[i, w] = word
                    w = items[j] // 64
                    word = 0
                word |= <uint64_t> 1 << (items[j] % 64)
            if word:
                out[i, w] = word


def count_relevant(const uint64_t[:, ::1] relevance, int64_t[::1] out):
    """Set out[i] to the number of items that are relevant to query i."""
    cdef Py_ssize_t i, w
    with nogil:
        for i in range(relevance.shape[0]):
            out[i] = 0
            for w in range(relevance.shape[1]):
                out[i] += __builtin_popcountll(relevance[i, w])


# --- average precision ------------------------------------------------------------------------------------------------

def average_precision_ranked(
    const int64_t[::1] offsets, const uint32_t[::1] ranks, Py_ssize_t cutoff, int denominator, double[::1] out,
):
    """Set out[i] to the average precision of query i within the first `cutoff` ranks; NaN where its divisor is zero."""
    cdef Py_ssize_t i, hit, hits, first
    cdef double total
    with nogil:
        for i in range(out.shape[0]):
            first = offsets[i]
            hits = _hits_within(offsets, ranks, i, cutoff)
            total = 0.0
            for hit in range(hits):
                total += <double> (hit + 1) / <double> ranks[first + hit]
            out[i] = _divide(total, hits, offsets[i + 1] - first, cutoff, denominator)


cdef Py_ssize_t _hits_within(
    const int64_t[::1] offsets, const uint32_t[::1] ranks, Py_ssize_t i, Py_ssize_t cutoff,
) noexcept nogil:
    """Return how many relevant items of query i have a rank up to the cutoff."""
    cdef Py_ssize_t end = offsets[i + 1]
    while end > offsets[i] and ranks[end - 1] > cutoff:
        end -= 1
    return end - offsets[i]


cdef double _divide(double total, int64_t hits, int64_t relevant, Py_ssize_t cutoff, int denominator) noexcept nogil:
    """Return the sum of the precisions at the hits divided by the protocol's divisor; NaN if that is zero."""
    cdef int64_t divisor = relevant
    if denominator == HITS:
        divisor = hits
    elif denominator == MIN and cutoff < relevant:
        divisor = cutoff
    return total / <double> divisor if divisor > 0 else NAN


def average_precision_grouped(
    const int64_t[:, ::1] n_all, const int64_t[:, ::1] n_relevant, Py_ssize_t cutoff, int denominator, int ties,
    double[::1] out,
):
    """Set out[i] to the average precision of query i by groups: the exact mean over all orders, the best or the worst.

    The mean follows McSherry and Najork (ECIR 2008). An order without a hit within the cutoff counts as 0.
    """
    cdef Py_ssize_t i
    with nogil:
        for i in range(n_all.shape[0]):
            if ties == EXPECTED:
                out[i] = _expected(n_all[i], n_relevant[i], cutoff, denominator)
            else:
                out[i] = _extreme(n_all[i], n_relevant[i], cutoff, denominator, ties)


cdef double _extreme(
    const int64_t[::1] n_all, const int64_t[::1] n_relevant, Py_ssize_t cutoff, int denominator, int ties,
) noexcept nogil:
    """Return the average precision with the relevant items of each group first (BEST) or last (WORST)."""
    cdef Py_ssize_t g, j, rank
    cdef int64_t before = 0, hits = 0, relevant = 0
    cdef double total = 0.0
    for g in range(n_all.shape[0]):
        for j in range(n_relevant[g]):
            rank = before + j + 1
            if ties == WORST:
                rank += n_all[g] - n_relevant[g]
            if rank > cutoff:
                break
            hits += 1
            total += <double> hits / <double> rank
        before += n_all[g]
        relevant += n_relevant[g]
    return _divide(total, hits, relevant, cutoff, denominator)


cdef double _expected(
    const int64_t[::1] n_all, const int64_t[::1] n_relevant, Py_ssize_t cutoff, int denominator,
) noexcept nogil:
    """Return the mean of the average precision over all orders of the items within each group."""
    cdef Py_ssize_t g, i
    cdef int64_t before = 0, hits = 0, relevant = 0, n, r, seen
    cdef double total = 0.0, sum_inverse, sum_others, others
    for g in range(n_all.shape[0]):
        relevant += n_relevant[g]
    for g in range(n_all.shape[0]):
        n = n_all[g]
        r = n_relevant[g]
        seen = min(n, cutoff - before)
        if r > 0 and seen > 0:
            # The item at place i of the group is relevant with probability r / n; then, of the i - 1 before it,
            # (r - 1) / (n - 1) are relevant on average.
            sum_inverse = 0.0
            sum_others = 0.0
            for i in range(seen):
                sum_inverse += 1.0 / <double> (before + i + 1)
                sum_others += <double> i / <double> (before + i + 1)
            if seen < n and denominator == HITS:
                return _expected_by_hits(total, hits, n, r, seen, sum_inverse, sum_others)
            others = <double> (r - 1) / <double> (n - 1) if n > 1 else 0.0
            total += <double> r / <double> n * (<double> (hits + 1) * sum_inverse + others * sum_others)
            hits += r
        before += n
        if before >= cutoff:
            break
    return _divide(total, hits, relevant, cutoff, denominator)


cdef double _expected_by_hits(
    double total, int64_t hits, int64_t n, int64_t r, int64_t seen, double sum_inverse, double sum_others,
) noexcept nogil:
    """Return the mean where the cutoff leaves `seen` places of a group of n items, r of them relevant.

    The number x of hits among those places, and with it the divisor, depends on the order: x is hypergeometric.
    """
    cdef int64_t x
    cdef double log_orders = _log_binomial(n, seen)
    cdef double probability, others, mean = 0.0
    for x in range(max(0, seen - (n - r)), min(seen, r) + 1):
        if hits + x == 0:
            continue
        probability = exp(_log_binomial(r, x) + _log_binomial(n - r, seen - x) - log_orders)
        others = <double> (x - 1) / <double> (seen - 1) if seen > 1 else 0.0
        mean += probability * (
            total + <double> x / <double> seen * (<double> (hits + 1) * sum_inverse + others * sum_others)
        ) / <double> (hits + x)
    return mean


cdef double _log_binomial(int64_t n, int64_t k) noexcept nogil:
    return lgamma(<double> n + 1) - lgamma(<double> k + 1) - lgamma(<double> (n - k) + 1)


# --- hits by rank -----------------------------------------------------------------------------------------------------

def hits_ranked(const int64_t[::1] offsets, const uint32_t[::1] ranks, double[:, ::1] out):
    """Set out[i, m] to the number of relevant items among the first m + 1 of query i."""
    cdef Py_ssize_t i, rank, hits
    with nogil:
        for i in range(out.shape[0]):
            hits = 0
            for rank in range(1, out.shape[1] + 1):
                if offsets[i] + hits < offsets[i + 1] and ranks[offsets[i] + hits] == rank:
                    hits += 1
                out[i, rank - 1] = <double> hits


def hits_grouped(const int64_t[:, ::1] n_all, const int64_t[:, ::1] n_relevant, int ties, double[:, ::1] out):
    """Set out[i, m] as ``hits_ranked``, by groups: the mean over all orders, the best or the worst."""
    cdef Py_ssize_t i, g, j
    cdef int64_t before, hits, n, r, end = out.shape[1]
    with nogil:
        for i in range(n_all.shape[0]):
            before = 0
            hits = 0
            for g in range(n_all.shape[1]):
                n = n_all[i, g]
                r = n_relevant[i, g]
                for j in range(min(n, end - before)):
                    if ties == EXPECTED:
                        out[i, before + j] = <double> hits + <double> r * <double> (j + 1) / <double> n
                    elif ties == BEST:
                        out[i, before + j] = <double> (hits + min(j + 1, r))
                    else:
                        out[i, before + j] = <double> (hits + max(0, j + 1 - (n - r)))
                before += n
                hits += r
                if before >= end:
                    break


# --- first hit --------------------------------------------------------------------------------------------------------

def first_hit_ranked(
    const int64_t[::1] offsets, const uint32_t[::1] ranks, const int64_t[::1] top_n, Py_ssize_t cutoff,
    double[:, ::1] found, double[::1] inverse,
):
    """Set found[i, m] to 1 if a relevant item is among the first top_n[m] of query i, and inverse[i] to 1 / its rank.

    Where no relevant item is within the cutoff, inverse[i] is 0.
    """
    cdef Py_ssize_t i, m
    cdef bint has_one
    with nogil:
        for i in range(inverse.shape[0]):
            has_one = offsets[i] < offsets[i + 1]
            inverse[i] = 1.0 / <double> ranks[offsets[i]] if has_one and ranks[offsets[i]] <= cutoff else 0.0
            for m in range(top_n.shape[0]):
                found[i, m] = 1.0 if has_one and ranks[offsets[i]] <= top_n[m] else 0.0


def first_hit_grouped(
    const int64_t[:, ::1] n_all, const int64_t[:, ::1] n_relevant, const int64_t[::1] top_n, Py_ssize_t cutoff, int ties,
    double[:, ::1] found, double[::1] inverse,
):
    """Set the outputs as ``first_hit_ranked``, by groups: the exact mean over all orders, the best or the worst.

    Only the first group with a relevant item matters: it holds the first hit in every order.
    """
    cdef Py_ssize_t i, g, m
    cdef int64_t before
    with nogil:
        for i in range(n_all.shape[0]):
            before = 0
            inverse[i] = 0.0
            for m in range(top_n.shape[0]):
                found[i, m] = 0.0
            for g in range(n_all.shape[1]):
                if n_relevant[i, g] > 0:
                    inverse[i] = _mean_inverse(before, n_all[i, g], n_relevant[i, g], cutoff, ties)
                    for m in range(top_n.shape[0]):
                        found[i, m] = _found_within(top_n[m] - before, n_all[i, g], n_relevant[i, g], ties)
                    break
                before += n_all[i, g]


cdef double _found_within(int64_t places, int64_t n, int64_t r, int ties) noexcept nogil:
    """Return the probability that one of the r relevant items of a group of n is among its first places."""
    cdef int64_t i
    cdef double missed = 1.0
    if places <= 0:
        return 0.0
    if ties == BEST or places > n - r:
        return 1.0
    if ties == WORST:
        return 0.0
    # The i + 1 items at the first places are all others: (n - r - i) / (n - i) is the share of others among the rest.
    for i in range(places):
        missed *= <double> (n - r - i) / <double> (n - i)
    return 1.0 - missed


cdef double _mean_inverse(int64_t before, int64_t n, int64_t r, int64_t cutoff, int ties) noexcept nogil:
    """Return the mean of 1 / rank of the first of r relevant items in a group of n, which `before` items precede."""
    cdef int64_t i
    cdef int64_t last = before + n - r  # items before the first relevant one in the worst order
    cdef double missed = 1.0, mean = 0.0
    if ties == BEST:
        return 1.0 / <double> (before + 1) if before < cutoff else 0.0
    if ties == WORST:
        return 1.0 / <double> (last + 1) if last < cutoff else 0.0
    # The first hit is at place i + 1 of the group with probability missed * r / (n - i).
    for i in range(min(last + 1, cutoff) - before):
        mean += missed * <double> r / <double> (n - i) / <double> (before + i + 1)
        missed *= <double> (n - r - i) / <double> (n - i)
    return mean


# --- groups of equal real distance ------------------------------------------------------------------------------------

def group_equal(
    const double[:, ::1] distances, const uint8_t[:, ::1] relevance, int64_t[:, ::1] n_all, int64_t[:, ::1] n_relevant,
):
    """Count items and relevant items of each run of equal distance; inputs in rank order, outputs zero on entry."""
    cdef Py_ssize_t i, j, g
    with nogil:
        for i in range(distances.shape[0]):
            g = 0
            for j in range(distances.shape[1]):
                if j > 0 and distances[i, j] != distances[i, j - 1]:
                    g += 1
                n_all[i, g] += 1
                n_relevant[i, g] += relevance[i, j]
