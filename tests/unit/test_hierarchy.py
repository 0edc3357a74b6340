import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash.methods.parts.hierarchy import (
    affiliations_with_finest,
    check_affiliations,
    count_classes,
    label_layers,
    label_matrices,
)


def matrices(labels, hierarchy=(), n=None, n_classes=None):
    affiliations = check_affiliations(list(hierarchy))
    layers = label_layers(labels, len(affiliations) + 1, n if n is not None else len(labels))
    if affiliations:
        sizes = [len(affiliations[0]), *(a.shape[1] for a in affiliations)]
    else:
        sizes = [n_classes or count_classes(layers[0])]
    return label_matrices(layers, affiliations, sizes, 0)


def test_parents_and_matrices_say_the_same():
    parents = check_affiliations([[0, 1, 0], [2, 0, 1, 1]])
    given = check_affiliations(
        [np.array([[1, 0, 1], [0, 1, 0]]), csr_array(np.eye(4)[[1, 2, 0]] + np.eye(4)[[1, 3, 0]] > 0)]
    )
    np.testing.assert_array_equal(parents[0], given[0])
    np.testing.assert_array_equal(parents[1], given[1])


def test_ancestors_of_the_finest():
    first, second = affiliations_with_finest(check_affiliations([[0, 1, 0], [2, 0, 1, 1]]))
    np.testing.assert_array_equal(first, [[1, 1, 0, 0], [0, 0, 1, 1]])
    np.testing.assert_array_equal(second, [[0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]])


def test_two_ways_to_an_ancestor_count_twice():
    """The product of the matrices, as it is defined; in a tree there is one way."""
    diamond = [np.array([[1, 1]]), np.array([[1, 1], [0, 1]])]
    np.testing.assert_array_equal(affiliations_with_finest(check_affiliations(diamond))[0], [[1, 2]])


