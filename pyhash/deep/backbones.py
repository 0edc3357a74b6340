"""Networks of the user's that stand in front of a method's own, and what a file keeps of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from pyhash.deep.networks.alexnet import AlexNet

_OWN = {"AlexNet": AlexNet}


# --- the parameter `backbones` ----------------------------------------------------------------------------------------


def check_backbones(value: object) -> dict[str, nn.Module]:
    """Return copies of backbones by modality, on the CPU."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"backbones must be a mapping of modality names to torch modules, got {type(value).__name__}")
    for name, module in value.items():
        if not isinstance(module, nn.Module):
            raise TypeError(f"backbones[{name!r}] must be a torch module, got {type(module).__name__}")
    # One copy of all: modules that share weights go on sharing them.
    return {str(name): module.cpu() for name, module in copy.deepcopy(dict(value)).items()}


def check_modalities(what: str, named: Collection[str], modalities: Collection[str]) -> None:
    """Raise a ValueError if `what`, such as backbones, is for an unknown modality."""
    for name in named:
        if name not in modalities:
            known = ", ".join(map(repr, modalities)) or "no modality"
            raise ValueError(f"{what} must be for {known}, got one for {name!r}")


def set_trained(backbones: Mapping[str, nn.Module], train_backbones: object) -> None:
    """Set which weights of backbones require gradients, and the modes of their modules.

    `train_backbones` is None, a bool or "head", or a mapping of modalities to these.
    """
    if not isinstance(train_backbones, Mapping):
        train_backbones = dict.fromkeys(backbones, _check_trained("train_backbones", train_backbones))
    for name, trained in train_backbones.items():
        _check_trained(f"train_backbones[{name!r}]", trained)
        if name not in backbones:
            raise ValueError(f"train_backbones must name modalities that have a backbone, got {name!r}")
        module = backbones[name]
        if trained is None:
            continue
        module.train(trained is True).requires_grad_(trained is True)
        if trained == "head":
            head = _head_of(name, module)
            head.train().requires_grad_(True)


def _check_trained(what: str, value: object) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, str) and value == "head"):
        return value
    raise ValueError(f'{what} must be True, False, "head" or None, got {value!r}')


def _head_of(name: str, module: nn.Module) -> nn.Module:
    """Return the last module that has weights of its own."""
    with_weights = [each for each in module.modules() if next(each.parameters(recurse=False), None) is not None]
    if not with_weights:
        raise ValueError(f'train_backbones[{name!r}] must not be "head" for a backbone without weights')
    return with_weights[-1]


# --- files ------------------------------------------------------------------------------------------------------------


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
    check_modalities("backbones", check_backbones(given), stored)
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
