"""The loop that lowers an objective: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash.deep.checkpoint import Progress, read_checkpoint, weights_of, write_checkpoint
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import Input
from pyhash.deep.rows import TrainingRows, rows_per_block
from pyhash.deep.validation import Validation

Outputs = dict[str, NDArray[np.float32]]

# The parts of what a network's ``encode`` gives.
FEATURES, OUTPUTS = 0, 1

_ADVICE = "lower the learning rates, or scale the features by feature_maps"


class Objective(ABC):
    """What a method lowers, and the networks that it lowers it by."""

    network: HashingNetwork

    @abstractmethod
    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Parameters and learning rate of each group."""

    @abstractmethod
    def losses(self, rows: NDArray[np.int64], inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """The weighted terms of the loss of a batch, which add up to it; `rows` are the numbers of its rows."""

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> None:  # noqa: B027 - most have nothing to do
        """What is to be done before an epoch, the first of which is 1; `outputs` gives those of all rows."""


@dataclass(frozen=True)
class Options:
    """How an objective is lowered."""

    epochs: int
    batch_size: int
    optimizer: str
    decay: str
    patience: int | None
    max_grad_norm: float  # 0: gradients are not clipped
    mixed_precision: bool
    seed: int
    device: torch.device


@contextmanager
def forked_rng(device: torch.device) -> Iterator[None]:
    """Torch's own random numbers come out of the block as they went in."""
    kind = "cuda" if device.type == "cpu" else device.type
    index = device.index
    if index is None:
        index = torch.cuda.current_device() if device.type == "cuda" else 0
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [index], device_type=kind):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread.

    Steps of small networks gain a quarter by a second one, and lose a factor of ten where another process has the core.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_seed(seed: int, stream: int, device: torch.device) -> None:
    """Seeds the CPU's and the device's random numbers by a seed and the number of what draws.

    Unlike ``torch.manual_seed``, which seeds all devices: of those that nothing runs on the state is not saved.
    """
    drawn = int(np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(drawn)
    elif device.type != "cpu":
        getattr(torch, device.type).manual_seed(drawn)


def encode_rows(
    network: HashingNetwork,
    rows: TrainingRows,
    chosen: NDArray[np.int64],
    device: torch.device,
    parts: Sequence[int] = (FEATURES, OUTPUTS),
) -> list[Outputs]:
    """Features and outputs, or one of them, of the chosen rows of every modality; a ValueError if not finite."""
    network.eval()
    size = rows_per_block(rows.shapes.values())
    blocks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    blocks_of: list[dict[str, list[NDArray[np.float32]]]] = [{name: [] for name in rows.shapes} for _ in parts]
    with torch.no_grad(), closing(rows.batches(blocks)) as batches:
        for inputs in batches:
            for name, x in inputs.items():
                encoded = network.encode(name, x.to(device))
                for part, of_part in zip(parts, blocks_of, strict=True):
                    of_part[name].append(encoded[part].float().cpu().numpy())
    found = [{name: np.concatenate(of_name) for name, of_name in of_part.items()} for of_part in blocks_of]
    for name in rows.shapes:
        if not all(np.isfinite(of_part[name]).all() for of_part in found):
            raise ValueError(f"training must keep outputs finite, some of {name!r} are not: {_ADVICE}")
    return found


class Training:
    """Lowers an objective over some of the rows."""

    def __init__(
        self,
        objective: Objective,
        rows: TrainingRows,
        trained: NDArray[np.int64],
        validation: Validation | None,
        options: Options,
    ) -> None:
        self._objective = objective
        self._network = objective.network
        self._rows = rows
        self._trained = trained
        self._validation = validation
        self._options = options
        self._groups = objective.groups()
        parameters = [{"params": params, "lr": rate} for params, rate in self._groups.values()]
        self._optimizer = _make_optimizer(options, parameters)
        self._scaler = torch.amp.GradScaler(options.device.type, enabled=self._precision() is torch.float16)

    def run(
        self, checkpoint: str | os.PathLike[str] | None, identity: str, bar: Callable[[Progress], None]
    ) -> Progress:
        """Trains to the end and puts the best weights into the network."""
        progress = Progress(0, [], 0, None, {})
        if checkpoint is not None:
            progress = read_checkpoint(checkpoint, identity, self._network, self._optimizer) or progress
            if progress.scaler is not None:
                self._scaler.load_state_dict(progress.scaler)
        bar(progress)
        while progress.epoch < self._options.epochs and not progress.is_over:
            self._take_epoch(progress)
            if checkpoint is not None:
                write_checkpoint(checkpoint, identity, self._network, self._optimizer, progress)
            bar(progress)
        self._network.load_state_dict(progress.best)
        self._network.eval()
        return progress

    def _take_epoch(self, progress: Progress) -> None:
        options, begin = self._options, time.perf_counter()
        epoch = progress.epoch + 1
        # A stream of its own for each epoch: a training that goes on draws what one that never stopped draws.
        set_seed(options.seed, epoch, options.device)
        self._objective.begin_epoch(epoch, self._all_outputs)
        order = np.random.default_rng([options.seed, epoch]).permutation(self._trained)
        batches = _batches(order, options.batch_size)
        self._network.train()
        totals: dict[str, float] = {}
        with closing(self._rows.batches(batches)) as read:
            for number, (rows, inputs) in enumerate(zip(batches, read, strict=True)):
                self._set_rates((epoch - 1 + number / len(batches)) / options.epochs)
                for name, value in self._step(rows, inputs, epoch).items():
                    totals[name] = totals.get(name, 0.0) + value / len(batches)
        validation = self._score()
        score = None if validation is None else float(np.mean(list(validation.values())))
        progress.epoch = epoch
        progress.history.append(
            {
                "epoch": epoch,
                "losses": totals,
                "loss": sum(totals.values()),
                "validation": validation,
                "learning_rates": self._rates(),
                "seconds": time.perf_counter() - begin,
            }
        )
        if score is None or progress.best_score is None or score > progress.best_score:
            progress.best_epoch, progress.best_score, progress.best = epoch, score, weights_of(self._network)
        patience = options.patience
        progress.is_over = patience is not None and score is not None and epoch - progress.best_epoch >= patience
        progress.scaler = self._scaler.state_dict() if self._scaler.is_enabled() else None

    def _step(self, rows: NDArray[np.int64], inputs: Mapping[str, Input], epoch: int) -> dict[str, float]:
        device = self._options.device
        precision = self._precision()
        self._optimizer.zero_grad(set_to_none=True)
        moved = {name: x.to(device) for name, x in inputs.items()}
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            terms = self._objective.losses(rows, moved)
            loss = torch.stack([term.float() for term in terms.values()]).sum()
        values = {name: float(term.detach()) for name, term in terms.items()}
        if not math.isfinite(sum(values.values())):
            raise ValueError(
                f"training must keep a finite loss, it is {sum(values.values())} in epoch {epoch}: {_ADVICE}"
            )
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self._options.max_grad_norm > 0:
            self._scaler.unscale_(self._optimizer)
            parameters = [p for params, _ in self._groups.values() for p in params]
            nn.utils.clip_grad_norm_(parameters, self._options.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return values

    def _precision(self) -> torch.dtype | None:
        """The shorter type of mixed precision; cuda devices that lack bfloat16 have float16 and scaled gradients."""
        if not self._options.mixed_precision:
            return None
        is_old = self._options.device.type == "cuda" and not torch.cuda.is_bf16_supported()
        return torch.float16 if is_old else torch.bfloat16

    def _set_rates(self, done: float) -> None:
        factor = 0.5 * (1 + math.cos(math.pi * done)) if self._options.decay == "cosine" else 1.0
        for group, (_, rate) in zip(self._optimizer.param_groups, self._groups.values(), strict=True):
            group["lr"] = rate * factor

    def _rates(self) -> dict[str, float]:
        return {
            name: float(group["lr"]) for name, group in zip(self._groups, self._optimizer.param_groups, strict=True)
        }

    def _all_outputs(self) -> Outputs:
        return self._outputs(np.arange(self._rows.n))

    def _outputs(self, chosen: NDArray[np.int64]) -> Outputs:
        return encode_rows(self._network, self._rows, chosen, self._options.device, (OUTPUTS,))[0]

    def _score(self) -> dict[str, float] | None:
        if self._validation is None:
            return None
        chosen = np.concatenate([self._validation.queries, self._validation.database])
        outputs = self._outputs(chosen)
        n = len(self._validation.queries)
        queries = {name: found[:n] for name, found in outputs.items()}
        return self._validation.scores(queries, {name: found[n:] for name, found in outputs.items()})


def _make_optimizer(options: Options, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters)
    # One pass over the weights of a step in place of ten; on the CPU torch has it since 2.4.
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    is_there = options.device.type == "cuda" or (options.device.type == "cpu" and version >= (2, 4))
    return torch.optim.Adam(parameters, fused=is_there)


def _batches(order: NDArray[np.int64], size: int) -> Sequence[NDArray[np.int64]]:
    """Batches of at least two rows, which batch normalisation needs: a single row is taken twice."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if len(batches[-1]) == 1:
        batches[-1] = np.repeat(batches[-1], 2)
    return batches
