"""Networks of the user's that stand in front of a method's own, and what a file keeps of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from pyhash.deep.networks.alexnet import AlexNet

_OWN = {"AlexNet": AlexNet}


def check_backbones(value: object) -> dict[str, nn.Module]:
    """Return copies of backbones by modality, on the CPU."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"backbones must be a mapping of modality names to torch modules, got {type(value).__name__}")
    for name, module in value.items():
        if not isinstance(module, nn.Module):
            raise TypeError(f"backbones[{name!r}] must be a torch module, got {type(module).__name__}")
    return {str(name): copy.deepcopy(module).cpu() for name, module in value.items()}


def check_modalities(backbones: Mapping[str, nn.Module], modalities: Collection[str]) -> None:
    """Raise a ValueError if a backbone is for an unknown modality."""
    for name in backbones:
        if name not in modalities:
            known = ", ".join(map(repr, modalities)) or "no modality"
            raise ValueError(f"backbones must be for {known}, got one for {name!r}")


def store_backbones(backbones: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Describe backbones for a file's header: kinds and parameters, no weights and no code."""
    return {
        name: {
            "kind": type(module).__name__,
            "parameters": module.get_params() if isinstance(module, AlexNet) else None,
        }
        for name, module in backbones.items()
    }


def check_given(stored: Mapping[str, Any], given: Mapping[str, Any] | None) -> None:
    """Raise a TypeError or ValueError if given backbones do not match those that a file describes.

    Separate from ``restore_backbones``, as the caller is wrong here and not the file.
    """
    check_modalities(check_backbones(given), stored)
    for name, described in stored.items():
        if not _is_own(described) and name not in (given or {}):
            raise TypeError(
                f"backbones must name a {described['kind']} for {name!r}: files hold weights, not code; "
                f"pyhash.load(path, backbones={{{name!r}: ...}})"
            )


def restore_backbones(stored: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, nn.Module]:
    """Return untrained modules of the stored kinds: those given, else pyhash's own."""
    modules = check_backbones(given)
    return {
        name: modules[name] if name in modules else _OWN[described["kind"]](**described["parameters"])
        for name, described in stored.items()
    }


def _is_own(described: Mapping[str, Any]) -> bool:
    return described["parameters"] is not None and described["kind"] in _OWN
