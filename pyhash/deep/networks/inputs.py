"""Inputs of networks: dense rows, or bags of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pyhash._inputs.checks import is_sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

# Rows with a smaller part of values that are not zero are bags of words; denser ones are faster as dense rows.
_MAX_DENSITY = 0.05
ROWS_LOOKED_AT = 8192


@dataclass(frozen=True)
class Bags:
    """Rows of a sparse matrix as ``embedding_bag`` takes them."""

    columns: Tensor  # int64, of all rows one after another
    values: Tensor  # float32, as many
    offsets: Tensor  # int64 (n,), where each row begins

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return type(self)(self.columns.to(device), self.values.to(device), self.offsets.to(device))


Input: TypeAlias = Tensor | Bags


def scaled_pictures(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return values of 8 bits as float32 in [0, 1]."""
    scaled = rows.astype(np.float32)
    scaled /= 255  # in place: pictures are large
    return scaled


def as_float32(rows: Any) -> Any:
    """Return rows, dense or sparse, as float32; too large values become infinite."""
    with np.errstate(over="ignore"):
        return rows.astype(np.float32, copy=False)


def is_bag_of_words(rows: Any) -> bool:
    """Return whether most values of the first rows (n, d), dense or sparse, are zero."""
    some = rows[:ROWS_LOOKED_AT]
    n_set = some.nnz if is_sparse(some) else np.count_nonzero(some)
    return bool(n_set < _MAX_DENSITY * some.shape[0] * some.shape[1])


def make_input(rows: Any, as_bags: bool) -> Input:
    """Return float32 rows (n, d) as a tensor or as bags."""
    if not as_bags:
        dense: NDArray[np.float32] = rows.toarray() if is_sparse(rows) else rows
        # A copy where need be: torch shares memory, warns of arrays that are read only, and refuses strides below 0,
        # which a contiguous array of one row may have.
        dense = np.require(dense, requirements=["C", "W"])
        return torch.from_numpy(dense.copy() if min(dense.strides) < 0 else dense)
    if not is_sparse(rows):
        from scipy.sparse import csr_array

        rows = csr_array(rows)
    return Bags(
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(np.require(rows.data, requirements=["C", "W"])),
        torch.from_numpy(rows.indptr[:-1].astype(np.int64)),
    )
