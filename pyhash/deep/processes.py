"""Rows shared among the processes that train together; with one process it has all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.outputs import Outputs, encode_rows
from pyhash.deep.rows import RowNumbers, TrainingRows

_T = TypeVar("_T")


def part_of(accelerator: Accelerator, rows: RowNumbers, least: int = 1) -> RowNumbers:
    """Return the rows of this process: as many for each, the last row repeated where they do not divide."""
    n = accelerator.num_processes
    if n == 1:
        return rows
    size = max(-(-len(rows) // n), least)
    padded = np.concatenate([rows, np.repeat(rows[-1:], n * size - len(rows))])
    return padded[accelerator.process_index * size :][:size]


class _Gather(torch.autograd.Function):
    """The rows of all processes.

    Every process computes the same loss from them, and the gradients of parameters are averaged over processes. So the
    gradient of a process's own rows is multiplied by the number of processes, and needs no other's.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, accelerator: Accelerator) -> Tensor:
        ctx.accelerator, ctx.n = accelerator, len(x)
        gathered: Tensor = accelerator.gather(x.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first = ctx.accelerator.process_index * ctx.n
        return gradients[0][first : first + ctx.n] * ctx.accelerator.num_processes, None


def gathered(accelerator: Accelerator, x: Tensor, n: int) -> Tensor:
    """Return the n rows whose parts the processes have, in order, with gradients."""
    if accelerator.num_processes == 1:
        return x
    rows: Tensor = _Gather.apply(x, accelerator)  # type: ignore[no-untyped-call]
    return rows[:n]


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their means over processes."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, "mean")


def average_statistics(accelerator: Accelerator, network: nn.Module) -> None:
    """Replace running statistics, such as those of batch normalisation, by their means over processes."""
    if accelerator.num_processes == 1:
        return
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.copy_(accelerator.reduce(buffer, "mean"))


def take_weights_of_main(accelerator: Accelerator, network: nn.Module) -> None:
    """Put the weights of the main process into a network: backbones may have begun with others in each process."""
    if accelerator.num_processes == 1:
        return
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(broadcast(tensor.clone()))


def check_same(accelerator: Accelerator, what: str, value: str) -> None:
    """Raise a ValueError, in every process, unless `value` is the same in all."""
    if accelerator.num_processes > 1 and len(set(gather_object([value]))) > 1:
        raise ValueError(f"{what} must be the same in all processes that train together")


def from_main(accelerator: Accelerator, value: _T) -> _T:
    """Return the value of the main process."""
    if accelerator.num_processes == 1:
        return value
    of_main: _T = broadcast_object_list([value])[0]
    return of_main


def encode_together(
    accelerator: Accelerator,
    network: HashingNetwork,
    rows: TrainingRows,
    chosen: NDArray[np.int64],
    device: torch.device,
    parts: Sequence[int],
) -> list[Outputs]:
    """Return what ``encode_rows`` does, each process encoding a part of the rows; equal in every process."""
    found = encode_rows(network, rows, part_of(accelerator, chosen), device, parts)
    if accelerator.num_processes == 1:
        return found
    return [
        {
            name: gathered(accelerator, torch.from_numpy(own).to(device), len(chosen)).cpu().numpy()
            for name, own in of_part.items()
        }
        for of_part in found
    ]
