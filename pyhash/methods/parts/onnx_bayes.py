"""Bayes codes in ONNX graphs: the steps of csrc/core/bayes_codes.cpp for all rows side by side.

Where the core computes in float32, so does the graph, with the same operations in the same order, so that both choose
the same bits. Sums in a given order are the last of running sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.onnx_graph import Graph

# The constants of the core.
_KEPT_MASS = 0.999
_N_STEPS = 60
_RIDGE = np.float32(0.01)
_FLATTENING = 0.3
_LEAST_WEIGHT = np.float32(0.001)
_NO_WEIGHT = np.float32(1e-6)
_LEAST_GAIN = np.float32(1e-6)
_MOST_FLIPS = 2
# Those of its functions, as in csrc/kernels/float_lanes.hpp.
_LEAST_EXPONENT = np.float32(-87)
_ROUNDER = np.float32(1.5 * 2**23)
_COARSE_LOG_2 = 5678 / 8192
_SHORT_SERIES = np.float32(0.3)
_BELOW_ONE = np.float32(1 - 2**-24)
_ROOT_HALF = np.array(0x3F3504F3, np.uint32).view(np.float32)

_ZERO, _ONE = np.float32(0), np.float32(1)
_POWERS = (2.0 ** -np.arange(127.0)).astype(np.float32)  # of 2, by the negative exponent


@dataclass(frozen=True)
class _Likely:
    """The label sets of each row by falling probability, and how many of them count."""

    sets: str  # (n, u) int64
    probabilities: str  # (n, u) float32, 0 for those that do not count
    most: str  # () int64: the largest number that count in a row


class BayesGraph:
    """Adds Bayes codes to a graph.

    Parameters
    ----------
    graph : Graph
    mean_codes : ndarray of shape (u, n_bits), float32
        Mean signs of each label set.
    counts : ndarray of shape (u,)
        Rows of each, >= 1.
    share : ndarray of shape (u, u), bool, or None
        Which sets have a label in common; None where each set is one label of its own.
    """

    def __init__(
        self, graph: Graph, mean_codes: NDArray[np.float32], counts: NDArray[Any], share: NDArray[np.bool_] | None
    ) -> None:
        self._graph = graph
        self._n_bits = mean_codes.shape[1]
        self._is_positive = mean_codes > 0
        self._counts = counts.astype(np.float32)
        self._flattened = (counts.astype(np.float64) ** -_FLATTENING).astype(np.float32)
        self._share = share
        self._of_sets = _OrderedProduct(mean_codes)
        self._of_bits = _OrderedProduct(np.ascontiguousarray(mean_codes.T))

    def projections(self, P: str) -> str:
        """Return projections (n, n_bits) float32, whose signs are the codes, from posteriors P (n, u) float64."""
        g = self._graph
        P64 = g.cast(g.cast(P, np.float32), np.float64)
        posterior = g.cast(g.add("Div", P64, g.rows_sum(P64)), np.float32)
        likely = self._likely(posterior)
        relevant, target = self._target(posterior, likely)
        weights = self._weights(target)
        mean = g.add("Div", _ordered_row_sum(g, g.add("Abs", weights)), np.float32(self._n_bits))
        tells = g.add("Greater", mean, _NO_WEIGHT)
        expected = self._of_sets.add_to(g, posterior)
        best = self._best_code(likely, relevant, [g.add("Where", tells, weights, expected), expected])
        sign = g.add("Where", best, _ONE, -_ONE)
        floor = g.add("Where", tells, g.add("Mul", _LEAST_WEIGHT, mean), _ONE)
        found = g.add("Mul", sign, g.add("Max", g.add("Mul", sign, weights), floor))
        largest = g.add("Max", g.rows_max(g.add("Abs", found)), _ONE)
        return str(g.add("Div", found, largest))

    def _likely(self, posterior: str) -> _Likely:
        """Return the likeliest sets that have 0.999 of the posterior."""
        g = self._graph
        p, sets = g.add("TopK", posterior, np.array([len(self._counts)]), axis=1, n_outputs=2)
        before = g.add("CumSum", g.cast(p, np.float64), np.array(1), exclusive=1)
        is_kept = g.add("Less", before, np.float64(_KEPT_MASS))
        numbers = g.add("ReduceSum", g.cast(is_kept, np.int64), np.array([1]), keepdims=0)
        numbers = g.add("Concat", numbers, np.array([1]), axis=0)  # there may be no rows
        return _Likely(sets, g.add("Where", is_kept, p, _ZERO), g.add("ReduceMax", numbers, keepdims=0))

    def _target(self, posterior: str, likely: _Likely) -> tuple[str | None, str]:
        """Return the expected relevant rows of each set (n, u), for several labels; the target code (n, n_bits)."""
        g = self._graph
        relevant = None
        if self._share is None:
            weighted = g.add("Mul", posterior, self._flattened)
        else:
            relevances = self._relevances(posterior, likely)
            relevant = g.add("Mul", self._counts, relevances)
            weighted = g.add("Mul", relevant, relevances)
            # Sets without labels: nothing is relevant, and the posterior itself is the target.
            weighted = g.add("Where", g.add("Greater", g.rows_max(weighted), _ZERO), weighted, posterior)
        total = g.rows_sum(g.cast(weighted, np.float64))
        summed = g.cast(self._of_sets.add_to(g, weighted), np.float64)
        return relevant, g.cast(g.add("Div", summed, total), np.float32)

    def _relevances(self, posterior: str, likely: _Likely) -> str:
        """Return the probability that each set has a label in common with the row, (n, u)."""
        g = self._graph
        share = g.cast(np.asarray(self._share), np.float32)

        def step(inner: Graph, i: str, carried: list[str]) -> list[str]:
            sets, p = (inner.add("Gather", each, i, axis=1) for each in (likely.sets, likely.probabilities))
            added = inner.add("Mul", inner.add("Unsqueeze", p, np.array([1])), inner.add("Gather", share, sets))
            return [inner.add("Add", carried[0], added)]

        return g.loop(likely.most, [g.add("Mul", posterior, _ZERO)], np.float32, step)[0]

    def _weights(self, target: str) -> str:
        """Return f (n, n_bits) of the log-linear model after accelerated gradient steps."""
        size = _ONE / (np.float32(0.75) * np.float32(self._n_bits) + _RIDGE)

        def step(inner: Graph, i: str, carried: list[str]) -> list[str]:
            f, ahead = carried
            z = self._of_bits.add_to(inner, ahead)
            z = inner.add("Max", inner.add("Sub", z, inner.rows_max(z)), _LEAST_EXPONENT)
            exponentials = _exp(inner, z)
            # The largest is 1. With a constant, runtimes would take 1 / x * y for y / x, which rounds otherwise.
            one = inner.rows_max(exponentials)
            scale = inner.add("Div", one, _ordered_row_sum(inner, exponentials))
            model = inner.add("Mul", self._of_sets.add_to(inner, exponentials), scale)
            slope = inner.add("Add", inner.add("Sub", model, target), inner.add("Mul", _RIDGE, ahead))
            after = inner.add("Sub", ahead, inner.add("Mul", size, slope))
            k = inner.cast(i, np.float32)
            momentum = inner.add("Div", k, inner.add("Add", k, np.float32(3)))
            return [after, inner.add("Add", after, inner.add("Mul", momentum, inner.add("Sub", after, f)))]

        zero = self._graph.add("Mul", target, _ZERO)
        return self._graph.loop(np.array(_N_STEPS), [zero, zero], np.float32, step)[0]

    def _best_code(self, likely: _Likely, relevant: str | None, values: list[str]) -> str:
        """Return the best of a few codes (n, n_bits) bool, after up to two flips."""
        g = self._graph
        starts = [g.add("Greater", value, _ZERO) for value in values]
        starts.append(g.add("Gather", self._is_positive, g.add("Gather", likely.sets, np.array(0), axis=1)))
        best, most = starts[0], self._precisions(starts[0], likely, relevant, flips=False)
        for code in starts[1:]:
            precision = self._precisions(code, likely, relevant, flips=False)
            is_better = g.add("Greater", precision, most)
            # Exchanged by logic: runtimes have no choice among values of type bool.
            best = g.add("Or", g.add("And", is_better, code), g.add("And", g.add("Not", is_better), best))
            most = g.add("Where", is_better, precision, most)
        gain: Any = _LEAST_GAIN
        if relevant is not None:
            total = g.rows_sum(g.cast(relevant, np.float64))
            gain = g.add("Mul", _LEAST_GAIN, g.cast(total, np.float32))
        for _ in range(_MOST_FLIPS):
            precisions = self._precisions(best, likely, relevant, flips=True)
            top = g.rows_max(precisions)
            is_better = g.add("Greater", top, g.add("Add", most, gain))
            bit = g.add("ArgMax", precisions, axis=1, keepdims=1)
            flipped = g.add("And", is_better, g.add("Equal", bit, np.arange(self._n_bits)[None]))
            best, most = g.add("Xor", best, flipped), g.add("Where", is_better, top, most)
        return str(best)

    # --- expected precision -------------------------------------------------------------------------------------------

    def _precisions(self, code: str, likely: _Likely, relevant: str | None, *, flips: bool) -> str:
        """Return the expected precision of codes (n, 1), or of the codes with each of the bits flipped, (n, n_bits)."""
        g = self._graph
        at = self._levels_of_sets(code, flips)
        n_rows = g.add("Shape", code, start=0, end=1)
        n_columns = self._n_bits if flips else 1
        shape = g.add("Concat", n_rows, np.array([self._n_bits + 3, n_columns]), axis=0)
        levels = self._summed(at, self._counts[None], shape)
        if relevant is None:
            return self._average_precisions(levels, at, likely, flips)
        return self._graded_precisions(levels, self._summed(at, relevant, shape))

    def _levels_of_sets(self, code: str, flips: bool) -> str:
        """Return the level of each set, (n, u, 1) or after the flip of each bit (n, u, n_bits), int64.

        Level d is that of distance d - 1. By a flip, sets whose codes have another bit come one nearer, the others one
        farther.
        """
        g = self._graph
        signs = self._is_positive.astype(np.float32)
        ones = g.cast(code, np.float32)
        common = g.add("MatMul", ones, np.ascontiguousarray(2 * signs.T))
        distances = g.add("Sub", g.add("Add", g.rows_sum(ones), signs.sum(axis=1)), common)
        distances = g.add("Unsqueeze", g.cast(distances, np.int64), np.array([2]))
        if not flips:
            return str(g.add("Add", distances, np.array(1)))
        is_other = g.add("Xor", self._is_positive[None], g.add("Unsqueeze", code, np.array([1])))
        return str(g.add("Add", distances, g.add("Where", is_other, np.array(0), np.array(2))))

    def _summed(self, at: str, values: Any, shape: str) -> str:
        """Return sums of values (n, u) or (1, u) of the sets at each level, in the order of the sets."""
        g = self._graph
        updates = g.add("Expand", g.add("Unsqueeze", values, np.array([2])), g.add("Shape", at))
        return str(g.add("ScatterElements", g.add("Expand", _ZERO, shape), at, updates, axis=1, reduction="add"))

    def _average_precisions(self, levels: str, at: str, likely: _Likely, flips: bool) -> str:
        """Return the expected average precision where each set is one label."""
        g = self._graph
        if flips:
            before = g.add("CumSum", levels, np.array(1), exclusive=1)
        else:
            before = g.add("Sub", g.add("CumSum", levels, np.array(1)), levels)
        depths = g.add("Div", _ONE, g.add("Add", g.add("Add", g.add("Add", before, before), levels), _ONE))
        depths = g.add("GatherElements", depths, at, axis=1)  # of each set
        counts, factors = g.add("Identity", self._counts), g.add("Identity", _ONE + _ONE / self._counts)

        def step(inner: Graph, i: str, carried: list[str]) -> list[str]:
            index = inner.add("Unsqueeze", i, np.array([0]))
            sets, p = (inner.add("Gather", each, index, axis=1) for each in (likely.sets, likely.probabilities))
            depth = inner.add("GatherND", depths, sets, batch_dims=1)
            x = inner.add("Mul", inner.add("Gather", counts, sets), depth)
            rest = inner.add("Sub", _ONE, inner.add("Mul", x, inner.add("Gather", factors, sets)))
            precision = inner.add("Sub", _ONE, inner.add("Mul", rest, _atanh_ratio(inner, x)))
            return [inner.add("Add", carried[0], inner.add("Mul", p, precision))]

        zero = g.add("Mul", g.add("Gather", levels, np.array(0), axis=1), _ZERO)
        return g.loop(likely.most, [zero], np.float32, step)[0]

    def _graded_precisions(self, levels: str, relevant_levels: str) -> str:
        """Return the sum of precisions where rows are relevant by degrees."""
        g = self._graph

        def step(inner: Graph, i: str, carried: list[str]) -> list[str]:
            rows_before, relevant_before, total = carried
            rows, relevant = (inner.add("Gather", each, i, axis=1) for each in (levels, relevant_levels))
            is_empty = inner.add("LessOrEqual", rows, _ZERO)
            degree = inner.add("Div", relevant, inner.add("Where", is_empty, _ONE, rows))
            depth = inner.add("Add", inner.add("Add", inner.add("Add", rows_before, rows_before), rows), _ONE)
            x = inner.add("Div", rows, depth)
            rest = inner.add("Sub", inner.add("Add", relevant_before, _ONE), degree)
            rest = inner.add("Sub", rest, inner.add("Mul", degree, rows_before))
            twice = inner.add("Mul", inner.add("Add", x, x), _atanh_ratio(inner, x))
            share = inner.add("Mul", degree, inner.add("Add", relevant, inner.add("Mul", rest, twice)))
            return [
                inner.add("Add", rows_before, rows),
                inner.add("Add", relevant_before, relevant),
                inner.add("Add", total, share),
            ]

        zero = g.add("Mul", g.add("Gather", levels, np.array(0), axis=1), _ZERO)
        return g.loop(np.array(self._n_bits + 3), [zero, zero, zero], np.float32, step)[2]


# --- float32 in the order of the core ---------------------------------------------------------------------------------


class _OrderedProduct:
    """Products x M (n, r) of rows x (n, u) with a matrix M (u, r), float32, each a sum in the order of the core.

    Where M holds only -1 and +1, four terms at a time are chosen from the sums of all their signs, as there.
    """

    def __init__(self, M: NDArray[np.float32]) -> None:
        self._M = M
        self._only_signs = bool((np.abs(M) == 1).all())
        self._n_fours = -(-len(M) // 4)

    def add_to(self, g: Graph, x: str) -> str:
        """Add the product to a graph and return it."""
        if not self._only_signs:
            return _ordered_sum(g, g.add("Mul", g.add("Unsqueeze", x, np.array([2])), self._M))
        padding = 4 * self._n_fours - len(self._M)
        padded = g.add("Pad", x, np.array([0, 0, 0, padding])) if padding else x
        fours = g.add("Reshape", padded, np.array([-1, self._n_fours, 2, 2]))
        first, second = (g.add("Gather", fours, np.array(i), axis=3) for i in (0, 1))
        total, difference = g.add("Add", first, second), g.add("Sub", first, second)
        # Of both pairs of a four (n, fours, 2), by two signs.
        pairs = [g.add("Neg", total), difference, g.add("Neg", difference), total]
        pairs = [g.add("Unsqueeze", pair, np.array([3])) for pair in pairs]
        of_pairs = g.add("Concat", *pairs, axis=3)
        low, high = (g.add("Gather", of_pairs, np.array(i), axis=2) for i in (0, 1))
        sums = g.add("Add", g.add("Unsqueeze", low, np.array([2])), g.add("Unsqueeze", high, np.array([3])))
        flat = g.add("Reshape", sums, np.array([-1, 16 * self._n_fours]))
        return _ordered_sum(g, g.add("Gather", flat, self._chosen(), axis=1))

    def _chosen(self) -> NDArray[np.int64]:
        """Return which sum each four of signs of a column takes, (fours, r)."""
        signs = np.pad(self._M > 0, ((0, 4 * self._n_fours - len(self._M)), (0, 0)))
        numbers = np.einsum("fsr,s->fr", signs.reshape(self._n_fours, 4, -1).astype(np.int64), 2 ** np.arange(4))
        chosen: NDArray[np.int64] = numbers + 16 * np.arange(self._n_fours)[:, None]
        return chosen


def _ordered_sum(g: Graph, terms: str) -> str:
    """Return the sums of terms (n, u, r) over their second axis, in order, (n, r)."""
    return str(g.add("Gather", g.add("CumSum", terms, np.array(1)), np.array(-1), axis=1))


def _ordered_row_sum(g: Graph, terms: str) -> str:
    """Return the sums of rows (n, u) in order, (n, 1)."""
    return str(g.add("Gather", g.add("CumSum", terms, np.array(1)), np.array([-1]), axis=1))


def _exp(g: Graph, x: str) -> str:
    """Return exponentials of values from -87 to 0."""
    shifted = g.add("Add", g.add("Mul", x, np.float32(np.log2(np.e))), _ROUNDER)
    k = g.add("Sub", shifted, _ROUNDER)
    y = g.add("Sub", x, g.add("Mul", k, np.float32(_COARSE_LOG_2)))
    y = g.add("Sub", y, g.add("Mul", k, np.float32(np.log(2) - _COARSE_LOG_2)))
    e = g.add("Add", g.add("Mul", y, _ONE / np.float32(720)), _ONE / np.float32(120))
    for coefficient in (_ONE / np.float32(24), _ONE / np.float32(6), np.float32(0.5), _ONE, _ONE):
        e = g.add("Add", g.add("Mul", y, e), coefficient)
    return str(g.add("Mul", e, g.add("Gather", _POWERS, g.cast(g.add("Neg", k), np.int64))))


def _series(g: Graph, x: str) -> str:
    """Return atanh(x) / x of values up to 0.3, by Taylor's series."""
    square = g.add("Mul", x, x)
    a = g.add("Add", g.add("Mul", square, _ONE / np.float32(11)), _ONE / np.float32(9))
    for n in (7, 5, 3):
        a = g.add("Add", g.add("Mul", square, a), _ONE / np.float32(n))
    return str(g.add("Add", g.add("Mul", square, a), _ONE))


