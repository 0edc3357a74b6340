"""Deep models in files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pyhash._inputs.checks import check_integer
from pyhash.deep.backbones import restore_backbones, store_backbones
from pyhash.deep.checkpoint import as_arrays, as_weights, load_weights, weights_of
from pyhash.deep.networks.backbone import embedded_width, zero_row
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import InputSpec, TensorSpec
from pyhash.deep.state import DeepState, Plan
from pyhash.deep.torch_state import forked_rng
from pyhash.methods.parts.arrays import Arrays, Fields
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import restore_parameter, store_parameter
from pyhash.methods.parts.state import restore_calibrations, restore_maps, store_calibrations, store_maps

if TYPE_CHECKING:
    from pyhash._files.archive import Archive

# Dicts within dicts of a file, at most.
_MAX_DEPTH = 16
# What a file may say that the values of an input are.
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
}


def store_state(state: DeepState) -> tuple[Fields, Arrays]:
    """Return header fields and arrays."""
    plan, arrays = state.plan, as_arrays("network.", weights_of(state.network))
    backbones = state.network.backbones
    fields: Fields = {
        "plan": {
            "n_bits": plan.n_bits,
            "n_classes": plan.n_classes,
            "shapes": {name: _store_spec(spec) for name, spec in plan.specs.items()},
            "widths": {name: plan.n_features[name] if name in backbones else n for name, n in plan.widths.items()},
            "backbone_widths": {name: plan.widths[name] for name in backbones},
        },
        "settings": {name: store_parameter(name, value, arrays) for name, value in state.settings.items()},
        "maps": store_maps(state.maps, arrays),
        "backbones": store_backbones(backbones),
        "n_samples": state.n_samples,
        "history": state.history,
        "best_epoch": state.best_epoch,
        "evaluated_by": state.evaluated_by,
    }
    for m, name in enumerate(plan.specs):
        arrays[f"V.{m}"] = state.label_weights[name]
    state.label_sets.store(arrays)
    fields["calibrations"] = store_calibrations(state.calibrations, plan.specs, arrays)
    if state.trial is not None:
        fields["trial"] = state.trial.store(arrays)
    return fields, arrays


def restore_state(
    archive: Archive,
    backbones: Mapping[str, Any] | None,
    make_network: Callable[[Plan, dict[str, Any], dict[str, nn.Module]], HashingNetwork],
) -> DeepState:
    """Return what ``store_state`` stored, its networks on the CPU; all dtypes and shapes are checked.

    Parameters
    ----------
    backbones : mapping of str to torch Module, or None
        Backbones that the user gives.
    make_network : callable
        Makes untrained networks of a plan, the method's settings, and backbones.
    """
    fields = archive.field("state")
    plan = _restore_plan(fields["plan"], fields["backbones"])
    settings = {name: restore_parameter(value, archive.arrays) for name, value in fields["settings"].items()}
    maps = restore_maps(fields["maps"], plan.n_features, archive)
    _check_widths(plan, maps)
    try:
        with forked_rng(torch.device("cpu")):
            modules = restore_backbones(fields["backbones"], backbones)
            plan = replace(plan, widths=plan.widths | _restore_backbone_widths(fields["plan"], plan, modules))
            network = make_network(plan, settings, modules)
    except RuntimeError as error:  # sizes that torch refuses, or cannot allocate
        raise ValueError(f"its networks cannot be made: {str(error).splitlines()[0]}") from error
    load_weights(network, as_weights("network.", archive.arrays))
    weights_shape = (network.feature_width + 1, plan.n_classes)
    history = [dict(entry) for entry in fields["history"]]
    return DeepState(
        plan=plan,
        settings=settings,
        maps=maps,
        n_samples=check_integer("n_samples", fields["n_samples"], 1),
        network=network.eval(),
        label_weights={name: archive.array(f"V.{m}", np.float64, weights_shape) for m, name in enumerate(plan.specs)},
        label_sets=LabelSets.restore(archive, plan.n_classes, plan.n_bits),
        history=history,
        best_epoch=check_integer("best_epoch", fields["best_epoch"], 0, len(history)),
        evaluated_by=_restore_names(fields.get("evaluated_by", []), plan),
        trial=_restore_trial(fields["trial"], archive, plan) if "trial" in fields else None,
        calibrations=restore_calibrations(fields["calibrations"] if archive.version > 1 else {}, plan.specs, archive),
    )


def _restore_plan(stored: Mapping[str, Any], backbones: Collection[str]) -> Plan:
    specs = {str(name): _restore_spec(spec) for name, spec in stored["shapes"].items()}
    if not specs:
        raise ValueError("shapes must hold at least one modality")
    for name, spec in specs.items():
        if name not in backbones and (not isinstance(spec, TensorSpec) or not spec.shape or spec.has_any_length):
            raise ValueError(f"shapes must be of features where there is no backbone, got {spec} for {name!r}")
    return Plan(
        n_bits=check_integer("n_bits", stored["n_bits"], 1),
        n_classes=check_integer("n_classes", stored["n_classes"], 1),
        specs=specs,
        widths={name: check_integer("widths", stored["widths"][name], 1) for name in specs},
    )


def _restore_backbone_widths(
    stored: Mapping[str, Any], plan: Plan, backbones: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Return the number of features of each backbone; files have it since version 0.4."""
    if "backbone_widths" not in stored:
        return {name: embedded_width(name, module, zero_row(plan.specs[name])) for name, module in backbones.items()}
    if not isinstance(stored["backbone_widths"], Mapping) or stored["backbone_widths"].keys() != backbones.keys():
        raise ValueError(f"backbone_widths must be of each backbone, got {stored['backbone_widths']!r}")
    return {name: check_integer("backbone_widths", stored["backbone_widths"][name], 1) for name in backbones}


