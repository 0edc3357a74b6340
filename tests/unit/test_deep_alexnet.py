import builtins
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from pyhash.deep.networks.alexnet import AlexNet
from pyhash.errors import ModelFormatError

CHANNELS = (4, 6, 8, 6, 5)
WIDTH = 32


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small_network(**parameters):
    return AlexNet(**{"channels": CHANNELS, "width": WIDTH} | parameters)


def strong_network(**parameters):
    """With weights so large that the normalisation of responses is no trifle."""
    network = small_network(**parameters)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
        for layer in (network.conv1, network.conv2):
            layer.weight.mul_(20)
    return network.eval()


def torchvision_weights(channels=CHANNELS, width=WIDTH, n_classes=7):
    """Random weights in the form of the state dict that torchvision publishes."""
    shapes, n_inputs = {}, 3
    for place, n_outputs, side in zip((0, 3, 6, 8, 10), channels, (11, 5, 3, 3, 3), strict=True):
        shapes[f"features.{place}"] = (n_outputs, n_inputs, side, side)
        n_inputs = n_outputs
    n_inputs *= 36
    for place, n_outputs in zip((1, 4, 6), (width, width, n_classes), strict=True):
        shapes[f"classifier.{place}"] = (n_outputs, n_inputs)
        n_inputs = n_outputs
    weights = {}
    for place, shape in shapes.items():
        weights[f"{place}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
        weights[f"{place}.bias"] = torch.randn(shape[:1]) / 10
    return weights


def torchvision_features(w, x):
    """torchvision's AlexNet, up to the ReLU before its layer of classes, on normalised pictures."""
    x = functional.relu(functional.conv2d(x, w["features.0.weight"], w["features.0.bias"], stride=4, padding=2))
    x = functional.max_pool2d(x, 3, 2)
    x = functional.relu(functional.conv2d(x, w["features.3.weight"], w["features.3.bias"], padding=2))
    x = functional.max_pool2d(x, 3, 2)
    x = functional.relu(functional.conv2d(x, w["features.6.weight"], w["features.6.bias"], padding=1))
    x = functional.relu(functional.conv2d(x, w["features.8.weight"], w["features.8.bias"], padding=1))
    x = functional.relu(functional.conv2d(x, w["features.10.weight"], w["features.10.bias"], padding=1))
    x = functional.max_pool2d(x, 3, 2)
    x = torch.flatten(functional.adaptive_avg_pool2d(x, (6, 6)), 1)
    x = functional.relu(functional.linear(x, w["classifier.1.weight"], w["classifier.1.bias"]))
    return functional.relu(functional.linear(x, w["classifier.4.weight"], w["classifier.4.bias"]))


def imagenet_normalized(pictures):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return torch.stack([(pictures[:, i] - mean[i]) / std[i] for i in range(3)], dim=1)


def response_normalized(a):
    """From the definition, filter by filter."""
    normalized = torch.empty_like(a)
    for i in range(a.shape[1]):
        around = a[:, max(0, i - 2) : i + 3]
        normalized[:, i] = a[:, i] / (2 + 1e-4 * around.square().sum(dim=1) / 5) ** 0.75
    return normalized


def test_the_papers_network_has_the_papers_shapes():
    with torch.device("meta"):  # shapes without numbers: the weights would take 220 MB
        network = AlexNet()
        came, left = {}, {}
        for name, layer in network.named_children():
            layer.register_forward_pre_hook(lambda _, inputs, name=name: came.update({name: tuple(inputs[0].shape)}))
            layer.register_forward_hook(lambda _, inputs, output, name=name: left.update({name: tuple(output.shape)}))
        assert network(torch.empty(2, 3, 227, 227)).shape == (2, 4096)
    assert left == {
        "conv1": (2, 96, 55, 55),
        "conv2": (2, 256, 27, 27),
        "conv3": (2, 384, 13, 13),
        "conv4": (2, 384, 13, 13),
        "conv5": (2, 256, 13, 13),
        "fc1": (2, 4096),
        "fc2": (2, 4096),
    }
    assert (came["conv2"], came["conv3"]) == ((2, 96, 27, 27), (2, 256, 13, 13))
    assert (came["fc1"], came["fc2"]) == ((2, 9216), (2, 4096))


@pytest.mark.parametrize("local_response", [True, False])
def test_the_features_are_those_of_table_1_step_by_step(local_response):
    network = strong_network(local_response=local_response).double()  # so that orders of summing do not show
    w = network.state_dict()
    respond = response_normalized if local_response else torch.nn.Identity()
    pictures = torch.rand(2, 3, 227, 227, dtype=torch.float64)
    x = functional.relu(functional.conv2d(pictures, w["conv1.weight"], w["conv1.bias"], stride=4, padding=0))
    x = functional.max_pool2d(respond(x), kernel_size=3, stride=2)
    x = functional.relu(functional.conv2d(x, w["conv2.weight"], w["conv2.bias"], stride=1, padding=2))
    x = functional.max_pool2d(respond(x), kernel_size=3, stride=2)
    x = functional.relu(functional.conv2d(x, w["conv3.weight"], w["conv3.bias"], stride=1, padding=1))
    x = functional.relu(functional.conv2d(x, w["conv4.weight"], w["conv4.bias"], stride=1, padding=1))
    x = functional.relu(functional.conv2d(x, w["conv5.weight"], w["conv5.bias"], stride=1, padding=1))
    x = functional.max_pool2d(x, kernel_size=3, stride=2)
    assert x.shape == (2, 5, 6, 6)  # no average was needed
    x = functional.relu(functional.linear(x.reshape(2, 180), w["fc1.weight"], w["fc1.bias"]))
    x = functional.relu(functional.linear(x, w["fc2.weight"], w["fc2.bias"]))
    assert x.count_nonzero() > 10
    torch.testing.assert_close(network(pictures), x)


def test_responses_are_normalised_only_where_asked():
    network = strong_network()
    plain = strong_network(local_response=False)
    plain.load_state_dict(network.state_dict())
    pictures = torch.rand(2, 3, 67, 67)
    assert (network(pictures) - plain(pictures)).abs().max() > 0.1 * plain(pictures).abs().max()


def test_training_drops_inputs_of_both_fully_connected_layers_and_evaluation_does_not():
    network, pictures = small_network(dropout=0.5), torch.rand(20, 3, 67, 67)
    zeros = {}
    for name in ("fc1", "fc2"):
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: zeros.update({name: float((inputs[0] == 0).float().mean())})
        )
    network.eval()
    torch.testing.assert_close(network(pictures), network(pictures), rtol=0, atol=0)
    kept = dict(zeros)
    network.train()
    network(pictures)
    for name in ("fc1", "fc2"):
        # Of what is not zero already, half becomes so.
        assert zeros[name] == pytest.approx(kept[name] + 0.5 * (1 - kept[name]), abs=0.06), name
    never = small_network(dropout=0.0).train()
    torch.testing.assert_close(never(pictures), never.eval()(pictures), rtol=0, atol=0)


