"""What encoders whose features come from a network of torch share."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.device import resolve_device
from pyhash.encoders.contract import Encoder

if TYPE_CHECKING:
    import torch


class NetworkEncoder(Encoder):
    """An encoder whose features a network computes, in evaluation mode and without gradients.

    Several threads can encode at once, unless the network was given in training mode, which each call puts back.

    Attributes
    ----------
    network : torch.nn.Module
        The network. Its modules are in the modes they were in before each ``encode``.
    device : torch.device
        Where it runs.
    """

    network: torch.nn.Module
    device: torch.device

    def _set_network(
        self, network: Any, device: object, distribution: str, described: object, *, is_loaded: bool
    ) -> None:
        """Set network, device and version; one that was loaded goes to the device, another stays where it is.

        `described` is what beside the weights makes the features: values of JSON.
        """
        if is_loaded:
            self.device = resolve_device(device)
            network = network.to(self.device).eval()
        else:
            self.device = next((weights.device for weights in network.parameters()), resolve_device("cpu"))
        self.network = network
        self.version = f"{distribution} {version(distribution)}, weights {weights_digest(network, described)}"

    def _encode_batch(self, items: list[Any]) -> NDArray[np.float32]:
        import torch

        with torch.no_grad(), evaluating(self.network):
            features: NDArray[np.float32] = self._run(items).float().cpu().numpy()
        return features

    @abstractmethod
    def _run(self, items: list[Any]) -> torch.Tensor:
        """Return the features of items, on any device."""


def weights_digest(network: torch.nn.Module, described: object) -> str:
    """Return a checksum of the values of a network's state, and of what describes the rest, as 16 hex digits."""
    import torch

    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, values in sorted(network.state_dict().items()):
        if not isinstance(values, torch.Tensor):
            digest.update(f"{name} {values!r}\n".encode())
            continue
        values = values.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each of its modules back into its own at the end of the block."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        network.eval()  # a block may change modes too
        for module in training:
            module.training = True


def config_values(config: Any) -> dict[str, Any]:
    """Return the entries of a configuration of transformers, without those that tell where it came from."""
    values: Mapping[str, Any] = config.to_dict()
    return {key: value for key, value in values.items() if key not in ("_name_or_path", "transformers_version")}


def name_to_load(model: object, name: object) -> str | None:
    """Return the name of a model to load, None where `model` is one.

    A model that is loaded has its own name, hence takes no `name`; one that is given needs it.

    Raises
    ------
    TypeError
        If `name` is given with the name of a model, or missing with a model.
    ValueError
        If `model` is empty.
    """
    if isinstance(model, str):
        if not model:
            raise ValueError("model must not be empty")
        if name is not None:
            raise TypeError(f"name must be left out for a model that is loaded by name, got {name!r}")
        return model
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a str that is not empty for a model that is given, got {name!r}")
    return None
