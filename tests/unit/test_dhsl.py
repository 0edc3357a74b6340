"""DHSL: presets as printed, its objective against the equations, variants, and the relation matrix."""

import numpy as np
import pytest
import torch
from reference import deep_losses as reference

import pyhash
from pyhash.datasets import make_hierarchical, make_multilabel
from pyhash.deep import DHSL, TrainingOptions
from pyhash.deep import dhsl as module
from pyhash.deep.dhsl import DHSLObjective
from pyhash.deep.networks.dhsl_network import DHSLNetwork
from pyhash.deep.objective import Encoded

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N, N_BITS = 90, 12
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 14, "text": 20}, seed=2)
VIEWS, LABELS = DATA.views, DATA.labels["level2"]
WIDTHS = {"image": 14, "text": 20}


def dhsl(epochs=2, training=(), **parameters):
    options = {"epochs": epochs, "batch_size": 32, "validation_fraction": 0.0} | dict(training)
    small = {"hidden": (24, 16), "selector_hidden": (8, 8), "relation_hidden": 16}
    return DHSL(N_BITS, training=TrainingOptions(**options), **small | parameters)


def settings_of(model, modalities=("image", "text"), device="cpu"):
    return model._settings(list(modalities), torch.device(device))


# --- presets ---


@pytest.mark.parametrize(
    ("preset", "n_bits", "mu"),
    [
        ("paper", 32, (1, 5)),
        ("paper", 64, (1, 5)),
        ("paper", 16, (4, 5)),
        ("paper-nus-wide", 32, (3, 3)),
        ("paper-nus-wide", 16, (4, 5)),
    ],
)
def test_presets_of_the_paper_are_as_printed(preset, n_bits, mu):
    settings, options = settings_of(DHSL(n_bits, preset=preset))
    nus_wide = preset == "paper-nus-wide"
    printed = {
        "variant": "full",
        "hidden": [8192, 2048],
        "hash_norm": True,
        "dropout": 0.2,
        "relation": "equal",
        "relation_hidden": 256,
        "relation_rows": 128,
        "alpha": 1.0,
        "beta": 1.0,
        "eta": 0.1,
        "phi": 0.15 if nus_wide else 0.01,
        "sigma": 0.01 if nus_wide else 0.1,
        "mu": {"image": mu[0], "text": mu[1]},
        "margin": 1e-5,
        "signs": "epoch",
        "reduction": "sum",
        "learning_rate": 1e-4,
        "relation_learning_rate": 5e-4,
    }
    assert {name: settings[name] for name in printed} == printed
    assert (options.epochs, options.batch_size, options.optimizer) == (120, 128, "sgd")


def test_no_rows_are_held_out_in_the_presets_of_the_paper():
    small = {"hidden": (8, 4), "selector_hidden": (4, 4), "relation_hidden": 4}
    model = DHSL(8, preset="paper", margin=0.45, training=TrainingOptions(epochs=2), **small)
    model.fit(VIEWS, LABELS)
    assert [entry["validation"] for entry in model.history_] == [None, None]
    assert model.best_epoch_ == 2


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_widths_are_the_same_on_every_device(preset):
    model = DHSL(32, preset=preset)
    assert settings_of(model, device="cuda")[0] == settings_of(model, device="cpu")[0]


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (["text", "image"], {"text": 5, "image": 1}),
        (["picture", "words"], {"picture": 1, "words": 5}),
        (["text", "sound"], {"text": 5, "sound": 1}),
        (["words", "image"], {"words": 5, "image": 1}),
        (["text", "image", "sound"], {"text": 5, "image": 1, "sound": 5}),
        (["a", "b", "c"], {"a": 1, "b": 5, "c": 5}),
        (["text"], {"text": 5}),
        (["image"], {"image": 1}),
    ],
)
def test_weights_of_the_paper_are_by_name_or_else_by_order(modalities, expected):
    assert settings_of(DHSL(32, preset="paper"), modalities)[0]["mu"] == expected


def test_weights_of_ones_own_are_one_for_all_by_name_or_by_order():
    for mu, expected in ((2, [2, 2]), ({"text": 3, "image": 4}, [4, 3]), ((6, 7), [6, 7]), ([0, 1.5], [0, 1.5])):
        for preset in ("default", "paper"):
            found = settings_of(DHSL(16, preset=preset, mu=mu))[0]["mu"]
            assert found == dict(zip(["image", "text"], expected, strict=True))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"mu": (1, 2, 3)}, ValueError, "mu must be 2 numbers, one for each modality, got 3"),
        ({"mu": (1, -2)}, ValueError, r"mu\[1\] must be a finite number >= 0, got -2"),
        ({"mu": "15"}, TypeError, "mu must be a finite number >= 0, got '15'"),
        ({"hash_norm": 1}, TypeError, "hash_norm must be a bool, got 1"),
        ({"relation": "same"}, ValueError, "relation must be one of 'shared', 'equal', got 'same'"),
        ({"signs": "never"}, ValueError, "signs must be one of 'step', 'epoch', got 'never'"),
        ({"variant": "DHSL5"}, ValueError, "variant must be one of 'full', 'DHSL1', .*, got 'DHSL5'"),
        ({"preset": "nus-wide"}, ValueError, "preset must be one of 'default', 'paper', 'paper-nus-wide', got 'nus-wi"),
    ],
)
def test_wrong_parameters_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        dhsl(**parameters).fit(VIEWS, LABELS)


