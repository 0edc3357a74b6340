"""The table of label sets against samples that are all kept."""

import copy
import functools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.descent import share_a_label

from pyhash.methods.parts.label_sets import LabelSets

N_BITS = 5


class Kept:
    """A table, and all samples that it was made of."""

    def __init__(self, n_classes):
        self.table = LabelSets.empty(n_classes, N_BITS)
        self.labels, self.codes = np.zeros((0, n_classes)), np.zeros((0, N_BITS))

    def add(self, rng, n, density):
        more = copy.copy(self)
        L = (rng.random((n, self.labels.shape[1])) < density).astype(float)
        B = rng.choice([-1, 1], size=(n, N_BITS)).astype(np.int8)
        more.table = self.table.add(L, B)
        more.labels, more.codes = np.concatenate([self.labels, L]), np.concatenate([self.codes, B])
        return more

    def check(self, new):
        table = self.table
        np.testing.assert_array_equal(table.codes_of_similar(new), share_a_label(new, self.labels) @ self.codes)
        of_set = {}
        for labels, code in zip(self.labels, self.codes, strict=True):
            if labels.any():  # samples without a label are left out
                of_set.setdefault(tuple(labels), []).append(code)
        assert [tuple(labels) for labels in table.matrix] == list(of_set)  # in the order in which they came
        for count, total, codes in zip(table.counts, table.code_sums, of_set.values(), strict=True):
            assert count == len(codes)
            np.testing.assert_array_equal(total, np.sum(codes, axis=0))


@given(
    n_classes=st.integers(1, 19),
    # Each table is made of one of those before it: a stream, chunks that were given up, and streams side by side.
    steps=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6),
    n_new=st.integers(0, 10),
    density=st.sampled_from([0.05, 0.3, 0.9]),
    through=st.sampled_from([lambda table: table, copy.deepcopy, lambda table: pickle.loads(pickle.dumps(table))]),
    seed=st.integers(0, 2**32),
)
def test_a_table_sums_codes_as_if_all_samples_were_kept(n_classes, steps, n_new, density, through, seed):
    rng = np.random.default_rng(seed)
    tables = [Kept(n_classes)]
    for n, back in steps:
        tables.append(tables[-1 - min(back, len(tables) - 1)].add(rng, n, density))
        tables[-1].table = through(tables[-1].table)
    new = (rng.random((n_new, n_classes)) < density).astype(float)
    for kept in tables:
        kept.check(new)


@given(
    n_classes=st.integers(1, 19),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    density=st.sampled_from([0.05, 0.3, 0.9]),
    seed=st.integers(0, 2**32),
)
def test_tables_of_parts_add_up_to_that_of_all_and_less_a_part_are_that_of_the_rest(n_classes, sizes, density, seed):
    rng = np.random.default_rng(seed)
    parts = [Kept(n_classes).add(rng, n, density) for n in sizes]
    whole, together = Kept(n_classes), LabelSets.empty(n_classes, N_BITS)
    for part in parts:
        whole.labels = np.concatenate([whole.labels, part.labels])
        whole.codes = np.concatenate([whole.codes, part.codes])
        together = together.plus(part.table)
    whole.table = together
    whole.check(rng.integers(0, 2, size=(3, n_classes)).astype(float))
    rest = together.minus(parts[-1].table)
    before = functools.reduce(LabelSets.plus, [part.table for part in parts[:-1]], LabelSets.empty(n_classes, N_BITS))
    for name in ("sets", "counts", "code_sums"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(before, name))
    halved = together.scaled(0.5)
    np.testing.assert_array_equal(halved.plus(halved).counts, together.counts)
    np.testing.assert_array_equal(halved.mean_codes, together.mean_codes)


def test_a_table_has_no_more_samples_to_take_away_than_it_was_made_of():
    L, B = np.eye(3)[[0, 2, 2]], np.ones((3, N_BITS), dtype=np.int8)
    table = LabelSets.empty(3, N_BITS).add(L, B)
    with pytest.raises(ValueError, match=r"^2 rows have the labels \[2\], got 3 to take away$"):
        table.minus(table.add(L[2:], B[2:]))
    with pytest.raises(ValueError, match=r"^0 rows have the labels \[0, 1\], got 1 to take away$"):
        table.minus(LabelSets.empty(3, N_BITS).add(np.array([[1, 1, 0]]), B[:1]))
    np.testing.assert_array_equal(table.counts, [1, 2])
