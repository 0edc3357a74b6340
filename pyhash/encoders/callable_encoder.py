"""Any function as an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyhash.encoders.contract import Encoder
from pyhash.encoders.items import check_kind


class CallableEncoder(Encoder):
    """A function of a list of items to an array of rows, as an encoder.

    Parameters
    ----------
    function : callable
        Takes a list of str, or of PIL images of mode RGB; returns their features, an array (n, n_features). Rows must
        not depend on the items beside them.
    kind : {"text", "image"}
        What the items are.
    name : str
        The user's own name of the encoder.
    version : str
        The user's own version: another one whenever the function gives other features.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash.encoders import CallableEncoder
    >>> def mean_colors(pictures):
    ...     return np.array([np.asarray(picture).mean(axis=(0, 1)) for picture in pictures])
    >>> encoder = CallableEncoder(mean_colors, kind="image", name="mean-colors", version="1")
    >>> encoder.encode([np.full((4, 4, 3), 7, np.uint8), np.zeros((2, 3), np.uint8)])
    array([[7., 7., 7.],
           [0., 0., 0.]], dtype=float32)
    """

    def __init__(self, function: Callable[[list[Any]], Any], *, kind: str, name: str, version: str) -> None:
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        self.function = function
        self.kind = check_kind(kind)
        self.name = check_text("name", name)
        self.version = check_text("version", version)

    def _encode_batch(self, items: list[Any]) -> Any:
        return self.function(items)


def check_text(name: str, value: object) -> str:
    """Return a name or version; raise unless it is a str that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a str that is not empty, got {value!r}")
    return value
