import numpy as np
import pytest

from pyhash.methods.parts import arrays
from pyhash.methods.parts.arrays import pack_triangle, unpack_triangle


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 100])
def test_a_packed_triangle_gives_the_matrix_back(rng, monkeypatch, size):
    monkeypatch.setattr(arrays, "_ROWS_PER_BLOCK", size)
    for d in (1, 2, 3, 4, 8, 9):
        G = rng.standard_normal((d, d))
        G = G + G.T
        packed = pack_triangle(G)
        assert packed.shape == (d * (d + 1) // 2,)
        np.testing.assert_array_equal(packed, G[np.triu_indices(d)])
        np.testing.assert_array_equal(unpack_triangle(packed, d), G)
