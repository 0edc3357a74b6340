"""Models of timm."""

from __future__ import annotations

from typing import Any

from pyhash._extras import require
from pyhash.encoders.items import Kind
from pyhash.encoders.network_encoder import NetworkEncoder, name_to_load
from pyhash.encoders.processor_values import transform_values


class TimmEncoder(NetworkEncoder):
    """A model of timm: the pooled features that its classifier takes.

    Pictures are cut and scaled as the model's own configuration says.

    Parameters
    ----------
    model : str or torch.nn.Module
        A name of ``timm.list_models(pretrained=True)``, such as "resnet18" or "vit_small_patch14_dinov2.lvd142m";
        "hf-hub:NAME" or "local-dir:FOLDER". Or a model that is there already, which stays on its device.
    name : str, optional
        The user's own name of a model that is given as one; others are "timm:MODEL".
    device : str or torch.device, default="auto"
        Where a model that is loaded runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import TimmEncoder
    >>> encoder = TimmEncoder("resnet18")  # doctest: +SKIP
    >>> encoder.encode(["photo.jpg"]).shape  # doctest: +SKIP
    (1, 512)
    """

    kind: Kind = "image"

    def __init__(self, model: Any, *, name: str | None = None, device: object = "auto") -> None:
        library = require("timm", "encoders of timm", "image")
        loaded = name_to_load(model, name)
        if loaded is not None:
            model = library.create_model(loaded, pretrained=True)
        elif not hasattr(model, "forward_head"):
            raise TypeError(f"model must be a str or a model of timm, got {type(model).__name__}")
        self.name = f"timm:{loaded}" if name is None else name
        data = require("timm.data", "encoders of timm", "image")
        self._transform = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
        described = [type(model).__name__, transform_values(self._transform)]
        self._set_network(model, device, "timm", described, is_loaded=loaded is not None)

    def _run(self, items: list[Any]) -> Any:
        import torch

        pixels = torch.stack([self._transform(picture) for picture in items]).to(self.device)
        states = self.network.forward_features(pixels)  # type: ignore[operator]
        return self.network.forward_head(states, pre_logits=True)  # type: ignore[operator]
