import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.nn import functional

import pyhash
from pyhash import Centering, NotFittedError, RBFAnchors, Standardizing, UnitLength, codes
from pyhash.deep import DHSL, SDCH, AlexNet, TrainingOptions
from pyhash.deep.encoder_module import EncoderModule
from pyhash.deep.networks.backbone import embedded_width, zero_row
from pyhash.deep.networks.inputs import TensorSpec
from pyhash.deep.networks.sdch_network import SDCHNetwork
from pyhash.deep.onnx_export import write_onnx
from pyhash.methods.parts.encoder_trial import ENCODERS

N_ROWS, N_BITS = 120, 20
MAPS = {
    "plain": None,
    "centered": Centering(),
    "standardized": Standardizing(),
    "unit": UnitLength(),
    "centered_kernel": RBFAnchors(30, width=4.0, centered=True),
    "words_kernel": RBFAnchors(30),
}
TRAINING = TrainingOptions(validation_fraction=0.2, epochs=8, batch_size=32)
SIDE = 10


def dense_rows(n, seed):
    """Rows far from 0 in some columns, one of which never changes."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 12)) * rng.uniform(0.5, 3, 12) + 5 * (np.arange(12) % 3)
    rows[:, 4] = 7.5
    return rows.astype(np.float32)


def word_rows(n, seed):
    """Counts of 200 words, nearly all of them 0."""
    rng = np.random.default_rng(seed)
    return (rng.poisson(1.0, (n, 200)) * (rng.random((n, 200)) < 0.03)).astype(np.float32)


def rows_of(modality, n, seed):
    return word_rows(n, seed) if modality.startswith("words") else dense_rows(n, seed)


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, 5, N_ROWS)


@pytest.fixture(scope="module")
def sdch(labels):
    """A modality for every map, and one of words without."""
    views = {name: rows_of(name, N_ROWS, m) for m, name in enumerate([*MAPS, "words"])}
    views |= {name: csr_array(views[name]) for name in ("words", "words_kernel")}
    model = SDCH(N_BITS, hidden=(32,), feature_width=16, feature_maps=MAPS, training=TRAINING)
    return model.set_params(training__epochs=2).fit(views, labels, progress=False)


@pytest.fixture(scope="module")
def dhsl(labels):
    views = {"image": dense_rows(N_ROWS, 1), "words": csr_array(word_rows(N_ROWS, 2))}
    return DHSL(N_BITS, hidden=(32, 16), training=TRAINING).fit(views, labels, progress=False)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.dropout(functional.relu(self.norm(self.conv(x))))
        return functional.adaptive_avg_pool2d(x, 3)  # of 4 x 4


def pictures(labels, seed):
    """Noise around a picture for each of five labels."""
    shown = np.random.default_rng(0).uniform(40, 215, (5, 3, SIDE, SIDE))[labels]
    return (shown + np.random.default_rng(seed).uniform(-40, 40, shown.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def with_backbone(labels):
    torch.manual_seed(0)
    views = {"image": pictures(labels, 1), "text": dense_rows(N_ROWS, 1)}
    model = SDCH(12, hidden=(16,), feature_width=8, backbones={"image": Convolutions()}, training=TRAINING)
    return model.set_params(backbone_learning_rate=1e-2).fit(views, labels, progress=False)


def write_untrained(path, backbone, shape, n_bits):
    """Write the file of a network of pictures alone, and return the network."""
    torch.manual_seed(0)
    spec = TensorSpec(shape)
    width = embedded_width("image", backbone, zero_row(spec))
    network = SDCHNetwork(n_bits, {"image": width}, (8,), 8, {"image": backbone}, is_normal=False).eval()
    write_onnx(path, EncoderModule(None, network, "image", spec, None), "backbones['image']", spec, n_bits, {})
    return network


def run(path, x):
    """Outputs by name, of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x}), strict=True))


def assert_agrees(model, path, modality, x):
    """The graph on x does what the model does on x."""
    found = run(path, x)
    expected = model.project(x, modality=modality)
    assert list(found) == ["projections", "codes"]
    assert found["projections"].dtype == np.float32
    np.testing.assert_allclose(found["projections"], expected, rtol=1e-4, atol=1e-4)
    assert found["codes"].dtype == np.uint8
    assert found["codes"].shape == model.encode(x, modality=modality).shape
    bits, expected_bits = (
        codes.unpack(packed, expected.shape[1]) for packed in (found["codes"], model.encode(x, modality=modality))
    )
    clear = np.abs(expected) > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(bits[clear], expected_bits[clear])
    np.testing.assert_array_equal(found["codes"], codes.pack(found["projections"]))  # of its own, to the last bit


def set_encoder(model, encoder, monkeypatch):
    monkeypatch.setattr(model, "encoder", encoder)
    assert set(model.encoders_.values()) == {encoder}


@pytest.mark.parametrize("modality", [*MAPS, "words"])
def test_a_file_does_what_the_model_does_with_every_feature_map(sdch, modality, tmp_path):
    path = tmp_path / "encoder.onnx"
    sdch.export_onnx(path, modality=modality)
    for n in (1, 5, 1500):
        x = rows_of(modality, n, 100 + n)
        x[0] = 0  # which has no length to divide by
        assert_agrees(sdch, path, modality, x)


