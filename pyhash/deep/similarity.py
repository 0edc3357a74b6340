"""Which rows of a batch are alike, by their labels."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pyhash.methods.parts.arrays import Matrix


class SharedLabels:
    """How many labels rows share; they are similar where they share one.

    Parameters
    ----------
    L : ndarray of shape (n, c)
        0/1 labels of all rows.
    """

    def __init__(self, L: Matrix, device: torch.device) -> None:
        self._L = torch.from_numpy(L).to(device, torch.float32)

    def __call__(self, rows: NDArray[Any]) -> Tensor:
        """(b, b) numbers of labels that rows of a batch share."""
        batch = self._L[torch.from_numpy(rows).to(self._L.device)]
        return batch @ batch.T


def pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Every two modalities; of a single one, it and itself."""
    return list(combinations(modalities, 2)) or [(name, name) for name in modalities]


def ordered_pairs_of(modalities: list[str]) -> list[tuple[str, str]]:
    """Every two modalities in both orders; of a single one, it and itself."""
    return list(permutations(modalities, 2)) or [(name, name) for name in modalities]


def sum_of(terms: list[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(terms).sum()
