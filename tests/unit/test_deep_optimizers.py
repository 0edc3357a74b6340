"""Optimizers and schedules of torch, accumulation, turns, and longer trainings from a checkpoint."""

import copy

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset

import pyhash
from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash.datasets import make_hierarchical
from pyhash.deep import SDCH, TrainingOptions
from pyhash.deep.objective import Encoded
from pyhash.deep.optimizer_names import OPTIMIZERS, SCHEDULERS
from pyhash.deep.sdch import SDCHObjective
from pyhash.deep.training import Training

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N, N_BITS = 96, 16
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]


def sdch(**given):
    options = {"epochs": 3, "batch_size": 32, "validation_fraction": 0.0}
    own = {name: given.pop(name) for name in list(given) if name not in TrainingOptions.names()}
    return SDCH(N_BITS, **{"hidden": (16,), "feature_width": 12} | own, training=TrainingOptions(**options | given))


def history_of(model):
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in model.history_]


def rates_of(model):
    return [entry["learning_rates"]["features"] for entry in model.history_]


class Items(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return {name: X[i].astype(np.float32) for name, X in VIEWS.items()}


# --- optimizers ---

# Muon takes matrices alone.
NAMES = sorted(set(OPTIMIZERS) - {"muon"})


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_of_torch_learns_and_is_taken_up(tmp_path, name):
    options = {"optimizer": name, "learning_rate": 1e-3, "hash_learning_rate": 1e-3, "scheduler": "none"}
    expected = sdch(**options).fit(VIEWS, LABELS)
    assert expected.history_[-1]["loss"] < expected.history_[0]["loss"]
    path = tmp_path / "checkpoint"
    sdch(**options, epochs=2).fit(VIEWS, LABELS, checkpoint=path)
    again = sdch(**options).fit(VIEWS, LABELS, checkpoint=path)
    assert again.codes_.tobytes() == expected.codes_.tobytes()
    assert history_of(again) == history_of(expected)


def test_arguments_of_the_optimizer_are_in_use():
    plain, momentum = (
        sdch(optimizer="sgd", optimizer_options=each, scheduler="none").fit(VIEWS, LABELS).history_
        for each in (None, {"momentum": 0.9})
    )
    assert momentum[-1]["loss"] < plain[-1]["loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sgd", "optimizer_options": {"beta": 1}}, "optimizer_options must suit SGD .*'beta'"),
        pytest.param(
            {"optimizer": "muon"},
            "optimizer_options must suit Muon and the networks: .*2D",
            marks=pytest.mark.skipif("muon" not in OPTIMIZERS, reason="needs a torch with Muon"),
        ),
        ({"scheduler": "steplr"}, "scheduler_options must suit StepLR: .*'step_size'"),
        ({"scheduler": "cosine", "scheduler_options": {"eta_min": 1}}, "scheduler_options must be empty for 'cosine'"),
        ({"optimizer": "adadelta", "scheduler": "onecyclelr"}, "scheduler_options must suit OneCycleLR: .*momentum"),
        ({"trackers": "tensorboard"}, "log_dir must name a folder for the tracker 'tensorboard', got None"),
    ],
)
def test_arguments_that_do_not_suit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sdch(**options).fit(VIEWS, LABELS)


class Own(torch.optim.SGD):
    """An optimizer of a user's own."""


class Half(lr_scheduler.LRScheduler):
    """A schedule of a user's own."""

    def get_lr(self):
        return [rate / 2**self.last_epoch for rate in self.base_lrs]


def test_classes_of_ones_own_are_used_and_left_out_of_files(tmp_path):
    arguments = {"scheduler_options": {"last_epoch": -1}}
    model = sdch(optimizer=Own, scheduler=Half, **arguments, learning_rate=0.1).fit(VIEWS, LABELS)
    assert rates_of(model) == [0.1, 0.05, 0.025]
    expected = sdch(optimizer="sgd", scheduler="exponentiallr", scheduler_options={"gamma": 0.5}, learning_rate=0.1)
    assert expected.fit(VIEWS, LABELS).codes_.tobytes() == model.codes_.tobytes()
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model")
    assert (again.training.optimizer, again.training.scheduler) == (None, None)
    assert again.fit(VIEWS, LABELS).training.scheduler_options is None  # they are those of the class
    assert again.training.epochs == 3


