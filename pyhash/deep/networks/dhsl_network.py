"""DHSL's networks: a main network and a feature selector for each modality, and one relation network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from pyhash._inputs.checks import check_real
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.input_layer import InputLayer
from pyhash.deep.networks.inputs import Input
from pyhash.deep.networks.perceptron import perceptron
from pyhash.deep.networks.relation import RelationNetwork


class Selector(nn.Module):
    """Three linear layers; a penalty on rows of the first one's weight switches inputs off.

    The last has no bias, which would shift all codes alike.
    """

    def __init__(self, n_inputs: int, hidden: Sequence[int], n_bits: int) -> None:
        super().__init__()
        first, second = hidden
        self.first = InputLayer(n_inputs, first)
        self.rest = nn.Sequential(nn.Linear(first, second), nn.Linear(second, n_bits, bias=False))

    def forward(self, x: Input) -> Tensor:
        """Return M (n, n_bits)."""
        selected: Tensor = self.rest(self.first(x))
        return selected


class DHSLNetwork(HashingNetwork):
    """``H = F + sigma M``: F of the main network ends in tanh, M is the selector's.

    Behind a backbone both take its features.
    """

    only_in_training = ("relation",)

    def __init__(
        self,
        n_bits: int,
        n_classes: int,
        widths: Mapping[str, int],
        hidden: Sequence[int],
        dropout: float,
        selector_hidden: Sequence[int] | None,
        sigma: float,
        relation_hidden: int | None,
        backbones: Mapping[str, nn.Module],
        *,
        hash_norm: bool,
    ) -> None:
        super().__init__(hidden[-1], list(widths), backbones)
        self.n_bits = n_bits
        self._sigma = check_real("sigma", sigma, 0.0)
        self.main = nn.ModuleDict()
        self.last = nn.ModuleDict()
        self.selectors = nn.ModuleDict()
        for name, width in widths.items():
            self.main[self.names[name]] = perceptron(width, hidden, batch_norm=True, dropout=dropout)
            last = nn.Linear(hidden[-1], n_bits)
            self.last[self.names[name]] = nn.Sequential(last, nn.BatchNorm1d(n_bits)) if hash_norm else last
            if selector_hidden is not None:
                self.selectors[self.names[name]] = Selector(width, selector_hidden, n_bits)
        self.relation = None if relation_hidden is None else RelationNetwork(n_bits, relation_hidden, n_classes)

    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Return the features of the last hidden layer, and H (n, n_bits)."""
        name, x = self.names[modality], self.behind_backbone(modality, x)
        features = self.main[name](x)
        outputs = self.last[name](features).tanh()
        if len(self.selectors):
            outputs = outputs + self._sigma * self.selectors[name](x)
        return features, outputs

    def selected(self, modality: str) -> Tensor:
        """Return the weight (d, h) of the selector's first layer."""
        return cast("Selector", self.selectors[self.names[modality]]).first.weight
