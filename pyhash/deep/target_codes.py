"""Codes that outputs approach, set once an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pyhash.codes import sign
from pyhash.deep.outputs import Outputs
from pyhash.deep.rows import RowNumbers


class TargetCodes:
    """Codes B (n, n_bits) of all rows of each modality."""

    def __init__(self, modalities: Sequence[str], n: int, n_bits: int, device: torch.device) -> None:
        self._modalities = list(modalities)
        self._shape = (n, n_bits)
        self._device = device
        self._B: dict[str, Tensor] = {}

    def set(self, outputs: Outputs) -> None:
        """Take the signs of outputs."""
        self._B = {name: torch.from_numpy(sign(Z)).to(self._device, torch.float32) for name, Z in outputs.items()}

    def of(self, modality: str, rows: RowNumbers) -> Tensor:
        """Return the codes (b, n_bits) of some rows, as float32."""
        return self._B[modality][torch.from_numpy(rows).to(self._device)]

    def state(self) -> dict[str, Tensor]:
        """Return the codes for a checkpoint."""
        return {f"B.{name}": B.to(torch.int8) for name, B in self._B.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the codes of a checkpoint; raise a ValueError if they do not fit."""
        wanted = {f"B.{name}" for name in self._modalities}
        if state.keys() != wanted or any(B.shape != self._shape or B.dtype != torch.int8 for B in state.values()):
            raise ValueError(f"its objective must keep codes of shape {self._shape} for {', '.join(self._modalities)}")
        self._B = {name.removeprefix("B."): B.to(self._device, torch.float32) for name, B in state.items()}