@pytest.mark.parametrize("modality", ["standardized", "words"])
def test_posterior_codes_of_sdch_are_exported(sdch, modality, tmp_path, monkeypatch):
    set_encoder(sdch, "posterior", monkeypatch)
    sdch.export_onnx(tmp_path / "encoder.onnx", modality=modality)
    for n in (1, 5, 1500):
        assert_agrees(sdch, tmp_path / "encoder.onnx", modality, rows_of(modality, n, n))


def test_bayes_codes_are_refused(sdch, tmp_path, monkeypatch):
    set_encoder(sdch, "bayes", monkeypatch)
    with pytest.raises(ValueError, match="'bits' or 'posterior' for a module or an ONNX file, got 'bayes' for 'words'"):
        sdch.export_onnx(tmp_path / "encoder.onnx", modality="words")
    assert not (tmp_path / "encoder.onnx").exists()


@pytest.mark.parametrize("encoder", ["bits", "posterior"])
@pytest.mark.parametrize("modality", ["image", "words"])
def test_dhsl_is_exported_with_either_encoder(dhsl, modality, encoder, tmp_path, monkeypatch):
    set_encoder(dhsl, encoder, monkeypatch)
    dhsl.export_onnx(tmp_path / "encoder.onnx", modality=modality)
    for n in (1, 5, 1500):
        assert_agrees(dhsl, tmp_path / "encoder.onnx", modality, rows_of(modality, n, n))


def test_posterior_codes_of_many_label_sets_are_exported(tmp_path, rng):
    # So many that scores of labels and scores of sets are two products.
    L = (rng.random((N_ROWS, 6)) < 0.5).astype(np.int8)
    L[:, 0] |= ~L.any(axis=1)
    model = DHSL(N_BITS, hidden=(32, 16), encoder="posterior", training=replace(TRAINING, epochs=2))
    model.fit({"image": dense_rows(N_ROWS, 1)}, L, progress=False)
    model.export_onnx(tmp_path / "encoder.onnx", modality="image")
    assert len(model._state.posterior("image").factors[np.float64]) == 2
    assert_agrees(model, tmp_path / "encoder.onnx", "image", dense_rows(50, 3))


@pytest.mark.parametrize("encoder", ["bits", "posterior"])
def test_a_file_holds_the_encoder_that_auto_chose(labels, encoder, tmp_path):
    views = {"image": dense_rows(N_ROWS, 1), "noise": dense_rows(N_ROWS, 2)}
    model = DHSL(N_BITS, hidden=(32, 16), encoder="auto", training=replace(TRAINING, epochs=2))
    model.fit(views, labels, progress=False)
    scores = dict.fromkeys(views, tuple(float(name == encoder) for name in ENCODERS))
    model._state = replace(model._state, trial=replace(model._state.trial, scores=scores))
    model.export_onnx(tmp_path / "encoder.onnx", modality="image")
    assert properties_of(tmp_path / "encoder.onnx")["pyhash.encoder"] == model.encoders_["image"] == encoder
    assert_agrees(model, tmp_path / "encoder.onnx", "image", dense_rows(50, 3))


@pytest.mark.parametrize("encoder", ["bits", "posterior"])
def test_a_backbone_is_in_the_file(with_backbone, encoder, tmp_path, monkeypatch):
    set_encoder(with_backbone, encoder, monkeypatch)
    with_backbone.export_onnx(tmp_path / "encoder.onnx", modality="image")
    for n in (1, 5, 1500):
        shown = pictures(np.arange(n) % 5, n)
        x = shown.astype(np.float32) / 255
        assert_agrees(with_backbone, tmp_path / "encoder.onnx", "image", x)
        np.testing.assert_array_equal(
            with_backbone.encode(x, modality="image"), with_backbone.encode(shown, modality="image")
        )


