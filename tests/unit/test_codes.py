import numpy as np
import pytest

from pyhash import codes


def test_bit_l_sits_in_byte_l_div_8_at_place_l_mod_8():
    signs = -np.ones((1, 20), dtype=np.int8)
    signs[0, [0, 9, 19]] = 1
    assert codes.pack(signs).tolist() == [[0b1, 0b10, 0b1000]]


def test_zero_is_minus_one():
    assert codes.sign([[0.0, -0.0, 1e-300, -1e-300]]).tolist() == [[-1, -1, 1, -1]]
    assert codes.pack([[0.0, 1.0]]).tolist() == [[0b10]]


@pytest.mark.parametrize("n_bits", [1, 7, 8, 9, 64, 65, 513])
def test_unpack_undoes_pack(rng, n_bits):
    signs = rng.choice([-1, 1], size=(17, n_bits)).astype(np.int8)
    packed = codes.pack(signs)
    assert packed.shape == (17, (n_bits + 7) // 8)
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(codes.unpack(packed, n_bits), signs)


def test_masked_values_are_refused():
    with pytest.raises(TypeError, match="signs must not hold masked values"):
        codes.pack(np.ma.masked_array([[1.0, 5.0]], mask=[[False, True]]))
    assert codes.pack(np.ma.masked_array([[1.0, 5.0]])).tolist() == [[3]]


def test_large_finite_values_are_fine():
    """Their sum is not finite in their own type; each of them is."""
    assert codes.pack(np.full((300, 8), 300, np.float16)).tolist() == [[255]] * 300
    assert codes.pack([[1e308, 1e308]]).tolist() == [[3]]
    with pytest.raises(ValueError, match="signs must be finite, got inf"):
        codes.pack([[np.inf, -np.inf]])


def test_no_rows_are_fine():
    assert codes.pack(np.empty((0, 12))).shape == (0, 2)
    assert codes.unpack(np.empty((0, 2), np.uint8), 12).shape == (0, 12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: codes.pack([1, -1]), ValueError, r"signs must have shape \(n, n_bits\), got \(2,\)"),
        (lambda: codes.pack([[np.nan, 1]]), ValueError, "signs must be finite, got nan in row 0, column 0"),
        (lambda: codes.pack([["a"]]), TypeError, "signs must hold real numbers"),
        (lambda: codes.pack([[1j]]), TypeError, "signs must hold real numbers"),
        (lambda: codes.pack([[1], [1, 2]]), ValueError, "rows of unequal length"),
        (lambda: codes.sign(np.empty((3, 0))), ValueError, "projections must have shape"),
        (
            lambda: codes.unpack(np.zeros((2, 2), np.uint8), 20),
            ValueError,
            r"codes must have shape \(n, 3\) for n_bits=20",
        ),
        (lambda: codes.unpack(np.zeros((2, 2), np.int64), 16), TypeError, "packed codes of dtype uint8, got int64"),
        (lambda: codes.unpack(np.full((2, 1), 8, np.uint8), 3), ValueError, "zero padding bits for n_bits=3, row 0"),
        (
            lambda: codes.unpack(np.zeros((2, 1), np.uint8), 0),
            ValueError,
            "n_bits must be an integer from 1 to 1048576",
        ),
        (
            lambda: codes.unpack(np.zeros((2, 1), np.uint8), 7.0),
            TypeError,
            "n_bits must be an integer from 1 .*, got 7.0",
        ),
        (
            lambda: codes.unpack(np.zeros((2, 1), np.uint8), True),
            TypeError,
            "n_bits must be an integer from 1 .*, got True",
        ),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
