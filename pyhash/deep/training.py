"""The training loop: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pyhash.deep.checkpoint import Progress, read_checkpoint, weights_of, write_checkpoint
from pyhash.deep.networks.inputs import Input, to_device
from pyhash.deep.objective import Encoded, Objective
from pyhash.deep.outputs import ADVICE, OUTPUTS, Outputs, encode_rows
from pyhash.deep.rows import RowNumbers, TrainingRows
from pyhash.deep.torch_state import set_seed
from pyhash.deep.training_options import ResolvedOptions
from pyhash.deep.validation import Validation


class Training:
    """The training of an objective on some of the rows."""

    def __init__(
        self,
        objective: Objective,
        rows: TrainingRows,
        trained: NDArray[np.int64],
        validation: Validation | None,
        options: ResolvedOptions,
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
        """Train to the end and put the best weights into the network."""
        progress = Progress(0, [], 0, None, {})
        if checkpoint is not None:
            progress = read_checkpoint(checkpoint, identity, self._objective, self._optimizer) or progress
            if progress.scaler is not None:
                self._scaler.load_state_dict(progress.scaler)
        if progress.epoch == 0 and self._objective.uses_outputs:
            self._objective.begin_training(self._all_outputs)
        bar(progress)
        while progress.epoch < self._options.epochs and not progress.is_over:
            self._take_epoch(progress)
            if checkpoint is not None:
                write_checkpoint(checkpoint, identity, self._objective, self._optimizer, progress)
            bar(progress)
        self._network.load_state_dict(progress.best)
        self._network.eval()
        return progress

    def _take_epoch(self, progress: Progress) -> None:
        options, begin = self._options, time.perf_counter()
        epoch = progress.epoch + 1
        # Each epoch has its own stream: a training that continues draws the same numbers as one that never stopped.
        set_seed(options.seed, epoch, options.device)
        self._network.train()
        totals: dict[str, float] = {}
        batches = self._draw(epoch)
        with ExitStack() as stack:
            for number, (rows, inputs) in enumerate(self._read(batches, stack)):
                self._set_rates(epoch, (epoch - 1 + number / len(batches)) / options.epochs)
                for name, value in self._step(rows, inputs, epoch).items():
                    totals[name] = totals.get(name, 0.0) + value / len(batches)
        if self._objective.uses_outputs:
            self._objective.end_epoch(epoch, self._all_outputs())
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

    def _draw(self, epoch: int) -> list[dict[str, RowNumbers]]:
        """Return the rows of each batch of an epoch, by modality."""
        seed, size, names = self._options.seed, self._options.batch_size, list(self._rows.specs)
        if self._objective.is_paired:
            order = np.random.default_rng([seed, epoch]).permutation(self._trained)
            return [dict.fromkeys(names, batch) for batch in _batches(order, size)]
        orders = [np.random.default_rng([seed, epoch, m]).permutation(self._trained) for m in range(len(names))]
        of_each = (_batches(order, size) for order in orders)
        return [dict(zip(names, each, strict=True)) for each in zip(*of_each, strict=True)]

    def _read(
        self, batches: Sequence[dict[str, RowNumbers]], stack: ExitStack
    ) -> Iterator[tuple[dict[str, RowNumbers], dict[str, Input]]]:
        """Yield the rows and inputs of each batch; `stack` closes what reads them."""
        names = list(self._rows.specs)
        if self._objective.is_paired:
            read = stack.enter_context(closing(self._rows.batches([rows[names[0]] for rows in batches])))
            yield from zip(batches, read, strict=True)
            return
        # Every modality has its own rows, hence its own pass over the items.
        passes = [stack.enter_context(closing(self._rows.batches([rows[name] for rows in batches]))) for name in names]
        for rows, *of_each in zip(batches, *passes, strict=True):
            yield rows, {name: inputs[name] for name, inputs in zip(names, of_each, strict=True)}

    def _step(self, rows: Mapping[str, RowNumbers], inputs: Mapping[str, Input], epoch: int) -> dict[str, float]:
        moved = {name: to_device(x, self._options.device) for name, x in inputs.items()}
        values: dict[str, float] = {}
        for turn in self._objective.turns(epoch):
            with self._only(turn):
                values |= self._take_turn(rows, moved, epoch)
        if not math.isfinite(sum(values.values())):
            raise ValueError(
                f"training must keep a finite loss, it is {sum(values.values())} in epoch {epoch}: {ADVICE}"
            )
        return values

    @contextmanager
    def _only(self, turn: Sequence[str]) -> Iterator[None]:
        """Freeze the parameters of all groups but these; modules that are frozen as a whole are in eval mode."""
        self._network.train()
        frozen = [p for name, (group, _) in self._groups.items() if name not in turn for p in group]
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module in self._network.modules() if frozen else ():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _take_turn(self, rows: Mapping[str, RowNumbers], inputs: Mapping[str, Input], epoch: int) -> dict[str, float]:
        precision = self._precision()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._options.device.type, dtype=precision, enabled=precision is not None):
            encoded = {name: self._network.encode(name, x) for name, x in inputs.items()}
        terms = self._objective.losses(
            rows, {name: Encoded(*(part.float() for part in found)) for name, found in encoded.items()}, epoch
        )
        self._scaler.scale(torch.stack(list(terms.values())).sum()).backward()  # type: ignore[no-untyped-call]
        if self._options.max_grad_norm > 0:
            self._scaler.unscale_(self._optimizer)
            parameters = [p for params, _ in self._groups.values() for p in params]
            nn.utils.clip_grad_norm_(parameters, self._options.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _precision(self) -> torch.dtype | None:
        """Return the shorter type of mixed precision: bfloat16, or float16 on cuda devices that lack it."""
        if not self._options.mixed_precision:
            return None
        is_old = self._options.device.type == "cuda" and not torch.cuda.is_bf16_supported()
        return torch.float16 if is_old else torch.bfloat16

    def _set_rates(self, epoch: int, done: float) -> None:
        factor = 0.5 * (1 + math.cos(math.pi * done)) if self._options.decay == "cosine" else 1.0
        of_epoch = self._objective.rates(epoch)
        for group, (name, (_, rate)) in zip(self._optimizer.param_groups, self._groups.items(), strict=True):
            group["lr"] = rate * factor * of_epoch.get(name, 1.0)

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


def _make_optimizer(options: ResolvedOptions, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters)
    # One pass over the weights of a step in place of ten; on the CPU torch has it since 2.4.
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    is_there = options.device.type == "cuda" or (options.device.type == "cpu" and version >= (2, 4))
    return torch.optim.Adam(parameters, fused=is_there)


def _batches(order: NDArray[np.int64], size: int) -> Sequence[NDArray[np.int64]]:
    """Cut rows into batches of at least two, which batch normalisation needs: a single row is taken twice."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if len(batches[-1]) == 1:
        batches[-1] = np.repeat(batches[-1], 2)
    return batches
