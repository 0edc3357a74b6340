"""Training options: their checks, presets, changes by name, and places in copies and files."""

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import pyhash
from pyhash._files.safetensors import read_tensor_file
from pyhash.deep import DHSL, SDCH, TrainingOptions
from pyhash.deep.training import Training

METHODS = [SDCH, DHSL]
GOLDEN = Path(__file__).parents[1] / "golden" / "deep_v1"


def resolved(model):
    return model._settings(["image", "text"], torch.device("cpu"))[1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 2.5}, TypeError, "epochs must be an integer >= 1, got 2.5"),
        ({"batch_size": 1}, ValueError, "batch_size must be an integer >= 2, got 1"),
        (
            {"optimizer": "lion"},
            ValueError,
            "optimizer must be one of 'adadelta', .*'sgd', or a subclass of Optimizer of your own, got 'lion'",
        ),
        ({"optimizer": "lbfgs"}, ValueError, "optimizer must be one of .*, got 'lbfgs'"),
        ({"optimizer": torch.optim.LBFGS}, ValueError, "optimizer must be one of .*, got <class 'torch.optim.lbfgs"),
        ({"optimizer": torch.nn.Linear}, ValueError, "optimizer must be one of .*, got <class 'torch.nn"),
        ({"optimizer": 3}, ValueError, "optimizer must be one of .*, got 3"),
        ({"optimizer_options": [1]}, TypeError, r"optimizer_options must be a mapping of names to values, got \[1\]"),
        ({"optimizer_options": {"lr": 1}}, ValueError, "optimizer_options must not set 'lr': it is the method's"),
        ({"optimizer_options": {"eps": np.ones(2)}}, TypeError, "optimizer_options must hold numbers, strings, bools"),
        ({"scheduler": "linear"}, ValueError, "scheduler must be one of 'cosine', 'none', 'con.*, got 'linear'"),
        ({"scheduler": "SequentialLR"}, ValueError, "scheduler must be one of .*, got 'SequentialLR'"),
        ({"scheduler_options": {"T_max": float("nan")}}, TypeError, "scheduler_options must hold numbers"),
        ({"accumulation_steps": 0}, ValueError, "accumulation_steps must be an integer >= 1, got 0"),
        ({"trackers": 1}, TypeError, "trackers must be a name or a sequence of names, got 1"),
        ({"trackers": "paper"}, ValueError, "trackers must be of .*tensorboard.*, got 'paper'"),
        ({"trackers": ["tensorboard", "aim"]}, ImportError, "trackers needs the package of 'aim'"),
        ({"log_dir": b"here"}, TypeError, "log_dir must be a str or an os.PathLike of str, got b'here'"),
        ({"max_grad_norm": -1}, ValueError, "max_grad_norm must be a finite number >= 0, got -1"),
        ({"max_grad_norm": float("nan")}, ValueError, "max_grad_norm must be a finite number >= 0, got nan"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction must be a number from 0 to below 1, got 1"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1, got 0"),
        ({"mixed_precision": 1}, TypeError, 'mixed_precision must be "no", "fp16", "bf16" or a bool, got 1'),
        ({"mixed_precision": "fp8"}, ValueError, "mixed_precision must be one of 'no', 'fp16', 'bf16', got 'fp8'"),
        ({"device": 0}, TypeError, 'device must be "auto" or a torch device, got 0'),
    ],
)
def test_wrong_options_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        TrainingOptions(**options)


def test_options_are_a_value():
    options = TrainingOptions(epochs=np.int64(3), max_grad_norm=1)
    assert options == TrainingOptions(epochs=3, max_grad_norm=1.0)
    assert hash(options) == hash(TrainingOptions(epochs=3, max_grad_norm=1.0))
    assert (type(options.epochs), type(options.max_grad_norm)) == (int, float)
    assert options != TrainingOptions(epochs=4, max_grad_norm=1.0)
    assert repr(options) == "TrainingOptions(epochs=3, max_grad_norm=1.0)"
    assert eval(repr(options)) == options
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.epochs = 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("training", [None, TrainingOptions()])
def test_options_of_none_have_the_value_of_the_preset(method, preset, training):
    found = resolved(method(8, preset=preset, training=training, seed=4))
    of_preset = ("epochs", "batch_size", "optimizer", "scheduler", "max_grad_norm")
    assert {name: getattr(found, name) for name in of_preset} == {
        name: method.presets[preset][name] for name in of_preset
    }
    assert (found.patience, found.mixed_precision) == (None, "no")
    assert found.validation_fraction == method.presets[preset].get("validation_fraction", 0.1)
    assert (found.accumulation_steps, found.optimizer_options, found.scheduler_options) == (1, {}, {})
    assert (found.device, found.seed) == (torch.device("cpu"), 4)


@pytest.mark.parametrize("method", METHODS)
def test_options_that_are_set_replace_those_of_the_preset(method):
    given = {
        "epochs": 3,
        "batch_size": 7,
        "optimizer": "sgd",
        "scheduler": "none",
        "max_grad_norm": 0.5,
        "validation_fraction": 0.3,
        "patience": 2,
        "mixed_precision": "bf16",
        "accumulation_steps": 2,
        "optimizer_options": {"momentum": 0.9},
    }
    found = resolved(method(8, training=TrainingOptions(**given)))
    assert {name: getattr(found, name) for name in given} == given
    assert resolved(method(8, training=TrainingOptions(max_grad_norm=0))).max_grad_norm == 0.0  # 0 is not None


