"""Encoders of the built-in data: from new texts and pictures to the features that ``load_emoji`` holds."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.encoders.contract import Encoder
from pyhash.encoders.efficientnet_lite0 import EfficientNetLite0
from pyhash.encoders.items import Kind
from pyhash.encoders.universal_sentence_encoder import UniversalSentenceEncoder

_VERSION = "1"
# The pictures of the data set had 64 pixels a side, and were enlarged for the network.
_SIDE_OF_EMOJI = 64
_SIDE_OF_INPUT = 160


class EmojiText(Encoder):
    """The view "text_deep" of ``pyhash.datasets.load_emoji``, of new texts: 256 features.

    ``x = V'u + b``, u the 512 features of UniversalSentenceEncoder. V and b are fitted to the features of the data set,
    and give those of its own texts back with a cosine of 0.9998 (median). The network is loaded when it is first used.

    Examples
    --------
    >>> from pyhash.encoders import EmojiText
    >>> EmojiText().encode(["a cat"]).shape  # doctest: +SKIP
    (1, 256)
    """

    name = "emoji-text"
    version = _VERSION
    kind: Kind = "text"
    n_features: int | None = 256

    def __init__(self) -> None:
        self._encoder: UniversalSentenceEncoder | None = None

    def _encode_batch(self, items: list[Any]) -> NDArray[np.float32]:
        if self._encoder is None:
            self._encoder = UniversalSentenceEncoder()
        return _projected("text", self._encoder.encode(items, len(items)))


class EmojiImage(Encoder):
    """The view "image_deep" of ``pyhash.datasets.load_emoji``, of new pictures: 256 features.

    ``x = V'u / |u| + b``, u the 1280 features of EfficientNetLite0. A picture becomes 64 pixels wide and high, on
    white, as the emoji of the data set were, and is enlarged to 160. V and b are fitted to the features of two of its
    seven sets of pictures, and give those of pictures that were held out back with a cosine of 0.996 (median). The
    network is loaded when it is first used.

    Parameters
    ----------
    device : str or torch.device, default="auto"
        As for EfficientNetLite0.

    Examples
    --------
    >>> from pyhash.encoders import EmojiImage
    >>> EmojiImage().encode(["cat.png"]).shape  # doctest: +SKIP
    (1, 256)
    """

    name = "emoji-image"
    version = _VERSION
    kind: Kind = "image"
    n_features: int | None = 256

    def __init__(self, *, device: object = "auto") -> None:
        self._device = device
        self._encoder: EfficientNetLite0 | None = None

    def _encode_batch(self, items: list[Any]) -> NDArray[np.float32]:
        from PIL import Image, ImageOps

        if self._encoder is None:
            self._encoder = EfficientNetLite0(side=_SIDE_OF_INPUT, device=self._device)
        small, resample = (_SIDE_OF_EMOJI, _SIDE_OF_EMOJI), Image.Resampling.BICUBIC
        pictures = [ImageOps.pad(picture, small, resample, color="white") for picture in items]
        features = self._encoder.encode(pictures, len(pictures))
        return _projected("image", features / np.linalg.norm(features, axis=1, keepdims=True))


def _projected(modality: str, features: Any) -> NDArray[np.float32]:
    weights, bias = _projections()[modality]
    projected: NDArray[np.float32] = features @ weights + bias
    return projected


@cache
def _projections() -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    with (files("pyhash.encoders") / "data" / "emoji_projections.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        return {
            modality: (stored[f"{modality}_weights"].astype(np.float32), stored[f"{modality}_bias"])
            for modality in ("image", "text")
        }