def test_names_and_arguments_are_in_files(tmp_path):
    options = {"optimizer": "adamw", "optimizer_options": {"weight_decay": 0.1, "betas": [0.8, 0.99]}}
    more = {"scheduler": "StepLR", "scheduler_options": {"step_size": 2}, "accumulation_steps": 2, "patience": None}
    model = sdch(**options, **more, log_dir=tmp_path).fit(VIEWS, LABELS)
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model")
    expected = model.get_params()["training"]
    assert again.training == TrainingOptions(
        **{name: getattr(expected, name) for name in TrainingOptions.names() if name != "log_dir"}
    )


# --- schedules ---


def formula(name, rate, epochs, steps):
    """The rates of the last step of each epoch, by torch's documentation."""
    at = np.arange(1, epochs + 1)
    return {
        "cosine": rate * 0.5 * (1 + np.cos(np.pi * (at * steps - 1) / (epochs * steps))),
        "none": np.full(epochs, rate),
        "steplr": rate * 0.5 ** ((at - 1) // 2),
        "cosineannealinglr": rate * 0.5 * (1 + np.cos(np.pi * (at - 1) / epochs)),
        "linearlr": rate * (0.5 + 0.5 * (at - 1) / 5).clip(max=1.0),
    }[name]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine", {}),
        ("none", {}),
        ("steplr", {"step_size": 2, "gamma": 0.5}),
        ("cosineannealinglr", {}),
        ("linearlr", {"start_factor": 0.5}),
    ],
)
def test_rates_follow_the_schedule(name, options):
    model = sdch(scheduler=name, scheduler_options=options, learning_rate=0.01, epochs=5).fit(VIEWS, LABELS)
    np.testing.assert_allclose(rates_of(model), formula(name, 0.01, 5, 3), rtol=1e-9)


def test_one_cycle_is_stepped_after_every_step_and_ends_at_its_least_rate():
    model = sdch(scheduler="OneCycleLR", learning_rate=0.01, epochs=6).fit(VIEWS, LABELS)
    found = np.array(rates_of(model))
    assert found.argmax() in (1, 2)  # after 30 % of the steps
    assert 0.005 < found.max() <= 0.01
    assert found[-1] == pytest.approx(0.01 / 25 / 1e4)


def test_a_plateau_is_one_of_the_loss():
    stuck = {"learning_rate": 1e-9, "hash_learning_rate": 1e-9, "epochs": 6}
    options = {"patience": 1, "factor": 0.5, "threshold": 0.1, "eps": 0.0}
    model = sdch(scheduler="ReduceLROnPlateau", scheduler_options=options, **stuck).fit(VIEWS, LABELS)
    np.testing.assert_allclose(rates_of(model), [1e-9, 1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10])


def test_all_schedules_of_plain_arguments_can_be_named():
    assert {"steplr", "onecyclelr", "cycliclr", "reducelronplateau", "cosineannealinglr"} <= set(SCHEDULERS)
    assert not {"lambdalr", "sequentiallr", "chainedscheduler", "lrscheduler"} & set(SCHEDULERS)


