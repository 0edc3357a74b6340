"""Classifiers of torchvision."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

from pyhash._extras import require
from pyhash.encoders.items import Kind
from pyhash.encoders.network_encoder import NetworkEncoder, name_to_load
from pyhash.encoders.processor_values import transform_values


class TorchvisionEncoder(NetworkEncoder):
    """A classifier of torchvision: the features that its last linear layer takes.

    Parameters
    ----------
    model : str or torch.nn.Module
        ``MODEL`` or ``MODEL/WEIGHTS``, such as "resnet18" or "resnet50/IMAGENET1K_V1"; without weights, those that
        torchvision calls its default. Or a classifier that is there already, which stays on its device.
    name : str, optional
        The user's own name of a model that is given as one; others are "torchvision:MODEL".
    processor : callable, optional
        The transform of a PIL image to a tensor (3, h, w), of a model that is given as one.
    device : str or torch.device, default="auto"
        Where a model that is loaded runs; "auto": cuda if there is one, else mps, else cpu.

    Examples
    --------
    >>> from pyhash.encoders import TorchvisionEncoder
    >>> encoder = TorchvisionEncoder("resnet18")  # doctest: +SKIP
    >>> encoder.encode(["photo.jpg"]).shape  # doctest: +SKIP
    (1, 512)
    """

    kind: Kind = "image"

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        processor: Callable[[Any], Any] | None = None,
        device: object = "auto",
    ) -> None:
        loaded = name_to_load(model, name)
        if (processor is None) != (loaded is not None):
            raise TypeError("processor must be given with a model that is given, and left out with the name of one")
        if loaded is not None:
            model, processor = _load(loaded)
        self.name = f"torchvision:{loaded}" if name is None else name
        self._transform: Any = processor
        self._last = _last_linear(model)
        described = [type(model).__name__, transform_values(processor)]
        self._set_network(model, device, "torchvision", described, is_loaded=loaded is not None)

    def _run(self, items: list[Any]) -> Any:
        import torch

        taken: list[torch.Tensor] = []
        thread = get_ident()

        def take(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if get_ident() == thread:  # others may run the same network
                taken.append(inputs[0])

        hook = self._last.register_forward_pre_hook(take)
        try:
            self.network(torch.stack([self._transform(picture) for picture in items]).to(self.device))
        finally:
            hook.remove()
        return taken[-1]


def _load(name: str) -> tuple[Any, Any]:
    models = require("torchvision.models", "encoders of torchvision", "image")
    model, slash, weights = name.partition("/")
    try:
        chosen = models.get_model_weights(model)[weights if slash else "DEFAULT"]
    except (KeyError, ValueError):
        raise ValueError(f"model must be MODEL or MODEL/WEIGHTS of torchvision, got {name!r}") from None
    return models.get_model(model, weights=chosen), chosen.transforms()


def _last_linear(model: Any) -> Any:
    import torch

    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    if not layers:
        raise ValueError(f"model must be a classifier with a linear layer at its end, got {type(model).__name__}")
    return layers[-1]