def test_sequences_of_weights_are_kept_in_files(tmp_path):
    model = dhsl(mu=(2, 3)).fit(VIEWS, LABELS)
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model")
    assert list(again.mu) == [2, 3]
    assert again.fit(VIEWS, LABELS).codes_.tobytes() == model.codes_.tobytes()


# --- networks ---


def network_of(hash_norm=False, selector_hidden=(8, 8), relation_hidden=16):
    torch.manual_seed(0)
    return DHSLNetwork(N_BITS, 6, WIDTHS, (24, 16), 0.2, selector_hidden, 0.3, relation_hidden, {}, hash_norm=hash_norm)


def test_batch_normalization_of_the_hash_layer_balances_its_bits():
    x = torch.from_numpy(VIEWS["image"]).float() + 5
    outputs = network_of(hash_norm=True, selector_hidden=None).train()("image", x)
    before_tanh = torch.atanh(outputs.detach().double())
    np.testing.assert_allclose(before_tanh.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(before_tanh.var(0, unbiased=False), 1, rtol=1e-2)
    plain = network_of(selector_hidden=None).train()("image", x)
    assert (plain.mean(0).abs() > 0.05).any()


# --- the objective ---


def objective_of(L, network, **parameters):
    settings, _ = settings_of(dhsl(**{"variant": "full"} | parameters))
    return DHSLObjective(network, settings, L, torch.device("cpu"))


def encoded_of(H):
    return {name: Encoded(torch.zeros(len(each), 1), torch.from_numpy(each).float()) for name, each in H.items()}


@pytest.fixture
def batch():
    """Labels of 20 rows of several classes, the rows of a batch, and their outputs."""
    rng = np.random.default_rng(4)
    L = (rng.random((20, 6)) < 0.4).astype(float)
    L[np.arange(20), rng.integers(6, size=20)] = 1
    L[3] = L[5]
    rows = np.array([3, 5, 0, 11, 19, 8, 2])
    return L, rows, {name: rng.uniform(-1.2, 1.2, (len(rows), N_BITS)) for name in WIDTHS}


@pytest.mark.parametrize("relation", ["equal", "shared"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_objective_is_the_equations(batch, relation, reduction):
    L, rows, H = batch
    network = network_of()
    weights = {"alpha": 1.5, "beta": 0.7, "eta": 0.4, "phi": 0.2, "mu": (2, 3), "margin": 0.1}
    objective = objective_of(L, network, relation=relation, reduction=reduction, relation_rows=6, **weights)
    found = objective.losses(dict.fromkeys(WIDTHS, rows), encoded_of(H), 1)
    rel = L[rows] @ L[rows].T
    S = rel > 0 if relation == "shared" else (L[rows][:, None] == L[rows]).all(-1)
    triplets = sum(
        reference.cosine_triplet(H[a], H[b], rel, 0.1, reduction) for a, b in (("image", "text"), ("text", "image"))
    )
    relations = 0.0
    for a, b in (("image", "text"), ("image", "image"), ("text", "text")):
        R = relations_by_hand(network.relation, H[a][:6], H[b][:6])
        relations += reference.relation(R, S[:6, :6], reduction)
    U = {name: network.selected(name).detach().numpy() for name in WIDTHS}
    expected = {
        "triplets": 1.5 * triplets,
        "selector": 0.7 * (2 * reference.row_sparsity(U["image"]) + 3 * reference.row_sparsity(U["text"])),
        "relation": 0.4 * relations,
        "quantization": 0.2 * sum(reference.quantization(H[name], reduction=reduction) for name in WIDTHS),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name


def test_codes_of_an_epoch_are_those_of_the_epoch_before(batch):
    L, rows, H = batch
    objective = objective_of(L, network_of(), signs="epoch", phi=1.0, reduction="sum")
    assert objective.uses_outputs
    rng = np.random.default_rng(5)
    before, after = ({name: rng.standard_normal((20, N_BITS)).astype(np.float32) for name in WIDTHS} for _ in range(2))

    def quantization():
        return objective.losses(dict.fromkeys(WIDTHS, rows), encoded_of(H), 1)["quantization"].item()

    def by_hand(outputs):
        return sum(reference.quantization(H[name], np.where(outputs[name][rows] > 0, 1, -1)) for name in WIDTHS)

    objective.begin_training(lambda: before)
    assert quantization() == pytest.approx(by_hand(before), rel=1e-5)
    objective.end_epoch(1, after)
    assert quantization() == pytest.approx(by_hand(after), rel=1e-5)
    assert by_hand(after) != pytest.approx(by_hand(before), rel=1e-3)
    resumed = objective_of(L, network_of(), signs="epoch", phi=1.0, reduction="sum")
    resumed.restore(objective.state())
    objective = resumed
    assert quantization() == pytest.approx(by_hand(after), rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {},
        lambda state: {name: B[:5] for name, B in state.items()},
        lambda state: {name: B.float() for name, B in state.items()},
        lambda state: {"B.image": state["B.image"]},
    ],
)
def test_codes_that_do_not_fit_are_refused(batch, change):
    objective = objective_of(batch[0], network_of(), signs="epoch")
    objective.end_epoch(1, {name: np.ones((20, N_BITS), np.float32) for name in WIDTHS})
    with pytest.raises(ValueError, match=r"its objective must keep codes of shape \(20, 12\) for image, text"):
        objective.restore(change(objective.state()))


def test_codes_of_every_step_need_no_outputs_of_all_rows(batch):
    objective = objective_of(batch[0], network_of())
    assert not objective.uses_outputs
    assert objective.state() == {}
    objective.restore({})
    with pytest.raises(ValueError, match=r"its objective must keep nothing, got B\.image"):
        objective.restore({"B.image": torch.ones(1)})


# --- variants ---

VARIANTS = {
    "full": ({"triplets", "selector", "relation", "quantization"}, True, True),
    "DHSL1": ({"triplets", "relation", "quantization"}, True, True),
    "DHSL2": ({"triplets", "relation", "quantization"}, False, True),
    "DHSL3": ({"triplets", "selector", "relation", "quantization"}, True, True),
    "DHSL4": ({"triplets", "selector", "quantization"}, True, False),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_leaves_out_what_the_paper_says(variant):
    terms, has_selector, has_relation = VARIANTS[variant]
    model = dhsl(variant=variant).fit(VIEWS, LABELS)
    assert all(set(entry["losses"]) == terms for entry in model.history_)
    parts = {name.split(".")[0] for name in model._state.network.state_dict()}
    assert parts == {"main", "last"} | ({"selectors"} if has_selector else set()) | (
        {"relation"} if has_relation else set()
    )
    assert ("relation" in model.history_[0]["learning_rates"]) == has_relation


def test_without_relations_within_modalities_their_loss_is_smaller():
    # The same weights and batches in the first step: relations of (x, y) alone, or of (x, x) and (y, y) too.
    once = {"epochs": 1, "training": {"batch_size": N}, "dropout": 0.0}
    full, across = (
        dhsl(variant=variant, **once).fit(VIEWS, LABELS).history_[0]["losses"] for variant in ("full", "DHSL3")
    )
    assert 0 < across["relation"] < 0.5 * full["relation"]
    assert across["triplets"] == full["triplets"]


def test_variants_by_name():
    of = {name: pyhash.make_method(f"dhsl/{name}", n_bits=16) for name in DHSL.variants}
    assert {name: model.variant for name, model in of.items() if model.variant is not None} == {
        "full": "full",
        "no-penalty": "DHSL1",
        "no-selector": "DHSL2",
        "no-relations-within": "DHSL3",
        "no-relation-network": "DHSL4",
    }
    assert {name: model.preset for name, model in of.items() if model.preset != "default"} == {
        "paper": "paper",
        "paper-nus-wide": "paper-nus-wide",
    }


# --- the relation matrix ---


def relations_by_hand(relation, A, B):
    """Relations of every pair from the concatenation of its two outputs."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in relation.state_dict().items()}
    W = np.hstack([weights["left.weight"], weights["right.weight"]])
    R = np.empty((len(A), len(B)))
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            hidden = np.maximum(W @ np.concatenate([a, b]) + weights["left.bias"], 0)
            classes = np.maximum(weights["classes.weight"] @ hidden + weights["classes.bias"], 0)
            R[i, j] = 1 / (1 + np.exp(-(weights["score.weight"] @ classes + weights["score.bias"])[0]))
    return R


@pytest.fixture(scope="module")
def trained():
    learned = {"epochs": 25, "eta": 1.0, "relation_rows": 32, "relation_learning_rate": 0.02}
    return dhsl(**learned, variant="full", encoder="posterior").fit(VIEWS, LABELS)


@pytest.fixture(scope="module")
def R(trained):
    """Relations of the first 9 rows with the first 7, by pair of modalities as learned, by hand."""
    network = trained._state.network
    with torch.no_grad():
        H = {
            name: network(name, torch.from_numpy(trained._state.maps[name].transform(VIEWS[name])).float())
            for name in VIEWS
        }
    H = {name: each.double().numpy() for name, each in H.items()}
    pairs = [("image", "image"), ("text", "text"), ("image", "text")]
    found = {(a, b): relations_by_hand(network.relation, H[a][:9], H[b][:7]) for a, b in pairs}
    found["text", "image"] = relations_by_hand(network.relation, H["image"][:7], H["text"][:9]).T
    return found


def some(n, *names):
    return {name: VIEWS[name][:n] for name in names}


@pytest.mark.parametrize("a", ["image", "text"])
@pytest.mark.parametrize("b", ["image", "text"])
def test_relations_of_a_pair_of_modalities(trained, R, a, b):
    found = trained.relation_matrix(some(9, a), some(7, b))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, R[a, b], rtol=1e-4, atol=1e-6)


def test_relations_of_several_modalities_are_summed(trained, R):
    printed = R["image", "image"] + R["text", "text"] + R["image", "text"]
    found = trained.relation_matrix(some(9, "text", "image"), some(7, "image", "text"))
    np.testing.assert_allclose(found, printed, rtol=1e-4)
    found = trained.relation_matrix(some(9, "text"), some(7, "image", "text"))
    np.testing.assert_allclose(found, R["text", "text"] + R["text", "image"], rtol=1e-4)
    everything = trained.relation_matrix(some(7, "image", "text"))
    np.testing.assert_allclose(everything, printed[:7], rtol=1e-4)


def test_relations_tell_classes_apart(trained):
    alike = LABELS[:, None] == LABELS
    found = trained.relation_matrix(some(N, "image"), some(N, "text"))
    assert found[alike].mean() > 1.5 * found[~alike].mean()


def test_relations_are_computed_in_blocks(monkeypatch, trained):
    rows, columns = some(9, "image"), some(7, "text")
    expected = trained.relation_matrix(rows, columns)
    for size in (1, 15):
        monkeypatch.setattr(module, "_PAIRS_AT_ONCE", size)
        np.testing.assert_allclose(trained.relation_matrix(rows, columns), expected, rtol=1e-5)


def test_relations_are_kept_in_files(tmp_path, trained):
    trained.save(tmp_path / "model")
    expected = trained.relation_matrix(some(9, "image", "text"))
    found = pyhash.load(tmp_path / "model").relation_matrix(some(9, "image", "text"))
    assert found.tobytes() == expected.tobytes()


def test_relations_of_no_rows(trained):
    assert trained.relation_matrix(some(0, "image"), some(3, "text")).shape == (0, 3)
    assert trained.relation_matrix(some(3, "image"), some(0, "text")).shape == (3, 0)


@pytest.mark.parametrize(
    ("rows", "columns", "error", "message"),
    [
        (None, None, TypeError, "rows must be a mapping of modality names to features, got NoneType"),
        ({}, None, ValueError, "rows must hold at least one modality, got none"),
        (some(2, "image"), {"sound": [[1.0]]}, ValueError, "columns must be one of 'image', 'text', got 'sound'"),
        (some(2, "image"), {"text": [[1.0]]}, ValueError, r"columns\['text'\] must have shape"),
        ({**some(2, "image"), **some(3, "text")}, None, ValueError, "rows must have equally many rows, 'image' has 2"),
        ({"image": np.full((1, 14), np.nan)}, None, ValueError, r"rows\['image'\] must be finite"),
    ],
)
def test_rows_of_relations_are_checked(trained, rows, columns, error, message):
    with pytest.raises(error, match=message):
        trained.relation_matrix(rows, columns)


def test_variants_have_the_relations_that_they_learned():
    across = dhsl(variant="DHSL3").fit(VIEWS, LABELS)
    pair = across.relation_matrix(some(4, "image"), some(4, "text"))
    assert across.relation_matrix(some(4, "image", "text")).tobytes() == pair.tobytes()
    with pytest.raises(ValueError, match="rows and columns must be of different modalities, 'DHSL3' learned no other"):
        across.relation_matrix(some(4, "image"))
    without = dhsl(variant="DHSL4").fit(VIEWS, LABELS)
    with pytest.raises(ValueError, match="variant must have a relation network, 'DHSL4' was learned without"):
        without.relation_matrix(some(4, "image"), some(4, "text"))


def test_relation_targets_differ_for_several_labels():
    data = make_multilabel(120, seed=1)
    learned = {"epochs": 15, "eta": 1.0, "relation_rows": 32, "relation_learning_rate": 0.02}
    means = [
        dhsl(**learned, relation=relation).fit(data.views, data.labels["classes"]).relation_matrix(data.views).mean()
        for relation in ("shared", "equal")
    ]
    assert means[1] < 0.7 * means[0]  # fewer pairs have equal labels than share one