def test_every_weight_learns():
    network = small_network(normalization=((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)))
    network(torch.rand(4, 3, 99, 80)).sum().backward()
    assert len(list(network.parameters())) == 14
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_colours_are_centred_and_scaled_first():
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 2.0)
    network = strong_network(normalization=(mean, std))
    plain = strong_network()
    plain.load_state_dict(network.state_dict())  # the normalisation is a parameter, no weight
    pictures = torch.rand(2, 3, 67, 70)
    wanted = torch.stack([(pictures[:, i] - mean[i]) / std[i] for i in range(3)], dim=1)
    torch.testing.assert_close(network(pictures), plain(wanted))
    assert not torch.allclose(network(pictures), plain(pictures))


def test_the_normalisation_follows_the_weights_to_another_dtype():
    network = small_network(normalization=([0.5] * 3, [0.2] * 3)).eval()
    pictures = torch.rand(2, 3, 67, 67, dtype=torch.float64)
    single = network(pictures)
    assert single.dtype == torch.float32
    double = network.double()(pictures)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single)


@pytest.mark.parametrize("padding", [0, 2, 10])
def test_pictures_may_be_as_small_as_the_convolutions_allow(padding):
    network = small_network(padding=padding).eval()
    size = 67 - 2 * padding
    assert network.least_size == size
    assert network(torch.rand(2, 3, size, size + 40)).shape == (2, WIDTH)
    for shape in ((size - 1, 227), (227, size - 1)):
        message = f"pictures must be at least {size} x {size}, got {shape[0]} x {shape[1]}"
        with pytest.raises(ValueError, match=re.escape(message)):
            network(torch.rand(1, 3, *shape))
    # The refusal is not too early: one row less leaves the last pool nothing.
    network_of_any_size = type("AnySize", (AlexNet,), {"least_size": 0})(channels=CHANNELS, width=2, padding=padding)
    with pytest.raises(RuntimeError, match="too small"):
        network_of_any_size(torch.rand(1, 3, size - 1, 227))


