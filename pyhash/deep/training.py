"""The training loop: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler

from pyhash.deep.callbacks import end_epoch
from pyhash.deep.checkpoint import Progress, read_checkpoint, weights_of, write_checkpoint
from pyhash.deep.networks.inputs import Input, take_rows, to_device
from pyhash.deep.objective import Encoded, Objective
from pyhash.deep.optimizers import Schedule, make_optimizer
from pyhash.deep.outputs import ADVICE, OUTPUTS, Outputs
from pyhash.deep.processes import (
    average_gradients,
    average_statistics,
    encode_together,
    from_main,
    gathered,
    part_of,
)
from pyhash.deep.rows import RowNumbers, TrainingRows
from pyhash.deep.torch_state import set_seed
from pyhash.deep.trackers import log_epoch
from pyhash.deep.training_options import ResolvedOptions
from pyhash.deep.validation import Validation

# Rows of a process, at least, which batch normalisation needs.
_LEAST_ROWS = 2


@dataclass
class _Batch:
    """A batch: the numbers of its rows, and the inputs of those that this process has."""

    rows: dict[str, RowNumbers]
    inputs: dict[str, Input]
    evaluated: dict[str, Input]  # the same rows without what is done to them for training

    def to(self, device: torch.device) -> _Batch:
        """Return the same on a device."""
        inputs = _moved(self.inputs, device)
        return _Batch(self.rows, inputs, inputs if self.evaluated is self.inputs else _moved(self.evaluated, device))


class Training:
    """The training of an objective on some of the rows."""

    def __init__(
        self,
        objective: Objective,
        rows: TrainingRows,
        trained: NDArray[np.int64],
        validation: Validation | None,
        options: ResolvedOptions,
        accelerator: Accelerator,
        callbacks: Sequence[Any] = (),
    ) -> None:
        self._objective = objective
        self._network = objective.network
        self._rows = rows
        self._trained = trained
        self._validation = validation
        self._options = options
        self._accelerator = accelerator
        self._callbacks = callbacks
        self._groups = objective.groups()
        self._optimizer = accelerator.prepare_optimizer(
            make_optimizer(options, list(self._groups.values())), device_placement=False
        )
        self._schedule: Schedule | None = None  # until the number of steps in an epoch is known
        self._rates: dict[str, float] = {}
        # Rows whose outputs are computed right after they are learned, in the memory of the device.
        self._is_trained, self._is_evaluated = np.zeros((2, rows.n), dtype=bool)
        self._is_trained[trained] = True
        if objective.uses_outputs:
            self._is_evaluated[trained] = True
        elif validation is not None:
            self._is_evaluated[validation.database] = True

    def run(
        self, checkpoint: str | os.PathLike[str] | None, identity: str, bar: Callable[[Progress], None]
    ) -> Progress:
        """Train to the end and put the best weights into the network."""
        progress = Progress(0, [], 0, None, {})
        if checkpoint is not None:
            progress = self._resume(checkpoint, identity) or progress
        if progress.epoch == 0 and self._objective.uses_outputs:
            self._objective.begin_training(self._all_outputs)
        bar(progress)
        while progress.epoch < self._options.epochs and not progress.is_over:
            self._take_epoch(progress)
            if checkpoint is not None and self._accelerator.is_main_process:
                write_checkpoint(checkpoint, identity, self._objective, self._optimizer.optimizer, progress)
            bar(progress)
        self._accelerator.wait_for_everyone()
        self._network.load_state_dict(progress.best)
        self._network.eval()
        return progress

    def _resume(self, checkpoint: str | os.PathLike[str], identity: str) -> Progress | None:
        progress = read_checkpoint(checkpoint, identity, self._objective, self._optimizer.optimizer)
        self._accelerator.wait_for_everyone()  # before one of them writes the file
        if progress is None:
            return None
        if progress.epoch > self._options.epochs:
            raise ValueError(
                f"epochs must be at least {progress.epoch}, which the checkpoint has run, got {self._options.epochs}"
            )
        if progress.scaler is not None and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(progress.scaler)
        return progress

    # --- an epoch -----------------------------------------------------------------------------------------------------

    def _take_epoch(self, progress: Progress) -> None:
        options, begin = self._options, time.perf_counter()
        epoch = progress.epoch + 1
        # Each epoch has its own stream: a training that continues draws the same numbers as one that never stopped.
        set_seed(options.seed, epoch, options.device, self._accelerator.process_index)
        batches = self._draw(epoch)
        if self._schedule is None:
            steps = math.ceil(len(batches) / options.accumulation_steps)
            self._schedule = Schedule(options, self._accelerator, self._optimizer, steps)
            self._schedule.resume(progress.schedule_steps, [entry["loss"] for entry in progress.history])
        totals: dict[str, Tensor] = {}
        evaluated: list[tuple[str, RowNumbers, Tensor]] = []
        with closing(self._read(batches)) as read:
            while group := list(islice(read, options.accumulation_steps)):
                for name, value in self._step(group, epoch).items():
                    totals[name] = totals[name] + value if name in totals else value
                evaluated += self._evaluate(group)
        losses = {name: float(total) / len(batches) for name, total in totals.items()}
        loss = sum(losses.values())
        if not math.isfinite(loss):
            raise ValueError(f"training must keep a finite loss, it is {loss} in epoch {epoch}: {ADVICE}")
        outputs = self._outputs_of(evaluated)
        if self._objective.uses_outputs:
            self._objective.end_epoch(epoch, outputs)
        validation = None if self._validation is None else self._score(self._validation, outputs)
        score = None if validation is None else float(np.mean(list(validation.values())))
        progress.epoch = epoch
        entry = {
            "epoch": epoch,
            "losses": losses,
            "loss": loss,
            "validation": validation,
            "learning_rates": self._rates,
            "seconds": time.perf_counter() - begin,
        }
        progress.history.append(entry)
        self._schedule.end_epoch(loss)
        if score is None or progress.best_score is None or score > progress.best_score:
            progress.best_epoch, progress.best_score, progress.best = epoch, score, weights_of(self._network)
        patience = options.patience
        progress.is_over = patience is not None and score is not None and epoch - progress.best_epoch >= patience
        progress.schedule_steps = self._schedule.n_steps
        scaler = self._accelerator.scaler
        progress.scaler = None if scaler is None else scaler.state_dict()
        log_epoch(self._accelerator, entry)
        progress.is_over |= self._call_back(entry)

    def _call_back(self, entry: Mapping[str, Any]) -> bool:
        """Show the epoch to callbacks, in the main process; return whether one of them ends the training."""
        if not self._callbacks:
            return False
        is_main = self._accelerator.is_main_process
        return from_main(self._accelerator, is_main and end_epoch(self._callbacks, entry, self._network.eval()))

    def _draw(self, epoch: int) -> list[dict[str, RowNumbers]]:
        """Return the rows of each batch of an epoch, by modality; never those held out."""
        seed, size, names = self._options.seed, self._options.batch_size, list(self._rows.specs)
        own = from_main(self._accelerator, self._rows.own_batches(epoch, size))
        if own is not None:
            kept = [batch[self._is_trained[batch]] for batch in own]
            batches = [_at_least_two(batch) for batch in kept if len(batch)]
            if not batches:
                raise ValueError("views must be a DataLoader whose sampler gives rows to train on, got none")
            return [dict.fromkeys(names, batch) for batch in batches]
        if self._objective.is_paired:
            order = np.random.default_rng([seed, epoch]).permutation(self._trained)
            return [dict.fromkeys(names, batch) for batch in _batches(order, size)]
        orders = [np.random.default_rng([seed, epoch, m]).permutation(self._trained) for m in range(len(names))]
        of_each = (_batches(order, size) for order in orders)
        return [dict(zip(names, each, strict=True)) for each in zip(*of_each, strict=True)]

    def _read(self, batches: Sequence[dict[str, RowNumbers]]) -> Generator[_Batch, None, None]:
        """Yield each batch; close the generator if not all are taken."""
        names, is_paired = list(self._rows.specs), self._objective.is_paired
        own = [
            [part_of(self._accelerator, rows[name], _LEAST_ROWS) for name in (names[:1] if is_paired else names)]
            for rows in batches
        ]
        # Rows that are not paired are read one modality's after another's: an item has all modalities.
        with closing(self._rows.training_batches([np.concatenate(each) for each in own])) as read:
            for rows, parts, (inputs, evaluated) in zip(batches, own, read, strict=True):
                if is_paired:
                    yield _Batch(rows, inputs, evaluated)
                else:
                    apart = _apart(inputs, len(parts[0]))
                    yield _Batch(rows, apart, apart if evaluated is inputs else _apart(evaluated, len(parts[0])))

    # --- a step -------------------------------------------------------------------------------------------------------

    def _step(self, group: list[_Batch], epoch: int) -> dict[str, Tensor]:
        """Take every turn of a step on a group of batches; return the terms of the loss, summed over the batches."""
        if len(group) == 1:
            group[0] = group[0].to(self._options.device)
        sums: dict[str, Tensor] = {}
        for turn in self._objective.turns(epoch):
            with self._only(turn):
                sums |= self._take_turn(group, epoch)
        if self._schedule is not None:
            self._schedule.end_step()
        average_statistics(self._accelerator, self._network)
        return sums

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

    def _take_turn(self, group: Sequence[_Batch], epoch: int) -> dict[str, Tensor]:
        accelerator, parameters = self._accelerator, [p for params, _ in self._groups.values() for p in params]
        accelerator.gradient_accumulation_steps = len(group)  # which divides each loss
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for batch in group:
            terms = self._objective.losses(batch.rows, self._encode(batch), epoch)
            accelerator.backward(torch.stack(list(terms.values())).sum())
            for name, term in terms.items():
                value = _as_precise(term.detach())
                sums[name] = sums[name] + value if name in sums else value
        average_gradients(accelerator, parameters)
        if self._options.max_grad_norm > 0:
            accelerator.clip_grad_norm_(parameters, self._options.max_grad_norm)
        with self._rates_of(epoch):
            self._optimizer.step()
        return sums

    def _encode(self, batch: _Batch) -> dict[str, Encoded]:
        """Return what the networks give for the whole batch, in float32, with gradients."""
        inputs = _moved(batch.inputs, self._options.device)
        with self._accelerator.autocast():
            found = {name: self._network.encode(name, x) for name, x in inputs.items()}
        return {
            name: Encoded(*(gathered(self._accelerator, part.float(), len(batch.rows[name])) for part in parts))
            for name, parts in found.items()
        }

    @contextmanager
    def _rates_of(self, epoch: int) -> Iterator[None]:
        """Multiply learning rates by the objective's factors; those that the schedule goes on from stay as they are."""
        factors, groups = self._objective.rates(epoch), self._optimizer.param_groups
        before = [group["lr"] for group in groups]
        for name, group in zip(self._groups, groups, strict=True):
            if name in factors:
                group["lr"] = group["lr"] * factors[name]
        self._rates = {name: float(group["lr"]) for name, group in zip(self._groups, groups, strict=True)}
        yield
        for group, rate in zip(groups, before, strict=True):
            group["lr"] = rate

    # --- outputs ------------------------------------------------------------------------------------------------------

    def _evaluate(self, group: Sequence[_Batch]) -> list[tuple[str, RowNumbers, Tensor]]:
        """Return outputs of rows that were just learned, while their inputs are in memory: modality, rows, outputs."""
        self._network.eval()
        found = []
        with torch.no_grad():
            for batch in group:
                for name, x in batch.evaluated.items():
                    rows, chosen = batch.rows[name], np.flatnonzero(self._is_evaluated[batch.rows[name]])
                    if not len(chosen):
                        continue
                    moved, positions = to_device(x, self._options.device), torch.from_numpy(chosen)
                    positions = positions.to(self._options.device)
                    if self._accelerator.num_processes == 1 and len(chosen) < len(rows):
                        outputs = self._network(name, take_rows(moved, positions))
                    else:
                        outputs = gathered(self._accelerator, self._network(name, moved), len(rows))[positions]
                    found.append((name, rows[chosen], outputs))
        return found

    def _outputs_of(self, evaluated: Sequence[tuple[str, RowNumbers, Tensor]]) -> Outputs:
        """Return the outputs (n, n_bits) of rows that were learned, as they were then; of others that count, now.

        Others are those held out, and those that a sampler of the user's left out.
        """
        if self._objective.uses_outputs:
            counts = np.ones(self._rows.n, dtype=bool)
        elif self._validation is not None:
            counts = self._is_evaluated.copy()
            counts[self._validation.queries] = True
        else:
            return {}
        parts: dict[str, list[tuple[RowNumbers, NDArray[np.float32]]]] = {name: [] for name in self._rows.specs}
        for name, rows, found in evaluated:
            parts[name].append((rows, found.float().cpu().numpy()))
            counts[rows] = False
        others = np.flatnonzero(counts)
        for name, now in (self._outputs_now(others) if len(others) else {}).items():
            parts[name].append((others, now))
        outputs: Outputs = {}
        for name, of_rows in parts.items():
            outputs[name] = np.zeros((self._rows.n, of_rows[0][1].shape[1]), dtype=np.float32)
            for rows, values in of_rows:
                outputs[name][rows] = values
            if not np.isfinite(outputs[name]).all():
                raise ValueError(f"training must keep outputs finite, some of {name!r} are not: {ADVICE}")
        return outputs

    def _all_outputs(self) -> Outputs:
        return self._outputs_now(np.arange(self._rows.n))

    def _outputs_now(self, chosen: NDArray[np.int64]) -> Outputs:
        device = self._options.device
        return encode_together(self._accelerator, self._network, self._rows, chosen, device, (OUTPUTS,))[0]

    def _score(self, validation: Validation, outputs: Outputs) -> dict[str, float]:
        return validation.scores(
            {name: found[validation.queries] for name, found in outputs.items()},
            {name: found[validation.database] for name, found in outputs.items()},
        )


def _apart(inputs: Mapping[str, Input], n: int) -> dict[str, Input]:
    """Return n rows of each modality: the first n of the first one, the next n of the second, and so on."""
    return {name: take_rows(x, torch.arange(m * n, (m + 1) * n)) for m, (name, x) in enumerate(inputs.items())}


def _moved(inputs: Mapping[str, Input], device: torch.device) -> dict[str, Input]:
    return {name: to_device(x, device) for name, x in inputs.items()}


def _as_precise(value: Tensor) -> Tensor:
    """Return a value in float64, where the device has it."""
    return value.float() if value.device.type == "mps" else value.double()


def _batches(order: NDArray[np.int64], size: int) -> list[RowNumbers]:
    return [_at_least_two(np.array(batch)) for batch in BatchSampler(order.tolist(), size, drop_last=False)]


def _at_least_two(batch: RowNumbers) -> RowNumbers:
    """Return a batch of at least two rows, which batch normalisation needs: a single row is taken twice."""
    return np.repeat(batch, 2) if len(batch) == 1 else batch
