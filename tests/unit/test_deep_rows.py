"""Inputs of training: arrays of any layout, files mapped into memory, pictures, and loaders with their processes."""

import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.sparse import csc_array, csr_array
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
)

import pyhash
from pyhash.codes import unpack
from pyhash.datasets import make_hierarchical
from pyhash.deep import DHSL, SDCH, AlexNet, TrainingOptions
from pyhash.deep.array_view import ArrayView
from pyhash.deep.networks.inputs import TensorSpec
from pyhash.deep.rows import ArrayRows, rows_per_block
from pyhash.deep.training import Training

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread", "one_torch_thread"),
    # Newer Pythons warn of forks where any library has started threads; torch forks its workers.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

N = 120
DATA = make_hierarchical(N, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
LABELS = DATA.labels["level2"]
# Of float32 already, so that every dtype below holds the same values.
VIEWS = {name: X.astype(np.float32) for name, X in DATA.views.items()}
AS_THEY_ARE = dict.fromkeys(VIEWS)


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
    tiny = {"epochs": 2, "batch_size": 32, "hidden": (16,), "feature_width": 8, "validation_fraction": 0.2}
    return make(SDCH, 16, tiny | parameters)


def dhsl(**parameters):
    tiny = {"epochs": 2, "batch_size": 32, "hidden": (16, 12), "selector_hidden": (8, 8), "relation_hidden": 8}
    return make(DHSL, 16, tiny | {"validation_fraction": 0.2} | parameters)


def history_of(model):
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in model.history_]


def assert_same(model, expected, views=VIEWS):
    assert history_of(model) == history_of(expected)
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    for name, X in views.items():
        np.testing.assert_array_equal(model.project(X, modality=name), expected.project(X, modality=name))


@pytest.fixture(scope="module")
def expected():
    """Models of the plain arrays, their features as they are."""
    return {make: make(feature_maps=AS_THEY_ARE).fit(VIEWS, LABELS) for make in (sdch, dhsl)}


# --- arrays ---


def wide_apart(X):
    apart = np.zeros((2 * len(X), 3 * X.shape[1]), X.dtype)
    apart[::2, ::3] = X
    return apart[::2, ::3]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


FORMS = {
    "fortran": np.asfortranarray,
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "wide_apart": wide_apart,
    "read_only": read_only,
    "float64": lambda X: X.astype(np.float64),
    "other_endian": lambda X: X.astype(X.dtype.newbyteorder()),
    "lists": lambda X: X.tolist(),
    "csr": csr_array,
    "csc": csc_array,
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_layout_are_learned_alike(expected, form):
    views = {name: FORMS[form](X) for name, X in VIEWS.items()}
    assert_same(sdch(feature_maps=AS_THEY_ARE).fit(views, LABELS), expected[sdch])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 7])
def test_arrays_of_any_layout_are_encoded_alike(expected, form, n):
    X = VIEWS["text"]
    rows = FORMS[form](X[:n]) if form != "backwards" else X[::-1][-n:][::-1]
    if form == "backwards" and n == 1:
        rows = X[:1][::-1]  # contiguous, and yet its stride is negative
        assert rows.strides[0] < 0
    found = expected[sdch].project(rows, modality="text")
    np.testing.assert_array_equal(found, expected[sdch].project(X[:n].copy(), modality="text"))


def test_arrays_stay_as_they_are():
    views = {name: X.copy() for name, X in VIEWS.items()}
    model = sdch(feature_maps=AS_THEY_ARE).fit(views, LABELS)
    model.encode(views["text"], modality="text")
    assert all(np.array_equal(views[name], X) for name, X in VIEWS.items())


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")  # random words teach nothing
def test_dense_and_sparse_bags_of_words_are_learned_alike(rng):
    words = rng.poisson(1.0, (N, 400)) * (rng.random((N, 400)) < 0.03)
    models = [sdch().fit({"image": VIEWS["image"], "text": form}, LABELS) for form in (words, csr_array(words))]
    np.testing.assert_array_equal(models[0].codes_, models[1].codes_)
    assert history_of(models[0]) == history_of(models[1])


# --- files mapped into memory ---


def mapped(path, array):
    array.tofile(path)
    return np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape)