def test_no_pictures_have_no_features():
    assert small_network()(torch.rand(0, 3, 67, 67)).shape == (0, WIDTH)


@pytest.mark.parametrize("shape", [(3, 70, 70), (1, 1, 70, 70), (1, 70, 70, 3), (70, 70), (1, 1, 3, 70, 70), ()])
def test_pictures_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f"pictures must have shape (n, 3, height, width), got {shape}")):
        small_network()(torch.rand(shape))


def test_one_picture_is_told_how_to_become_a_batch():
    with pytest.raises(ValueError, match=re.escape("; one picture is picture[None]")):
        small_network()(torch.rand(3, 70, 70))


@pytest.mark.parametrize(
    ("pictures", "got"),
    [
        (np.zeros((1, 3, 70, 70), np.float32), "got ndarray"),
        (torch.zeros(1, 3, 70, 70, dtype=torch.uint8), "got dtype torch.uint8"),
    ],
)
def test_pictures_of_other_types_are_refused(pictures, got):
    with pytest.raises(TypeError, match=f"pictures must be a floating tensor.*{got}"):
        small_network()(pictures)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"channels": 96}, TypeError, "channels must be five integers, got 96"),
        ({"channels": "12345"}, TypeError, "channels must be five integers, got '12345'"),
        ({"channels": (4, 4, 4)}, ValueError, "channels must be five integers, got 3"),
        ({"channels": (4, 4, 4, 4, 0)}, ValueError, "channels[4] must be an integer >= 1, got 0"),
        ({"channels": (4, 4.0, 4, 4, 4)}, TypeError, "channels[1] must be an integer >= 1, got 4.0"),
        ({"width": 0}, ValueError, "width must be an integer >= 1, got 0"),
        ({"local_response": 1}, TypeError, "local_response must be a bool, got 1"),
        ({"padding": 11}, ValueError, "padding must be an integer from 0 to 10, got 11"),
        ({"dropout": 1.0}, ValueError, "dropout must be a number from 0 to below 1, got 1"),
        ({"dropout": -0.1}, ValueError, "dropout must be a finite number >= 0, got -0.1"),
        ({"dropout": "half"}, TypeError, "dropout must be a finite number >= 0, got 'half'"),
        ({"normalization": 0.5}, TypeError, "normalization must be None or a pair (mean, std)"),
        ({"normalization": (0.5, 0.2)}, TypeError, "normalization must be None or a pair (mean, std)"),
        ({"normalization": ([0.5] * 3,)}, ValueError, "normalization must be None or a pair (mean, std)"),
        ({"normalization": ([0.5] * 3, [0.2] * 4)}, ValueError, "normalization must be None or a pair (mean, std)"),
        ({"normalization": ([0.5] * 3, [1, 0, 1])}, ValueError, "normalization[1][1] must be a finite number > 0"),
        ({"normalization": ([np.nan] * 3, [1] * 3)}, ValueError, "normalization[0][0] must be a finite number >= 0"),
    ],
)
def test_wrong_parameters_are_refused(parameters, error, message):
    with pytest.raises(error, match=re.escape(message)):
        small_network(**parameters)