def test_presets_have_a_value_for_every_option_of_none():
    needed = {"epochs", "batch_size", "optimizer", "scheduler", "max_grad_norm"}
    for method in METHODS:
        assert {"default", "paper"} <= method.presets.keys()
        for preset in method.presets.values():
            assert needed <= preset.keys()
            assert preset.keys() <= set(TrainingOptions.names()) | set(method._parameter_names())


def test_a_preset_may_set_any_option(monkeypatch):
    more = {
        "validation_fraction": 0.0,
        "patience": 3,
        "mixed_precision": "bf16",
        "accumulation_steps": 4,
        "optimizer": "sgd",
        "optimizer_options": {"momentum": 0.9},
    }
    monkeypatch.setitem(SDCH.presets, "more", SDCH.presets["default"] | more)
    found = resolved(SDCH(8, preset="more"))
    assert {name: getattr(found, name) for name in more} == more
    found = resolved(SDCH(8, preset="more", training=TrainingOptions(validation_fraction=0.2, mixed_precision=False)))
    assert (found.validation_fraction, found.mixed_precision, found.accumulation_steps) == (0.2, "no", 4)
    # Arguments of a preset's optimizer are not for another one.
    found = resolved(SDCH(8, preset="more", training=TrainingOptions(optimizer="adamw")))
    assert (found.optimizer, found.optimizer_options) == ("adamw", {})


def test_names_and_classes_of_torch_are_the_same():
    by_class = TrainingOptions(optimizer=torch.optim.AdamW, scheduler=torch.optim.lr_scheduler.OneCycleLR)
    assert by_class == TrainingOptions(optimizer="ADAMW", scheduler="OneCycleLR")
    assert (by_class.optimizer, by_class.scheduler) == ("adamw", "onecyclelr")


@pytest.mark.parametrize("value", [{"epochs": 3}, 3, TrainingOptions])
def test_options_of_another_type_are_refused_before_training(monkeypatch, value):
    monkeypatch.setattr(Training, "run", None)
    with pytest.raises(TypeError, match="training must be a TrainingOptions or None, got "):
        SDCH(8, training=value).fit({"x": np.eye(4)}, [0, 0, 1, 1])


def test_single_options_are_set_by_name():
    shared = TrainingOptions(epochs=3)
    model, other = SDCH(8, training=shared), DHSL(8, training=shared)
    assert model.set_params(training__patience=2, n_bits=12) is model
    assert (model.training, model.n_bits) == (TrainingOptions(epochs=3, patience=2), 12)
    assert (other.training, shared) == (shared, TrainingOptions(epochs=3))  # as they were
    assert SDCH(8).set_params(training__epochs=4).training == TrainingOptions(epochs=4)
    model.set_params(training=TrainingOptions(batch_size=9), training__epochs=5)
    assert model.training == TrainingOptions(batch_size=9, epochs=5)
    assert model.set_params(training=None).training is None


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"training__rounds": 3}, ValueError, "training has no option 'rounds'; it has epochs, batch_size, "),
        ({"training__epochs": 0}, ValueError, "epochs must be an integer >= 1, got 0"),
        ({"training__epochs": 2, "bits": 9}, ValueError, "SDCH has no parameter 'bits'; it has n_bits, "),
        ({"epochs": 2}, ValueError, "SDCH has no parameter 'epochs'; it has n_bits, .*, training, "),
    ],
)
def test_names_and_values_that_are_wrong_set_nothing(parameters, error, message):
    model = SDCH(8, training=TrainingOptions(epochs=3))
    before = model.get_params()
    with pytest.raises(error, match=message):
        model.set_params(n_bits=12, **parameters)
    assert model.get_params() == before


@pytest.mark.parametrize("method", METHODS)
def test_copies_keep_the_options(method):
    training = TrainingOptions(epochs=3, device="cpu")
    model = method(8, training=training)
    assert model.get_params()["training"] is training
    assert repr(model) == f"{method.__name__}(n_bits=8, training=TrainingOptions(epochs=3, device='cpu'))"
    for twin in (clone(model), copy.deepcopy(model), method(**model.get_params())):
        assert twin.training == training


@pytest.mark.parametrize("name", ["sdch", "dhsl"])
def test_files_keep_options_beside_the_other_parameters(tmp_path, name):
    """As since before there was ``training``, so that older files are read."""
    backbones = {"pictures": torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())} if name == "sdch" else None
    model = pyhash.load(GOLDEN / f"{name}.safetensors", backbones=backbones)
    assert model.training == TrainingOptions(epochs=30, batch_size=8, validation_fraction=0.2, mixed_precision=False)
    model.save(tmp_path / "again")
    before, after = (read_tensor_file(path) for path in (GOLDEN / f"{name}.safetensors", tmp_path / "again"))
    # Since then there are calibrations and a third encoder.
    of_state = [archive.fields.pop("state") for archive in (before, after)]
    assert of_state[1].pop("calibrations") == {}
    scores = [state.pop("trial")["scores"] for state in of_state]
    assert scores[1] == {name: [*sums, 0.0] for name, sums in scores[0].items()}
    # And what backbones give, and transforms.
    assert of_state[1]["plan"].pop("backbone_widths") == dict.fromkeys(backbones or {}, 8)
    assert of_state[1].pop("evaluated_by") == []
    assert of_state[0] == of_state[1]
    parameters = [archive.fields.pop("parameters") for archive in (before, after)]
    assert parameters[0].pop("decay") is None  # now `scheduler`
    assert parameters[1] == dict.fromkeys(parameters[1]) | parameters[0]  # newer parameters are None
    assert before.fields == after.fields
    model.set_params(training=None).save(tmp_path / "unset")
    assert pyhash.load(tmp_path / "unset", backbones=backbones).training is None
