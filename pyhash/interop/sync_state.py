"""What a table keeps of the index that it was made equal to."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash.search.row_mask import n_stored_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION = 1


@dataclass(frozen=True)
class SyncState:
    """The index as of the last ``sync``, and the table after it.

    Attributes
    ----------
    n_bits : int
        Length of a code in bits.
    fingerprint : str or None
        Of the model that made the codes.
    n_rows : int
        Rows of the table.
    mark : str
        The table's, after the sync.
    masks : mapping of str to ndarray of shape (ceil(n / 8),), uint8, or None
        For each committed segment, by its key, the rows that were left, bit ``i % 8`` of byte ``i // 8`` for row i;
        None: all.
    """

    n_bits: int
    fingerprint: str | None
    n_rows: int
    mark: str
    masks: Mapping[str, NDArray[np.uint8] | None]

    def to_text(self) -> str:
        """Return it as JSON."""
        masks = {key: None if mask is None else _packed(mask) for key, mask in self.masks.items()}
        head = {"version": _VERSION, "n_bits": self.n_bits, "fingerprint": self.fingerprint, "n_rows": self.n_rows}
        return json.dumps({**head, "mark": self.mark, "masks": masks})

    @classmethod
    def of_text(cls, text: str | None) -> SyncState | None:
        """Return the state of a text; None where there is none, or none that this version understands."""
        try:
            content: Any = json.loads(text or "")
            if content.pop("version") != _VERSION:
                return None
            masks = {key: None if mask is None else _unpacked(mask) for key, mask in content.pop("masks").items()}
            return cls(**content, masks=masks)
        except (ValueError, TypeError, LookupError, AttributeError, zlib.error):
            return None  # the table is compared row by row then

    def mask_of(self, key: str, n: int) -> NDArray[np.bool_]:
        """Return for each of the `n` rows of a segment whether it was left; none, where the segment was not there."""
        mask = self.masks.get(key, np.empty(0, dtype=np.uint8))
        if mask is None:
            return np.ones(n, dtype=np.bool_)
        if len(mask) != n_stored_bytes(n):
            return np.zeros(n, dtype=np.bool_)
        return np.unpackbits(mask, count=n, bitorder="little").view(np.bool_)


def _packed(mask: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(mask.tobytes(), 1)).decode("ascii")


def _unpacked(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype=np.uint8)
