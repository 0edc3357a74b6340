"""Names of models on a hub."""

from __future__ import annotations

import os
from typing import NamedTuple


class HubName(NamedTuple):
    """A model, and its revision or None: ``NAME@REVISION``; a folder of that name is the model itself."""

    model: str
    revision: str | None

    @classmethod
    def of(cls, name: str) -> HubName:
        """Return the parts of a name."""
        model, at, revision = name.rpartition("@")
        if os.path.isdir(name) or not (at and model and revision):
            return cls(name, None)
        return cls(model, revision)
