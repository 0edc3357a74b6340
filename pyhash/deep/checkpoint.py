"""Training that goes on where it was stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash.errors import ModelFormatError

_KIND = "checkpoint"

Weights = dict[str, Tensor]
Arrays = dict[str, NDArray[Any]]


@dataclass
class Progress:
    """Where a training stands between two epochs: with the network and the optimizer all that the next one needs."""

    epoch: int  # epochs done
    history: list[dict[str, Any]]
    best_epoch: int
    best_score: float | None
    best: Weights  # on the CPU
    is_over: bool = False
    scaler: dict[str, float] | None = None  # of gradients, where mixed precision has one


def weights_of(module: torch.nn.Module) -> Weights:
    """A copy on the CPU of all parameters and buffers."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}


def as_arrays(prefix: str, weights: Weights) -> Arrays:
    """Weights by name, as arrays of a file."""
    return {prefix + name: tensor.numpy() for name, tensor in weights.items()}


def as_weights(prefix: str, arrays: Arrays) -> Weights:
    """What ``as_arrays`` made."""
    n = len(prefix)
    return {name[n:]: torch.from_numpy(np.array(array)) for name, array in arrays.items() if name.startswith(prefix)}


def load_weights(network: torch.nn.Module, weights: Weights) -> None:
    """Puts weights into a network; a ValueError where they do not fit."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"its weights do not fit the networks: {error}") from error


def write_checkpoint(
    path: str | os.PathLike[str], identity: str, network: torch.nn.Module, optimizer: Optimizer, progress: Progress
) -> None:
    """Writes where a training stands, whole or not at all."""
    arrays = as_arrays("network.", weights_of(network)) | as_arrays("best.", progress.best)
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is None:  # the momentum of SGD without one, in torch before 2.5
                continue
            arrays[f"optimizer.{number}.{name}"] = torch.as_tensor(value).detach().cpu().numpy()
    fields = {
        "identity": identity,
        "epoch": progress.epoch,
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "is_over": progress.is_over,
        "scaler": progress.scaler,
    }
    write_tensor_file(path, _KIND, fields, arrays)


def read_checkpoint(
    path: str | os.PathLike[str], identity: str, network: torch.nn.Module, optimizer: Optimizer
) -> Progress | None:
    """Where a training stood, put into its network and optimizer; None where there is no file.

    A ValueError if the file is of another training: other parameters, data or seed.
    """
    if not Path(path).exists():
        return None
    archive = read_tensor_file(path)
    if archive.kind != _KIND:
        raise ModelFormatError(f"{path} holds a {archive.kind}, not a checkpoint")
    with archive.taken_for(_KIND):
        found = str(archive.field("identity"))
        score = archive.field("best_score")
        progress = Progress(
            epoch=int(archive.field("epoch")),
            history=list(archive.field("history")),
            best_epoch=int(archive.field("best_epoch")),
            best_score=None if score is None else float(score),
            best=as_weights("best.", archive.arrays),
            is_over=bool(archive.field("is_over")),
            scaler=archive.field("scaler"),
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
        load_weights(network, weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return progress