def test_mapped_float32_is_learned_like_arrays(expected, tmp_path):
    views = {name: mapped(tmp_path / name, X) for name, X in VIEWS.items()}
    assert_same(sdch(feature_maps=AS_THEY_ARE).fit(views, LABELS), expected[sdch])


@pytest.mark.parametrize("feature_maps", [None, AS_THEY_ARE])
def test_mapped_uint8_is_learned_like_arrays(tmp_path, feature_maps):
    views = {name: np.clip(20 * X + 100, 0, 255).astype(np.uint8) for name, X in VIEWS.items()}
    files = {name: mapped(tmp_path / name, X) for name, X in views.items()}
    floats = {name: X.astype(np.float64) for name, X in views.items()}
    options = {"feature_maps": feature_maps, "learning_rate": 1e-5}
    expected = sdch(**options).fit(floats, LABELS)
    assert_same(sdch(**options).fit(files, LABELS), expected, floats)
    assert_same(sdch(**options).fit(views, LABELS), expected, floats)


def peak_of(function):
    """How many bytes NumPy had in use at once, at most, while the function ran."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_mapped_rows_are_read_a_batch_at_a_time(rng, tmp_path):
    X = rng.standard_normal((40_000, 128), dtype=np.float32)

    def read(rows):
        found = ArrayRows({"x": ArrayView("x", "x", rows, has_backbone=False)})
        for start in range(0, 40_000, 5000):
            chosen = np.arange(start, start + 64)
            for inputs in found.batches([chosen]):
                np.testing.assert_array_equal(inputs["x"].numpy(), X[chosen])

    assert peak_of(lambda: read(mapped(tmp_path / "x", X))) < 0.1 * X.nbytes
    values = X.astype(np.float64)
    assert peak_of(lambda: read(values)) > X.nbytes  # what is in memory is made float32 once


def test_mapped_pictures_are_not_read_as_a_whole(rng, tmp_path):
    n, shape = 4000, (3, 48, 48)
    pictures = np.memmap(tmp_path / "pictures", dtype=np.uint8, mode="w+", shape=(n, *shape))
    labels = np.arange(n) % 2
    for start in range(0, n, 500):
        block = rng.integers(0, 100, (500, *shape), dtype=np.uint8)
        block[labels[start : start + 500] == 1, 0] += 100
        pictures[start : start + 500] = block
    views = {"image": pictures, "text": rng.standard_normal((n, 8))}
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    model = behind(backbone, epochs=1, batch_size=128, validation_fraction=0.0)
    model.fit({name: view[:200] for name, view in views.items()}, labels[:200])  # loads what is loaded when needed
    as_float32 = 4 * pictures.size
    assert peak_of(lambda: model.fit(views, labels)) < 0.4 * as_float32
    assert peak_of(lambda: model.encode(pictures, modality="image")) < 0.4 * as_float32


def test_pictures_are_encoded_few_at_a_time():
    assert rows_per_block([TensorSpec((4096,)), TensorSpec((10**6,))]) == 1024
    assert rows_per_block([TensorSpec((300,)), TensorSpec((3, 227, 227))]) * 3 * 227 * 227 < 2**23
    assert rows_per_block([TensorSpec((3, 5000, 5000))]) == 1
    tokens = TensorSpec((512,), torch.int64)
    assert rows_per_block([{"input_ids": tokens, "attention_mask": tokens}]) == 32


# --- pictures and backbones ---


class Small(nn.Module):
    """A network of a user's own."""

    def __init__(self, n_outputs=10):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4 * 36, n_outputs)

    def forward(self, x):
        return self.last(torch.relu(self.convolution(x - 0.5)).flatten(1))


def small():
    torch.manual_seed(5)
    return Small()


_rng = np.random.default_rng(8)
PICTURES = np.clip(_rng.integers(0, 256, (6, 3, 8, 8))[LABELS] + _rng.integers(-40, 41, (N, 3, 8, 8)), 0, 255).astype(
    np.uint8
)
WITH_PICTURES = {"image": PICTURES, "text": VIEWS["text"]}


