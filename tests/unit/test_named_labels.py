"""Labels by name in every form that users have them, and the table that numbers them."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pyhash import LEMON, ModelFormatError, load
from pyhash._files.reading import read_archive
from pyhash._inputs.named_labels import is_named, label_from_json, label_rows, label_to_json, labels_of_entry
from pyhash.methods.parts.class_table import ClassTable

NAMES = ["dog", "cat", "dog", "eel"]
WITH_NONE = ["dog", None, "dog", "eel"]


def numbered(labels):
    """The classes and the indices of labels of a single layer."""
    table, (indices,) = ClassTable().with_labels([label_rows("labels", labels)])
    return table.labels()[0].tolist(), indices.toarray().tolist() if indices.ndim > 1 else indices.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        tuple(NAMES),
        np.array(NAMES),
        np.array(NAMES, object),
        pd.Series(NAMES),
        pd.Series(NAMES, dtype="string"),
        pd.Series(NAMES, dtype="category", index=[3, 1, 2, 0]),
        pd.Index(NAMES),
        pd.Categorical(NAMES),
        pl.Series(NAMES),
        pl.Series(NAMES, dtype=pl.Categorical),
        [{name} for name in NAMES],
        pd.Series([frozenset([name]) for name in NAMES]),
    ],
)
def test_names_are_numbered_by_their_first_appearance(labels):
    assert numbered(labels) == (["dog", "cat", "eel"], [0, 1, 0, 2])


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 2 has strings of any length")
def test_strings_of_numpy_2():
    assert numbered(np.array(NAMES, np.dtypes.StringDType())) == (["dog", "cat", "eel"], [0, 1, 0, 2])


@pytest.mark.parametrize(
    "labels",
    [
        WITH_NONE,
        np.array(WITH_NONE, object),
        ["dog", float("nan"), "dog", "eel"],
        pd.Series(WITH_NONE),
        pd.Series(WITH_NONE, dtype="string"),
        pd.Series(WITH_NONE, dtype="category"),
        ["dog", pd.NaT, "dog", "eel"],
        pl.Series(WITH_NONE),
        [{"dog"}, set(), {"dog", None}, {"eel"}],
        [{"dog"}, None, "dog", {"eel", pd.NA}],
    ],
)
def test_a_missing_label_is_none(labels):
    assert numbered(labels) == (["dog", "eel"], [0, -1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([900_000_001, 7, 900_000_001], object), [900_000_001, 7]),
        (["a", 1, "a"], ["a", 1]),
        ([b"\x00", "x", b"\x00"], [b"\x00", "x"]),
        (np.array([b"x", b"y", b"x"]), [b"x", b"y"]),
        ([("a", 1), ("b", 2), ("a", 1)], [("a", 1), ("b", 2)]),
        ([("a",), ("b", "c"), ("a",)], [("a",), ("b", "c")]),
        (np.array([0.5, True, 0.5], object), [0.5, True]),
        (pd.Series([3, 1, 3], dtype="category").astype(object), [3, 1]),
        ([np.str_("a"), np.int8(3), np.str_("a")], ["a", 3]),
    ],
)
def test_labels_of_other_types(labels, classes):
    found, indices = numbered(labels)
    assert (found, indices) == (classes, [0, 1, 0])
    assert [type(label) for label in found] == [type(label) for label in classes]


def test_labels_that_python_calls_equal_are_one_class():
    assert numbered(np.array([1, True, 1.0, "1"], object)) == ([1, "1"], [0, 0, 0, 1])


@pytest.mark.parametrize(
    "labels", [[0, 1], np.array([0, 1], np.uint8), pd.Series([0, 1]), [[0, 1], [1, 0]], [0.5, 1.0]]
)
def test_numbers_are_no_names(labels):
    assert not is_named(label_rows("labels", labels))


def test_sets_are_rows_of_a_matrix():
    assert numbered([{"b", "a"}, {"c"}, None, {"a", "c"}]) == (
        ["a", "b", "c"],
        [[True, True, False], [False, False, True], [False] * 3, [True, False, True]],
    )


def test_the_order_of_a_set_does_not_depend_on_hashes():
    """Python draws the hashes of strings anew in every process."""
    code = (
        "from pyhash._inputs.named_labels import labels_of_entry\n"
        "print(labels_of_entry('labels', {'b', 'a', 3, 2, ('z', 1), ('y', 'x'), b'q', 0.5, True}, 'row 0'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert labels_of_entry("labels", {10, 9, 2}, "row 0") == [2, 9, 10]


def test_tuples_in_tuples_have_a_limit():
    label = ("a",)
    for _ in range(7):
        label = (label,)
    assert labels_of_entry("labels", label, "row 0") == [label]
    for _ in range(5000):
        label = (label,)
    with pytest.raises(ValueError, match=r"^labels must have tuples nested at most 8 deep, got deeper ones in row 0$"):
        labels_of_entry("labels", label, "row 0")


@pytest.mark.parametrize(
    "label", ["", "é\ud800", 0, -(2**100), 2**1000, 0.1, 5e-324, True, b"", b"\xff", (), ("a", (b"b", 1.5, False))]
)
def test_labels_come_back_from_json(label):
    again = label_from_json(json.loads(json.dumps(label_to_json(label))))
    assert (again, type(again)) == (label, type(label))


@pytest.mark.parametrize("stored", [None, [], {}, {"set": []}, {"tuple": [None]}, {"bytes": "?"}, {"a": 1, "b": 2}])
def test_other_json_is_no_label(stored):
    with pytest.raises((TypeError, ValueError)):
        label_from_json(stored)


def test_classes_that_are_learned_later_leave_earlier_tables_alone():
    first, _ = ClassTable().with_labels([label_rows("labels", NAMES)])
    second, _ = first.with_labels([label_rows("labels", ["owl"])])
    same, _ = second.with_labels([label_rows("labels", ["dog"])])
    assert first.labels()[0].tolist() == ["dog", "cat", "eel"]
    assert second.labels()[0].tolist() == ["dog", "cat", "eel", "owl"]
    assert same is second


def test_files_whose_labels_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    LEMON(8).fit({"x": np.eye(4)}, NAMES).save(path)
    archive = read_archive(path)
    assert load(path).classes_.tolist() == ["dog", "cat", "eel"]
    for text in (b'[["dog", "cat"]]', b'[["dog", "cat", "dog"]]', b'[["dog", "cat", null]]', b"[[", b"3", b'["abc"]'):
        archive.arrays["classes.labels"] = np.frombuffer(text, np.uint8)
        with pytest.raises(ModelFormatError):
            LEMON.from_archive(archive)
