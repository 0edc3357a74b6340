"""Labels that rows of a batch share, and pairs of modalities."""

from __future__ import annotations

from itertools import combinations, permutations

import torch
from torch import Tensor

from pyhash.deep.rows import RowNumbers
from pyhash.methods.parts.arrays import Matrix


class SharedLabels:
    """Which labels pairs of rows share.

    Parameters
    ----------
    L : ndarray of shape (n, c)
        0/1 labels of all rows.
    """

    def __init__(self, L: Matrix, device: torch.device) -> None:
        self._L = torch.from_numpy(L).to(device, torch.float32)

    def counts(self, rows: RowNumbers, columns: RowNumbers) -> Tensor:
        """Return how many labels (a, b) every one of the rows shares with every one of the columns."""
        return self._of(rows) @ self._of(columns).T

    def shared(self, rows: RowNumbers, columns: RowNumbers) -> Tensor:
        """Return 1 where rows and columns share a label, else 0."""
        return (self.counts(rows, columns) > 0).float()

    def equal(self, rows: RowNumbers, columns: RowNumbers) -> Tensor:
        """Return 1 where rows and columns have the same labels, else 0."""
        n_shared, a, b = self.counts(rows, columns), self._of(rows).sum(1), self._of(columns).sum(1)
        return ((n_shared == a[:, None]) & (n_shared == b)).float()

    def _of(self, rows: RowNumbers) -> Tensor:
        return self._L[torch.from_numpy(rows).to(self._L.device)]


def pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of modalities; a single modality is paired with itself."""
    return list(combinations(modalities, 2)) or [(name, name) for name in modalities]


def ordered_pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of modalities in both orders; a single modality is paired with itself."""
    return list(permutations(modalities, 2)) or [(name, name) for name in modalities]


def sum_of(terms: list[Tensor]) -> Tensor:
    """Return the sum of scalars."""
    return torch.stack(terms).sum()
