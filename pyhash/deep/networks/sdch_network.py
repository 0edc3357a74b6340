"""SDCH's networks: features of each modality, and one hash layer that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import Input
from pyhash.deep.networks.perceptron import perceptron


class SDCHNetwork(HashingNetwork):
    """fc1, fc2, ..., fc3 of each modality give features; fc4, which all share, gives codes before the sign.

    Behind a backbone there is fc3 alone.
    """

    def __init__(
        self,
        n_bits: int,
        widths: Mapping[str, int],
        shapes: Mapping[str, tuple[int, ...]],
        hidden: Sequence[int],
        feature_width: int,
        backbones: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(feature_width, backbones)
        self._names = {name: f"m{m}" for m, name in enumerate(widths)}  # a module's name may hold no dot
        self.modalities = list(widths)
        self._shapes = dict(shapes)
        self.hidden = nn.ModuleDict()
        self.last = nn.ModuleDict()
        for name, width in widths.items():
            if name in backbones:
                behind = _width_of(name, backbones[name], shapes[name])
            else:
                self.hidden[self._names[name]] = perceptron(width, hidden)
                behind = hidden[-1]
            self.last[self._names[name]] = nn.Linear(behind, feature_width)
        self.hash_layer = nn.Linear(feature_width, n_bits)

    def features(self, modality: str, x: Input) -> Tensor:
        """Return features (n, feature_width)."""
        name = self._names[modality]
        if modality in self.backbones:
            pictures = cast("Tensor", x)  # bags of words have none
            found = self.backbones[modality](pictures.reshape(pictures.shape[0], *self._shapes[modality])).flatten(1)
        else:
            found = self.hidden[name](x)
        features: Tensor = self.last[name](found)
        return features

    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Return features, and codes before the sign, Z (n, n_bits)."""
        features = self.features(modality, x)
        return features, self.hash_layer(features)


def _width_of(modality: str, backbone: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the number of features that a backbone gives, by running it on zeros."""
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            out = backbone(torch.zeros(1, *shape))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"backbones[{modality!r}] must take rows of shape {('n', *shape)}: {str(error).splitlines()[0]}"
        ) from error
    finally:
        backbone.train(was_training)
    if not isinstance(out, Tensor) or out.ndim < 2 or len(out) != 1 or not out.is_floating_point():
        got = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"{type(out).__name__}"
        raise ValueError(f"backbones[{modality!r}] must give real features, a row for each row, got {got}")
    return int(out[0].numel())
