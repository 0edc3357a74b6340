"""Methods that learn projections, whose signs are the codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhash.codes import sign
from pyhash.methods.linear import LinearMethod, SettingsT
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.feature_maps import Centering, mapped_width
from pyhash.methods.parts.state import Chunk, State

if TYPE_CHECKING:
    from pyhash._files.archive import Archive


class ProjectionMethod(LinearMethod[SettingsT, dict[str, Matrix]]):
    """A method that learns a projection of each modality; ``codes_`` are the signs of the sum of projections."""

    # Whether each bit is a direction of its own, of which there are no more than features.
    _bits_are_directions: ClassVar[bool] = False

    def check_n_features(self, n: int, n_features: Mapping[str, int]) -> None:  # noqa: D102
        maps = self._maps(list(n_features))
        widths = {name: mapped_width(maps[name], n, d) for name, d in n_features.items()}
        self._check_widths(self.n_bits, {name: width for name, width in widths.items() if width is not None})

    def _check_widths(self, n_bits: int, widths: Mapping[str, int]) -> None:
        """Raise ValueError if a modality has too few features after its map."""
        if not self._bits_are_directions:
            return
        for name, width in widths.items():
            if n_bits > width:
                raise ValueError(f"n_bits must be at most {width}, the features of {name!r}, got {n_bits}")

    def _default_map(self, sparse: bool) -> Centering:
        return Centering()

    @abstractmethod
    def _directions(self, settings: SettingsT, chunk: Chunk, rng: np.random.Generator) -> dict[str, Matrix]:
        """Return the projection (d, n_bits) of each modality."""

    def _learn(
        self, settings: SettingsT, own: dict[str, Matrix], chunk: Chunk, rng: np.random.Generator
    ) -> tuple[dict[str, Matrix], Signs]:
        self._check_widths(settings.n_bits, {name: X.shape[1] for name, X in chunk.views.items()})
        W = self._directions(settings, chunk, rng)
        return W, sign(sum_of_projections(chunk, W))

    def _solve(self, state: State[dict[str, Matrix]], modality: str) -> Matrix:
        return state.own[modality]

    def _own_to_file(self, own: dict[str, Matrix]) -> tuple[Fields, Arrays]:
        return {}, {}  # the base writes every projection

    def _own_from_file(self, archive: Archive, state: State[Any]) -> dict[str, Matrix]:
        return dict(state.projections)


def sum_of_projections(chunk: Chunk, W: dict[str, Matrix]) -> Matrix:
    """Return the sum over modalities of X_m W_m, (n, n_bits)."""
    with np.errstate(over="ignore", invalid="ignore"):
        total: Matrix = np.add.reduce([X.dot(W[name]) for name, X in chunk.views.items()])
    if not np.isfinite(total).all():
        raise ValueError("views must give projections that float64 can hold, got values that are too large")
    return total
