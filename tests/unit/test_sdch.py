"""SDCH: its preset as printed, its objective against the equations, schedule, updates, and starts."""

import numpy as np
import pytest
import torch
from reference import deep_losses as reference
from torch import nn

import pyhash
from pyhash.datasets import make_hierarchical
from pyhash.deep import SDCH, TrainingOptions
from pyhash.deep.networks.sdch_network import SDCHNetwork
from pyhash.deep.objective import Encoded
from pyhash.deep.sdch import SDCHObjective
from pyhash.methods.parts.orthonormal import nearest_rotation

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N, N_BITS = 90, 12
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 14, "text": 20}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]
WIDTHS = {"image": 14, "text": 20}
PAPER = {
    "reduction": "sum",
    "balance": "norm",
    "schedule": "staged",
    "start": "itq",
    "weights": "normal",
    "batches": "unpaired",
    "updates": "alternating",
}


def sdch(epochs=3, training=(), **parameters):
    options = {"epochs": epochs, "batch_size": 32, "validation_fraction": 0.0} | dict(training)
    small = {"hidden": (16,), "feature_width": 10}
    return SDCH(N_BITS, training=TrainingOptions(**options), **small | parameters)


def settings_of(model):
    return model._settings(["image", "text"], torch.device("cpu"))


# --- the preset ---


def test_the_preset_of_the_paper_is_as_printed():
    settings, options = settings_of(SDCH(64, preset="paper"))
    printed = PAPER | {
        "hidden": [4096, 4096],
        "feature_width": 256,
        "gamma": 0.01,
        "beta_1": 1.0,
        "beta_2": 1.0,
        "beta_3": 0.1,
        "learning_rate": 1e-3,
        "hash_learning_rate": 1e-2,
    }
    assert {name: settings[name] for name in printed} == printed
    assert (options.epochs, options.batch_size) == (50, 64)
    assert SDCH.presets["paper"]["backbone_learning_rate"] == 1e-4  # a tenth
    assert pyhash.make_method("sdch/paper", n_bits=16).preset == "paper"


