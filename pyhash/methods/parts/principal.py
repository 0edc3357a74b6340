"""Principal components of each modality."""

from __future__ import annotations

import numpy as np

from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.directions import fix_signs
from pyhash.methods.parts.state import Chunk


def principal_directions(chunk: Chunk, n_bits: int) -> dict[str, Matrix]:
    """Return the (d, n_bits) directions in which each modality varies most, largest variance first."""
    from scipy.linalg import eigh

    W = {}
    for name, X in chunk.views.items():
        d = X.shape[1]
        _, vectors = eigh(X.add_gram(np.zeros((d, d))), subset_by_index=(d - n_bits, d - 1), check_finite=False)
        W[name] = fix_signs(vectors[:, ::-1])
    return W
