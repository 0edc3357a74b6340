"""Sums of models of any parts of the data, and of those that forgot any rows, against rows that are all kept."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pyhash import BOCH, RBFAnchors, merge

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N_CLASSES = 3


class Rows:
    """Rows of two modalities, some of which lack one."""

    def __init__(self, n, rng):
        self.labels = rng.integers(0, N_CLASSES, size=n)
        self.views = {"a": rng.standard_normal((n, 3)), "b": rng.standard_normal((n, 2))}
        self.present = {"a": rng.random(n) < 0.8, "b": rng.random(n) < 0.8}
        self.present["b"] |= ~self.present["a"]
        for mark in self.present.values():
            mark[0] = True  # the maps are fitted to it at least

    def of(self, rows):
        """The arguments with which some rows are learned and forgotten."""
        views, present = ({name: x[rows] for name, x in each.items()} for each in (self.views, self.present))
        return (views, self.labels[rows]), {"present": present}

    def learn(self, model, rows):
        arguments, options = self.of(rows)
        return model.partial_fit(*arguments, **options)

    def forget(self, model, rows, ids=None):
        arguments, options = self.of(rows)
        return model.forget(*arguments, **options, ids=ids)


def sums_over(X, present, B, L):
    """All that a model sums up of one modality, from mapped rows X."""
    X, B, L = X[present], B[present], L[present]
    return {
        "XX": X.T @ X, "XB": X.T @ B, "XL": X.T @ L, "X": X.sum(axis=0),
        "counts": np.concatenate([[len(X)], L.sum(axis=0)]),
    }  # fmt: skip


def assert_sums_are(found, expected):
    for name, array in expected.items():
        assert_allclose(getattr(found, name), array, rtol=0, atol=1e-9 * max(1.0, np.abs(array).max(initial=0)))


@settings(max_examples=30)
@given(
    n=st.integers(2, 40),
    n_parts=st.integers(1, 5),
    n_gone=st.integers(0, 40),
    max_chunk=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_any_parts_add_up_less_any_rows(n, n_parts, n_gone, max_chunk, seed):
    rng = np.random.default_rng(seed)
    rows = Rows(n, rng)
    maps = {"a": RBFAnchors(5, centered=True), "b": None}
    base = rows.learn(BOCH(8, feature_maps=maps, encoder="bits"), np.arange(n))
    parts, part_of = [], rng.integers(0, n_parts, size=n)  # some parts may be empty
    for i in range(n_parts):
        part, mine = base.emptied(), rng.permutation(np.flatnonzero(part_of == i))
        for start in range(0, len(mine), max_chunk):
            rows.learn(part, mine[start : start + max_chunk])
        parts.append(part)
    merged = merge(parts)
    gone = rng.permutation(n)[:n_gone]
    for some in np.array_split(gone, 2):
        if len(some):
            rows.forget(merged, some)
    left = np.setdiff1d(np.arange(n), gone)
    assert merged.n_samples_seen_ == len(left)
    B, L = np.unpackbits(base.codes_, axis=1, bitorder="little") * 2.0 - 1, np.eye(N_CLASSES)[rows.labels]
    L = L[:, : merged._state.n_classes]
    for name, x in rows.views.items():
        X = x if name == "b" else base._state.maps["a"].transform(x)
        expected = sums_over(X[left], rows.present[name][left], B[left], L[left])
        assert_sums_are(merged._state.sums[name], expected)
    sets = merged._state.label_sets
    assert dict(zip(sets.classes, sets.counts, strict=True)) == {
        c: np.count_nonzero(rows.labels[left] == c) for c in np.unique(rows.labels[left])
    }


def kernel(rows, anchors, width):
    return np.exp(-((rows[:, None] - anchors[None]) ** 2).sum(axis=2) / (2 * width**2))


def features_as_learned(feature_map, X, n_at):
    """Mapped rows, each as it was when there were so many anchors, completed at those that joined later."""
    A, width, joined = feature_map.anchors_, feature_map.width_, feature_map.joined
    Z = np.zeros((len(X), len(A)))
    for i, (x, n) in enumerate(zip(X, n_at, strict=True)):
        z = kernel(x[None], A[:n], width)[0] - feature_map.mean_[:n]
        for n_old, n_new in pairwise(joined):
            if n_old >= n:
                K = kernel(A[:n_old], A[:n_old], width) + 1e-6 * joined[0] * np.eye(n_old)
                z = np.concatenate([z, z @ np.linalg.solve(K, kernel(A[:n_old], A[n_old:n_new], width))])
        Z[i] = z
    return Z


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    n_anchors=st.integers(1, 5),
    grow=st.integers(1, 3),
    n_gone=st.tuples(st.integers(0, 15), st.integers(1, 15)),
    seed=st.integers(0, 2**32),
)
def test_rows_are_forgotten_as_they_were_when_a_map_had_fewer_anchors(sizes, n_anchors, grow, n_gone, seed):
    rng = np.random.default_rng(seed)
    rows = Rows(sum(sizes), rng)
    maps = {"a": RBFAnchors(n_anchors, grow=grow, max_anchors=10, centered=True), "b": None}
    model, n_at, codes = BOCH(8, feature_maps=maps, encoder="bits"), [], []
    for size in sizes:
        rows.learn(model, np.arange(len(n_at), len(n_at) + size))
        n_at += size * [model._state.n_mapped["a"]]
        codes.append(model.codes_)
    n, of_map = len(n_at), model._state.maps["a"]
    Z = features_as_learned(of_map, rows.views["a"], np.array(n_at))
    B = np.unpackbits(np.concatenate(codes), axis=1, bitorder="little") * 2.0 - 1
    L = np.eye(model._state.n_classes)[rows.labels]
    row_of_anchor = np.array([np.flatnonzero((rows.views["a"] == anchor).all(axis=1))[0] for anchor in of_map.anchors_])
    left, order = np.arange(n), rng.permutation(n)
    columns, can_go = np.arange(len(row_of_anchor)), np.ones(n, dtype=bool)
    for gone in np.split(order, [n_gone[0]])[: 1 + (n_gone[1] > 0)]:
        some = gone[: n_gone[1]]
        if len(some) == 0:
            continue
        before, dropped = copy.copy(model), np.isin(row_of_anchor[columns], some)
        if not can_go[some].all() or dropped.all():
            with pytest.raises(ValueError, match=r"^ids must be of rows that can still|^ids must leave"):
                rows.forget(model, some, ids=some)
            assert model._state is before._state
            continue
        rows.forget(model, some, ids=some)
        # Columns that were completed from an anchor that is gone now: whose rows joined before the last growth.
        joined = [width for width in before._state.maps["a"].joined if width < len(columns)]
        if joined and dropped[: joined[-1]].any():
            widths = before._state.origins["a"].widths
            can_go &= widths > joined[-1]
        left, columns = np.setdiff1d(left, some), columns[~dropped]
        expected = sums_over(Z[left][:, columns], rows.present["a"][left], B[left], L[left])
        assert_sums_are(model._state.sums["a"], expected)
        assert_sums_are(
            model._state.sums["b"], sums_over(rows.views["b"][left], rows.present["b"][left], B[left], L[left])
        )
        assert_array_equal(model._state.maps["a"].anchors_, of_map.anchors_[columns])
        assert_array_equal(model._state.origins["a"].anchors, row_of_anchor[columns])