def test_labels_in_every_form():
    hierarchy = [[0, 0, 1]]
    fine = np.array([2, 0, 1])
    expected = [np.eye(2)[[1, 0, 0]], np.eye(3)[fine]]
    for labels in (
        fine,
        fine.tolist(),
        np.eye(3)[fine],
        csr_array(np.eye(3)[fine]),
        [np.array([1, 0, 0]), fine],
        ([1, 0, 0], [2, 0, 1]),
        [np.eye(2)[[1, 0, 0]], csr_array(np.eye(3)[fine])],
        np.eye(3)[fine].tolist(),
    ):
        for got, want in zip(matrices(labels, hierarchy, n=3), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_one_layer_takes_an_array_or_a_list_of_one():
    want = np.eye(4)[[0, 3]]
    for labels in ([0, 3], [np.array([0, 3])], want, want.tolist(), [want], [csr_array(want)]):
        np.testing.assert_array_equal(matrices(labels, n=2)[0], want)
    assert matrices([0, 3], n=2, n_classes=6)[0].shape == (2, 6)


def test_rows_whose_finer_classes_are_unknown():
    """-1 and a row of zeros say the same, in any layer but the first."""
    hierarchy = [[0, 1, 0], [2, 0, 1, 1]]
    expected = [np.eye(2)[[1, 0, 0]], [[0, 1, 0], [0, 0, 0], [1, 0, 0]], [[0, 0, 0, 1], [0] * 4, [0] * 4]]
    for labels in (
        [[1, 0, 0], [1, -1, 0], [3, -1, -1]],
        [np.array([1, 0, 0], np.uint8), np.array([1, -1, 0], np.int8), np.array(expected[2])],
        [np.eye(2)[[1, 0, 0]], csr_array(np.array(expected[1])), np.array([3, -1, -1])],
    ):
        for got, want in zip(matrices(labels, hierarchy, n=3), expected, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("hierarchy", "error", "message"),
    [
        ("ab", TypeError, "hierarchy must be a list with one entry for each pair of layers, got str"),
        (np.array([0, 0]), TypeError, "hierarchy must be a list with one entry for each pair of layers, got ndarray"),
        ([[0.5]], TypeError, r"hierarchy\[0\] must be class indices of an integer dtype"),
        ([[0, -1]], ValueError, r"hierarchy\[0\] must be class indices from 0 to 16777215, got -1"),
        ([[[0, 1], [1]]], ValueError, r"hierarchy\[0\] must be an array, got rows of unequal length"),
        ([np.zeros(0, int)], ValueError, r"hierarchy\[0\] must name the parent of at least one class"),
        ([[0, 1], [0, 2]], ValueError, r"hierarchy\[1\] must be class indices from 0 to 1, got 2"),
        (
            [np.array([[1, 0]])],
            ValueError,
            r"hierarchy\[0\] must give every class a parent, class 1 of layer 1 has none",
        ),
        ([[0, 1], np.eye(3)], ValueError, r"hierarchy\[1\] must have 2 rows, the classes of layer 1, got 3"),
        ([np.array([[2, 1]])], ValueError, r"hierarchy\[0\] must hold only 0 and 1"),
    ],
)
def test_wrong_hierarchies(hierarchy, error, message):
    with pytest.raises(error, match=message):
        check_affiliations(hierarchy)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([[0, 1], [0, 2], [1, 1]], ValueError, "labels must have one entry for each of 2 layers, got 3"),
        ([[0, 1, 1], [0, 2]], ValueError, r"labels\[0\] must have 2 rows, as the views have, got shape \(3,\)"),
        (np.array([0, 3]), ValueError, "labels must be class indices from 0 to 2, got 3 in row 1"),
        (np.array([0, -1]), ValueError, "labels must be class indices from 0 to 2, got -1 in row 1"),
        (
            np.array([0, -1]),
            ValueError,
            "got -1 in row 1; rows whose finest class is unknown need labels of the coarser layers: a list of one",
        ),
        (
            np.zeros((2, 3)),
            ValueError,
            "none in rows 0, 1; rows whose finest class is unknown need labels of the coarse",
        ),
        ([[0, -1], [0, -1]], ValueError, r"labels\[0\] must be class indices from 0 to 1, got -1 in row 1"),
        (
            [[0, 0], [0, -2]],
            ValueError,
            r"labels\[1\] must be class indices from 0 to 2, or -1 for a class that is not known, got -2",
        ),
        (np.array([0.0, 1.0]), TypeError, "labels must be class indices of an integer dtype, got float64"),
        ([np.eye(2), np.eye(4)[:2]], ValueError, r"labels\[1\] must have shape \(n,\) or \(n, 3\), got \(2, 4\)"),
        (np.array([[0, 0, 1], [0, 0, 0]]), ValueError, "labels must give every row a label, none in row 1"),
        ([np.zeros((2, 2)), np.eye(3)[:2]], ValueError, r"labels\[0\] must give every row a label, none in rows 0, 1"),
        (np.array([[0, 0, 1], [0, np.nan, 1]]), ValueError, "labels must hold only 0 and 1, wrong in row 1"),
        (
            [[0, 0], [0, 2]],
            ValueError,
            "labels must agree with the hierarchy: in row 1 those of layer 0 are not the parents of those of layer 1",
        ),
        ([np.ones((2, 2)), np.array([0, 2])], ValueError, "labels must agree with the hierarchy: in rows 0, 1 those"),
    ],
)
def test_wrong_labels(labels, error, message):
    with pytest.raises(error, match=message):
        matrices(labels, [[0, 0, 1]], n=2)


def test_a_layer_below_an_unknown_one_is_unknown():
    labels = [np.array([0, 0]), np.array([0, -1]), np.array([0, 1])]
    with pytest.raises(ValueError, match="in row 1 those of layer 1 are not the parents of those of layer 2"):
        matrices(labels, [[0, 0], [0, 1]], n=2)


def test_many_wrong_rows_are_counted():
    with pytest.raises(ValueError, match="none in rows 0, 1, 2, 3, 4 and 15 more"):
        matrices(np.zeros((20, 3)), [[0, 0, 1]])
