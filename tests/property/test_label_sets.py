"""The table of label sets against samples that are all kept."""

import copy
import pickle

import numpy as np
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
