"""DHSL's relation network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelationNetwork(nn.Module):
    """Similarity in [0, 1] of every row of one batch with every row of another.

    ``2r -> hidden -> n_classes -> 1`` on the concatenation of two codes before the sign. Its first layer on (a, b) is
    ``W_a a + W_b b``: each is computed once for a row, not once for a pair.
    """

    def __init__(self, n_bits: int, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.left = nn.Linear(n_bits, hidden)
        self.right = nn.Linear(n_bits, hidden, bias=False)
        self.classes = nn.Linear(hidden, n_classes)
        self.score = nn.Linear(n_classes, 1)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return similarities (n, m) of rows (n, n_bits) and columns (m, n_bits)."""
        pairs = torch.relu(self.left(rows)[:, None] + self.right(columns)[None])
        return torch.sigmoid(self.score(torch.relu(self.classes(pairs))).squeeze(-1))