def test_no_rows_are_held_out_in_the_preset_of_the_paper():
    small = {"hidden": (16,), "feature_width": 10, "gamma": 5.0, "reduction": "balanced", "weights": "uniform"}
    model = SDCH(8, preset="paper", training=TrainingOptions(epochs=3, batch_size=32), **small).fit(VIEWS, LABELS)
    assert [entry["validation"] for entry in model.history_] == [None] * 3
    assert model.best_epoch_ == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": "zero"}, "weights must be one of 'uniform', 'normal', got 'zero'"),
        ({"batches": "odd"}, "batches must be one of 'paired', 'unpaired', got 'odd'"),
        ({"updates": "both"}, "updates must be one of 'joint', 'alternating', got 'both'"),
        ({"schedule": "first"}, "schedule must be one of 'staged', 'joint', got 'first'"),
        ({"start": "pca"}, "start must be one of 'itq', 'sign', got 'pca'"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        sdch(**parameters).fit(VIEWS, LABELS)


# --- the objective ---


def network_of(is_normal=False, backbones=None):
    torch.manual_seed(0)
    return SDCHNetwork(N_BITS, WIDTHS, (16,), 10, backbones or {}, is_normal=is_normal)


def objective_of(L, network=None, **parameters):
    settings, _ = settings_of(sdch(**parameters))
    return SDCHObjective(network or network_of(), settings, L, torch.device("cpu"), 7)


@pytest.fixture
def batch():
    """Labels of 20 rows of several classes, rows of both modalities in a batch, their features and outputs."""
    rng = np.random.default_rng(4)
    L = (rng.random((20, 6)) < 0.3).astype(float)
    L[np.arange(20), rng.integers(6, size=20)] = 1
    rows = {"image": np.array([3, 5, 0, 11, 19]), "text": np.array([5, 2, 8, 12, 1])}
    features = {name: rng.standard_normal((5, 10)) for name in WIDTHS}
    Z = {name: rng.standard_normal((5, N_BITS)) for name in WIDTHS}
    return L, rows, features, Z


@pytest.mark.parametrize("reduction", ["sum", "balanced"])
@pytest.mark.parametrize("balance", ["norm", "mean"])
def test_the_objective_is_the_equations_with_rows_of_each_modality(batch, reduction, balance):
    L, rows, features, Z = batch
    weights = {"gamma": 0.3, "beta_1": 2.0, "beta_2": 3.0, "beta_3": 4.0}
    objective = objective_of(L, **PAPER | weights | {"reduction": reduction, "balance": balance, "start": "sign"})
    assert not objective.is_paired
    outputs = {name: np.random.default_rng(5).standard_normal((20, N_BITS)).astype(np.float32) for name in WIDTHS}
    objective.begin_training(lambda: outputs)
    encoded = {
        name: Encoded(torch.from_numpy(features[name]).float(), torch.from_numpy(Z[name]).float()) for name in WIDTHS
    }
    found = objective.losses(rows, encoded, 3)
    everyone = np.concatenate([rows["image"], rows["text"]])
    Z_all = np.concatenate([Z["image"], Z["text"]])
    B = np.where(np.concatenate([outputs[name][rows[name]] for name in WIDTHS]) > 0, 1, -1)
    between = (L[rows["image"]] @ L[rows["text"]].T > 0).astype(float)
    among = (L[everyone] @ L[everyone].T > 0).astype(float)
    mean = "sum" if reduction == "sum" else "mean"
    expected = {
        "features": reference.pair_likelihood(features["image"], features["text"], between, reduction),
        "similarity": 0.3 * reference.code_similarity(Z_all, among, reduction),
        "quantization": 0.3 * 2 * reference.quantization(Z_all, B, mean),
        "independence": 0.3 * 3 * reference.independence(Z_all, mean),
        "balance": 0.3 * 4 * reference.balance(Z_all, balance),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name


def test_modalities_draw_their_own_rows_where_batches_are_unpaired(monkeypatch):
    seen = []
    losses = SDCHObjective.losses

    def watched(self, rows, encoded, epoch):
        seen.append({name: list(numbers) for name, numbers in rows.items()})
        return losses(self, rows, encoded, epoch)

    monkeypatch.setattr(SDCHObjective, "losses", watched)
    sdch(epochs=1, batches="unpaired").fit(VIEWS, LABELS)
    assert all(rows["image"] != rows["text"] for rows in seen)
    for name in VIEWS:
        assert sorted(number for rows in seen for number in rows[name]) == list(range(N))
    seen.clear()
    sdch(epochs=1).fit(VIEWS, LABELS)
    assert all(rows["image"] == rows["text"] for rows in seen)


# --- schedule and updates ---


@pytest.mark.parametrize(
    ("schedule", "updates", "turns"),
    [
        ("joint", "joint", [[["features", "hash"]]] * 3),
        ("joint", "alternating", [[["hash"], ["features"]]] * 3),
        ("staged", "joint", [[["features"]], [["hash"]], [["features", "hash"]]]),
        ("staged", "alternating", [[["features"]], [["hash"]], [["hash"], ["features"]]]),
    ],
)
def test_turns_and_rates(batch, schedule, updates, turns):
    objective = objective_of(batch[0], schedule=schedule, updates=updates)
    assert [objective.turns(epoch) for epoch in (1, 2, 3)] == turns
    staged = [{"hash": 0.0}, {"features": 0.0}, {}]
    assert [objective.rates(epoch) for epoch in (1, 2, 3)] == (staged if schedule == "staged" else [{}] * 3)


def weights_after(epochs, **parameters):
    """Weights of features and of the hash layer after so many epochs, without a decay that depends on their number."""
    model = sdch(epochs, **parameters).fit(VIEWS, LABELS)
    weights = {name: tensor.numpy() for name, tensor in model._state.network.state_dict().items()}
    of_hash = np.concatenate([w.ravel() for name, w in weights.items() if name.startswith("hash_layer")])
    others = np.concatenate([w.ravel() for name, w in weights.items() if not name.startswith("hash_layer")])
    return others, of_hash, model


@pytest.mark.parametrize("updates", ["joint", "alternating"])
def test_the_staged_schedule_trains_parts_one_after_another(updates):
    parameters = {"schedule": "staged", "updates": updates, "preset": "paper", "weights": "uniform", "gamma": 5.0}
    parameters |= {"reduction": "balanced"}
    (features_1, hash_1, _), (features_2, hash_2, _), (features_3, hash_3, model) = (
        weights_after(epochs, **parameters) for epochs in (1, 2, 3)
    )
    other_rate = weights_after(1, **parameters, hash_learning_rate=0.5)[1]
    assert hash_1.tobytes() == other_rate.tobytes()  # as it was at the start
    assert features_1.tobytes() == features_2.tobytes()
    assert (hash_1 != hash_2).any()
    assert (features_2 != features_3).any()
    assert (hash_2 != hash_3).any()
    rates = [entry["learning_rates"] for entry in model.history_]
    assert [(each["features"] > 0, each["hash"] > 0) for each in rates] == [(True, False), (False, True), (True, True)]
    terms = {"features", "similarity", "quantization", "independence", "balance"}
    assert all(entry["losses"].keys() == terms for entry in model.history_)


def test_the_hash_epoch_leaves_statistics_of_a_backbone_as_they_are():
    """Batch normalization counts what it saw, parameters or not."""
    seen = []
    for epochs in (1, 2, 3):
        backbones = {"text": nn.Sequential(nn.BatchNorm1d(20))}
        model = sdch(epochs, schedule="staged", backbones=backbones).fit(VIEWS, LABELS)
        seen.append(int(model._state.network.backbones["text"][0].num_batches_tracked))
    assert 0 < seen[0] == seen[1] < seen[2]


# --- starts ---


@pytest.mark.parametrize("is_normal", [True, False])
def test_normal_starts_are_of_all_layers_but_backbones(is_normal):
    backbone = nn.Linear(14, 14)
    before = backbone.weight.detach().clone()
    network = SDCHNetwork(64, {"image": 14, "text": 400}, (300, 200), 128, {"image": backbone}, is_normal=is_normal)
    assert torch.equal(network.backbones["image"].weight, before)
    matrices = [p.detach().numpy() for name, p in network.named_parameters() if "_backbones" not in name and p.ndim > 1]
    assert len(matrices) == 5  # two layers and the last of texts, the last of images, the hash layer
    for weight in matrices:
        is_of_std = abs(weight.std() - 0.01) < 0.001 and np.abs(weight).max() > 0.025
        assert is_of_std == is_normal


def outputs_of(seed):
    """Outputs that are far from centred, with a gap between the modalities."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((20, 4)) @ rng.standard_normal((4, N_BITS))
    return {
        name: (mixed + shift + 0.1 * rng.standard_normal((20, N_BITS))).astype(np.float32)
        for name, shift in (("image", 3), ("text", 4))
    }


def codes_of(objective):
    return {name: objective._codes.of(name, np.arange(20)).numpy() for name in WIDTHS}


def is_itq_start(Z, B):
    """Whether B are signs of the centred outputs after a rotation that cannot be made any better."""
    Z, B = (np.concatenate([each[name] for name in WIDTHS]).astype(float) for each in (Z, B))
    Z -= Z.mean(axis=0)
    rotated = Z @ nearest_rotation(Z.T @ B)
    agreement = (np.where(rotated > 0, 1, -1) == B).mean()
    return agreement > 0.98 and ((B - rotated) ** 2).sum() < ((np.sign(Z) - Z) ** 2).sum()


def are_signs(Z, B):
    return all((np.where(Z[name] > 0, 1, -1) == B[name]).all() for name in WIDTHS)


@pytest.mark.parametrize("schedule", ["joint", "staged"])
@pytest.mark.parametrize("start", ["sign", "itq"])
def test_codes_of_an_epoch(batch, schedule, start):
    objective = objective_of(batch[0], schedule=schedule, start=start)
    Z = [outputs_of(seed) for seed in range(4)]
    objective.begin_training(lambda: Z[0])
    found = [codes_of(objective)]
    for epoch in (1, 2, 3):
        objective.end_epoch(epoch, Z[epoch])
        found.append(codes_of(objective))
    # Alg. 1 starts before the first epoch; "staged" again before the second, which trains the hash layer.
    n_starts = {("itq", "joint"): 1, ("itq", "staged"): 2}.get((start, schedule), 0)
    assert [is_itq_start(*each) for each in zip(Z, found, strict=True)] == [i < n_starts for i in range(4)]
    assert [are_signs(*each) for each in zip(Z, found, strict=True)] == [i >= n_starts for i in range(4)]


def test_codes_are_taken_up_from_a_checkpoint(batch):
    objective, resumed = objective_of(batch[0]), objective_of(batch[0])
    objective.begin_training(lambda: outputs_of(0))
    resumed.restore(objective.state())
    assert all((codes_of(resumed)[name] == codes_of(objective)[name]).all() for name in WIDTHS)
    with pytest.raises(ValueError, match=r"its objective must keep codes of shape \(20, 12\) for image, text"):
        resumed.restore({name: B[:3] for name, B in objective.state().items()})
