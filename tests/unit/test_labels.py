"""How many classes labels show, and when that is taken for a mistake."""

import time

import numpy as np
import pytest

from pyhash import LEMON, SEOCH, SHOH
from pyhash._inputs.labels import count_class_indices
from pyhash.datasets import Dataset
from pyhash.evaluation import class_distances


@pytest.mark.parametrize(
    "classes",
    [
        [0],
        [999],  # a first chunk of one row
        [3, 999, 17],
        np.arange(20_000),  # as many rows as classes
        np.append(np.arange(5_000), 19_999),  # a rare class of a large set
        4 * np.arange(4_000),  # a first chunk that has a quarter of the classes
    ],
)
def test_classes_that_may_be_meant_are_counted(classes):
    classes = np.asarray(classes)
    assert count_class_indices("labels", classes) == classes.max() + 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            [1000],
            r"got 1000 in row 0 where 1 rows have 1 distinct ones; .* if there are 1001 classes, pass n_classes",
        ),
        (np.append(np.zeros(20_000, int), 20_000), "got 20000 in row 20000 where 20001 rows have 2 distinct ones"),
        (np.append(np.arange(200) % 10, 1999), "got 1999 in row 200 where 201 rows have 11 distinct ones"),
        ([1, 5_000_000, 2, 2], "got 5000000 in row 1 where 4 rows have 3 distinct ones; relabel them by numpy.unique"),
        (16 * np.arange(4_000), "got 63984 in row 3999 where 4000 rows have 4000 distinct ones"),
    ],
)
def test_classes_far_above_the_distinct_ones_are_refused(classes, message):
    with pytest.raises(ValueError, match=f"labels must be class indices counted from 0, {message}"):
        count_class_indices("labels", np.asarray(classes))


def test_one_mistaken_class_index_costs_seconds_at_most(rng):
    """In SEOCH, whose time grows fastest with the number of classes: .9 s for 1,000 of them, minutes for 10,000."""
    X, labels = rng.standard_normal((200, 5)), np.arange(200) % 10
    start = time.process_time()
    labels[7] = 999
    SEOCH(16).fit({"x": X}, labels)
    for mistaken in (1999, 9999):
        labels[7] = mistaken
        with pytest.raises(ValueError, match=f"got {mistaken} in row 7 where 200 rows have 11 distinct ones"):
            SEOCH(16).fit({"x": X}, labels)
    assert time.process_time() - start < 10


def test_the_way_out_works():
    x = {"x": [[1.0, 0.0], [0.0, 1.0]]}
    with pytest.raises(ValueError, match="pass n_classes"):
        LEMON(4).partial_fit(x, [1, 30_000])
    model = LEMON(4, n_classes=30_001).partial_fit(x, [1, 30_000])
    assert model.codes_.shape == (2, 1)
    with pytest.raises(
        ValueError, match=r"hierarchy\[0\] must be class indices counted from 0, .* give the 0/1 matrix"
    ):
        SHOH(4, hierarchy=[[0, 5_000_000]]).partial_fit(x, [0, 1])


def test_distances_of_mistaken_classes_are_refused():
    codes = np.zeros((3, 1), np.uint8)
    with pytest.raises(ValueError, match="labels must be class indices counted from 0, got 5000000 in row 2"):
        class_distances(codes, [0, 1, 5_000_000], n_bits=8)


def test_a_comparison_refuses_mistaken_classes():
    from pyhash.comparison import compare

    labels = np.array([0, 1, 5_000_000] * 10)
    data = Dataset(
        "ids", {"x": np.ones((30, 3)), "y": np.ones((30, 3))}, {"id": labels}, {}, [], (), {"s": labels == 0}
    )
    with pytest.raises(ValueError, match=r"labels\['id'\] must be class indices counted from 0, got 5000000 in row 2"):
        compare(data, {"lemon": lambda n_bits, seed: LEMON(n_bits)}, bits=[8], views=["x", "y"], labels="id", split="s")
