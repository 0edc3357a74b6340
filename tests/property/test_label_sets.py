"""The table of label sets against samples that are all kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from reference.descent import share_a_label

from pyhash.methods.parts.label_sets import LabelSets


@given(
    n_classes=st.integers(1, 19),
    sizes=st.lists(st.integers(1, 12), max_size=4),
    n_new=st.integers(0, 10),
    density=st.sampled_from([0.05, 0.3, 0.9]),
    seed=st.integers(0, 2**32),
)
def test_codes_of_similar_samples_are_summed_as_if_all_were_kept(n_classes, sizes, n_new, density, seed):
    rng = np.random.default_rng(seed)
    table, labels, codes = LabelSets.empty(n_classes, 5), np.zeros((0, n_classes)), np.zeros((0, 5))
    for n in sizes:
        L = (rng.random((n, n_classes)) < density).astype(float)
        B = rng.choice([-1, 1], size=(n, 5)).astype(np.int8)
        table = table.add(L, B)
        labels, codes = np.concatenate([labels, L]), np.concatenate([codes, B])
    new = (rng.random((n_new, n_classes)) < density).astype(float)
    np.testing.assert_array_equal(table.codes_of_similar(new), share_a_label(new, labels) @ codes)
    assert table.counts.sum() == len(labels)
    assert len(table.sets) == len(np.unique(labels, axis=0))
