"""Deep models in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pyhash._inputs.checks import check_integer
from pyhash.deep.backbones import restore_backbones, store_backbones
from pyhash.deep.checkpoint import as_arrays, as_weights, load_weights, weights_of
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.state import DeepState, Plan
from pyhash.deep.torch_state import forked_rng
from pyhash.methods.parts.arrays import Arrays, Fields
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import restore_parameter, store_parameter
from pyhash.methods.parts.state import restore_calibrations, restore_maps, store_calibrations, store_maps

if TYPE_CHECKING:
    from pyhash._files.archive import Archive


def store_state(state: DeepState) -> tuple[Fields, Arrays]:
    """Return header fields and arrays."""
    plan, arrays = state.plan, as_arrays("network.", weights_of(state.network))
    fields: Fields = {
        "plan": {
            "n_bits": plan.n_bits,
            "n_classes": plan.n_classes,
            "shapes": {name: list(shape) for name, shape in plan.shapes.items()},
            "widths": plan.widths,
        },
        "settings": {name: store_parameter(name, value, arrays) for name, value in state.settings.items()},
        "maps": store_maps(state.maps, arrays),
        "backbones": store_backbones(state.network.backbones),
        "n_samples": state.n_samples,
        "history": state.history,
        "best_epoch": state.best_epoch,
    }
    for m, name in enumerate(plan.shapes):
        arrays[f"V.{m}"] = state.label_weights[name]
    state.label_sets.store(arrays)
    fields["calibrations"] = store_calibrations(state.calibrations, plan.shapes, arrays)
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
    plan = _restore_plan(fields["plan"])
    settings = {name: restore_parameter(value, archive.arrays) for name, value in fields["settings"].items()}
    maps = restore_maps(fields["maps"], plan.n_features, archive)
    _check_widths(plan, maps)
    try:
        with forked_rng(torch.device("cpu")):
            network = make_network(plan, settings, restore_backbones(fields["backbones"], backbones))
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
        label_weights={name: archive.array(f"V.{m}", np.float64, weights_shape) for m, name in enumerate(plan.shapes)},
        label_sets=LabelSets.restore(archive, plan.n_classes, plan.n_bits),
        history=history,
        best_epoch=check_integer("best_epoch", fields["best_epoch"], 0, len(history)),
        trial=_restore_trial(fields["trial"], archive, plan) if "trial" in fields else None,
        calibrations=restore_calibrations(fields["calibrations"] if archive.version > 1 else {}, plan.shapes, archive),
    )


def _restore_plan(stored: Mapping[str, Any]) -> Plan:
    shapes = {
        str(name): tuple(check_integer("shapes", d, 1) for d in shape) for name, shape in stored["shapes"].items()
    }
    if not shapes or not all(shapes.values()):
        raise ValueError("shapes must hold at least one modality, each with at least one axis")
    return Plan(
        n_bits=check_integer("n_bits", stored["n_bits"], 1),
        n_classes=check_integer("n_classes", stored["n_classes"], 1),
        shapes=shapes,
        widths={name: check_integer("widths", stored["widths"][name], 1) for name in shapes},
    )


def _restore_trial(stored: Any, archive: Archive, plan: Plan) -> EncoderTrial:
    trial = EncoderTrial.restore(stored, archive, plan.n_bits, plan.n_classes)
    if trial.n_queries > 0 and trial.scores.keys() != plan.shapes.keys():
        raise ValueError(f"scores must be of {', '.join(plan.shapes)}, got {', '.join(trial.scores) or 'none'}")
    return trial


def _check_widths(plan: Plan, maps: Mapping[str, Any]) -> None:
    """Raise a ValueError unless feature maps give as many features as the networks take."""
    for name, n_features in plan.n_features.items():
        mean = getattr(maps[name], "mean_", None)  # of mapped features; maps without one keep their number
        width = n_features if mean is None else len(mean)
        if width != plan.widths[name]:
            raise ValueError(f"widths[{name!r}] must be {width}, as the feature map gives, got {plan.widths[name]}")