def test_alexnet_is_exported(tmp_path):
    shape = (3, 227, 227)
    network = write_untrained(tmp_path / "encoder.onnx", AlexNet(channels=(4, 6, 8, 6, 5), width=16), shape, 10)
    x = torch.rand(3, *shape)
    with torch.no_grad():
        expected = network("image", x).numpy()
    found = run(tmp_path / "encoder.onnx", x.numpy())
    np.testing.assert_allclose(found["projections"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found["codes"], codes.pack(found["projections"]))


def properties_of(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def shape_of(value):
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_param or dim.dim_value for dim in dims]


def test_a_file_says_what_it_is(dhsl, tmp_path):
    path = tmp_path / "encoder.onnx"
    dhsl.export_onnx(str(path), modality="image")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert properties_of(path) == {
        "pyhash.version": pyhash.__version__,
        "pyhash.class": "DHSL",
        "pyhash.modality": "image",
        "pyhash.n_bits": "20",
        "pyhash.encoder": "bits",
        "pyhash.fingerprint": dhsl.fingerprint,
    }
    assert {value.name: shape_of(value) for value in [*model.graph.input, *model.graph.output]} == {
        "x": ["n", 12],
        "projections": ["n", 20],
        "codes": ["n", 3],
    }


def test_a_file_is_one_file_with_nothing_of_other_modalities(dhsl, tmp_path):
    path = tmp_path / "encoder.onnx"
    dhsl.export_onnx(path, modality="image")
    assert list(tmp_path.iterdir()) == [path]
    weights = onnx.load(path).graph.initializer
    assert not any(tensor.external_data for tensor in weights)
    assert not any(200 in tensor.dims for tensor in weights)  # the words
    assert str(tmp_path).encode() not in path.read_bytes()


def test_equal_models_give_equal_files(dhsl, tmp_path):
    dhsl.save(tmp_path / "model")
    dhsl.export_onnx(tmp_path / "one.onnx", modality="image")
    pyhash.load(tmp_path / "model").export_onnx(tmp_path / "other.onnx", modality="image")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_an_export_leaves_model_and_random_numbers_as_they_were(with_backbone, tmp_path):
    network = with_backbone._state.network
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    asking = [parameter.requires_grad for parameter in network.parameters()]
    random_state = torch.random.get_rng_state()
    with_backbone.save(tmp_path / "before")
    with_backbone.export_onnx(tmp_path / "encoder.onnx", modality="image")
    with_backbone.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert all(torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items())
    assert [parameter.requires_grad for parameter in network.parameters()] == asking
    assert not any(module.training for module in network.modules())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_an_existing_file_is_replaced(dhsl, tmp_path):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"older")
    dhsl.export_onnx(path, modality="image")
    assert_agrees(dhsl, path, "image", dense_rows(5, 3))


def test_before_fit_there_is_nothing_to_export(tmp_path):
    with pytest.raises(NotFittedError, match="call fit first"):
        SDCH(8).export_onnx(tmp_path / "encoder.onnx", modality="image")


def test_an_unknown_modality_is_refused_as_by_project(dhsl, tmp_path):
    with pytest.raises(ValueError, match=r"^modality must be one of 'image', 'words', got 'text'$") as refused:
        dhsl.export_onnx(tmp_path / "encoder.onnx", modality="text")
    with pytest.raises(ValueError, match=r"^modality must be") as by_project:
        dhsl.project(dense_rows(1, 0), modality="text")
    assert str(refused.value) == str(by_project.value)


class Doubling:
    def fit(self, X):
        return self

    def transform(self, X):
        return 2 * X


class ShiftedCentering(Centering):
    def _transform(self, rows):
        return super()._transform(rows) + 1


@pytest.mark.parametrize("feature_map", [Doubling(), ShiftedCentering()], ids=lambda made: type(made).__name__)
def test_maps_that_are_not_pyhash_s_are_refused(feature_map, labels, tmp_path):
    model = DHSL(8, hidden=(16, 8), feature_maps={"image": feature_map}, training=replace(TRAINING, epochs=1))
    model.fit({"image": dense_rows(N_ROWS, 1)}, labels, progress=False)
    kind = type(feature_map).__name__
    with pytest.raises(TypeError, match=rf"^feature_maps\['image'\] must be one of .* got a {kind}"):
        model.export_onnx(tmp_path / "encoder.onnx", modality="image")
    assert not any(tmp_path.iterdir())


def test_without_onnx_the_extra_is_named(dhsl, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'needs onnx: pip install "pyhash-crossmodal\[onnx\]"$'):
        dhsl.export_onnx(tmp_path / "encoder.onnx", modality="image")
    assert not any(tmp_path.iterdir())


class LenOfRows(nn.Module):
    """Whose trace knows but the number of rows it was made with."""

    def forward(self, x):
        return x.reshape(len(x), -1)[:, :8]


class HangsOnTheNumber(nn.Module):
    """Goes another way for as many rows as a trace is made of."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, 4)

    def forward(self, x):
        features = self.linear(x.flatten(1))
        return features * 3 if x.shape[0] == 2 else features


class NotInONNX(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x.flatten(1)[:, :8])


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (LenOfRows, "must do the same for any number of rows and any values.*x.shape"),
        (HangsOnTheNumber, "must do the same for any number of rows and any values.*other projections"),
        (NotInONNX, "must be one that an ONNX file can hold: .*bessel"),
    ],
)
def test_backbones_that_no_file_can_hold_are_refused(backbone, message, tmp_path):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"older")
    shape = (3, SIDE, SIDE)
    with pytest.raises(ValueError, match=rf"^backbones\['image'\] {message}"):
        write_untrained(path, backbone(), shape, 10)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"older"


def test_an_export_that_fails_leaves_nothing_behind(dhsl, tmp_path, monkeypatch):
    def fails(*arguments, **keywords):
        raise MemoryError

    for place in ("torch.onnx.export", "os.replace"):
        with monkeypatch.context() as patched:
            patched.setattr(place, fails)
            with pytest.raises(MemoryError):
                dhsl.export_onnx(tmp_path / "encoder.onnx", modality="image")
        assert not any(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        dhsl.export_onnx(tmp_path / "missing" / "encoder.onnx", modality="image")
