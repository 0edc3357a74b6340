"""The encoder of a modality as a module of torch."""

import io

import numpy as np
import pytest
import torch
from torch import nn

import pyhash
from pyhash import codes
from pyhash.deep import DHSL, SDCH, TrainingOptions

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread"),
    pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning"),  # after one epoch
]

N, N_BITS, SIDE, LENGTH = 60, 12, 6, 7
TRAINING = TrainingOptions(epochs=1, batch_size=16, validation_fraction=0.2)
LABELS = np.arange(N) % 3


class Words(nn.Module):
    """The mean of embeddings, in which a mask leaves out padding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].float()
        return (self.embedding(input_ids) * mask).sum(1) / mask.sum(1)


def draw(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (n, 3, SIDE, SIDE), dtype=np.uint8),
        "text": {"input_ids": rng.integers(0, 30, (n, LENGTH)), "attention_mask": np.ones((n, LENGTH), np.int64)},
        "dense": rng.standard_normal((n, 9)) * 5 + 100,
        "words": (rng.random((n, 40)) < 0.03).astype(np.float32),
    }


VIEWS, QUERIES = draw(N, 0), draw(17, 1)


def learn(kind, **parameters):
    torch.manual_seed(0)
    picture = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    model = kind(N_BITS, backbones={"image": picture, "text": Words()}, training=TRAINING, **parameters)
    return model.fit(VIEWS, LABELS)


@pytest.fixture(scope="module")
def models():
    return {
        "sdch": learn(SDCH, hidden=(8,), feature_width=8),
        "dhsl": learn(DHSL, variant="full", hidden=(16, 8), selector_hidden=(4, 4), relation_hidden=4),
    }


@pytest.fixture(params=["sdch", "dhsl"])
def model(models, request):
    return models[request.param]


def tensors(x):
    return {name: tensors(part) for name, part in x.items()} if isinstance(x, dict) else torch.from_numpy(x)


def assert_agrees(found, model, modality):
    assert found.dtype == torch.float32
    np.testing.assert_allclose(
        found.detach().numpy(), model.project(QUERIES[modality], modality=modality), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("encoder", ["bits", "posterior"])
@pytest.mark.parametrize("modality", VIEWS)
def test_a_module_does_what_the_model_does(model, modality, encoder, monkeypatch):
    monkeypatch.setattr(model, "encoder", encoder)
    module = model.module(modality)
    assert isinstance(module, nn.Module)
    assert not any(each.training for each in module.modules())
    assert_agrees(module(tensors(QUERIES[modality])), model, modality)


def test_pictures_of_8_bits_are_scaled_in_the_module(model):
    module, pictures = model.module("image"), tensors(QUERIES["image"])
    assert torch.equal(module(pictures), module(pictures.float() / 255))


def test_a_module_has_nothing_of_other_modalities(models):
    keys = {name: set(models["dhsl"].module(name).state_dict()) for name in VIEWS}
    assert keys["dense"] == {
        "feature_map.mean",
        "feature_map.scale",
        *(f"network.main.m2.{i}.{part}" for i in (0, 4) for part in ("weight", "bias")),
        *(
            f"network.main.m2.{i}.{part}"
            for i in (1, 5)
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        ),
        "network.last.m2.weight",
        "network.last.m2.bias",
        *(f"network.selectors.m2.{part}" for part in ("first.weight", "first.bias", "rest.0.weight", "rest.0.bias")),
        "network.selectors.m2.rest.1.weight",
    }
    assert {key for key in keys["text"] if "embedding" in key} == {"network._backbones.1.embedding.weight"}
    assert not any("._backbones.0." in key for key in keys["text"])


def test_the_state_dict_of_a_module_is_taken_by_that_of_another_model(models):
    one, other = models["sdch"], learn(SDCH, hidden=(8,), feature_width=8, seed=5)
    module = other.module("image")
    assert not torch.equal(module(tensors(QUERIES["image"])), one.module("image")(tensors(QUERIES["image"])))
    module.load_state_dict(one.module("image").state_dict())
    assert_agrees(module(tensors(QUERIES["image"])), one, "image")


def test_a_module_is_a_copy(model):
    before = model.project(QUERIES["image"], modality="image")
    module = model.module("image").train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    module(tensors(VIEWS["image"])).square().sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(model.project(QUERIES["image"], modality="image"), before)


@pytest.mark.parametrize("modality", ["image", "text", "dense"])
def test_an_exported_program_takes_any_number_of_rows(models, modality):
    model, x = models["sdch"], tensors(QUERIES[modality])
    n = torch.export.Dim("n")
    dynamic = {name: {0: n} for name in x} if isinstance(x, dict) else {0: n}
    some = tensors({"x": VIEWS[modality]})["x"]
    program = torch.export.export(model.module(modality), (some,), dynamic_shapes=(dynamic,))
    kept = io.BytesIO()
    torch.export.save(program, kept)
    kept.seek(0)
    assert_agrees(torch.export.load(kept).module()(x), model, modality)


@pytest.mark.parametrize("modality", ["image", "text", "dense"])
def test_a_module_is_compiled(models, modality):
    torch._dynamo.reset()
    compiled = torch.compile(models["dhsl"].module(modality), backend="eager", fullgraph=True)
    assert_agrees(compiled(tensors(QUERIES[modality])), models["dhsl"], modality)


@pytest.mark.slow("torch's exporter takes seconds")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own
def test_a_module_is_exported_by_the_newer_exporter_of_onnx(models, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, path = models["sdch"], tmp_path / "image.onnx"
    torch.onnx.export(
        model.module("image"),
        (tensors(VIEWS["image"]),),
        path,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        input_names=["x"],
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": QUERIES["image"]})
    np.testing.assert_allclose(found, model.project(QUERIES["image"], modality="image"), rtol=1e-4, atol=1e-5)


def test_token_dicts_are_inputs_of_an_onnx_file(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model.export_onnx(tmp_path / "text.onnx", modality="text")
    session = onnxruntime.InferenceSession(tmp_path / "text.onnx", providers=["CPUExecutionProvider"])
    assert [(x.name, x.type, x.shape) for x in session.get_inputs()] == [
        (name, "tensor(int64)", ["n", "axis1"]) for name in ("input_ids", "attention_mask")
    ]
    for n, length in ((1, LENGTH), (17, LENGTH), (17, 3)):
        x = {name: X[:n, :length] for name, X in QUERIES["text"].items()}
        projections, packed = session.run(None, x)
        np.testing.assert_allclose(projections, model.project(x, modality="text"), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(packed, codes.pack(projections))


def test_what_cannot_be_a_module_is_refused(models, monkeypatch):
    model = models["sdch"]
    with pytest.raises(ValueError, match="modality must be one of 'image', 'text', 'dense', 'words', got 'sound'"):
        model.module("sound")
    with pytest.raises(pyhash.NotFittedError):
        SDCH(8).module("image")
    monkeypatch.setattr(model, "encoder", "bayes")
    with pytest.raises(ValueError, match="must be 'bits' or 'posterior' for a module or an ONNX file, got 'bayes'"):
        model.module("image")
