"""Networks of the user's that stand in front of a method's own, and what a file keeps of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from pyhash.deep.networks.alexnet import AlexNet

_OWN = {"AlexNet": AlexNet}


def check_backbones(value: object) -> dict[str, nn.Module]:
    """Backbones by modality, copied to the CPU: what was passed stays as it was."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"backbones must be a mapping of modality names to torch modules, got {type(value).__name__}")
    for name, module in value.items():
        if not isinstance(module, nn.Module):
            raise TypeError(f"backbones[{name!r}] must be a torch module, got {type(module).__name__}")
    return {str(name): copy.deepcopy(module).cpu() for name, module in value.items()}


def check_modalities(backbones: Mapping[str, nn.Module], modalities: Collection[str]) -> None:
    """Refuses backbones of what is none of the modalities."""
    for name in backbones:
        if name not in modalities:
            known = ", ".join(map(repr, modalities)) or "no modality"
            raise ValueError(f"backbones must be for {known}, got one for {name!r}")


def store_backbones(backbones: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What a file says of backbones; weights are elsewhere, and code is nowhere."""
    return {
        name: {
            "kind": type(module).__name__,
            "parameters": module.get_params() if isinstance(module, AlexNet) else None,
        }
        for name, module in backbones.items()
    }


def check_given(stored: Mapping[str, Any], given: Mapping[str, Any] | None) -> None:
    """Refuses backbones that are not those of a file; `stored` is what it says of them.

    Apart from their restoring, since what is wrong here is the caller's, not the file's.
    """
    check_modalities(check_backbones(given), stored)
    for name, described in stored.items():
        if not _is_own(described) and name not in (given or {}):
            raise TypeError(
                f"backbones must name a {described['kind']} for {name!r}: files hold weights, not code; "
                f"pyhash.load(path, backbones={{{name!r}: ...}})"
            )


def restore_backbones(stored: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, nn.Module]:
    """Modules of the stored kinds, untrained: those given, and else pyhash's own."""
    modules = check_backbones(given)
    return {
        name: modules[name] if name in modules else _OWN[described["kind"]](**described["parameters"])
        for name, described in stored.items()
    }


def _is_own(described: Mapping[str, Any]) -> bool:
    return described["parameters"] is not None and described["kind"] in _OWN