def behind(backbone, **parameters):
    """A model that learns pictures behind a backbone, fast enough for two epochs."""
    rates = {"learning_rate": 1e-2, "backbone_learning_rate": 1e-2}
    return sdch(backbones={"image": backbone}, **rates | parameters)


@pytest.fixture(scope="module")
def with_pictures():
    backbone = small()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    return backbone, before, behind(backbone).fit(WITH_PICTURES, LABELS)


PICTURE_FORMS = {
    "float32": lambda X: X.astype(np.float32) / np.float32(255),
    "channels_last": lambda X: np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "float64": lambda X: (X.astype(np.float32) / np.float32(255)).astype(np.float64),
}


@pytest.mark.parametrize("form", PICTURE_FORMS)
def test_pictures_of_any_form_are_learned_alike(with_pictures, form):
    _, _, expected = with_pictures
    pictures = PICTURE_FORMS[form](PICTURES)
    model = behind(small()).fit({"image": pictures, "text": VIEWS["text"]}, LABELS)
    assert_same(model, expected, WITH_PICTURES)
    np.testing.assert_array_equal(
        model.project(pictures, modality="image"), expected.project(PICTURES, modality="image")
    )


def test_pictures_are_in_0_to_1(with_pictures, monkeypatch):
    seen = []
    forward = Small.forward
    monkeypatch.setattr(Small, "forward", lambda self, x: (seen.append(x.clone()), forward(self, x))[1])
    with_pictures[2].project(PICTURES[:4], modality="image")
    np.testing.assert_allclose(torch.cat(seen).numpy(), PICTURES[:4] / 255, rtol=1e-6)


def test_black_pictures_are_pictures(with_pictures):
    black = np.zeros((N, 3, 8, 8), np.uint8)
    black[LABELS % 2 == 0, :, 2, 2] = 255
    assert np.isfinite(with_pictures[2].project(black, modality="image")).all()
    model = behind(small()).fit({"image": black, "text": VIEWS["text"]}, LABELS)
    assert model.modalities_ == {"image": 192, "text": 30}


def test_a_backbone_is_trained_as_a_copy(with_pictures):
    backbone, before, model = with_pictures
    after = backbone.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert backbone.training
    trained = model._state.network.backbones["image"].state_dict()
    assert not any(torch.equal(trained[name], tensor) for name, tensor in before.items())


def test_a_frozen_backbone_stays(with_pictures):
    backbone = small().requires_grad_(False)
    model = behind(backbone).fit(WITH_PICTURES, LABELS)
    trained = model._state.network.backbones["image"].state_dict()
    assert all(torch.equal(trained[name], tensor) for name, tensor in with_pictures[1].items())
    assert set(model.history_[0]["learning_rates"]) == {"features", "hash"}


@pytest.mark.parametrize("shape", [(5, 192), (5, 3, 8, 9), (5, 8, 8, 3), (3, 8, 8)])
def test_pictures_of_another_shape_are_refused(with_pictures, shape):
    with pytest.raises(ValueError, match=re.escape(f"X must have shape (n, 3, 8, 8), got {shape}")):
        with_pictures[2].encode(np.zeros(shape, np.uint8), modality="image")


def test_a_backbone_of_ones_own_is_loaded_into_what_is_given(with_pictures, tmp_path):
    _, _, model = with_pictures
    model.save(tmp_path / "model")
    given = Small()
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    again = pyhash.load(tmp_path / "model", backbones={"image": given})
    np.testing.assert_array_equal(again.project(PICTURES, modality="image"), model.project(PICTURES, modality="image"))
    assert all(torch.equal(given.state_dict()[name], tensor) for name, tensor in before.items())
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize(
    ("backbones", "error", "message"),
    [
        (None, TypeError, "backbones must name a Small for 'image': files hold weights, not code"),
        (
            {"text": Small()},
            ValueError,
            "backbones must be for 'image', 'text', got|backbones must be for 'image', got",
        ),
        ({"image": "Small"}, TypeError, r"backbones\['image'\] must be a torch module, got str"),
        ([Small()], TypeError, "backbones must be a mapping of modality names to torch modules, got list"),
        ({"image": Small(12)}, pyhash.ModelFormatError, "its weights do not fit the networks"),
    ],
    ids=["none", "of another", "no module", "no mapping", "other widths"],
)
def test_a_backbone_of_ones_own_has_to_be_given(with_pictures, tmp_path, backbones, error, message):
    with_pictures[2].save(tmp_path / "model")
    with pytest.raises(error, match=message) as caught:
        pyhash.load(tmp_path / "model", backbones=backbones)
    assert caught.type is error