def test_parameters_and_state_dict_rebuild_a_network():
    network = AlexNet(
        channels=[4, 6, 8, 6, np.int64(5)],
        width=WIDTH,
        local_response=False,
        padding=1,
        dropout=0.25,
        normalization=[[0.5, 0.4, 0.3], [0.2, 0.2, 1]],
    ).eval()
    parameters = network.get_params()
    assert parameters == {
        "channels": (4, 6, 8, 6, 5),
        "width": WIDTH,
        "local_response": False,
        "padding": 1,
        "dropout": 0.25,
        "normalization": ((0.5, 0.4, 0.3), (0.2, 0.2, 1.0)),
    }
    assert parameters == {name: getattr(network, name) for name in parameters}
    again = AlexNet(**parameters).eval()
    again.load_state_dict(network.state_dict())
    pictures = torch.rand(2, 3, 70, 70)
    torch.testing.assert_close(again(pictures), network(pictures), rtol=0, atol=0)


def write_zip(weights, path):
    torch.save(weights, path)


def write_as_of_old(weights, path):
    torch.save(weights, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "write"), [("alexnet.pth", write_zip), ("old.pth", write_as_of_old), ("alexnet.safetensors", save_file)]
)
@pytest.mark.parametrize("size", [224, 90])
def test_weights_of_torchvision_give_the_features_of_torchvision(tmp_path, name, write, size):
    weights = torchvision_weights()
    write(weights, tmp_path / name)
    network = AlexNet.from_torchvision(tmp_path / name).eval()
    pictures = torch.rand(2, 3, size, size)
    wanted = torchvision_features(weights, imagenet_normalized(pictures))
    assert wanted.count_nonzero() > 10
    torch.testing.assert_close(network(pictures), wanted)
    assert (network.channels, network.width, network.padding) == (CHANNELS, WIDTH, 2)
    assert not network.local_response
    rebuilt = AlexNet(**network.get_params()).eval()
    rebuilt.load_state_dict(network.state_dict())
    torch.testing.assert_close(rebuilt(pictures), network(pictures), rtol=0, atol=0)


def test_responses_of_torchvisions_weights_can_be_normalised(tmp_path):
    torch.save(torchvision_weights(), tmp_path / "alexnet.pth")
    assert AlexNet.from_torchvision(str(tmp_path / "alexnet.pth"), local_response=True).local_response


def test_the_layer_of_classes_is_not_needed_and_half_precision_is_read(tmp_path):
    weights = torchvision_weights()
    half = {key: tensor.half() for key, tensor in weights.items() if not key.startswith("classifier.6")}
    torch.save(half, tmp_path / "half.pth")
    network = AlexNet.from_torchvision(tmp_path / "half.pth")
    assert network.conv3.weight.dtype == torch.float32
    torch.testing.assert_close(network.conv3.weight.detach(), half["features.6.weight"].float(), rtol=0, atol=0)


def changed(**changes):
    weights = torchvision_weights()
    for key, tensor in changes.items():
        weights[key.replace("__", ".")] = tensor
    return weights


