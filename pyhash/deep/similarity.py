"""Labels that rows of a batch share, and pairs of modalities."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pyhash.methods.parts.arrays import Matrix


class SharedLabels:
    """Numbers of labels that rows share; rows are similar if they share one.

    Parameters
    ----------
    L : ndarray of shape (n, c)
        0/1 labels of all rows.
    """

    def __init__(self, L: Matrix, device: torch.device) -> None:
        self._L = torch.from_numpy(L).to(device, torch.float32)
        self.n = len(L)

    def __call__(self, rows: NDArray[Any]) -> Tensor:
        """Return the numbers (b, b) of labels that rows of a batch share."""
        batch = self._L[torch.from_numpy(rows).to(self._L.device)]
        return batch @ batch.T


def pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of modalities; a single modality is paired with itself."""
    return list(combinations(modalities, 2)) or [(name, name) for name in modalities]


def ordered_pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of modalities in both orders; a single modality is paired with itself."""
    return list(permutations(modalities, 2)) or [(name, name) for name in modalities]


def sum_of(terms: list[Tensor]) -> Tensor:
    """Return the sum of scalars."""
    return torch.stack(terms).sum()