def test_wrong_backbones_are_refused():
    for backbones, error, message in (
        (
            {"image": small(), "audio": small()},
            ValueError,
            "backbones must be for 'image', 'text', got one for 'audio'",
        ),
        ({"image": Small}, TypeError, r"backbones\['image'\] must be a torch module, got type"),
        ({"image": nn.Linear(5, 5)}, ValueError, r"backbones\['image'\] must take rows of shape"),
        (
            {"image": nn.Flatten(0)},
            ValueError,
            r"backbones\['image'\] must take .* and give features, a row for each row",
        ),
    ):
        with pytest.raises(error, match=message):
            sdch(backbones=backbones).fit(WITH_PICTURES, LABELS)


def test_alexnet_is_learned_end_to_end(rng, tmp_path):
    labels = np.arange(40) % 2
    pictures = rng.integers(0, 120, (40, 3, 67, 67), dtype=np.uint8)
    pictures[labels == 1, 0] += 120  # one class is red
    pictures[labels == 0, 2] += 120
    views = {"image": pictures, "text": np.eye(2)[labels] + 0.1 * rng.standard_normal((40, 2))}
    torch.manual_seed(3)
    backbone = AlexNet(channels=(6, 6, 6, 6, 6), width=24, dropout=0.0, normalization=((0.5,) * 3, (0.25,) * 3))
    model = behind(backbone, epochs=12, batch_size=20, learning_rate=5e-3, backbone_learning_rate=5e-3, gamma=1.0)
    model.fit(views, labels)
    losses = [entry["loss"] for entry in model.history_]
    assert losses[-1] < 0.7 * losses[0]
    trained = model._state.network.backbones["image"]
    assert not torch.equal(trained.conv1.weight, backbone.conv1.weight)
    signs = unpack(model.encode(pictures, modality="image"), 16).astype(int)
    distances = (16 - signs @ signs.T) / 2
    alike = labels[:, None] == labels
    assert distances[~alike].mean() > distances[alike].mean() + 3
    model.save(tmp_path / "model")  # pyhash's own network is made again without being given
    again = pyhash.load(tmp_path / "model")
    np.testing.assert_array_equal(again.encode(pictures, modality="image"), model.encode(pictures, modality="image"))


# --- loaders ---


class Items(Dataset):
    """Rows as a loader's data set; without labels where there are none."""

    def __init__(self, views=VIEWS, labels=LABELS):
        self.views, self.labels = views, labels

    def __len__(self):
        return len(next(iter(self.views.values())))

    def __getitem__(self, i):
        views = {name: X[i] for name, X in self.views.items()}
        return views if self.labels is None else (views, self.labels[i])


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (sdch, {}),
        (dhsl, {"batch_size": 7, "shuffle": True}),
        (dhsl, {"batch_size": 50, "num_workers": 2}),
    ],
    ids=["SDCH", "DHSL shuffled", "DHSL with workers"],
)
def test_a_loader_is_learned_like_its_arrays(expected, make, options):
    assert_same(make().fit(DataLoader(Items(), **options)), expected[make])


def test_labels_may_be_given_beside_a_loader(expected):
    loader = DataLoader(Items(labels=None))
    assert_same(sdch().fit(loader, LABELS), expected[sdch])
    # Those that are given count, not those of the items.
    assert_same(sdch().fit(DataLoader(Items(labels=np.zeros(N, int))), LABELS), expected[sdch])


def test_items_may_hold_pictures_and_label_vectors(with_pictures):
    loader = DataLoader(Items(WITH_PICTURES, np.eye(6, dtype=np.uint8)[LABELS]))
    expected = behind(small(), feature_maps=AS_THEY_ARE).fit(WITH_PICTURES, LABELS)
    assert_same(behind(small()).fit(loader), expected, WITH_PICTURES)


