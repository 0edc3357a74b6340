"""How networks are trained: seeds, devices, validation, checkpoints that survive a kill, schedules."""

import copy
import os
import signal
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

import pyhash
from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash._inputs.device import resolve_device
from pyhash.codes import pack, unpack
from pyhash.datasets import make_hierarchical
from pyhash.deep import DHSL, SDCH, AlexNet, TrainingOptions
from pyhash.deep.checkpoint import weights_of
from pyhash.deep.training import Training
from pyhash.deep.validation import Validation

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread", "one_torch_thread"),
    # Newer Pythons warn of forks where any library has started threads; these children only train.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

N, N_BITS, EPOCHS = 120, 20, 6
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]
ALIKE = LABELS[:, None] == LABELS


@pytest.fixture(scope="module")
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(method, n_bits, parameters):
    """A method whose training options stand among its other parameters."""
    options = {name: parameters.pop(name) for name in TrainingOptions.names() if name in parameters}
    return method(n_bits, training=TrainingOptions(**options), **parameters)


def sdch(**parameters):
    tiny = {"epochs": EPOCHS, "batch_size": 32, "hidden": (16,), "feature_width": 12, "validation_fraction": 0.2}
    return make(SDCH, N_BITS, tiny | parameters)


def dhsl(**parameters):
    tiny = {"epochs": EPOCHS, "batch_size": 32, "hidden": (24, 16), "validation_fraction": 0.2}
    own = {"selector_hidden": (8, 8), "relation_hidden": 16, "relation_rows": 12}
    return make(DHSL, N_BITS, tiny | own | parameters)


STAGED = {"schedule": "staged", "start": "itq"}
METHODS = {
    "SDCH": lambda **parameters: sdch(**parameters),
    "SDCH staged": lambda **parameters: sdch(**STAGED | parameters),
    "DHSL": lambda **parameters: dhsl(**parameters),
}


@pytest.fixture(scope="module")
def trained():
    """A model of each method, which no test changes."""
    return {name: make().fit(VIEWS, LABELS) for name, make in METHODS.items()}


def test_fused_codes_are_signs_of_summed_projections(trained):
    model = trained["SDCH"]
    summed = sum(model.project(VIEWS[name], modality=name) for name in VIEWS)
    np.testing.assert_array_equal(model.encode_fused(VIEWS), pack(summed))


@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        (None, TypeError, "views must be a mapping of modality names to features"),
        ({}, ValueError, "views must hold at least one modality, got none"),
        ({"sound": VIEWS["text"]}, ValueError, "views must be one of 'image', 'text', got 'sound'"),
        ({"text": VIEWS["text"][:, :3]}, ValueError, r"views\['text'\] must have shape"),
        ({"text": None}, TypeError, r"views\['text'\] must be an array"),
        ({"image": VIEWS["image"][:3], "text": VIEWS["text"]}, ValueError, "views must have equally many rows"),
    ],
)
def test_fused_codes_need_the_views_learned(trained, views, error, message):
    with pytest.raises(error, match=message):
        trained["SDCH"].encode_fused(views)


def history_of(model):
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in model.history_]


def projections_of(model):
    return {name: model.project(X, modality=name) for name, X in VIEWS.items()}


def assert_same(model, expected):
    """Byte by byte."""
    assert history_of(model) == history_of(expected)
    assert model.best_epoch_ == expected.best_epoch_
    assert model.codes_.tobytes() == expected.codes_.tobytes()
    wanted = projections_of(expected)
    assert all(found.tobytes() == wanted[name].tobytes() for name, found in projections_of(model).items())


def distances_of(codes):
    signs = unpack(codes, N_BITS).astype(int)
    return (N_BITS - signs @ signs.T) / 2


