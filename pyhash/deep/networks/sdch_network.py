"""SDCH's networks: features of each modality, and one hash layer that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import Input
from pyhash.deep.networks.perceptron import perceptron

# Of normal starts: the paper names none; AlexNet, its network of images, began with this one.
_NORMAL_STD = 0.01


class SDCHNetwork(HashingNetwork):
    """fc1, fc2, ..., fc3 of each modality give features; fc4, which all share, gives codes before the sign.

    Behind a backbone there is fc3 alone.
    """

    def __init__(
        self,
        n_bits: int,
        widths: Mapping[str, int],
        hidden: Sequence[int],
        feature_width: int,
        backbones: Mapping[str, nn.Module],
        *,
        is_normal: bool,
    ) -> None:
        super().__init__(feature_width, list(widths), backbones)
        self.hidden = nn.ModuleDict()
        self.last = nn.ModuleDict()
        for name, width in widths.items():
            if name in backbones:
                behind = width
            else:
                self.hidden[self.names[name]] = perceptron(width, hidden)
                behind = hidden[-1]
            self.last[self.names[name]] = nn.Linear(behind, feature_width)
        self.hash_layer = nn.Linear(feature_width, n_bits)
        if is_normal:
            for parameter in [*self.hidden.parameters(), *self.last.parameters(), *self.hash_layer.parameters()]:
                nn.init.normal_(parameter, std=_NORMAL_STD)

    def features(self, modality: str, x: Input) -> Tensor:
        """Return features (n, feature_width)."""
        name, found = self.names[modality], self.behind_backbone(modality, x)
        features: Tensor = self.last[name](self.hidden[name](found) if name in self.hidden else found)
        return features

    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Return features, and codes before the sign, Z (n, n_bits)."""
        features = self.features(modality, x)
        return features, self.hash_layer(features)