def test_tensors_may_require_gradients_and_be_bfloat16():
    tensors = {name: torch.from_numpy(np.array(X)).bfloat16().requires_grad_() for name, X in VIEWS.items()}
    arrays = {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    model = sdch(feature_maps=AS_THEY_ARE).fit(arrays, LABELS)
    assert_same(sdch(feature_maps=AS_THEY_ARE).fit(tensors, LABELS), model, arrays)
    assert_same(sdch().fit(DataLoader(Items(tensors, torch.from_numpy(LABELS)))), model, arrays)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(model.project(tensor, modality=name), model.project(arrays[name], modality=name))


class Noisy(Items):
    """Rows that differ each time they are read."""

    def __getitem__(self, i):
        views, label = super().__getitem__(i)
        return {name: X + 0.1 * torch.randn(len(X)).numpy() for name, X in views.items()}, label


@pytest.mark.parametrize("n_workers", [0, 2])
def test_what_a_data_set_draws_is_by_the_seed(n_workers):
    loader = DataLoader(Noisy(), num_workers=n_workers)
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        models.append(dhsl(epochs=1, validation_fraction=0.0).fit(loader))
        assert torch.equal(torch.get_rng_state(), before)
    assert_same(*models)


def test_a_checkpoint_does_not_change_what_a_data_set_draws(tmp_path):
    loader = DataLoader(Noisy())
    assert_same(sdch().fit(loader, checkpoint=tmp_path / "checkpoint"), sdch().fit(loader))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Items())


class MyOrder(SequentialSampler):
    pass


ITEMS = Items()
REFUSED_LOADERS = {
    "stream": (lambda: DataLoader(Stream()), "a data set with rows by number, got one over a stream"),
    "no batches": (lambda: DataLoader(ITEMS, batch_size=None), "got one with batch_size=None"),
    "no mapping": (lambda: DataLoader(VIEWS["text"]), "items are mappings of modality names to rows"),
    "a tuple of rows": (lambda: DataLoader(list(zip(*VIEWS.values(), strict=True))), "items are mappings"),
    "numbers for names": (lambda: DataLoader([{1: np.ones(3)}] * 9), "items are mappings"),
    "no labels": (lambda: DataLoader(Items(labels=None)), "labels must be given, or be in the items"),
    "no modality": (lambda: DataLoader([({}, 1)] * 9), "views must hold at least one modality"),
    "no row": (lambda: DataLoader([]), "views must have at least one row"),
    "numbers": (lambda: DataLoader([({"x": 1.0}, 1)] * 9), r"views\['x'\] must have shape \(n, n_features\), got"),
    "text": (lambda: DataLoader([({"x": "a"}, 1)] * 9), r"views\['x'\]"),
}


@pytest.mark.parametrize("name", REFUSED_LOADERS)
def test_loaders_that_cannot_be_read_so_are_refused(name):
    make, message = REFUSED_LOADERS[name]
    model = sdch()
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(make())
    with pytest.raises(pyhash.NotFittedError):
        model.codes_  # noqa: B018


def test_feature_maps_beside_a_loader_are_refused():
    maps = {"text": pyhash.Centering()}
    with pytest.raises(ValueError, match="feature_maps must be None where views are a DataLoader, got one for 'text'"):
        sdch(feature_maps=maps).fit(DataLoader(ITEMS))


