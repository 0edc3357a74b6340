"""Methods without codes of their own for what they learn from: every modality is projected, and signs are the codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_n_bits
from pyhash.codes import sign
from pyhash.methods.linear import LinearMethod
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix
from pyhash.methods.parts.feature_maps import Centering
from pyhash.methods.parts.state import Chunk, State

if TYPE_CHECKING:
    from pyhash._files.archive import Archive


class ProjectionMethod(LinearMethod):
    """Learns a projection of each modality; ``codes_`` are the signs of the sum of a sample's projections."""

    def _default_map(self) -> Centering:
        return Centering()

    @abstractmethod
    def _project_all(self, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        """The projection (d, n_bits) of each modality."""

    def _learn(self, own: None, chunk: Chunk, rng: np.random.Generator) -> tuple[dict[str, Matrix], NDArray[np.int8]]:
        W = self._project_all(chunk, rng)
        return W, sign(sum_of_projections(chunk, W))

    def _solve(self, state: State, modality: str) -> Matrix:
        weights: Matrix = state.own[modality]
        return weights

    def _own_to_file(self, own: dict[str, Matrix]) -> tuple[Fields, Arrays]:
        return {}, {}  # the base writes every projection

    def _own_from_file(self, archive: Archive, state: State) -> dict[str, Matrix]:
        return {name: state.solved["bits", name] for name in state.n_mapped}


def sum_of_projections(chunk: Chunk, W: dict[str, Matrix]) -> Matrix:
    """The sum over modalities of X_m W_m, (n, n_bits)."""
    total: Matrix = np.add.reduce([X.dot(W[name]) for name, X in chunk.views.items()])
    return total


def check_n_bits_within(n_bits: object, limits: dict[str, int], what: str) -> int:
    """`n_bits`, where no modality has fewer than that many directions."""
    bits = check_n_bits(n_bits)
    for name, limit in limits.items():
        if bits > limit:
            raise ValueError(f"n_bits must be at most {limit}, the {what} of {name!r}, got {bits}")
    return bits


def fix_signs(W: Matrix) -> Matrix:
    """Columns turned so that their entry of largest magnitude is positive: solvers leave the sign open."""
    largest = np.argmax(np.abs(W), axis=0)
    return W * np.where(W[largest, np.arange(W.shape[1])] < 0, -1.0, 1.0)


def leading_directions(C: Mapping[tuple[str, str], Matrix], widths: Mapping[str, int], k: int) -> dict[str, Matrix]:
    """The parts (d, k), by modality, of the top k eigenvectors of the symmetric matrix with blocks C, largest first.

    Of two modalities the columns of each part have length 1, else those of all parts together.
    """
    if len(widths) == 2:
        (((a, b), block),) = C.items()
        if widths[a] > widths[b]:
            a, b, block = b, a, block.T
        # Pairs of singular vectors, by way of the smaller side.
        left = _top_eigenvectors(block @ block.T, k)
        right = block.T @ left
        lengths = np.linalg.norm(right, axis=0)
        parts = {a: left, b: right / np.where(lengths > 0, lengths, 1.0)}
    else:
        ends = np.cumsum([0, *widths.values()])
        places = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(widths)}
        whole = np.zeros((ends[-1], ends[-1]))
        for (a, b), block in C.items():
            whole[places[a], places[b]] = block
            whole[places[b], places[a]] = block.T
        vectors = _top_eigenvectors(whole, k)
        parts = {name: vectors[place] for name, place in places.items()}
    return {name: parts[name] for name in widths}


def _top_eigenvectors(M: Matrix, k: int) -> Matrix:
    from scipy.linalg import eigh

    _, vectors = eigh((M + M.T) / 2, subset_by_index=(len(M) - k, len(M) - 1), check_finite=False)
    return fix_signs(vectors[:, ::-1])
