"""Growth of kernel maps: sums over past rows, completed with the columns of anchors that joined later.

Past rows are gone, so their kernel values at a new anchor b are predicted from those at the old anchors A:
``k(x, b) ~ k(x, A) C`` with ``C = (K_AA + jitter I)^{-1} K_Ab``. Sums over rows are linear or quadratic in the columns,
so C completes them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyhash.methods.parts.arrays import Matrix

# Added to the diagonal of K_AA, for each anchor: it bounds the condition number by 1e6, however alike anchors are.
_JITTER = 1e-6


def completion(K_AA: Matrix, K_AB: Matrix) -> Matrix:
    """Return C (a, b) of kernel values among old anchors (a, a), and between old and new ones (a, b)."""
    from scipy.linalg import cho_factor, cho_solve

    regular = K_AA.copy()
    regular[np.diag_indices_from(regular)] += _JITTER * len(regular)
    C: Matrix = cho_solve(cho_factor(regular, lower=True, overwrite_a=True, check_finite=False), K_AB)
    return C


def complete_gram(G: Matrix, C: Matrix) -> Matrix:
    """Return ``[[G, G C], [C'G, C'G C]]`` for a symmetric G (a, a): the sum of K'K with the columns of new anchors."""
    a, b = C.shape
    completed = np.empty((a + b, a + b))
    GC = G @ C
    corner = C.T @ GC
    completed[:a, :a] = G
    completed[:a, a:] = GC
    completed[a:, :a] = GC.T
    completed[a:, a:] = (corner + corner.T) / 2  # exactly symmetric
    return completed


def complete_rows(F: NDArray[np.float64], C: Matrix) -> NDArray[np.float64]:
    """Return ``[F; C'F]`` for F (a, k) or (a,): a sum of K'M, such as K'L or K'1, with the rows of new anchors."""
    return np.concatenate([F, C.T @ F])
