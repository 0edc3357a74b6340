import numpy as np
import pytest

from pyhash._inputs.value_text import parse_value, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100, "100"), (100.0, "100"), (1e-4, "0.0001"), (0.1 + 0.2, "0.30000000000000004"), (1e22, "1e+22"),
        (True, "true"), (False, "false"), (None, "none"), ("centers", "centers"), ([0.2, 0.8], "0.2/0.8"),
        ({"image": 0.1, "text": 1}, "image:0.1/text:1"), ({"image": None}, "image:none"),
    ],
)  # fmt: skip
def test_there_and_back(value, text):
    assert value_text(value) == text
    assert parse_value(text) == value
    assert type(parse_value(text)) is (int if value == 100 else type(value))


def test_values_of_numpy_and_tuples():
    assert value_text(np.float64(0.5)) == "0.5"
    assert value_text(np.array([1, 2])) == "1/2"
    assert value_text((True, None)) == "true/none"


def test_numbers_in_any_form():
    assert [parse_value(text) for text in ("1e2", "-3", "+4", ".5")] == [100.0, -3, 4, 0.5]
    assert [type(parse_value(text)) for text in ("1e2", "1.0", "1e-1", "inf")] == [int, int, float, float]
    assert parse_value("a/b:c") == ["a", "b:c"]