class Growing:
    """A sampler of a user's own with more rows in later epochs."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(range(32 * self.epoch))

    def __len__(self):
        return N


@pytest.mark.parametrize("scheduler", ["cosine", "onecyclelr"])
def test_rates_stay_at_their_end_where_epochs_grow(scheduler):
    loader = DataLoader(Items(), sampler=Growing())
    model = sdch(scheduler=scheduler).fit(loader, LABELS)  # 1 + 2 + 3 steps, but 3 are planned
    assert rates_of(model)[2] == pytest.approx(0 if scheduler == "cosine" else 2e-3 / 25e4, abs=1e-12)


# --- accumulation and turns ---


def test_accumulated_batches_are_one_step_of_their_mean(monkeypatch):
    steps = []
    monkeypatch.setattr(torch.optim.SGD, "step", _counted(torch.optim.SGD.step, steps))
    fixed = {"optimizer": "sgd", "scheduler": "none", "epochs": 1, "max_grad_norm": 0.0, "gamma": 0.0}
    weights = {}
    for n in (1, 2, 3):
        steps.clear()
        model = sdch(batch_size=32, accumulation_steps=n, **fixed).fit(VIEWS, LABELS)
        assert len(steps) == -(-3 // n)
        weights[n] = [p.detach().clone() for p in model._state.network.parameters()]
    # By hand: the mean of the gradients of all three batches, all at the first weights.
    monkeypatch.setattr(Training, "_take_epoch", _by_hand)
    by_hand = sdch(batch_size=32, **fixed).fit(VIEWS, LABELS)
    for found, expected in zip(weights[3], by_hand._state.network.parameters(), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-7)
    assert any((a != b).any() for a, b in zip(weights[1], weights[3], strict=True))


def _counted(step, calls):
    def counting(*args, **kwargs):
        calls.append(1)
        return step(*args, **kwargs)

    return counting


def _by_hand(self, progress):
    """An epoch of one step of SGD on the mean of all batches' losses."""
    self._network.train()
    losses = []
    order = np.random.default_rng([0, 1]).permutation(N)
    for rows in order.reshape(3, 32):
        inputs = next(iter(self._rows.batches([rows])))
        encoded = {name: self._network.encode(name, x) for name, x in inputs.items()}
        terms = self._objective.losses(
            dict.fromkeys(encoded, rows), {name: Encoded(*parts) for name, parts in encoded.items()}, 1
        )
        losses.append(sum(terms.values()))
    (sum(losses) / 3).backward()
    with torch.no_grad():
        for parameters, rate in self._groups.values():
            for p in parameters:
                p -= rate * p.grad
    progress.epoch, progress.best_epoch = 1, 1
    progress.best = copy.deepcopy(self._network.state_dict())
    progress.history.append({"epoch": 1, "loss": 0.0, "losses": {}, "validation": None, "learning_rates": {}})


def test_turns_change_one_group_after_another_and_rates_are_factors(monkeypatch):
    seen = []

    def losses(self, rows, encoded, epoch):
        trained = {name for name, (group, _) in self.groups().items() if all(p.requires_grad for p in group)}
        seen.append((epoch, trained, {name: group.training for name, group in self.network.named_children()}))
        return of_sdch(self, rows, encoded, epoch)

    of_sdch = SDCHObjective.losses
    monkeypatch.setattr(SDCHObjective, "losses", losses)
    monkeypatch.setattr(SDCHObjective, "turns", lambda self, epoch: [["hash"], ["features"]])
    monkeypatch.setattr(SDCHObjective, "rates", lambda self, epoch: {"hash": 0.0} if epoch == 1 else {})
    model = sdch(optimizer="sgd", scheduler="none", batch_size=48, epochs=2, hash_learning_rate=0.5)
    before = {}
    draw = Training._draw

    def drawn(self, epoch):
        before[epoch] = self._network.hash_layer.weight.detach().clone()
        return draw(self, epoch)

    monkeypatch.setattr(Training, "_draw", drawn)
    model.fit(VIEWS, LABELS)
    assert [(epoch, trained) for epoch, trained, _ in seen] == [
        (epoch, {group}) for epoch in (1, 2) for _ in range(2) for group in ("hash", "features")
    ]
    assert all(modes["hash_layer"] == ("hash" in trained) for _, trained, modes in seen)
    assert torch.equal(before[1], before[2])  # with a rate of 0
    assert [entry["learning_rates"]["hash"] for entry in model.history_] == [0.0, 0.5]


@pytest.mark.parametrize("is_loader", [False, True])
def test_batches_that_are_not_paired_have_rows_of_their_own(monkeypatch, is_loader):
    seen, losses = [], SDCHObjective.losses

    def checked(self, rows, encoded, epoch):
        seen.append({name: numbers.tolist() for name, numbers in rows.items()})
        for name, numbers in rows.items():
            own = torch.from_numpy(VIEWS[name][numbers].astype(np.float32))
            torch.testing.assert_close(encoded[name].outputs, self.network(name, own))
        return losses(self, rows, encoded, epoch)

    monkeypatch.setattr(SDCHObjective, "losses", checked)
    model = sdch(batches="unpaired", epochs=2, feature_maps=None if is_loader else dict.fromkeys(VIEWS))
    workers = {"num_workers": 1, "persistent_workers": True}
    model.fit(DataLoader(Items(), **workers) if is_loader else VIEWS, LABELS)
    assert len(seen) == 6
    for epoch in (seen[:3], seen[3:]):
        for name in VIEWS:
            assert sorted(row for batch in epoch for row in batch[name]) == list(range(N))
    assert all(batch["image"] != batch["text"] for batch in seen)


