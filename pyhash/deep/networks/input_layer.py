"""The first layer of networks on features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyhash.deep.networks.inputs import Bags, FeatureInput


class InputLayer(nn.Module):
    """``x W + b`` of dense rows (n, d), or of bags of words without making them dense."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_outputs).uniform_(-bound, bound))

    def forward(self, x: FeatureInput) -> Tensor:
        """Return outputs (n, n_outputs)."""
        if isinstance(x, Bags):
            summed = functional.embedding_bag(
                x.columns, self.weight, x.offsets, mode="sum", per_sample_weights=x.values
            )
            return summed + self.bias
        return x @ self.weight + self.bias
