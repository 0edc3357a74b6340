"""Growth of kernel maps: sums over past rows, completed with the columns of anchors that joined later.

Past rows are gone, so their kernel values at new anchors B are predicted from those at the old anchors A:
``k(x, B) ~ k(x, A) C`` with ``C = (K_AA + jitter I)^{-1} K_AB``. Sums over rows are linear or quadratic in the columns,
so C completes them as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyhash.methods.parts.arrays import Matrix

# Added to the diagonal of K_AA, for each of the first anchors: however alike anchors are, K_AA is then definite.
_JITTER = 1e-6


@dataclass(frozen=True)
class KernelFactor:
    """Cholesky factor of ``K_AA + jitter I``, extended when anchors join."""

    L: Matrix  # (a, a), lower triangle, in the order of LAPACK
    jitter: float

    @classmethod
    def of(cls, K: Matrix) -> KernelFactor:
        """Return the factor of kernel values (a, a) among the first anchors."""
        jitter = _JITTER * len(K)
        return cls(_lower_factor(K, jitter), jitter)

    def half_solved(self, K_AB: Matrix) -> Matrix:
        """Return ``L^{-1} K_AB`` (a, b), from which both others are computed."""
        from scipy.linalg.blas import dtrsm

        half: Matrix = dtrsm(1.0, self.L, K_AB, lower=1)
        return half

    def completion(self, half: Matrix) -> Matrix:
        """Return C (a, b)."""
        from scipy.linalg.blas import dtrsm

        C: Matrix = dtrsm(1.0, self.L, half, lower=1, trans_a=1)
        return C

    def extended(self, half: Matrix, K_BB: Matrix) -> KernelFactor:
        """Return the factor with the anchors B, from kernel values (b, b) among them."""
        a, b = half.shape
        L = np.zeros((a + b, a + b), order="F")
        L[:a, :a] = self.L
        L[a:, :a] = half.T
        L[a:, a:] = _lower_factor(K_BB - half.T @ half, self.jitter)
        return KernelFactor(L, self.jitter)


def _lower_factor(K: Matrix, jitter: float) -> Matrix:
    from scipy.linalg import cholesky

    regular = K.copy().T
    regular[np.diag_indices_from(regular)] += jitter
    L: Matrix = cholesky(regular, lower=True, overwrite_a=True, check_finite=False)
    return L


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
