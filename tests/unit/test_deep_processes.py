"""Two processes that train together give the losses and codes of one."""

import json
import os
import signal
import socket
import warnings

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from pyhash.datasets import make_hierarchical
from pyhash.deep import DHSL, SDCH, TrainingOptions
from pyhash.deep.device import accelerator_on

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

N, N_BITS = 121, 20
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]


class EndAfterTwo:
    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, state):
        self.epochs.append(state.epoch)
        state.stop = state.epoch == 2


def options(**more):
    return TrainingOptions(**{"epochs": 4, "batch_size": 33, "validation_fraction": 0.2, "device": "cpu"} | more)


def sdch(training=None, **parameters):
    return SDCH(N_BITS, hidden=(16,), feature_width=12, training=training or options(), **parameters)


def dhsl(training=None, **parameters):
    own = {"hidden": (24, 16), "selector_hidden": (8, 8), "relation_hidden": 16, "relation_rows": 12}
    return DHSL(N_BITS, **own, training=training or options(), **parameters)


# No batch normalisation and no dropout, but for DHSL. The last batches have one row, or fewer than there are processes.
MODELS = {
    "SDCH": lambda: sdch(),
    "SDCH, in turn": lambda: sdch(schedule="staged", start="itq"),
    "SDCH, momentum and accumulation": lambda: sdch(
        options(
            optimizer="sgd",
            optimizer_options={"momentum": 0.9},
            scheduler="onecyclelr",
            accumulation_steps=2,
            batch_size=20,
            max_grad_norm=0.5,
        )
    ),
    "DHSL": lambda: dhsl(),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def train_all(rank, port, folder):
    """Train every model in one of two processes, and keep what it gives."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()} | {"OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    found = {}
    for name, make in MODELS.items():
        model = make().fit(VIEWS, LABELS)
        found[name] = {"history": model.history_, "codes": model.codes_.tolist(), "best": model.best_epoch_}
    callback, path = EndAfterTwo(), folder / "checkpoint"
    first = sdch().fit(VIEWS, LABELS, checkpoint=path, callbacks=[callback], progress=True)
    found["stopped"] = {"n": len(first.history_), "seen": callback.epochs, "codes": first.codes_.tolist()}
    again = sdch().fit(VIEWS, LABELS, checkpoint=path)
    found["again"] = {"n": len(again.history_), "codes": again.codes_.tolist()}
    with (
        pytest.raises(ValueError, match=r"device must be one on which 2 processes can train together, .* got 'meta'"),
        accelerator_on(torch.device("meta"), "no", (), None),
    ):
        pass
    torch.manual_seed(rank)
    backbone = torch.nn.Sequential(torch.nn.Linear(24, 8), torch.nn.BatchNorm1d(8))
    found["first"] = {name: values.tolist() for name, values in backbone.state_dict().items()}
    model = sdch(backbones={"image": backbone}, train_backbones=False).fit(VIEWS, LABELS)
    found["backbone"] = {name: values.tolist() for name, values in model.module("image").state_dict().items()}
    with pytest.raises(ValueError, match="views and labels must be the same in all processes that train together"):
        sdch().fit(VIEWS, LABELS if rank == 0 else LABELS[::-1])
    (folder / f"{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What the two processes give, each forked: most of the time of a new one would go into the import of torch."""
    folder, port, children = tmp_path_factory.mktemp("processes"), free_port(), []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            signal.alarm(240)  # a child that waits for ever ends
            try:
                warnings.simplefilter("error")
                train_all(rank, port, folder)
                os._exit(0)
            except BaseException:
                import traceback

                (folder / f"{rank}.txt").write_text(traceback.format_exc())
            finally:
                os._exit(1)
        children.append(pid)
    failed = [os.waitpid(pid, 0)[1] for pid in children]
    assert not any(failed), "".join(path.read_text() for path in folder.glob("*.txt"))
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def curve_of(history):
    return np.array([[entry["loss"], *entry["losses"].values()] for entry in history])


@pytest.mark.parametrize("name", [name for name in MODELS if name != "DHSL"])
def test_the_losses_are_those_of_one_process(of_two, name):
    expected = MODELS[name]().fit(VIEWS, LABELS)
    for found in of_two:
        np.testing.assert_allclose(curve_of(found[name]["history"]), curve_of(expected.history_), rtol=0, atol=1e-4)
        assert [entry["learning_rates"] for entry in found[name]["history"]] == [
            entry["learning_rates"] for entry in expected.history_
        ]
        assert (np.array(found[name]["codes"]) == expected.codes_).mean() > 0.99  # an output near 0 may fall either way


@pytest.mark.parametrize("name", MODELS)
def test_every_process_has_the_same_model(of_two, name):
    first, second = (found[name] for found in of_two)
    for entry in (*first["history"], *second["history"]):
        entry.pop("seconds", None)
    assert first == second


def test_batch_normalisation_of_parts_learns_too(of_two):
    losses = [entry["loss"] for entry in of_two[0]["DHSL"]["history"]]
    assert losses[-1] < losses[0]


def test_backbones_begin_with_the_weights_of_the_main_process(of_two):
    main, other = of_two
    assert main["first"] != other["first"]
    assert main["backbone"] == other["backbone"]
    assert all(values in main["backbone"].values() for values in main["first"].values())


def test_the_main_process_writes_and_calls(of_two):
    assert [found["stopped"]["seen"] for found in of_two] == [[1, 2], []]
    assert [found["stopped"]["n"] for found in of_two] == [2, 2]
    for found in of_two:  # a training that a callback ended does not go on
        assert found["again"] == {"n": 2, "codes": found["stopped"]["codes"]}


def test_the_state_of_a_users_own_accelerator_stays():
    kinds = (AcceleratorState, PartialState, GradientState)
    before = [dict(kind._shared_state) for kind in kinds]
    for kind in kinds:
        kind._shared_state.clear()
    try:
        own = Accelerator(cpu=True, gradient_accumulation_steps=3)
        sdch(options(mixed_precision="bf16", epochs=1, accumulation_steps=2)).fit(VIEWS, LABELS)
        assert own.mixed_precision == "no"
        assert own.gradient_accumulation_steps == 3
        assert Accelerator().state.__dict__ is own.state.__dict__
    finally:
        for kind, kept in zip(kinds, before, strict=True):
            kind._shared_state.clear()
            kind._shared_state.update(kept)
