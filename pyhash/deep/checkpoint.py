"""Checkpoints: a training that was stopped continues from the last epoch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash._inputs.checks import check_integer
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import tensors_of
from pyhash.deep.objective import Objective
from pyhash.deep.rows import TrainingRows
from pyhash.deep.state import Plan
from pyhash.errors import ModelFormatError
from pyhash.methods.parts.arrays import Arrays, Matrix

_KIND = "checkpoint"
# What optimizers keep of a parameter, where it is known.
_OF_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})
_STATES: dict[type[Optimizer], frozenset[str]] = {torch.optim.Adam: _OF_ADAM, torch.optim.AdamW: _OF_ADAM}
# Rows whose values enter an identity instead of all.
_ROWS_IN_IDENTITY = 16

Weights: TypeAlias = dict[str, Tensor]


@dataclass
class Progress:
    """The state of a training between two epochs, apart from the network and the optimizer."""

    epoch: int  # epochs done
    history: list[dict[str, Any]]
    best_epoch: int
    best_score: float | None
    best: Weights  # on the CPU
    is_over: bool = False
    scaler: dict[str, float] | None = None  # state of the gradient scaler, where mixed precision has one
    schedule_steps: int = 0  # of the schedule of learning rates


def identity_of(
    method: str, parameters: Mapping[str, Any], plan: Plan, rows: TrainingRows, L: Matrix, network: HashingNetwork
) -> str:
    """Return what tells a training from others: a digest of parameters, data, and the weights of backbones.

    Of the data the shapes, all labels and a few rows enter it.
    """
    described = {name: repr(value) for name, value in sorted(parameters.items())}
    digest = hashlib.sha256(json.dumps([method, described, repr(plan)]).encode())
    digest.update(L.tobytes())
    for backbone in network.backbones.values():
        for weights in weights_of(backbone).values():
            digest.update(_as_array(weights).tobytes())
    some = np.unique(np.linspace(0, rows.n - 1, _ROWS_IN_IDENTITY).astype(np.int64))
    for inputs in rows.batches([some]):
        for x in inputs.values():
            for tensor in tensors_of(x):
                digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:32]


def weights_of(module: torch.nn.Module) -> Weights:
    """Return copies of all parameters and buffers, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}


def as_arrays(prefix: str, weights: Weights) -> Arrays:
    """Return weights as arrays of a file, their names after a prefix."""
    return {prefix + name: _as_array(tensor) for name, tensor in weights.items()}


def _as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; numpy has no bfloat16, whose values are values of float32 as well."""
    found: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def as_weights(prefix: str, arrays: Arrays) -> Weights:
    """Return the weights that ``as_arrays`` made arrays of."""
    n = len(prefix)
    return {name[n:]: torch.from_numpy(np.array(array)) for name, array in arrays.items() if name.startswith(prefix)}


def load_weights(network: torch.nn.Module, weights: Weights) -> None:
    """Put weights into a network; raise a ValueError if they do not fit."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"its weights do not fit the networks: {error}") from error


def write_checkpoint(
    path: str | os.PathLike[str], identity: str, objective: Objective, optimizer: Optimizer, progress: Progress
) -> None:
    """Write the state of a training to a file, whole or not at all."""
    arrays = as_arrays("network.", weights_of(objective.network)) | as_arrays("best.", progress.best)
    arrays |= as_arrays("objective.", {name: each.detach().cpu() for name, each in objective.state().items()})
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is None:  # the momentum of SGD without one, in torch before 2.5
                continue
            arrays[f"optimizer.{number}.{name}"] = _as_array(torch.as_tensor(value).detach().cpu())
    fields = {
        "identity": identity,
        "epoch": progress.epoch,
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "is_over": progress.is_over,
        "scaler": progress.scaler,
        "schedule_steps": progress.schedule_steps,
    }
    write_tensor_file(path, _KIND, fields, arrays)


def read_checkpoint(
    path: str | os.PathLike[str], identity: str, objective: Objective, optimizer: Optimizer
) -> Progress | None:
    """Read the state of a training and put it into the objective and the optimizer; None if there is no file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ModelFormatError
        If the file is damaged.
    ModelFormatError
        If the file is not a checkpoint.
    ModelFormatError
        If the checkpoint is one of an older version.
    ValueError
        If the checkpoint is of a training with other parameters, data or seed.
    """
    if not Path(path).exists():
        return None
    archive = read_tensor_file(path)
    if archive.kind != _KIND:
        raise ModelFormatError(f"{path} holds a {archive.kind}, not a checkpoint")
    if "schedule_steps" not in archive.fields and "epoch" in archive.fields:
        raise ModelFormatError(
            f"{path} is a checkpoint of an older version of pyhash, which kept no codes and no schedule: "
            "remove it or name another file"
        )
    with archive.taken_for(_KIND):
        found = str(archive.field("identity"))
        score = archive.field("best_score")
        progress = Progress(
            epoch=(epoch := check_integer("epoch", archive.field("epoch"), 1)),
            history=_checked_history(archive.field("history"), epoch),
            best_epoch=check_integer("best_epoch", archive.field("best_epoch"), 1, epoch),
            best_score=None if score is None else float(score),
            best=as_weights("best.", archive.arrays),
            is_over=bool(archive.field("is_over")),
            scaler=archive.field("scaler"),
            schedule_steps=check_integer("schedule_steps", archive.field("schedule_steps"), 0),
        )
        weights = as_weights("network.", archive.arrays)
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in as_weights("optimizer.", archive.arrays).items():
            number, _, entry = name.partition(".")
            states.setdefault(int(number), {})[entry] = tensor
    if found != identity:
        raise ValueError(
            f"checkpoint must be of this training, {path} is of one with other parameters, data or seed: "
            "remove it or name another file"
        )
    with archive.taken_for(_KIND):
        _check_states(optimizer, states)
        load_weights(objective.network, progress.best)
        load_weights(objective.network, weights)
        objective.restore(as_weights("objective.", archive.arrays))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return progress


def _checked_history(history: Any, epochs: int) -> list[dict[str, Any]]:
    """Return the history; raise if it is not one entry for each epoch."""
    if not isinstance(history, list) or len(history) != epochs or not all(isinstance(each, dict) for each in history):
        raise ValueError(f"its history must have an entry for each of its {epochs} epochs")
    return history


def _check_states(optimizer: Optimizer, states: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Raise if these cannot be the states that the optimizer keeps of its parameters."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    wanted = _STATES.get(type(optimizer))
    for number, state in states.items():
        if not 0 <= number < len(parameters) or (wanted is not None and set(state) - {"max_exp_avg_sq"} != wanted):
            raise ValueError(f"its state of parameter {number} is not one of {type(optimizer).__name__}")
        for name, tensor in state.items():
            shape = tuple(parameters[number].shape)
            if wanted is not None and tuple(tensor.shape) != (() if name == "step" else shape):
                raise ValueError(f"{name} of parameter {number} must be of shape {shape}, got {tuple(tensor.shape)}")
            if not tensor.is_floating_point():
                raise ValueError(f"{name} of parameter {number} must be floats, got {tensor.dtype}")
