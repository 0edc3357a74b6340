"""The interface of trained networks: features of every modality, and outputs computed from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from pyhash.deep.networks.inputs import Input


class HashingNetwork(nn.Module, ABC):
    """The networks of all modalities.

    Attributes
    ----------
    feature_width : int
        Width k of the features.
    backbones : dict of str to Module
        By modality, at most one each; part of the networks.
    """

    def __init__(self, feature_width: int, backbones: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.feature_width = feature_width
        self.backbones = dict(backbones or {})
        self._backbones = nn.ModuleList(self.backbones.values())

    @abstractmethod
    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Return features (n, k) and outputs (n, n_bits) of rows of a modality; codes are the signs of the outputs."""

    def forward(self, modality: str, x: Input) -> Tensor:
        """Return the outputs (n, n_bits)."""
        return self.encode(modality, x)[1]
