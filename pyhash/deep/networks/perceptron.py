"""Fully connected networks of any depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from pyhash.deep.networks.input_layer import InputLayer


def perceptron(
    n_inputs: int, hidden: Sequence[int], *, batch_norm: bool = False, dropout: float = 0.0
) -> nn.Sequential:
    """Return hidden layers with ReLU, optionally after batch normalisation and before dropout."""
    layers: list[nn.Module] = []
    widths = [n_inputs, *hidden]
    for i, (n, m) in enumerate(pairwise(widths)):
        layers.append(InputLayer(n, m) if i == 0 else nn.Linear(n, m))
        if batch_norm:
            layers.append(nn.BatchNorm1d(m))
        layers.append(nn.ReLU())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