# --- devices ---


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "kind"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_best_device_there_is(monkeypatch, has_cuda, has_mps, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert resolve_device("auto") == torch.device(kind)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_may_be_named(trained, tmp_path, device):
    model = sdch(device=device).fit(VIEWS, LABELS)
    assert_same(model, trained["SDCH"])
    model.save(tmp_path / "model")
    assert pyhash.load(tmp_path / "model").training.device == "cpu"


MISSING = ["cuda:99", "mps", "meta", "hpu", "privateuseone", "vulkan", "gpu", "auto:0", ""]


@pytest.mark.parametrize("device", MISSING if not torch.backends.mps.is_available() else MISSING[2:])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(
        ValueError, match=f'device must be "auto" or a torch device that this machine has, got {device!r}'
    ):
        sdch(device=device).fit(VIEWS, LABELS)


@pytest.mark.parametrize("device", [None, 0, ["cpu"]])
def test_what_names_no_device_is_refused(device):
    with pytest.raises(TypeError, match='device must be "auto" or a torch device, got'):
        sdch(device=device).fit(VIEWS, LABELS)


# --- random numbers ---


@pytest.mark.parametrize("name", METHODS)
def test_training_is_by_its_own_seed_alone(monkeypatch, trained, name):
    others = []  # devices that a training on the CPU has no business with
    monkeypatch.setattr(torch.cuda, "manual_seed_all", others.append)
    torch.manual_seed(123)
    others.clear()
    np.random.seed(5)  # noqa: NPY002 - the state that must not matter
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = METHODS[name]().fit(VIEWS, LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002
    assert others == []
    assert_same(model, trained[name])


@pytest.mark.parametrize("name", METHODS)
def test_another_seed_gives_other_codes(trained, name):
    assert not np.array_equal(METHODS[name](seed=1).fit(VIEWS, LABELS).codes_, trained[name].codes_)


def test_files_leave_random_numbers_alone(trained, tmp_path):
    trained["SDCH"].save(tmp_path / "model")
    before = torch.get_rng_state()
    pyhash.load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before)


# --- what is learned, and what is shown of it ---


@pytest.mark.parametrize("name", METHODS)
def test_training_lowers_the_loss_and_separates_classes(name):
    model = METHODS[name](epochs=12, learning_rate=5e-3).fit(VIEWS, LABELS)
    losses = [sum(entry["losses"].values()) for entry in model.history_][2:]  # of all parts together
    assert losses[-1] < 0.9 * losses[0]
    assert [entry["loss"] for entry in model.history_][2:] == losses
    distances = distances_of(model.codes_)
    assert distances[~ALIKE].mean() > distances[ALIKE].mean() + 2


def test_codes_are_the_signs_of_summed_outputs(trained):
    for model in trained.values():
        np.testing.assert_array_equal(model.codes_, pack(np.add.reduce(list(projections_of(model).values()))))


def test_a_progress_bar_shows_losses_and_map(capfd):
    model = sdch().fit(VIEWS, LABELS, progress=True)
    out, err = capfd.readouterr()
    last = model.history_[-1]
    assert out == ""
    assert "SDCH: 100%" in err
    assert f"{EPOCHS}/{EPOCHS}" in err
    assert f"loss={last['loss']:.3g}" in err
    assert all(f"{name}={value:.3g}" in err for name, value in last["losses"].items())
    assert f"mAP={np.mean(list(last['validation'].values())):.3f}" in err


@pytest.mark.parametrize("progress", [False, None])
def test_no_progress_bar_is_shown_unasked(capfd, progress):
    sdch(epochs=1).fit(VIEWS, LABELS, progress=progress)  # stderr is no terminal here
    assert capfd.readouterr() == ("", "")


def test_history_cannot_be_changed_from_outside(trained):
    model = trained["SDCH"]
    model.history_[0]["epoch"] = 99
    assert [entry["epoch"] for entry in model.history_] == list(range(1, EPOCHS + 1))


# --- validation ---


def mean_average_precision(queries, database, relevant):
    """By the definition: ties by row, mean over queries of the mean precision at relevant ranks."""
    scores = []
    for query, is_relevant in zip(queries, relevant, strict=True):
        ranked = is_relevant[np.argsort((query != database).sum(axis=1), kind="stable")]
        hits = np.flatnonzero(ranked)
        scores.append(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)) if len(hits) else 0.0)
    return np.mean(scores)


