"""Models of open_clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyhash._extras import require
from pyhash.encoders.items import check_kind
from pyhash.encoders.network_encoder import NetworkEncoder, name_to_load
from pyhash.encoders.processor_values import transform_values

_WHOLE_NAMES = ("hf-hub:", "local-dir:")


class OpenCLIPEncoder(NetworkEncoder):
    """One side of a model of open_clip: texts or pictures, in the space of both; rows are not of unit length.

    Parameters
    ----------
    model : str or torch.nn.Module
        ``ARCHITECTURE/PRETRAINED``, such as "ViT-B-32/laion2b_s34b_b79k", where the second part may be a file of
        weights; "hf-hub:NAME" or "local-dir:FOLDER". Or a model that is there already, which stays on its device.
    kind : {"text", "image"}
        What the items are.
    name : str, optional
        The user's own name of a model that is given as one; others are "open-clip:MODEL".
    processor : callable, optional
        The tokenizer, or the transform of a picture, of a model that is given as one.
    device : str or torch.device, default="auto"
        Where a model that is loaded runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import OpenCLIPEncoder
    >>> encoder = OpenCLIPEncoder("ViT-B-32/laion2b_s34b_b79k", kind="image")  # doctest: +SKIP
    >>> encoder.encode(["photo.jpg"]).shape  # doctest: +SKIP
    (1, 512)
    """

    def __init__(
        self,
        model: Any,
        *,
        kind: str | None,
        name: str | None = None,
        processor: Callable[..., Any] | None = None,
        device: object = "auto",
    ) -> None:
        self.kind = check_kind(kind)
        loaded = name_to_load(model, name)
        if (processor is None) != (loaded is not None):
            raise TypeError("processor must be given with a model that is given, and left out with the name of one")
        if loaded is not None:
            model, processor = _load(loaded, self.kind)
        self.name = f"open-clip:{loaded}" if name is None else name
        self._processor: Any = processor
        described = [self.kind, type(model).__name__, transform_values(processor)]
        self._set_network(model, device, "open_clip_torch", described, is_loaded=loaded is not None)

    def _run(self, items: list[Any]) -> Any:
        import torch

        if self.kind == "text":
            return self.network.encode_text(self._processor(items).to(self.device))  # type: ignore[operator]
        pixels = torch.stack([self._processor(picture) for picture in items])
        return self.network.encode_image(pixels.to(self.device))  # type: ignore[operator]


def _load(name: str, kind: str) -> tuple[Any, Any]:
    library = require("open_clip", "encoders of open_clip", "image")
    if name.startswith(_WHOLE_NAMES):
        architecture, pretrained = name, None
    else:
        architecture, _, pretrained = name.partition("/")
        if not (architecture and pretrained):
            raise ValueError(f"model must be ARCHITECTURE/PRETRAINED, hf-hub:NAME or local-dir:FOLDER, got {name!r}")
    model, _, transform = library.create_model_and_transforms(architecture, pretrained=pretrained)
    return model, library.get_tokenizer(architecture) if kind == "text" else transform
