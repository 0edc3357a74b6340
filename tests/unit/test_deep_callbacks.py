"""Callbacks, trackers, precision of losses, errors of memory, and how often rows are read and numbers awaited."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pyhash
from pyhash.cli.main import main
from pyhash.datasets import make_hierarchical
from pyhash.deep import DHSL, SDCH, EpochState, TrainingOptions
from pyhash.deep.dhsl import DHSLObjective
from pyhash.deep.memory import named_memory_errors
from pyhash.deep.networks.inputs import make_input, take_rows
from pyhash.deep.rows import ArrayRows
from pyhash.deep.sdch import SDCHObjective
from pyhash.deep.training import Training

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N, N_BITS, EPOCHS = 96, 16, 3
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]


def sdch(**given):
    options = {"epochs": EPOCHS, "batch_size": 32, "validation_fraction": 0.25}
    own = {name: given.pop(name) for name in list(given) if name not in TrainingOptions.names()}
    return SDCH(N_BITS, **{"hidden": (16,), "feature_width": 12} | own, training=TrainingOptions(**options | given))


def dhsl(**given):
    options = {"epochs": EPOCHS, "batch_size": 32, "validation_fraction": 0.25}
    own = {"hidden": (16, 8), "selector_hidden": (8, 8), "relation_hidden": 8, "relation_rows": 8}
    return DHSL(N_BITS, **own, training=TrainingOptions(**options | given))


class Recorder:
    def __init__(self, last=None):
        self.states, self.last = [], last

    def on_epoch_end(self, state):
        assert not state.network.training
        self.states.append(state)
        state.stop = state.epoch == self.last


# --- callbacks ---


def test_a_callback_sees_what_the_history_holds():
    recorder, other = Recorder(), Recorder()
    model = sdch().fit(VIEWS, LABELS, callbacks=[recorder, other])
    assert len(recorder.states) == len(other.states) == EPOCHS
    for state, entry in zip(recorder.states, model.history_, strict=True):
        assert isinstance(state, EpochState)
        assert isinstance(state.network, nn.Module)
        assert {name: getattr(state, name) for name in entry} == entry
        assert "network" not in repr(state)
        state.losses.clear()  # its own
    assert all(entry["losses"] for entry in model.history_)


def test_callbacks_change_nothing_but_the_end():
    expected = sdch().fit(VIEWS, LABELS)
    assert sdch().fit(VIEWS, LABELS, callbacks=[Recorder()]).codes_.tobytes() == expected.codes_.tobytes()
    ended = sdch(scheduler="none").fit(VIEWS, LABELS, callbacks=[Recorder(last=2)])
    assert len(ended.history_) == 2
    shorter = sdch(scheduler="none", epochs=2).fit(VIEWS, LABELS)
    either = sdch().fit(VIEWS, LABELS, callbacks=[Recorder(last=2), Recorder(last=1000)])
    assert len(either.history_) == 2
    assert ended.codes_.tobytes() == shorter.codes_.tobytes()


def test_an_error_of_a_callback_leaves_the_model(tmp_path):
    class Failing:
        def on_epoch_end(self, state):
            if state.epoch == 3:
                raise KeyError("mine")

    model = sdch()
    with pytest.raises(KeyError, match="mine"):
        model.fit(VIEWS, LABELS, callbacks=[Failing()], checkpoint=tmp_path / "checkpoint")
    with pytest.raises(pyhash.NotFittedError):
        model.codes_  # noqa: B018
    recorder = Recorder()
    model.fit(VIEWS, LABELS, callbacks=[recorder], checkpoint=tmp_path / "checkpoint")
    assert [state.epoch for state in recorder.states] == [3]


@pytest.mark.parametrize("callbacks", [Recorder(), [object()], [print], [None], 3])
def test_what_is_no_callback_is_refused_before_training(monkeypatch, callbacks):
    monkeypatch.setattr(Training, "run", None)
    with pytest.raises(TypeError, match="callbacks must"):
        sdch().fit(VIEWS, LABELS, callbacks=callbacks)


# --- trackers ---


def test_tensorboard_gets_the_measurements_of_every_epoch(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = {"trackers": "tensorboard", "log_dir": tmp_path}
    model = sdch(**options).fit(VIEWS, LABELS)
    events = accumulators.EventAccumulator(str(tmp_path / "SDCH")).Reload()
    logged = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    expected = {"loss": [entry["loss"] for entry in model.history_]}
    for kind in ("losses", "validation", "learning_rates"):
        for name in model.history_[0][kind]:
            expected[f"{kind}/{name}"] = [entry[kind][name] for entry in model.history_]
    assert logged.keys() == expected.keys() | {"seconds"}
    for name, values in expected.items():
        np.testing.assert_allclose(logged[name], values, rtol=1e-6)
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert model.codes_.tobytes() == sdch().fit(VIEWS, LABELS).codes_.tobytes()


# --- precision ---


@pytest.mark.parametrize(("make", "objective"), [(sdch, SDCHObjective), (dhsl, DHSLObjective)])
def test_losses_are_computed_in_float32_and_networks_are_not(monkeypatch, make, objective):
    seen, losses = [], objective.losses
    network_dtypes, linear = set(), nn.Linear.forward

    def observed(self, x):
        out = linear(self, x)
        if torch.is_autocast_enabled("cpu"):
            network_dtypes.add(out.dtype)
        return out

    def recording(self, rows, encoded, epoch):
        terms = losses(self, rows, encoded, epoch)
        seen.append(
            (torch.is_autocast_enabled("cpu"), {part.dtype for each in encoded.values() for part in each}
             | {term.dtype for term in terms.values()})
        )  # fmt: skip
        return terms

    monkeypatch.setattr(nn.Linear, "forward", observed)
    monkeypatch.setattr(objective, "losses", recording)
    make(mixed_precision="bf16", epochs=1).fit(VIEWS, LABELS)
    assert all(found == (False, {torch.float32}) for found in seen)
    assert network_dtypes == {torch.bfloat16}


# --- memory ---

ERRORS = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors_of_memory_say_what_to_lower(monkeypatch, error):
    def failing(*args):
        raise error

    model = sdch(accumulation_steps=2)
    monkeypatch.setattr(SDCHObjective, "losses", failing)
    with pytest.raises(
        MemoryError, match=r"training ran out of memory: lower batch_size, which is 32, and raise accumulation_steps, "
    ) as raised:
        model.fit(VIEWS, LABELS)
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value)


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), named_memory_errors(8, 1):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_command_that_runs_out_of_memory_ends_with_one_line(monkeypatch, capsys, tmp_path):
    def failing(*args):
        raise ERRORS[1]

    monkeypatch.setattr(SDCHObjective, "losses", failing)
    same = ("--data", "multilabel", "--methods", "sdch", "--bits", "8", "--seeds", "1", "--no-charts")
    assert main(["bench", *same, "--out", str(tmp_path)]) == 1
    (last,) = [line for line in capsys.readouterr().err.splitlines() if "memory" in line]
    assert "training ran out of memory: lower batch_size, which is 128," in last


# --- what an epoch costs ---


@pytest.mark.parametrize("make", [sdch, dhsl])
def test_numbers_are_awaited_once_an_epoch(monkeypatch, make):
    """A device computes ahead of Python until a number is read from it."""
    n_read, to_float = 0, Tensor.__float__

    def counting(self):
        nonlocal n_read
        n_read += 1
        return to_float(self)

    monkeypatch.setattr(Tensor, "__float__", counting)
    monkeypatch.setattr(Tensor, "item", lambda self: pytest.fail("awaits a number"))
    model = make(epochs=2, batch_size=8).fit(VIEWS, LABELS)
    assert n_read == 2 * len(model.history_[0]["losses"])


@pytest.mark.parametrize(("make", "n_before"), [(sdch, 1), (dhsl, 0)])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_rows_are_read_once_an_epoch_and_once_at_the_end(monkeypatch, make, n_before, fraction):
    counts, batches = np.zeros(N, dtype=int), ArrayRows.batches

    def counting(self, rows):
        for numbers in rows:
            np.add.at(counts, numbers, 1)
        return batches(self, rows)

    monkeypatch.setattr(ArrayRows, "batches", counting)
    make(validation_fraction=fraction).fit(VIEWS, LABELS)
    assert (counts == n_before + EPOCHS + 1).all()


def test_some_rows_of_every_kind_of_input_are_those_rows(rng):
    numbers = np.array([3, 0, 3, 5])
    dense = rng.standard_normal((6, 9)).astype(np.float32) * (rng.random((6, 9)) < 0.3)
    dense[[0, 5]] = 0  # empty bags, also at the end
    bags = take_rows(make_input(dense, as_bags=True), torch.from_numpy(numbers))
    expected = make_input(dense[numbers], as_bags=True)
    assert all(torch.equal(getattr(bags, name), getattr(expected, name)) for name in ("columns", "values", "offsets"))
    tensors = {"ids": torch.from_numpy(dense), "more": {"mask": torch.from_numpy(dense) > 0}}
    found = take_rows(tensors, torch.from_numpy(numbers))
    np.testing.assert_array_equal(found["ids"], dense[numbers])
    np.testing.assert_array_equal(found["more"]["mask"], dense[numbers] > 0)
