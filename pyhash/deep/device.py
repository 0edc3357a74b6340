"""Accelerate on the device where networks are trained."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DataLoaderConfiguration, DistributedType, GradientAccumulationPlugin

# Every process must hold whole networks: their gradients are averaged, nothing else is shared.
_SHARDED = (DistributedType.DEEPSPEED, DistributedType.FSDP, DistributedType.MEGATRON_LM, DistributedType.XLA)


@contextmanager
def accelerator_on(
    device: torch.device, mixed_precision: str, trackers: Sequence[str], log_dir: str | None
) -> Iterator[Accelerator]:
    """Give an Accelerator on a device, or on this process's own where several processes train together.

    Accelerate keeps one state for the whole process. That of the caller's own Accelerator, if there is one, is put
    back at the end of the block.

    Raises
    ------
    ValueError
        If several processes train, and the device is the one of another process, or of a kind that cannot.
    ValueError
        If Accelerate was told to divide networks among processes.
    """
    shared = [kind._shared_state for kind in (AcceleratorState, PartialState, GradientState)]
    before = [dict(state) for state in shared]
    for state in shared:
        state.clear()
    try:
        process = PartialState(cpu=device.type == "cpu")
        n_wanted = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
        if process.num_processes < n_wanted:
            raise ValueError(
                f"device must be one on which {n_wanted} processes can train together, as WORLD_SIZE says, got "
                f"{str(device)!r}"
            )
        if process.num_processes == 1:
            process.device = device
        elif device.type != process.device.type or device.index not in (None, process.device.index):
            raise ValueError(
                f'device must be "auto" where several processes train, got {str(device)!r} in process '
                f"{process.process_index}, whose device is {str(process.device)!r}"
            )
        accelerator = Accelerator(
            mixed_precision=mixed_precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            cpu=device.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=log_dir,
        )
        if accelerator.distributed_type in _SHARDED:
            raise ValueError(
                f"processes must hold whole networks, got Accelerate with {accelerator.distributed_type.value}"
            )
        yield accelerator
    finally:
        for state, kept in zip(shared, before, strict=True):
            state.clear()
            state.update(kept)