def _store_spec(spec: InputSpec) -> Any:
    """Return a specification as JSON: a list of lengths, after the dtype if it is not float32, or a dict of such."""
    if isinstance(spec, TensorSpec):
        return [*([] if spec.dtype == torch.float32 else [str(spec.dtype).removeprefix("torch.")]), *spec.shape]
    return {name: _store_spec(part) for name, part in spec.items()}


def _restore_spec(stored: Any, depth: int = 0) -> InputSpec:
    if isinstance(stored, Mapping):
        if not stored or depth == _MAX_DEPTH:
            raise ValueError(f"shapes must hold no empty dict and at most {_MAX_DEPTH} dicts within each other")
        return {str(name): _restore_spec(part, depth + 1) for name, part in stored.items()}
    if not isinstance(stored, list):
        raise ValueError(f"shapes must be lists or dicts of them, got {stored!r}")
    dtype, lengths = torch.float32, stored
    if stored and isinstance(stored[0], str):
        if stored[0] not in _DTYPES:
            raise ValueError(f"shapes must be of one of {', '.join(_DTYPES)}, got {stored[0]!r}")
        dtype, lengths = _DTYPES[stored[0]], stored[1:]
    return TensorSpec(tuple(check_integer("shapes", d, 1) for d in lengths), dtype)


def _restore_names(stored: Any, plan: Plan) -> list[str]:
    """Return names of modalities."""
    if not isinstance(stored, list) or not all(name in plan.specs for name in stored):
        raise ValueError(f"evaluated_by must name modalities, got {stored!r}")
    return stored


def _restore_trial(stored: Any, archive: Archive, plan: Plan) -> EncoderTrial:
    trial = EncoderTrial.restore(stored, archive, plan.n_bits, plan.n_classes)
    if trial.n_queries > 0 and trial.scores.keys() != plan.specs.keys():
        raise ValueError(f"scores must be of {', '.join(plan.specs)}, got {', '.join(trial.scores) or 'none'}")
    return trial


def _check_widths(plan: Plan, maps: Mapping[str, Any]) -> None:
    """Raise a ValueError unless feature maps give as many features as the networks take."""
    for name, n_features in plan.n_features.items():
        mean = getattr(maps[name], "mean_", None)  # of mapped features; maps without one keep their number
        width = n_features if mean is None else len(mean)
        if width != plan.widths[name]:
            raise ValueError(f"widths[{name!r}] must be {width}, as the feature map gives, got {plan.widths[name]}")
