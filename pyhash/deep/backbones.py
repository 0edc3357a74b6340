"""Networks of the user's that stand in front of a method's own, and what a file keeps of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from pyhash.deep.networks.alexnet import AlexNet

_OWN = {"AlexNet": AlexNet}


def check_backbones(value: object) -> dict[str, nn.Module]:
    """Backbones by modality, copied: what was passed stays as it was."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"backbones must be a mapping of modality names to torch modules, got {type(value).__name__}")
    for name, module in value.items():
        if not isinstance(module, nn.Module):
            raise TypeError(f"backbones[{name!r}] must be a torch module, got {type(module).__name__}")
    return {str(name): copy.deepcopy(module) for name, module in value.items()}


def store_backbones(backbones: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What a file says of backbones; weights are elsewhere, and code is nowhere."""
    return {
        name: {
            "kind": type(module).__name__,
            "parameters": module.get_params() if isinstance(module, AlexNet) else None,
        }
        for name, module in backbones.items()
    }


def restore_backbones(stored: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, nn.Module]:
    """Modules of the stored kinds, untrained; those that are not pyhash's must be given."""
    modules = check_backbones(given)
    for name, described in stored.items():
        if described["parameters"] is not None and described["kind"] in _OWN:
            modules.setdefault(name, _OWN[described["kind"]](**described["parameters"]))
    missing = [name for name in stored if name not in modules]
    unknown = [name for name in modules if name not in stored]
    if missing:
        kind = stored[missing[0]]["kind"]
        raise TypeError(
            f"backbones must name a {kind} for {missing[0]!r}: files hold weights, not code; "
            f"pyhash.load(path, backbones={{{missing[0]!r}: ...}})"
        )
    if unknown:
        raise TypeError(f"backbones must be for {', '.join(map(repr, stored)) or 'no modality'}, got {unknown[0]!r}")
    return modules