def _atanh_ratio(g: Graph, x: str) -> str:
    """Return atanh(x) / x of values from 0 to below 1."""
    is_long = g.add("Greater", x, _SHORT_SERIES)
    z = g.add("Where", is_long, g.add("Min", x, _BELOW_ONE), np.float32(0.5))
    ratio = g.add("Div", g.add("Add", _ONE, z), g.add("Sub", _ONE, z))
    # ratio = 2^k m with m from sqrt(1/2) to sqrt(2); k is exact, since no float32 is so near below a power of two.
    scaled = g.add("Div", g.cast(ratio, np.float64), np.float64(_ROOT_HALF))
    exponent = g.add("Div", g.add("Log", scaled), np.log(2.0))
    k = g.cast(g.add("Floor", g.add("Add", exponent, np.float64(1e-9))), np.int64)
    m = g.add("Mul", ratio, g.add("Gather", _POWERS, k))
    s = g.add("Div", g.add("Sub", m, _ONE), g.add("Add", m, _ONE))
    half_log_2 = np.float32(0.5) * np.float32(np.log(2.0))
    half_log = g.add("Add", g.add("Mul", g.cast(k, np.float32), half_log_2), g.add("Mul", s, _series(g, s)))
    return str(g.add("Where", is_long, g.add("Div", half_log, z), _series(g, x)))