@pytest.fixture
def after_steps(monkeypatch):
    """By epoch and modality, the outputs of every row right after the step that learned it, in eval mode."""
    found, step = {}, Training._step

    def recording(self, group, epoch):
        losses = step(self, group, epoch)
        self._network.eval()
        for batch in group:
            for name, x in batch.inputs.items():
                outputs = found.setdefault(epoch, {}).setdefault(name, np.zeros((N, N_BITS), np.float32))
                with torch.no_grad():
                    outputs[batch.rows[name]] = self._network(name, x).numpy()
        return losses

    monkeypatch.setattr(Training, "_step", recording)
    return found


@pytest.fixture
def ruin(monkeypatch):
    """Trainings that follow take far too large steps from a given part of their epochs on."""

    def after(part):
        step = Training._step

        def ruining(self, group, epoch):
            if (epoch - 1) / self._options.epochs >= part:
                for each in self._optimizer.param_groups:
                    each["lr"] = 3.0
            return step(self, group, epoch)

        monkeypatch.setattr(Training, "_step", ruining)

    return after


@pytest.mark.parametrize("name", METHODS)
def test_the_weights_of_the_best_epoch_are_kept(monkeypatch, after_steps, ruin, name):
    ruin(0.75)
    drawn = []
    draw = Validation.draw.__func__
    monkeypatch.setattr(Validation, "draw", classmethod(lambda *args: drawn.append(draw(*args)) or drawn[-1]))
    model = METHODS[name](learning_rate=0.01, scheduler="none", epochs=8).fit(VIEWS, LABELS)
    means = [np.mean(list(entry["validation"].values())) for entry in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(means))
    assert model.best_epoch_ < 8  # or the last weights would do too
    (validation,) = drawn
    assert len(validation.queries) == N // 5
    assert not set(validation.queries) & set(validation.database)
    assert len(validation.queries) + len(validation.database) == N
    kept = model.history_[model.best_epoch_ - 1]["validation"]
    signs = {modality: unpack(model.encode(X, modality=modality), N_BITS) for modality, X in VIEWS.items()}
    searchable = {modality: np.sign(Z) for modality, Z in after_steps[model.best_epoch_].items()}
    relevant = ALIKE[np.ix_(validation.queries, validation.database)]
    assert kept.keys() == {"image->text", "text->image"}
    for query, searched in permutations(VIEWS, 2):
        database = searchable[searched][validation.database]
        found = mean_average_precision(signs[query][validation.queries], database, relevant)
        assert kept[f"{query}->{searched}"] == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_when_validation_gets_no_better(patience):
    # So small a rate changes no code: the first epoch stays the best.
    model = sdch(learning_rate=1e-12, hash_learning_rate=1e-12, patience=patience, epochs=9).fit(VIEWS, LABELS)
    assert model.best_epoch_ == 1
    assert len(model.history_) == 1 + patience


@pytest.mark.parametrize("name", ["SDCH", "DHSL"])
def test_patience_counts_from_the_best_epoch(ruin, name):
    ruin(0.2)
    model = METHODS[name](learning_rate=0.01, scheduler="none", patience=2, epochs=30).fit(VIEWS, LABELS)
    means = [np.mean(list(entry["validation"].values())) for entry in model.history_]
    assert len(means) < 30
    best = np.maximum.accumulate(means)
    waited = np.array([t - np.flatnonzero(means == best[t])[0] for t in range(len(means))])
    assert (waited[:-1] < 2).all()
    assert waited[-1] == 2
    assert len(means) > 4  # it did get better before
    assert model.best_epoch_ == len(means) - 2


def test_without_validation_the_last_epoch_is_kept(monkeypatch):
    ends = []
    take = Training._take_epoch
    monkeypatch.setattr(
        Training, "_take_epoch", lambda self, progress: (take(self, progress), ends.append(weights_of(self._network)))
    )
    model = sdch(validation_fraction=0.0).fit(VIEWS, LABELS)
    assert [entry["validation"] for entry in model.history_] == [None] * EPOCHS
    assert model.best_epoch_ == EPOCHS
    kept = weights_of(model._state.network)
    assert all(torch.equal(kept[name], tensor) for name, tensor in ends[-1].items())