class OneWrong(Items):
    """Rows of which the last is not like the others."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def __getitem__(self, i):
        views, label = super().__getitem__(i)
        if i == N - 1:
            if self.kind == "raises":
                raise FileNotFoundError("picture 119 is gone")
            if self.kind == "is missing":
                del views["text"]
            elif self.kind == "is not finite":
                views["text"] = np.full(30, np.nan, np.float32)
            else:
                views["text"] = views["text"][:7]
        return views, label


def last_alone(items):
    """A batch that begins with the wrong row holds it alone, or else none of them."""
    if len({tuple((name, X.shape) for name, X in views.items()) for views, _ in items}) > 1:
        items = [item for item in items if "text" not in item[0] or len(item[0]["text"]) < 30]
    return torch.utils.data.default_collate(items)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("raises", FileNotFoundError, "picture 119 is gone"),
        (
            "is missing",
            ValueError,
            r"views\['text'\] of a batch must be there for \d+ rows, got none|must have \d+ rows",
        ),
        ("is not finite", ValueError, r"views\['text'\] of a batch must be finite"),
        ("is short", ValueError, r"views\['(image|text)'\] of a batch must have (\d+ rows|shape \(n, 30\)), got"),
    ],
)
@pytest.mark.parametrize("n_workers", [0, 2])
def test_wrong_items_stop_training_and_leave_no_process(kind, error, message, n_workers):
    loader = DataLoader(OneWrong(kind), num_workers=n_workers, collate_fn=last_alone)
    model = sdch(validation_fraction=0.0)
    with pytest.raises(error, match=message) as caught:
        model.fit(loader, LABELS)
    # With the traceback still in hand, as a session keeps the last one.
    assert multiprocessing.active_children() == []
    assert caught.value is not None
    assert model._state is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_training_that_is_stopped_leaves_no_process(monkeypatch, error):
    n_steps, during = 0, []
    step = Training._step

    def stopped(self, *args):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 2:
            during.extend(multiprocessing.active_children())
            raise error
        return step(self, *args)

    monkeypatch.setattr(Training, "_step", stopped)
    with pytest.raises(error) as caught:
        sdch().fit(DataLoader(ITEMS, num_workers=2), LABELS)
    assert multiprocessing.active_children() == []
    assert caught.value is not None
    assert len(during) == 2


def test_a_training_that_ends_leaves_no_process():
    sdch(epochs=1).fit(DataLoader(ITEMS, num_workers=2), LABELS)
    assert multiprocessing.active_children() == []


THREADED = """
    import multiprocessing.util, os, signal, sys, time
    import numpy as np, torch, pyhash
    from torch.utils.data import DataLoader, Dataset
    from pyhash.deep import SDCH, TrainingOptions

    # A shell that starts tests in the background makes them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(2)
    stops = sys.argv[1]

    class Items(Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            square = torch.full((160, 160), 1.0 + i)  # large enough for threads
            value = float((square @ square)[0, 0]) / 160
            if i == 10 and os.path.exists(stops):
                os.unlink(stops)
                os.killpg(0, signal.SIGINT)  # as a terminal does: to the workers too
            return {"x": np.full(4, value, np.float32) + np.arange(4) * (i % 3)}, i % 3

    def fit():
        training = TrainingOptions(epochs=1, batch_size=4, validation_fraction=0.0)
        model = SDCH(8, hidden=(8,), feature_width=8, training=training)
        return model.fit(DataLoader(Items(), num_workers=2), np.arange(12) % 3)

    # Threads of all three libraries have run before any worker is forked.
    (torch.ones(600, 600) @ torch.ones(600, 600)).sum().item()
    np.ones((600, 600)) @ np.ones((600, 600))
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 8), dtype=np.uint8)
    pyhash.search.hamming_top_k(codes[:200], codes, 5, n_threads=4)
    first, second = fit(), fit()

    def fit_until_stopped():
        try:
            fit()
        except KeyboardInterrupt:
            print("stopped", left())

    def left():
        # Where the machine is busy, workers that were told to end take a moment.
        end = time.monotonic() + 60
        while multiprocessing.active_children() and time.monotonic() < end:
            time.sleep(0.05)
        return multiprocessing.active_children()

    open(stops, "w").close()
    fit_until_stopped()

    # Ctrl-C while the workers start: they send it before torch's own handling of signals begins.
    class Starting:
        pass

    def stop_at_start(_):
        os.killpg(0, signal.SIGINT)
        time.sleep(0.2)

    starting = Starting()
    multiprocessing.util.register_after_fork(starting, stop_at_start)
    fit_until_stopped()
    del starting

    third = fit()
    same = all(np.array_equal(first.codes_, other.codes_) for other in (second, third))
    print("same", same, left())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")
@pytest.mark.slow("waits for worker processes")
def test_workers_that_use_threads_do_not_hang(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait take no time from those that work
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(THREADED), str(tmp_path / "stop")],
        capture_output=True,
        text=True,
        timeout=180,
        start_new_session=True,
        env=environment,
        check=False,
    )
    assert done.stdout.splitlines() == ["stopped []", "stopped []", "same True []"], done.stderr