def without(key):
    return {name: tensor for name, tensor in torchvision_weights().items() if name != key}


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([1, 2], "must hold a state dict, got list"),
        (torch.zeros(3), "must hold a state dict, got Tensor"),
        ({}, 'Missing key(s) in state_dict: "features.0.weight"'),
        ({"state_dict": {}}, "'state_dict' must be a dense tensor"),
        (without("features.8.bias"), 'Missing key(s) in state_dict: "features.8.bias"'),
        (without("classifier.4.weight"), 'Missing key(s) in state_dict: "classifier.4.weight"'),
        (torchvision_weights() | {"features.1.weight": torch.zeros(4)}, 'Unexpected key(s) in state_dict: "features.1'),
        (torchvision_weights() | {"features.0.bias": "zero"}, "'features.0.bias' must be a dense tensor"),
        (changed(features__3__bias=torch.zeros(6, dtype=torch.int64)), "'features.3.bias' must be a dense tensor"),
        (changed(features__3__bias=torch.zeros(6).to_sparse()), "'features.3.bias' must be a dense tensor"),
        (changed(features__3__bias=torch.full((6,), torch.nan)), "'features.3.bias' must be a dense tensor of finite"),
        (changed(features__3__bias=torch.zeros(5)), "size mismatch for features.3.weight"),
        (changed(features__3__bias=torch.zeros(())), "size mismatch for features.3.weight"),
        (changed(features__0__weight=torch.zeros(4, 1, 11, 11)), "size mismatch for features.0.weight"),
        (changed(features__0__weight=torch.zeros(0, 3, 11, 11)), "size mismatch for features.0.weight"),
        (changed(features__6__weight=torch.zeros(8, 7, 3, 3)), "size mismatch for features.6.weight"),
        (changed(classifier__1__weight=torch.zeros(32, 5)), "size mismatch for classifier.1.weight"),
        (changed(classifier__4__weight=torch.zeros(16, 32)), "size mismatch for classifier.4.weight"),
    ],
)
def test_other_state_dicts_are_refused_by_their_wrong_keys(tmp_path, stored, message):
    path = tmp_path / "other.pth"
    torch.save(stored, path)
    with pytest.raises(ModelFormatError, match=re.escape(message)) as caught:
        AlexNet.from_torchvision(path)
    assert str(path) in str(caught.value)


def test_weights_that_are_nowhere_are_refused(tmp_path):
    torch.save(changed(features__3__bias=torch.zeros(6, device="meta")), tmp_path / "meta.pth")
    with pytest.raises(ModelFormatError, match=re.escape("'features.3.bias' must be a dense tensor")):
        AlexNet.from_torchvision(tmp_path / "meta.pth")


def write_nonsense_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"nonsense")


def write_half_a_file(path):
    torch.save(torchvision_weights(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_half_a_safetensors(path):
    save_file(torchvision_weights(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("zip.pth", write_nonsense_zip),
        ("half.pth", write_half_a_file),
        ("text.pth", lambda path: path.write_text("weights")),
        ("empty.safetensors", lambda path: path.write_bytes(b"")),
        ("half.safetensors", write_half_a_safetensors),
        ("zip.safetensors", lambda path: torch.save(torchvision_weights(), path)),
        ("safetensors.pth", lambda path: save_file(torchvision_weights(), path)),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    with pytest.raises(ModelFormatError, match=re.escape(f"{path} is not a whole state dict")):
        AlexNet.from_torchvision(path)


class Intruder:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("plain", [True, False])
def test_code_within_a_file_does_not_run(tmp_path, plain):
    path, victim = tmp_path / "code.pth", tmp_path / "ran"
    stored = torchvision_weights() | {"features.0.bias": Intruder(victim)}
    if plain:
        path.write_bytes(pickle.dumps(stored, protocol=2))
    else:
        torch.save(stored, path)
    with pytest.raises(ModelFormatError, match=re.escape(f"{path} is not a whole state dict")) as caught:
        AlexNet.from_torchvision(path)
    assert not victim.exists()
    assert "weights_only" not in str(caught.value)  # nor is anybody told how to run it


def test_an_empty_file_is_refused_with_a_reason(tmp_path):
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ModelFormatError, match=r"is not a whole state dict: \w+"):
        AlexNet.from_torchvision(tmp_path / "empty.pth")


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        AlexNet.from_torchvision(tmp_path / "none.pth")


def test_a_missing_safetensors_is_named(tmp_path, monkeypatch):
    save_file(torchvision_weights(), tmp_path / "alexnet.safetensors")
    really_import = builtins.__import__

    def import_without_safetensors(name, *rest):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return really_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", import_without_safetensors)
    with pytest.raises(ImportError, match=r"alexnet\.safetensors needs safetensors: pip install"):
        AlexNet.from_torchvision(tmp_path / "alexnet.safetensors")
