import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import class_distances as oracle
from scipy.sparse import csr_array

from pyhash import codes
from pyhash.evaluation import class_distances


def check(result, signs, label_sets, n_classes):
    centers = oracle.class_centers(signs.tolist(), label_sets, n_classes)
    n_bits = signs.shape[1]
    np.testing.assert_array_equal(result.distances, oracle.class_distances(centers))
    for c, center in enumerate(centers):
        found = codes.unpack(result.centers[[c]], n_bits)[0].tolist()
        assert found == ([-1] * n_bits if center is None else center)
    assert result.counts.tolist() == [sum(c in labels for labels in label_sets) for c in range(n_classes)]
    assert (result.distances.dtype, result.centers.dtype, result.counts.dtype) == (np.float64, np.uint8, np.int64)
    assert result.n_bits == n_bits


@pytest.mark.parametrize("n_bits", [1, 5, 8, 32, 77])
def test_one_class_each(rng, n_bits):
    signs = rng.choice([-1, 1], size=(60, n_bits))
    labels = rng.choice([0, 1, 3, 4], size=60)
    sets = [{c} for c in labels.tolist()]
    check(class_distances(codes.pack(signs), labels, n_bits=n_bits), signs, sets, 5)
    check(class_distances(codes.pack(signs), labels, n_bits=n_bits, n_classes=7), signs, sets, 7)


@st.composite
def labelled_codes(draw):
    n, n_bits, n_classes = draw(st.integers(1, 12)), draw(st.integers(1, 18)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.choice([-1, 1], size=(n, n_bits)), rng.random((n, n_classes)) < draw(st.floats(0, 1))


@given(labelled_codes())
def test_several_classes_each(data):
    signs, matrix = data
    n_bits, sets = signs.shape[1], [set(np.flatnonzero(row).tolist()) for row in matrix]
    rows = codes.pack(signs)
    result = class_distances(rows, matrix, n_bits=n_bits)
    check(result, signs, sets, matrix.shape[1])
    check(class_distances(rows, csr_array(matrix.astype(int)), n_bits=n_bits), signs, sets, matrix.shape[1])
    # A center is a mean: neither the order of the samples nor their number counts.
    order = np.random.default_rng(0).permutation(len(rows))
    again = class_distances(np.tile(rows[order], (2, 1)), np.tile(matrix[order], (2, 1)), n_bits=n_bits)
    np.testing.assert_array_equal(again.distances, result.distances)
    np.testing.assert_array_equal(again.counts, 2 * result.counts)


def test_a_mean_of_zero_is_a_zero_bit():
    result = class_distances(codes.pack([[1, 1], [-1, 1]]), [0, 0], n_bits=2)
    assert codes.unpack(result.centers, 2).tolist() == [[-1, 1]]


def test_repr():
    result = class_distances(codes.pack([[1, 1, 1]]), [2], n_bits=3)
    assert repr(result) == "ClassDistances(3 classes, 3 bits; 2 without samples)"


ROWS = codes.pack([[1, 1, 1], [-1, 1, 1]])


@pytest.mark.parametrize(
    ("rows", "labels", "choices", "error", "message"),
    [
        (ROWS, [0, 1], {"n_bits": 0}, ValueError, "n_bits must be an integer from 1 to"),
        (ROWS, [0, 1], {"n_bits": 9}, ValueError, r"codes must have shape \(n, 2\) for n_bits=9, got \(2, 1\)"),
        (ROWS.astype(int), [0, 1], {}, TypeError, "codes must be packed codes of dtype uint8, got int64"),
        (ROWS[:0], [], {}, ValueError, "codes must have at least one row, got none"),
        (ROWS, [0], {}, ValueError, "labels must have 2 rows, as many as there are codes, got 1"),
        (ROWS, [[0, 1]], {}, ValueError, "labels must have 2 rows, as many as there are codes, got 1"),
        (ROWS, [0, -1], {}, ValueError, "labels must be class indices from 0 to 16777215, got -1 in row 1"),
        (ROWS, [0, 3], {"n_classes": 3}, ValueError, "labels must be class indices from 0 to 2, got 3 in row 1"),
        (ROWS, [0.5, 1], {}, TypeError, "labels must be class indices of an integer dtype, got float64"),
        (ROWS, [[0, 2], [1, 0]], {}, ValueError, "labels must hold only 0 and 1, wrong in row 0"),
        (ROWS, [[0], [1]], {"n_classes": 2}, ValueError, r"labels must have shape \(n,\) or \(n, 2\), got \(2, 1\)"),
        (ROWS, [0, 1], {"n_classes": 0}, ValueError, "n_classes must be an integer from 1 to 16777216, got 0"),
    ],
)
def test_wrong_input(rows, labels, choices, error, message):
    with pytest.raises(error, match=message):
        class_distances(rows, labels, **{"n_bits": 3, **choices})
