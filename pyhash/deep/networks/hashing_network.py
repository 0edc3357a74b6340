"""What trained networks have in common: every modality gets features and, of them, outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from pyhash.deep.networks.inputs import Input


class HashingNetwork(nn.Module, ABC):
    """The networks of all modalities.

    Attributes
    ----------
    backbones : dict of str to Module
        By modality; part of the networks, for a modality each at most.
    """

    def __init__(self, backbones: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.backbones = dict(backbones or {})
        self._backbones = nn.ModuleList(self.backbones.values())

    @abstractmethod
    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Features (n, k) and outputs (n, n_bits) of rows of a modality; codes are the signs of the outputs."""

    def forward(self, modality: str, x: Input) -> Tensor:
        """Outputs (n, n_bits)."""
        return self.encode(modality, x)[1]
