"""The contract of encoders: items in, rows of features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import as_rows, check_features, check_integer, is_sparse
from pyhash.encoders.items import Kind, listed_items
from pyhash.encoders.pictures import open_picture
from pyhash.encoders.progress_bar import progress_bar

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


class Encoder(ABC):
    """A function of items to rows of features, with a name and a version.

    A subclass sets `name`, `version` and `kind`, and defines ``_encode_batch``. The features of an item depend on the
    item and on what `version` tells, not on the items beside it.

    Attributes
    ----------
    name : str
        What ``make_encoder`` takes, such as "timm:resnet18"; for objects of the user's own, the user's name.
    version : str
        Another one where the features of an item are others: the package and its version, and a checksum of weights.
    kind : {"text", "image"}
        What the items are.
    n_features : int or None
        Number of features, None while it is not known.
    is_sparse : bool
        Whether features are a csr_array.
    """

    name: str
    version: str
    kind: Kind
    n_features: int | None = None
    is_sparse: bool = False

    def encode(self, items: Any, batch_size: int = 32, progress: bool | None = False) -> Features:
        """Return the features of items.

        Parameters
        ----------
        items : sequence
            Texts (str); or pictures: paths, PIL images, arrays (h, w, 3) or (h, w) of uint8, or the bytes of files.
        batch_size : int, default=32
            Number of items that are encoded together.
        progress : bool or None, default=False
            Whether to show a bar on stderr; None: where stderr is a terminal.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            A csr_array of float32 where ``is_sparse``.

        Raises
        ------
        TypeError
            If `items` is not a sequence, or an item is of another kind; the message gives its position.
        ValueError
            If a picture cannot be read; the message names the file.
            If there are no items, and the number of features is not known yet.
        OSError
            If a file cannot be opened.
        """
        rows = listed_items(self.kind, items)
        batch_size = check_integer("batch_size", batch_size, 1)
        parts, width = [], self.n_features
        with progress_bar(progress, self.name, len(rows)) as bar:
            for start in range(0, len(rows), batch_size):
                batch = rows[start : start + batch_size]
                if self.kind == "image":
                    batch = [open_picture(item, f"items[{start + i}]") for i, item in enumerate(batch)]
                parts.append(self._checked(self._encode_batch(batch), len(batch), width))
                width = parts[-1].shape[1]
                bar.update(len(batch))
        self.n_features = width
        return joined(parts, self.n_features, self.is_sparse)

    @abstractmethod
    def _encode_batch(self, items: list[Any]) -> Features:
        """Return the features of texts, or of pictures as PIL images of mode RGB: (n, n_features)."""

    def _checked(self, features: object, n: int, width: int | None) -> Features:
        """Return the features of a batch as float32; raise unless there is a row for each item, of equal widths."""
        of = f"features of encoder {self.name!r}"
        rows = as_rows(of, features)
        if rows.ndim != 2 or rows.shape[0] != n or rows.shape[1] != (width or rows.shape[1]) or rows.shape[1] == 0:
            raise ValueError(f"{of} must have shape ({n}, {width or 'n_features'}), got {rows.shape}")
        if is_sparse(rows) != self.is_sparse:
            raise TypeError(f"{of} must be {'a csr_array' if self.is_sparse else 'dense'}, got {type(rows).__name__}")
        values = check_features(of, rows, keep_float32=True)
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        return check_features(of, values, keep_float32=True) if not self.is_sparse else values

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, version={self.version!r}, kind={self.kind!r})"


def joined(parts: Sequence[Features], n_features: int | None, sparse: bool) -> Features:
    """Return parts of features as one matrix; raise ValueError if there are none and their number is not known."""
    if not parts and n_features is None:
        raise ValueError("items must not be empty while the number of features is not known, got 0 items")
    if not sparse:
        return np.concatenate(parts) if parts else np.empty((0, n_features or 0), np.float32)
    from scipy.sparse import csr_array, vstack

    return csr_array(vstack(parts, format="csr")) if parts else csr_array((0, n_features), dtype=np.float32)