# --- longer trainings ---


CYCLES = {"base_lr": 1e-4, "max_lr": 1e-3, "step_size_up": 4, "cycle_momentum": False}


@pytest.mark.parametrize(
    ("scheduler", "scheduler_options"), [("none", None), ("steplr", {"step_size": 2}), ("cycliclr", CYCLES)]
)
def test_a_checkpoint_continues_with_more_epochs_as_if_it_had_them_from_the_start(
    tmp_path, scheduler, scheduler_options
):
    options = {"scheduler": scheduler, "scheduler_options": scheduler_options}
    expected = sdch(epochs=6, validation_fraction=0.2, **options).fit(VIEWS, LABELS)
    path = tmp_path / "checkpoint"
    for epochs in (2, 3, 6):
        model = sdch(epochs=epochs, validation_fraction=0.2, **options).fit(VIEWS, LABELS, checkpoint=path)
        assert len(model.history_) == epochs
    assert history_of(model) == history_of(expected)
    assert model.codes_.tobytes() == expected.codes_.tobytes()


@pytest.mark.parametrize("scheduler", ["cosine", "onecyclelr"])
def test_rates_of_a_longer_training_are_those_of_its_schedule(tmp_path, scheduler):
    path = tmp_path / "checkpoint"
    sdch(epochs=2, scheduler=scheduler).fit(VIEWS, LABELS, checkpoint=path)
    model = sdch(epochs=5, scheduler=scheduler).fit(VIEWS, LABELS, checkpoint=path)
    expected = sdch(epochs=5, scheduler=scheduler).fit(VIEWS, LABELS)
    assert rates_of(model)[2:] == rates_of(expected)[2:]
    assert rates_of(model)[:2] != rates_of(expected)[:2]


def test_fewer_epochs_than_the_checkpoint_has_run_are_refused(tmp_path):
    path = tmp_path / "checkpoint"
    sdch(epochs=3).fit(VIEWS, LABELS, checkpoint=path)
    with pytest.raises(ValueError, match="epochs must be at least 3, which the checkpoint has run, got 2"):
        sdch(epochs=2).fit(VIEWS, LABELS, checkpoint=path)


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    sdch(epochs=1).fit(VIEWS, LABELS, checkpoint=path)
    archive = read_tensor_file(path)
    fields = {name: value for name, value in archive.fields.items() if name != "schedule_steps"}
    write_tensor_file(path, archive.kind, fields, archive.arrays)
    with pytest.raises(pyhash.ModelFormatError, match="is a checkpoint of an older version of pyhash"):
        sdch(epochs=1).fit(VIEWS, LABELS, checkpoint=path)


@pytest.mark.parametrize(("scheduler", "scheduler_options"), [("cosine", None), ("cycliclr", CYCLES)])
def test_a_checkpoint_with_a_wrong_number_of_steps_does_not_hang(tmp_path, scheduler, scheduler_options):
    path, options = tmp_path / "checkpoint", {"scheduler": scheduler, "scheduler_options": scheduler_options}
    sdch(epochs=1, **options).fit(VIEWS, LABELS, checkpoint=path)
    archive = read_tensor_file(path)
    write_tensor_file(path, "checkpoint", {**archive.fields, "schedule_steps": 2**60}, archive.arrays)
    model = sdch(epochs=2, **options).fit(VIEWS, LABELS, checkpoint=path)
    assert len(model.history_) == 2


def test_the_device_and_trackers_are_no_part_of_a_training(tmp_path):
    path = tmp_path / "checkpoint"
    expected = sdch(device="auto").fit(VIEWS, LABELS, checkpoint=path)
    again = sdch(device="cpu", log_dir=tmp_path).fit(VIEWS, LABELS, checkpoint=path)
    assert again.codes_.tobytes() == expected.codes_.tobytes()