@pytest.mark.parametrize("parameters", [{"encoder": "auto"}, {"patience": 2}])
def test_what_needs_validation_is_refused_without(parameters):
    with pytest.raises(ValueError, match=r"validation_fraction must be above 0 for .*, got 0"):
        sdch(validation_fraction=0.0, **parameters).fit(VIEWS, LABELS)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_fractions_out_of_range_are_refused(fraction):
    with pytest.raises(ValueError, match="validation_fraction must be"):
        sdch(validation_fraction=fraction).fit(VIEWS, LABELS)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n", [1, 2, 33])
def test_batches_of_one_row(name, n):
    views = {modality: X[:n] for modality, X in VIEWS.items()}
    model = METHODS[name](validation_fraction=0.0).fit(views, LABELS[:n])
    assert model.codes_.shape == (n, 3)
    assert all(np.isfinite(entry["loss"]) for entry in model.history_)


# --- checkpoints ---


KILLED = {
    "SDCH adam": ("SDCH", {"optimizer": "adam"}),
    "SDCH sgd": ("SDCH", {"optimizer": "sgd", "max_grad_norm": 1.0}),
    "SDCH staged adam": ("SDCH staged", {"optimizer": "adam"}),
    "SDCH staged sgd": ("SDCH staged", {"optimizer": "sgd", "scheduler": "none"}),
    "DHSL adam": ("DHSL", {"optimizer": "adam", "patience": 3}),
    "DHSL sgd": ("DHSL", {"optimizer": "sgd", "validation_fraction": 0.0}),
}


