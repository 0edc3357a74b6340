"""The index of a Retriever."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pyhash.index.owned_index import OwnedIndex


class RetrieverIndex(OwnedIndex):
    """An index that its Retriever changes and commits together with what else it knows of the items."""

    owner = "Retriever"

    # --- for the Retriever --------------------------------------------------------------------------------------------

    def insert(self, codes: NDArray[np.uint8], ids: NDArray[np.int64], model: Any) -> None:
        """Add codes of a model."""
        super().add(codes, ids, model=model)

    def discard(self, ids: NDArray[np.int64]) -> None:
        """Remove codes."""
        super().remove(ids)

    # --- for nobody ---------------------------------------------------------------------------------------------------

    def add(self, codes: Any, ids: Any = None, *, model: Any = None) -> NoReturn:
        """Raise: the Retriever adds items."""
        self._refuse("add items to it")

    def upsert(self, codes: Any, ids: Any, *, model: Any = None) -> NoReturn:
        """Raise: the Retriever adds items."""
        self._refuse("remove items from it, and add them")

    def remove(self, ids: Any) -> NoReturn:
        """Raise: the Retriever removes items."""
        self._refuse("remove items from it")