def kill_oneself(function, calls):
    """A function that ends the process, as a power cut would, when it is called for the `calls`-th time."""
    n_calls = 0

    def killing(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    return killing


def train_until_killed(monkeypatch, model, path, owner, name, calls):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # a child that hangs ends with another signal
        try:
            setattr(owner, name, kill_oneself(getattr(owner, name), calls))
            model.fit(VIEWS, LABELS, checkpoint=path, progress=False)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", KILLED)
def test_a_training_that_was_killed_ends_as_if_it_never_was(monkeypatch, tmp_path, case):
    name, options = KILLED[case]
    expected = METHODS[name](**options).fit(VIEWS, LABELS)
    path = tmp_path / "checkpoint"
    n_batches = 3 if options.get("validation_fraction", 0.2) else 4
    # Within the third epoch, and in a second life within the fourth.
    for epoch, calls in ((3, 2 * n_batches + 2), (4, n_batches + 1)):
        train_until_killed(monkeypatch, METHODS[name](**options), path, Training, "_step", calls)
        assert read_tensor_file(path).field("epoch") == epoch - 1
    model = METHODS[name](**options).fit(VIEWS, LABELS, checkpoint=path)
    assert_same(model, expected)
    assert os.listdir(tmp_path) == ["checkpoint"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(monkeypatch, trained, tmp_path, step):
    path = tmp_path / "checkpoint"
    calls = 3 if step == "replace" else 5  # a checkpoint syncs the file, and then the directory
    train_until_killed(monkeypatch, sdch(), path, os, step, calls)
    assert read_tensor_file(path).field("epoch") == 2
    assert_same(sdch().fit(VIEWS, LABELS, checkpoint=path), trained["SDCH"])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(monkeypatch, trained, tmp_path, step):
    path, n_calls, function = tmp_path / "checkpoint", 0, getattr(os, step)

    def full(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise OSError(28, "No space left on device")
        return function(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match="No space left"):
            sdch().fit(VIEWS, LABELS, checkpoint=path)
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert read_tensor_file(path).field("epoch") in (1, 2, 3)
    assert_same(sdch().fit(VIEWS, LABELS, checkpoint=path), trained["SDCH"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, trained):
    """The bytes of a checkpoint whose training has ended."""
    path = tmp_path_factory.mktemp("finished") / "checkpoint"
    assert_same(sdch().fit(VIEWS, LABELS, checkpoint=path), trained["SDCH"])
    return path.read_bytes()


def test_a_finished_checkpoint_gives_its_model_at_once(monkeypatch, trained, finished, tmp_path):
    (tmp_path / "checkpoint").write_bytes(finished)
    monkeypatch.setattr(Training, "_take_epoch", lambda *args: pytest.fail("trains"))
    assert_same(sdch().fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint"), trained["SDCH"])
    assert (tmp_path / "checkpoint").read_bytes() == finished


def test_a_training_that_ended_early_does_not_go_on(monkeypatch, tmp_path):
    options = {"learning_rate": 1e-12, "hash_learning_rate": 1e-12, "patience": 1}
    expected = sdch(**options).fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint")
    monkeypatch.setattr(Training, "_take_epoch", lambda *args: pytest.fail("trains"))
    assert_same(sdch(**options).fit(VIEWS, LABELS, checkpoint=str(tmp_path / "checkpoint")), expected)


OTHER_VIEWS = {"image": VIEWS["image"], "text": VIEWS["text"] + 0.25 * np.eye(N, 30)}
OTHER_TRAININGS = {
    "seed": lambda: (sdch(seed=1), VIEWS, LABELS),
    "optimizer_options": lambda: (sdch(optimizer_options={"eps": 1e-9}), VIEWS, LABELS),
    "learning_rate": lambda: (sdch(learning_rate=2e-3), VIEWS, LABELS),
    "validation_fraction": lambda: (sdch(validation_fraction=0.25), VIEWS, LABELS),
    "method": lambda: (dhsl(), VIEWS, LABELS),
    "labels": lambda: (sdch(), VIEWS, LABELS[::-1]),
    "rows": lambda: (sdch(), {name: X[1:] for name, X in VIEWS.items()}, LABELS[1:]),
    "values": lambda: (sdch(), OTHER_VIEWS, LABELS),
    "modalities": lambda: (sdch(), {"image": VIEWS["image"], "words": VIEWS["text"]}, LABELS),
    "feature maps": lambda: (sdch(feature_maps={"text": pyhash.UnitLength()}), VIEWS, LABELS),
}


@pytest.mark.parametrize("what", OTHER_TRAININGS)
def test_a_checkpoint_of_another_training_is_refused(finished, tmp_path, what):
    (tmp_path / "checkpoint").write_bytes(finished)
    model, views, labels = OTHER_TRAININGS[what]()
    with pytest.raises(
        ValueError, match=r"checkpoint must be of this training, .* with other parameters, data or seed"
    ):
        model.fit(views, labels, checkpoint=tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint").read_bytes() == finished


def test_a_checkpoint_is_of_the_weights_that_backbones_began_with(tmp_path):
    torch.manual_seed(1)
    first, second = nn.Linear(24, 8), nn.Linear(24, 8)
    make = lambda backbone: sdch(backbones={"image": backbone}, epochs=2)  # noqa: E731
    expected = make(first).fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint")
    assert_same(make(copy.deepcopy(first)).fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint"), expected)
    with pytest.raises(ValueError, match="checkpoint must be of this training"):
        make(second).fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint")


class Halving:
    """A feature map of a user's, whose name tells its address."""

    def fit(self, X):
        return self

    def transform(self, X):
        return X / 2


def test_a_checkpoint_is_taken_up_with_feature_maps_of_ones_own(tmp_path):
    models = [sdch(feature_maps={"text": Halving()}, epochs=2) for _ in range(2)]
    assert repr(models[0].feature_maps) != repr(models[1].feature_maps)
    assert_same(*(model.fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint") for model in models))


DAMAGES = {
    "half": lambda content: content[: len(content) // 2],
    "a byte less": lambda content: content[:-1],
    "empty": lambda content: b"",
    "text": lambda content: b"epoch 3",
    "a bit of the header": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "a bit of the weights": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused(finished, tmp_path, damage):
    (tmp_path / "checkpoint").write_bytes(DAMAGES[damage](finished))
    model = sdch()
    with pytest.raises(pyhash.ModelFormatError, match="checkpoint"):
        model.fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(pyhash.NotFittedError):
        model.codes_  # noqa: B018


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", -(10**15)), ("epoch", 1.5), ("history", []), ("best_epoch", 99)],
)
def test_a_checkpoint_with_wrong_fields_is_refused(finished, tmp_path, field, value):
    path = tmp_path / "checkpoint"
    path.write_bytes(finished)
    archive = read_tensor_file(path)
    write_tensor_file(path, archive.kind, {**archive.fields, field: value}, archive.arrays)
    with pytest.raises(pyhash.ModelFormatError, match="is not a valid checkpoint"):
        sdch().fit(VIEWS, LABELS, checkpoint=path)


@pytest.mark.parametrize("part", ["best.", ".exp_avg", ".exp_avg_sq", ".step", "network."])
def test_a_checkpoint_with_wrong_arrays_is_refused(finished, tmp_path, part):
    path = tmp_path / "checkpoint"
    path.write_bytes(finished)
    archive = read_tensor_file(path)
    name = next(name for name in archive.arrays if name.startswith(part) or name.endswith(part))
    without = {each: array for each, array in archive.arrays.items() if each != name}
    for arrays in (without, {**without, name: np.zeros(0, np.float32)}):
        write_tensor_file(path, archive.kind, archive.fields, arrays)
        with pytest.raises(pyhash.ModelFormatError, match="is not a valid checkpoint"):
            sdch().fit(VIEWS, LABELS, checkpoint=path)


def test_models_and_checkpoints_are_not_mixed_up(trained, finished, tmp_path):
    trained["SDCH"].save(tmp_path / "model")
    with pytest.raises(pyhash.ModelFormatError, match="model holds a SDCH, not a checkpoint"):
        sdch().fit(VIEWS, LABELS, checkpoint=tmp_path / "model")
    (tmp_path / "checkpoint").write_bytes(finished)
    with pytest.raises(pyhash.ModelFormatError, match="holds a checkpoint, not a model"):
        pyhash.load(tmp_path / "checkpoint")


@pytest.mark.parametrize("name", ["SDCH", "DHSL"])
def test_an_interrupt_leaves_the_model_and_its_checkpoint(monkeypatch, trained, tmp_path, name):
    model = METHODS[name](seed=7, epochs=2).fit(VIEWS, LABELS)
    expected = copy.deepcopy(model)
    model.set_params(seed=0, training__epochs=EPOCHS)
    n_steps, step = 0, Training._step

    def interrupted(*args):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 11:  # in the fourth epoch
            raise KeyboardInterrupt
        return step(*args)

    state = torch.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint")
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(model, expected)
    assert read_tensor_file(tmp_path / "checkpoint").field("epoch") == 3
    assert_same(model.fit(VIEWS, LABELS, checkpoint=tmp_path / "checkpoint"), trained[name])


# --- steps ---


@pytest.fixture
def steps(monkeypatch):
    """The weights before and after every step of the trainings that follow."""
    found, step = [], Training._step

    def recording(self, *args):
        before = weights_of(self._network)
        losses = step(self, *args)
        found.append((before, weights_of(self._network)))
        return losses

    monkeypatch.setattr(Training, "_step", recording)
    return found


def lengths_of(steps):
    return np.array([np.sqrt(sum(float(((a[name] - b[name]) ** 2).sum()) for name in a)) for b, a in steps])


def test_gradients_are_clipped(steps):
    rate, norm = 0.5, 1e-2
    options = {"optimizer": "sgd", "scheduler": "none", "learning_rate": rate, "hash_learning_rate": rate, "epochs": 2}
    sdch(**options, max_grad_norm=norm).fit(VIEWS, LABELS)
    lengths = lengths_of(steps)
    assert len(lengths) == 6
    np.testing.assert_allclose(lengths, rate * norm, rtol=1e-3)  # all of these gradients are longer
    steps.clear()
    sdch(**options, max_grad_norm=0).fit(VIEWS, LABELS)
    assert (lengths_of(steps) > 2 * rate * norm).all()
    steps.clear()
    sdch(**options, max_grad_norm=1e6).fit(VIEWS, LABELS)
    assert (lengths_of(steps) > 2 * rate * norm).all()


@pytest.mark.parametrize("value", [-1.0, float("inf")])
def test_wrong_lengths_of_gradients_are_refused(value):
    with pytest.raises(ValueError, match="max_grad_norm must be"):
        sdch(max_grad_norm=value).fit(VIEWS, LABELS)


@pytest.mark.parametrize("name", METHODS)
def test_mixed_precision_gives_nearby_codes(trained, name):
    model = METHODS[name](mixed_precision=True).fit(VIEWS, LABELS)
    expected = trained[name]
    losses = [[entry["loss"] for entry in m.history_] for m in (model, expected)]
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert losses[0] != losses[1]  # it is in use
    same = unpack(model.codes_, N_BITS) == unpack(expected.codes_, N_BITS)
    assert same.mean() > 0.9
    assert {found.dtype for found in projections_of(model).values()} == {np.dtype(np.float32)}
    assert {tensor.dtype for tensor in model._state.network.parameters()} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_mixed_precision_of_another_device_is_refused(monkeypatch):
    monkeypatch.setattr(Training, "run", None)
    with pytest.raises(ValueError, match="mixed_precision must be 'no' or 'bf16' on the CPU, got 'fp16'"):
        sdch(mixed_precision="fp16", device="cpu").fit(VIEWS, LABELS)


@pytest.mark.parametrize("name", ["SDCH", "DHSL"])
@pytest.mark.parametrize(
    "options", [{}, {"epochs": 1, "batch_size": N, "validation_fraction": 0.0}], ids=["in a step", "in the last step"]
)
def test_a_loss_that_is_not_finite_says_what_to_change(trained, name, options):
    model = copy.deepcopy(trained[name])
    diverging = {"optimizer": "sgd", "scheduler": "none"} | options
    model.set_params(learning_rate=1e20, **{f"training__{name}": value for name, value in diverging.items()})
    with pytest.raises(ValueError, match=r"training must keep .* lower the learning rates, or scale .* feature_maps"):
        model.fit(VIEWS, LABELS)
    assert_same(model, trained[name])


def test_values_that_overflow_are_named_by_the_loss():
    views = {name: 1e25 * X for name, X in VIEWS.items()}
    with pytest.raises(ValueError, match=r"training must keep a finite loss, it is (nan|inf) in epoch 1: lower"):
        sdch(feature_maps=dict.fromkeys(VIEWS)).fit(views, LABELS)


# --- learning rates ---


def rates_of(model):
    names = model.history_[0]["learning_rates"]
    return {name: [entry["learning_rates"][name] for entry in model.history_] for name in names}


def test_rates_without_decay_stay_and_a_backbone_has_a_tenth():
    rates = rates_of(sdch(scheduler="none", epochs=3, backbones={"image": nn.Linear(24, 8)}).fit(VIEWS, LABELS))
    assert set(rates) == {"features", "hash", "backbones"}
    assert all(len(set(found)) == 1 for found in rates.values())
    assert rates["backbones"][0] == pytest.approx(rates["features"][0] / 10, rel=1e-12)


def test_every_group_has_the_rate_that_is_set():
    rates = {"learning_rate": 0.01, "hash_learning_rate": 0.02, "backbone_learning_rate": 0.03}
    model = sdch(**rates, scheduler="none", epochs=1, backbones={"image": nn.Linear(24, 8)}).fit(VIEWS, LABELS)
    assert rates_of(model) == {"features": [0.01], "hash": [0.02], "backbones": [0.03]}
    model = dhsl(learning_rate=0.01, relation_learning_rate=0.02, scheduler="none", epochs=1).fit(VIEWS, LABELS)
    assert rates_of(model) == {"main": [0.01], "relation": [0.02]}


def test_cosine_decay_is_the_formula():
    rates = {"features": 2e-3, "hash": 5e-3}
    model = sdch(scheduler="cosine", learning_rate=2e-3, hash_learning_rate=5e-3, epochs=4).fit(VIEWS, LABELS)
    done = (np.arange(4) + 2 / 3) / 4  # at the last of the three batches of an epoch
    for name, rate in rates.items():
        np.testing.assert_allclose(rates_of(model)[name], rate * 0.5 * (1 + np.cos(np.pi * done)), rtol=1e-12)


# --- where a model comes from, and goes ---


@pytest.mark.parametrize("name", ["SDCH", "DHSL"])
def test_threads_of_torch_do_not_matter_and_stay_as_they_were(trained, name):
    before = torch.get_num_threads()
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            model = METHODS[name]().fit(VIEWS, LABELS)
            assert torch.get_num_threads() == n
            assert model.codes_.tobytes() == trained[name].codes_.tobytes()
            assert history_of(model) == history_of(trained[name])
    finally:
        torch.set_num_threads(before)


def test_a_model_of_a_device_that_is_not_here_is_loaded_where_it_can_be(monkeypatch, trained, tmp_path):
    model = copy.deepcopy(trained["SDCH"]).set_params(training__device="cuda:99")
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model")
    assert again.training.device == "auto"
    assert (
        again.encode(VIEWS["text"], modality="text").tobytes() == model.encode(VIEWS["text"], modality="text").tobytes()
    )


def test_a_checkpoint_in_no_folder_is_refused_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr(Training, "run", None)
    with pytest.raises(TypeError, match=r"checkpoint must be a str or an os\.PathLike of str, got b'here'"):
        sdch().fit(VIEWS, LABELS, checkpoint=b"here")
    with pytest.raises(FileNotFoundError, match=r"checkpoint must be in a folder that exists, got '.*/none/here'"):
        sdch().fit(VIEWS, LABELS, checkpoint=tmp_path / "none" / "here")


@pytest.mark.parametrize(
    ("make", "parameters", "error", "message"),
    [
        (dhsl, {"hidden": ()}, ValueError, "hidden must be widths of at least one layer, got 0"),
        (sdch, {"hidden": 5}, TypeError, "hidden must be a sequence of widths of at least one layer, got 5"),
        (sdch, {"hidden": (4, 0)}, ValueError, "hidden must be an integer from 1 to 16777216, got 0"),
        (sdch, {"hidden": (2**70,)}, ValueError, "hidden must be an integer from 1 to 16777216, got 1180"),
        (sdch, {"feature_width": 2**70}, ValueError, "feature_width must be an integer from 1 to 16777216, got 1180"),
        (dhsl, {"relation_hidden": 2**70}, ValueError, "relation_hidden must be an integer from 1 to 16777216, got"),
        (dhsl, {"selector_hidden": [1]}, ValueError, "selector_hidden must be widths of 2 layers, got 1"),
        (dhsl, {"dropout": 1}, ValueError, "dropout must be a number from 0 to below 1, got 1"),
        (dhsl, {"mu": {"text": 1}}, ValueError, "mu must be a number or name exactly the modalities 'image', 'text'"),
        (dhsl, {"variant": "DHSL5"}, ValueError, "variant must be one of 'full', 'DHSL1', .*, got 'DHSL5'"),
        (sdch, {"preset": "papers"}, ValueError, "preset must be one of 'default', 'paper', got 'papers'"),
        (sdch, {"schedule": "first"}, ValueError, "schedule must be one of 'staged', 'joint', got 'first'"),
        (sdch, {"gamma": -1}, ValueError, "gamma must be a finite number >= 0, got -1"),
        (sdch, {"learning_rate": 0}, ValueError, "learning_rate must be a finite number > 0, got 0"),
        (sdch, {"batch_size": 1}, ValueError, "batch_size must be an integer >= 2, got 1"),
        (sdch, {"mixed_precision": 1}, TypeError, "mixed_precision must be .* or a bool, got 1"),
        (sdch, {"xi": 0}, ValueError, "xi must be a finite number > 0, got 0"),
        (
            sdch,
            {"backbones": {"image": nn.Linear(7, 3)}},
            ValueError,
            r"backbones\['image'\] must take rows of shape \(n, 24\)",
        ),
        (
            sdch,
            {"backbones": {"image": AlexNet(channels=(1, 1, 1, 1, 1), width=1)}},
            ValueError,
            r"backbones\['image'\] must take rows of shape \(n, 24\) and give .*: pictures must have shape",
        ),
    ],
)
def test_wrong_parameters_are_refused_before_training(monkeypatch, make, parameters, error, message):
    monkeypatch.setattr(Training, "run", None)
    with pytest.raises(error, match=message):
        make(**parameters).fit(VIEWS, LABELS)
