"""Inputs of backbones, their training, transforms, and samplers of loaders."""

import collections
import multiprocessing

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

import pyhash
from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash.deep import DHSL, SDCH, TrainingOptions
from pyhash.deep.loader_rows import LoaderRows
from pyhash.deep.networks.inputs import TensorSpec
from pyhash.evaluation import mean_average_precision

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread", "one_torch_thread"),
    # Newer Pythons warn of forks where any library has started threads; torch forks its workers.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    # One epoch does not separate classes.
    pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning"),
]

N, N_CLASSES, LENGTH = 96, 4, 12
LABELS = np.arange(N) % N_CLASSES
METHODS = {
    "sdch": lambda options, **parameters: SDCH(16, feature_width=16, hidden=(16,), training=options, **parameters),
    "dhsl": lambda options, **parameters: DHSL(
        16, hidden=(32, 16), selector_hidden=(8, 8), relation_hidden=8, training=options, **parameters
    ),
}


@pytest.fixture(scope="module")
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def options(**values):
    return TrainingOptions(**{"epochs": 1, "batch_size": 16, "validation_fraction": 0.0} | values)


def draw_pictures(labels, rng):
    """Noise, with a bright quarter for each class."""
    pictures = rng.integers(0, 100, (len(labels), 3, 12, 12), dtype=np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        row, column = divmod(int(label), 2)
        picture[:, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 120
    return pictures


def draw_texts(labels, rng):
    """Token ids of 6 to 12 words, three of which are of the class, padded by 0."""
    ids = np.zeros((len(labels), LENGTH), dtype=np.int64)
    for row, label in zip(ids, labels, strict=True):
        n = rng.integers(6, LENGTH + 1)
        row[:n] = rng.integers(1, 20, n)
        row[rng.choice(n, 3, replace=False)] = 20 + 3 * label + rng.integers(0, 3, 3)
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}


def draw_views(labels, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": draw_pictures(labels, rng), "text": draw_texts(labels, rng)}


VIEWS = draw_views(LABELS)


class Residual(nn.Module):
    """A small network of pictures with one residual block."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
        )
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, x):
        x = self.stem(x)
        return self.pool(torch.relu(x + self.block(x)))


class Words(nn.Module):
    """The mean of embeddings, in which a mask leaves out padding."""

    def __init__(self, width=12):
        super().__init__()
        self.embedding = nn.Embedding(40, width)
        self.last = nn.Linear(width, width)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].float()
        return self.last((self.embedding(input_ids) * mask).sum(1) / mask.sum(1))


class WordsOfOneDict(Words):
    def forward(self, batch):
        return super().forward(**batch)


class WordsOfNestedDict(Words):
    def forward(self, batch):
        return super().forward(**batch["tokens"])


def made(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments)


def of_text(backbone=None, training=None, method=METHODS["sdch"], **parameters):
    """An untrained model of texts alone."""
    return method(training or options(), backbones={"text": backbone or made(Words)}, **parameters)


def codes_of(model, views):
    return {name: model.encode(X, modality=name) for name, X in views.items()}


def assert_same(model, other, views):
    for name, codes in codes_of(model, views).items():
        np.testing.assert_array_equal(codes, other.encode(views[name], modality=name))


# --- end to end ---


def bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
    )
    return made(transformers.BertModel, config)


@pytest.mark.slow("trains a text model and a picture model")
def test_pictures_and_texts_are_learned_end_to_end(method, tmp_path):
    labels = np.arange(240) % N_CLASSES
    views, queries = draw_views(labels, 1), draw_views(LABELS, 2)
    backbones = {"image": made(Residual), "text": bert().eval()}  # from_pretrained gives it in eval mode too
    model = method(
        options(epochs=8, batch_size=32), backbones=backbones, train_backbones=True, backbone_learning_rate=3e-3
    ).fit(views, labels)
    assert model.modalities_ == {"image": 3 * 12 * 12, "text": 2 * LENGTH}
    for query, searched in (("image", "text"), ("text", "image")):
        codes, database = codes_of(model, {query: queries[query]}), codes_of(model, {searched: views[searched]})
        found = mean_average_precision(codes[query], database[searched], LABELS, labels, n_bits=16).value
        assert found > 0.6  # chance is 0.25
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model", backbones={"image": made(Residual), "text": bert()})
    assert_same(again, model, queries)


# --- what backbones get ---


class Recorded(nn.Module):
    """Keeps what its inputs were."""

    seen: list

    def __init__(self):
        super().__init__()
        self.seen = []

    def __deepcopy__(self, memo):
        return self  # so that the test sees what the copy gets

    def forward(self, x):
        self.seen.append(x)
        return x.reshape(len(x), -1)[:, :4].float()


DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_integers_and_bools_are_passed_as_they_are(dtype):
    ids = torch.from_numpy(VIEWS["text"]["input_ids"]).to(dtype)
    backbone = Recorded()
    model = of_text(backbone).fit({"text": ids}, LABELS)
    assert all(x.dtype == dtype for x in backbone.seen)
    backbone.seen.clear()
    model.project(ids, modality="text")
    assert torch.equal(torch.cat(backbone.seen), ids)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_floats_become_float32(dtype):
    features = torch.randn(N, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    backbone = Recorded()
    of_text(backbone).fit({"text": features}, LABELS)
    assert {x.dtype for x in backbone.seen} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_floats_get_the_dtype_of_a_backbone(tmp_path, dtype):
    features = np.random.default_rng(0).standard_normal((N, 6))
    backbone = nn.Linear(6, 5).to(dtype)
    model = of_text(backbone).fit({"text": features}, LABELS, checkpoint=tmp_path / "checkpoint")
    projections = model.project(features, modality="text")
    assert projections.dtype == np.float32
    model.save(tmp_path / "model")
    for again in (
        pyhash.load(tmp_path / "model", backbones={"text": backbone}),
        of_text(backbone).fit({"text": features}, LABELS, checkpoint=tmp_path / "checkpoint"),
    ):
        np.testing.assert_array_equal(again.project(features, modality="text"), projections)


@pytest.mark.parametrize(
    ("shape", "is_scaled"),
    [
        ((N, 1, 6, 6), True),
        ((N, 3, 6, 6), True),
        ((N, 4, 6, 6), True),
        ((N, 2, 6, 6), False),
        ((N, 3, 6), False),
        ((N, 36), False),
    ],
)
def test_only_pictures_of_8_bits_are_scaled(shape, is_scaled):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    backbone = Recorded()
    of_text(backbone).fit({"text": values}, LABELS).project(values[:7], modality="text")
    last = backbone.seen[-1]
    assert last.dtype == (torch.float32 if is_scaled else torch.uint8)
    expected = values[:7] / np.float32(255) if is_scaled else values[:7]
    np.testing.assert_array_equal(last.numpy(), expected)


def test_pictures_of_other_integers_are_refused_since_they_are_not_scaled():
    model = METHODS["sdch"](options(epochs=1), backbones={"image": Residual()})
    model.fit({"image": VIEWS["image"]}, LABELS)
    with pytest.raises(ValueError, match="pictures of floats or of uint8, as in training, got int64"):
        model.project(VIEWS["image"].astype(np.int64), modality="image")


def test_sparse_rows_are_dense_for_a_backbone():
    words = np.eye(10, dtype=np.float32)[LABELS]
    models = [of_text(made(nn.Linear, 10, 6)).fit({"text": form}, LABELS) for form in (words, csr_array(words))]
    assert_same(*models, {"text": words})


def test_a_dict_is_passed_as_keywords_or_as_one_dict():
    texts = VIEWS["text"]
    expected = of_text(made(Words)).fit({"text": texts}, LABELS)
    assert_same(of_text(made(WordsOfOneDict)).fit({"text": texts}, LABELS), expected, {"text": texts})
    nested = {"tokens": texts}
    model = of_text(made(WordsOfNestedDict)).fit({"text": nested}, LABELS)
    np.testing.assert_array_equal(model.encode(nested, modality="text"), expected.encode(texts, modality="text"))


@pytest.mark.parametrize("form", [torch.from_numpy, lambda X: X.astype(np.int32), lambda X: X.tolist()])
def test_dicts_may_hold_tensors_smaller_integers_and_lists(form):
    texts = VIEWS["text"]
    expected = of_text().fit({"text": texts}, LABELS)
    queries = {name: form(X) for name, X in texts.items()}
    np.testing.assert_array_equal(expected.encode(queries, modality="text"), expected.encode(texts, modality="text"))


def test_texts_of_another_length_are_encoded():
    texts = VIEWS["text"]
    model = of_text().fit({"text": texts}, LABELS)
    longer = {name: np.pad(X, ((0, 0), (0, 5))) for name, X in texts.items()}
    np.testing.assert_array_equal(model.encode(longer, modality="text"), model.encode(texts, modality="text"))
    none = {name: X[:0] for name, X in texts.items()}
    assert model.encode(none, modality="text").shape == (0, 2)


def test_mapped_tokens_and_pictures_are_learned_like_arrays(tmp_path):
    def mapped(name, X):
        X.tofile(tmp_path / name)
        return np.memmap(tmp_path / name, dtype=X.dtype, mode="r", shape=X.shape)

    views = {"image": mapped("image", VIEWS["image"]), "text": {k: mapped(k, X) for k, X in VIEWS["text"].items()}}
    models = [
        METHODS["sdch"](options(), backbones={"image": made(Residual), "text": made(Words)}).fit(each, LABELS)
        for each in (VIEWS, views)
    ]
    assert_same(*models, VIEWS)


IDS, MASK = VIEWS["text"]["input_ids"], VIEWS["text"]["attention_mask"]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (IDS, ValueError, "X must be a dict with 'input_ids', 'attention_mask', got an array"),
        (
            {"input_ids": IDS},
            ValueError,
            "must be a dict with 'input_ids', 'attention_mask', got one with 'input_ids'",
        ),
        ({}, ValueError, "X must hold at least one array, got an empty dict"),
        (
            {"input_ids": IDS, "attention_mask": MASK[:5]},
            ValueError,
            "X must have equally many rows",
        ),
        (
            {"input_ids": IDS.astype(float), "attention_mask": MASK},
            ValueError,
            r"X\['input_ids'\] must hold int64, as in training, got float32",
        ),
        (
            {"input_ids": IDS[:, :, None], "attention_mask": MASK},
            ValueError,
            r"X\['input_ids'\] must have shape \(n, any length\), got \(96, 12, 1\)",
        ),
        ({"input_ids": [["a"]], "attention_mask": [[1]]}, TypeError, r"X\['input_ids'\] must hold real numbers"),
        (
            {"input_ids": IDS, "attention_mask": {"a": MASK}},
            ValueError,
            "must be an array, got a dict",
        ),
    ],
)
def test_dicts_of_another_kind_are_refused(X, error, message):
    model = of_text().fit({"text": VIEWS["text"]}, LABELS)
    with pytest.raises(error, match=message):
        model.encode(X, modality="text")


@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        ({"text": {}}, ValueError, r"views\['text'\] must hold at least one array"),
        ({"text": 5.0}, ValueError, r"views\['text'\] must have rows, got a number"),
        ({"text": {name: X[:0] for name, X in VIEWS["text"].items()}}, ValueError, "views must have at least one row"),
        ({"text": VIEWS["text"], "image": np.ones((5, 3))}, ValueError, "views must have equally many rows"),
        ({"text": {**VIEWS["text"], "more": MASK}}, ValueError, "unexpected keyword|must take a dict with 'input_ids'"),
        ({"text": VIEWS["image"]}, ValueError, r"backbones\['text'\] must take rows of shape \(n, 3, 12, 12\)"),
        ({"image": VIEWS["text"]}, (TypeError, ValueError), "image"),
        ({"text": np.where(MASK, np.nan, 1.0)}, ValueError, r"views\['text'\] must be finite"),
    ],
)
def test_views_that_a_backbone_cannot_take_are_refused(views, error, message):
    with pytest.raises(error, match=message):
        of_text().fit(views, LABELS)


class Gives(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output(x)


Output = collections.namedtuple("Output", ["last_hidden_state", "pooler_output"])


def test_the_pooled_output_of_a_model_is_taken():
    features = np.random.default_rng(0).standard_normal((N, 6)).astype(np.float32)
    plain = of_text(Gives(lambda x: x)).fit({"text": features}, LABELS)
    pooled = of_text(Gives(lambda x: Output(None, x))).fit({"text": features}, LABELS)
    assert_same(plain, pooled, {"text": features})
    for output in (lambda x: Output(x, None), lambda x: (x, x), lambda x: x.sum(0), lambda x: x[:, :0]):
        with pytest.raises(ValueError, match=r"backbones\['text'\] must (take .* and )?give features, a row"):
            of_text(Gives(output)).fit({"text": features}, LABELS)


# --- tensors on devices ---


def test_tensors_without_values_are_refused():
    model = of_text().fit({"text": VIEWS["text"]}, LABELS)
    empty = {name: torch.from_numpy(X).to("meta") for name, X in VIEWS["text"].items()}
    with pytest.raises(TypeError, match=r"X\['input_ids'\] must be a tensor of values that numpy has.*meta"):
        model.project(empty, modality="text")


# --- loaders ---


class Items(Dataset):
    """Items that count how often each of them was read, with texts of their own length."""

    def __init__(self, views=VIEWS, labels=LABELS):
        self.views, self.labels = views, labels
        self.counts = np.zeros(len(LABELS), dtype=int)

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        self.counts[i] += 1
        item = {}
        if "image" in self.views:
            item["image"] = torch.from_numpy(self.views["image"][i])
        if "text" in self.views:
            n = int(self.views["text"]["attention_mask"][i].sum())
            item["text"] = {name: torch.from_numpy(X[i, :n]) for name, X in self.views["text"].items()}
        return item if self.labels is None else (item, self.labels[i])


def padded(items):
    """A batch whose texts are as long as the longest of them."""
    longest = max(len(item["text"]["input_ids"]) for item, _ in items)
    pad = lambda x: nn.functional.pad(x, (0, longest - len(x)))  # noqa: E731
    return default_collate(
        [({**item, "text": {name: pad(x) for name, x in item["text"].items()}}, label) for item, label in items]
    )


def of_both(training=None, **parameters):
    backbones = {"image": made(Residual), "text": made(Words)}
    return METHODS["sdch"](training or options(), backbones=backbones, **parameters)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_loader_that_pads_its_batches_is_learned_like_arrays(n_workers):
    loader = DataLoader(Items(), collate_fn=padded, num_workers=n_workers)
    assert_same(of_both().fit(loader), of_both().fit(VIEWS, LABELS), VIEWS)


# SDCH begins with codes of all rows.
@pytest.mark.parametrize(("name", "n_before"), [("dhsl", 0), ("sdch", 1)])
@pytest.mark.parametrize("validation_fraction", [0.0, 0.25])
def test_items_are_read_once_an_epoch_and_once_at_the_end(name, n_before, validation_fraction):
    items, backbones = Items(), {"image": made(Residual), "text": made(Words)}
    training = options(epochs=3, validation_fraction=validation_fraction)
    model = METHODS[name](training, backbones=backbones).fit(DataLoader(items, collate_fn=padded), LABELS)
    assert (model.history_[-1]["validation"] is not None) == (validation_fraction > 0)
    assert (items.counts[1:] == n_before + 3 + 1).all()
    assert items.counts[0] == n_before + 3 + 1 + 1  # the first says what items are


@pytest.fixture
def learned(monkeypatch):
    """The rows of every batch that is learned."""
    batches = []
    read = LoaderRows.training_batches

    def recorded(self, rows):
        batches.append([each.tolist() for each in rows])
        return read(self, rows)

    monkeypatch.setattr(LoaderRows, "training_batches", recorded)
    return batches


def test_the_batch_size_of_a_loader_counts_where_options_name_none(learned):
    for loader_size, named, expected in ((24, None, 4), (24, 48, 2), (1, None, 1)):
        training = TrainingOptions(epochs=1, batch_size=named, validation_fraction=0.0)
        of_both(training).fit(DataLoader(Items(), batch_size=loader_size, collate_fn=padded))
        assert len(learned.pop()) == expected


class Order:
    """A sampler of a user's own, told the number of the epoch as those of torch.distributed are."""

    def __init__(self, orders):
        self.orders, self.epochs = orders, []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(self.orders[self.epochs[-1] - 1])

    def __len__(self):
        return len(self.orders[0])


def together(batches):
    return [row for batch in batches for row in batch]


def test_samplers_of_ones_own_choose_the_batches(learned):
    items, every = Items(), list(range(N))
    fit = lambda model, **loader: model.fit(DataLoader(items, collate_fn=padded, **loader))  # noqa: E731
    order = Order([every[::-1], [5, 5, 7, 9]])
    fit(of_both(options(epochs=2, batch_size=40)), sampler=order)
    assert order.epochs == [1, 2]
    assert learned == [[every[:55:-1], every[55:15:-1], every[15::-1]], [[5, 5, 7, 9]]]
    learned.clear()
    batches = [[3, 1, 2], [90, 3], [4]]
    fit(of_both(), batch_sampler=batches)
    assert learned == [[[3, 1, 2], [90, 3], [4, 4]]]  # normalisation over a batch needs two rows
    learned.clear()
    fit(of_both(), sampler=SubsetRandomSampler(range(20)))
    assert sorted(together(learned[0])) == list(range(20))
    learned.clear()
    weights = (LABELS == 1).astype(float)
    fit(of_both(), sampler=WeightedRandomSampler(weights.tolist(), 30))
    assert len(together(learned[0])) == 30
    assert (LABELS[together(learned[0])] == 1).all()
    learned.clear()
    fit(of_both(), batch_sampler=BatchSampler(SequentialSampler(items), 50, drop_last=False))
    assert learned == [[every[:50], every[50:]]]
    learned.clear()
    fit(of_both(), sampler=DistributedSampler(items, num_replicas=2, rank=0))  # batches are divided by the training
    assert sorted(together(learned[0])) == every


def test_rows_that_a_sampler_leaves_out_have_codes(learned):
    training = options(epochs=2, validation_fraction=0.25)
    loader = DataLoader(Items(), collate_fn=padded, sampler=SubsetRandomSampler(range(60)))
    model = of_both(training).fit(loader)
    assert len(model.codes_) == N
    np.testing.assert_array_equal(model.codes_, model.encode_fused(VIEWS))
    assert all(row < 60 for epoch in learned for batch in epoch for row in batch)
    n_learned = [len(together(epoch)) for epoch in learned]
    assert all(n < 60 for n in n_learned)  # without those held out


def test_the_same_seed_gives_the_same_rows_of_a_random_sampler(learned):
    for _ in range(2):
        loader = DataLoader(Items(), collate_fn=padded, sampler=RandomSampler(Items(), replacement=True))
        of_both().fit(loader)
    assert learned[0] == learned[1]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Items())


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        ({"sampler": [0, N]}, ValueError, r"sampler gives row numbers from 0 to 95, got 0 to 96"),
        ({"sampler": ["a", "b"]}, TypeError, r"sampler gives row numbers, .* got \['a', 'b'\]"),
        ({"batch_sampler": [["a"]]}, TypeError, r"sampler gives row numbers, .* got \['a'\]"),
        ({"sampler": []}, ValueError, "views must be a DataLoader whose sampler gives rows to train on, got none"),
        ({"batch_size": None}, TypeError, "a DataLoader that makes batches, got one with batch_size=None"),
    ],
)
def test_samplers_that_give_no_rows_are_refused(loader, error, message):
    with pytest.raises(error, match=message):
        of_both().fit(DataLoader(Items(), collate_fn=padded, **loader), LABELS)


def test_streams_are_refused():
    with pytest.raises(TypeError, match="a data set with rows by number, got one over a stream"):
        of_both().fit(DataLoader(Stream()), LABELS)


class OfProcesses(Items):
    """Pictures whose first value is the number of the process that read them."""

    def __getitem__(self, i):
        item, label = super().__getitem__(i)
        info = torch.utils.data.get_worker_info()
        seen.put(multiprocessing.current_process().pid if info is not None else None)
        return item, label


seen = multiprocessing.SimpleQueue()


@pytest.mark.parametrize("persistent", [False, True])
def test_worker_processes_persist_if_the_loader_says_so(persistent):
    loader = DataLoader(OfProcesses(), collate_fn=padded, num_workers=2, persistent_workers=persistent)
    of_both(options(epochs=2)).fit(loader, LABELS)
    pids = set()
    while not seen.empty():
        pids.add(seen.get())
    assert multiprocessing.active_children() == []
    assert (len(pids) == 2) == persistent
    assert None not in pids


def test_a_loader_that_pins_memory_warns_of_nothing():
    loader = DataLoader(Items(), collate_fn=padded, pin_memory=True)
    assert_same(of_both().fit(loader), of_both().fit(VIEWS, LABELS), VIEWS)


def test_persistent_workers_end_with_an_error():
    with pytest.raises(ValueError, match="labels must"):
        of_both().fit(DataLoader(Items(), collate_fn=padded, num_workers=2, persistent_workers=True), LABELS[:5])
    assert multiprocessing.active_children() == []


# --- transforms ---


class Brighter:
    """Adds to a picture; counts the items."""

    def __init__(self, by):
        self.by, self.n = by, 0

    def __call__(self, picture):
        self.n += 1
        return torch.clip(picture.float() + self.by, 0, 255).to(torch.uint8)


class Seen(Residual):
    """Keeps the mean of what it gets, by mode."""

    def __init__(self):
        super().__init__()
        self.means = {True: [], False: []}

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.means[self.training].append(float(x.mean()))
        return super().forward(x)


@pytest.mark.parametrize("of", ["arrays", "loader"])
def test_transforms_are_for_training_and_for_all_else(of):
    backbone, items = made(Seen), Items({"image": VIEWS["image"]})
    views = items.views if of == "arrays" else DataLoader(items)
    transform, eval_transform = Brighter(100), Brighter(-100)
    training = options(epochs=2, validation_fraction=0.25)
    model = METHODS["sdch"](
        training,
        backbones={"image": backbone},
        transform={"image": transform},
        eval_transform={"image": eval_transform},
    ).fit(views, LABELS)
    assert min(backbone.means[True]) > 0.6
    assert max(backbone.means[False][1:]) < 0.25
    if of == "loader":
        assert (items.counts[1:] == 1 + 2 + 1).all()  # an item is read once for both
    assert transform.n == 2 * 72
    n = eval_transform.n
    np.testing.assert_array_equal(model.encode(VIEWS["image"], modality="image"), model.codes_)
    assert eval_transform.n == n + N
    items_of_ones_own = [torch.from_numpy(picture) for picture in VIEWS["image"]]
    np.testing.assert_array_equal(model.encode(items_of_ones_own, modality="image"), model.codes_)


class TogetherItems(Items):
    """Items that are read many at a time."""

    n_calls = 0

    def __getitems__(self, rows):
        self.n_calls += 1
        return [self[i] for i in rows]


def test_transformed_items_may_be_read_many_at_a_time():
    items, models = TogetherItems({"image": VIEWS["image"]}), []
    for each in (items, Items({"image": VIEWS["image"]})):
        transform = {"image": lambda x: x.flip(-1)}
        model = METHODS["sdch"](options(), backbones={"image": made(Residual)}, transform=transform)
        models.append(model.fit(DataLoader(each), LABELS))
    assert 0 < items.n_calls < 20
    assert_same(*models, {"image": VIEWS["image"]})


@pytest.mark.parametrize("n_workers", [0, 2])
def test_transforms_run_where_items_are_read(n_workers):
    def noted(picture):
        seen.put(torch.utils.data.get_worker_info() is not None)
        return picture

    loader = DataLoader(Items({"image": VIEWS["image"]}), num_workers=n_workers)
    METHODS["sdch"](
        options(), backbones={"image": made(Residual)}, transform={"image": noted}, eval_transform={"image": noted}
    ).fit(loader, LABELS)
    places = []
    while not seen.empty():
        places.append(seen.get())
    assert set(places) == {n_workers > 0}


def test_a_transform_may_make_what_a_backbone_takes_of_anything():
    """Sentences become dicts of tokens."""
    vocabulary = {f"w{i}": i for i in range(40)}

    def tokens(sentence):
        ids = [vocabulary[word] for word in sentence.split()][:6]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(6, dtype=torch.int64)}

    sentences = [" ".join(f"w{i}" for i in row[:6]) for row in IDS]
    expected = of_text().fit({"text": {name: X[:, :6] for name, X in VIEWS["text"].items()}}, LABELS)
    model = of_text(eval_transform={"text": tokens}, transform={"text": tokens}).fit({"text": sentences}, LABELS)
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    for form in (list, tuple, np.array):
        np.testing.assert_array_equal(model.encode(form(sentences[:5]), modality="text"), model.codes_[:5])


def test_features_without_a_backbone_are_transformed_too():
    features = np.random.default_rng(0).standard_normal((N, 8)).astype(np.float32)
    plain = METHODS["sdch"](options(), feature_maps={"x": None}).fit({"x": 2 * features}, LABELS)
    double = {"x": lambda x: 2 * x}
    model = METHODS["sdch"](options(), transform=double, eval_transform=double).fit({"x": features}, LABELS)
    np.testing.assert_array_equal(model.codes_, plain.codes_)
    np.testing.assert_array_equal(model.encode(features, modality="x"), plain.codes_)
    noisy = METHODS["sdch"](options(), transform={"x": lambda x: x + torch.randn(8)}).fit({"x": features}, LABELS)
    assert noisy.history_[0]["loss"] != plain.history_[0]["loss"]


def test_a_loaded_model_asks_for_its_eval_transform(tmp_path):
    transforms = {"image": Brighter(20)}
    model = METHODS["sdch"](
        options(), backbones={"image": made(Residual)}, eval_transform=transforms, transform=transforms
    ).fit({"image": VIEWS["image"]}, LABELS)
    model.save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model", backbones={"image": made(Residual)})
    with pytest.raises(ValueError, match=r"eval_transform must name a function for 'image', as in training"):
        again.encode(VIEWS["image"], modality="image")
    with pytest.raises(TypeError, match="eval_transform must be a mapping of modality names to functions, got int"):
        again.set_params(eval_transform=3).encode(VIEWS["image"], modality="image")
    again.set_params(eval_transform=transforms)
    np.testing.assert_array_equal(again.encode(VIEWS["image"], modality="image"), model.codes_)
    again.set_params(eval_transform={"image": None})
    brighter = np.stack([transforms["image"](torch.from_numpy(picture)).numpy() for picture in VIEWS["image"]])
    np.testing.assert_array_equal(again.encode(brighter, modality="image"), model.codes_)
    again.save(tmp_path / "again")
    assert pyhash.load(tmp_path / "again", backbones={"image": made(Residual)})._state.evaluated_by == ["image"]


@pytest.mark.parametrize("name", ["transform", "eval_transform"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([abs], TypeError, "must be a mapping of modality names to functions, got list"),
        ({"image": 3}, TypeError, r"\['image'\] must be a function of an item, got int"),
        ({"sound": abs}, ValueError, "must be for 'image', got one for 'sound'"),
    ],
)
def test_wrong_transforms_are_refused(name, value, error, message):
    model = METHODS["sdch"](options(), backbones={"image": made(Residual)}, **{name: value})
    with pytest.raises(error, match=name + message if message.startswith(r"\[") else f"{name} {message}"):
        model.fit({"image": VIEWS["image"]}, LABELS)


def test_feature_maps_of_transformed_items_are_refused():
    model = METHODS["sdch"](options(), feature_maps={"x": pyhash.Centering()}, eval_transform={"x": abs})
    with pytest.raises(ValueError, match="feature_maps must be None for dicts and for items with a transform"):
        model.fit({"x": np.ones((N, 3))}, LABELS)


# --- what is trained ---


class Normed(nn.Module):
    """Batch normalisation, dropout, and two layers."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.body = nn.Linear(6, 8)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.dropout(self.body(self.norm(x))))


FEATURES = np.random.default_rng(0).standard_normal((N, 6)).astype(np.float32) + 3


def trained_from(backbone, method=METHODS["sdch"], **parameters):
    model = method(options(epochs=2), backbones={"x": backbone}, **{"backbone_learning_rate": 1e-2} | parameters)
    return model.fit({"x": FEATURES}, LABELS)


def changed(model, backbone):
    """The names of weights and statistics that training changed."""
    after = model._state.network.backbones["x"].state_dict()
    return {name for name, tensor in backbone.state_dict().items() if not torch.equal(after[name], tensor)}


STATISTICS = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
HEAD = {"head.weight", "head.bias"}
BODY = {"norm.weight", "norm.bias", "body.weight", "body.bias"}


@pytest.mark.parametrize(
    ("train_backbones", "is_eval", "expected"),
    [
        (None, False, STATISTICS | BODY | HEAD),
        (None, True, BODY | HEAD),
        (True, True, STATISTICS | BODY | HEAD),
        (False, False, set()),
        ("head", False, HEAD),
        ({"x": "head"}, False, HEAD),
        ({"x": None}, True, BODY | HEAD),
        ({}, False, STATISTICS | BODY | HEAD),
    ],
)
def test_what_of_a_backbone_is_trained(method, train_backbones, is_eval, expected):
    backbone = made(Normed).train(not is_eval)
    assert changed(trained_from(backbone, method, train_backbones=train_backbones), backbone) == expected


def test_a_frozen_backbone_in_eval_mode_stays_as_it_is(method):
    backbone = made(Normed).eval().requires_grad_(False)
    modes = []
    backbone.register_forward_pre_hook(lambda module, _: modes.append(module.dropout.training))
    model = trained_from(backbone, method)
    assert changed(model, backbone) == set()
    assert not any(modes)
    assert not any(name.startswith("backbones") for name in model.history_[0]["learning_rates"])


def test_modes_are_kept_module_by_module(method):
    backbone = made(Normed)
    backbone.norm.eval()
    assert changed(trained_from(backbone, method), backbone) == BODY | HEAD


def test_a_loaded_model_learns_anew_in_the_modes_that_were_given(tmp_path):
    trained_from(made(Normed)).save(tmp_path / "model")
    given = made(Normed)
    given.norm.eval()
    model = pyhash.load(tmp_path / "model", backbones={"x": given})
    before = {name: tensor.clone() for name, tensor in model.backbones["x"].state_dict().items()}
    model.fit({"x": FEATURES}, LABELS)
    after = model._state.network.backbones["x"].state_dict()
    assert {name for name, tensor in before.items() if not torch.equal(after[name], tensor)} == BODY | HEAD
    assert model._state.network.train().backbones["x"].dropout.training


def test_each_backbone_may_have_its_learning_rate(method):
    views = {"x": FEATURES, "y": FEATURES[:, ::-1]}
    backbones = {"x": made(Normed), "y": made(Normed)}
    rates = {"x": 1e-3, "y": 2e-3}
    model = method(options(scheduler="none"), backbones=backbones, backbone_learning_rate=rates).fit(views, LABELS)
    found = model.history_[0]["learning_rates"]
    assert {name: found[f"backbones.{name}"] for name in rates} == rates
    one = method(options(scheduler="none"), backbones=backbones, backbone_learning_rate=3e-3).fit(views, LABELS)
    assert one.history_[0]["learning_rates"]["backbones"] == 3e-3


def test_a_backbone_keeps_its_group_while_it_is_frozen_for_a_turn():
    model = METHODS["sdch"](options(epochs=3, scheduler="none"), backbones={"x": made(Normed)}, schedule="staged")
    rates = [epoch["learning_rates"] for epoch in model.fit({"x": FEATURES}, LABELS).history_]
    assert [each["backbones"] > 0 for each in rates] == [True, False, True]
    assert [each["hash"] > 0 for each in rates] == [False, True, True]


def test_one_backbone_of_two_modalities_is_shared(tmp_path):
    shared = made(Normed)
    views = {"x": FEATURES, "y": FEATURES[:, ::-1].copy()}
    model = METHODS["sdch"](options(), backbones={"x": shared, "y": shared}).fit(views, LABELS)
    backbones = model._state.network.backbones
    assert backbones["x"] is backbones["y"]
    assert not torch.equal(backbones["x"].head.weight, shared.head.weight)
    rates = {"x": 1e-3, "y": 2e-3}
    model = METHODS["sdch"](options(), backbones={"x": shared, "y": shared}, backbone_learning_rate=rates)
    found = model.fit(views, LABELS).history_[0]["learning_rates"]
    assert {name for name in found if name.startswith("backbones")} == {"backbones.x"}


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"train_backbones": "body"}, ValueError, "train_backbones must be True, False, \"head\" or None, got 'body'"),
        ({"train_backbones": {"x": 1}}, ValueError, r"train_backbones\['x'\] must be True, False"),
        ({"train_backbones": {"y": True}}, ValueError, "must name modalities that have a backbone, got 'y'"),
        (
            {"backbone_learning_rate": {"y": 1e-3}},
            ValueError,
            "must be a number or name exactly the mod",
        ),
        ({"backbone_learning_rate": 0}, ValueError, "backbone_learning_rate must be a finite number > 0"),
    ],
)
def test_wrong_training_of_backbones_is_refused(method, parameters, error, message):
    with pytest.raises(error, match=message):
        trained_from(made(Normed), method, **parameters)


def test_a_backbone_without_weights_has_no_head():
    with pytest.raises(ValueError, match='must not be "head" for a backbone without weights'):
        trained_from(nn.Flatten(), train_backbones="head")


def test_a_feature_map_before_a_backbone_keeps_the_number_of_features():
    model = trained_from(made(Normed), feature_maps={"x": pyhash.Standardizing()})
    standardized = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)
    plain = METHODS["sdch"](options(epochs=2), backbones={"x": made(Normed)}, backbone_learning_rate=1e-2)
    plain.fit({"x": standardized}, LABELS)
    np.testing.assert_allclose(
        model.project(FEATURES, modality="x"), plain.project(standardized, modality="x"), rtol=1e-3, atol=1e-3
    )
    with pytest.raises(ValueError, match=r"feature_maps\['x'\] must keep the number of features where there is a back"):
        trained_from(made(Normed), feature_maps={"x": pyhash.RBFAnchors(10)})


# --- files ---


def test_files_keep_what_inputs_are(tmp_path):
    views = {"text": {"tokens": VIEWS["text"], "weight": FEATURES[:, 0]}}

    class Weighted(WordsOfNestedDict):
        def forward(self, batch):
            return super().forward(batch) * batch["weight"][:, None]

    of_text(made(Weighted)).fit(views, LABELS).save(tmp_path / "model")
    again = pyhash.load(tmp_path / "model", backbones={"text": Weighted()})
    assert again._state.plan.specs == {
        "text": {
            "tokens": {name: TensorSpec((LENGTH,), torch.int64) for name in ("input_ids", "attention_mask")},
            "weight": TensorSpec(()),
        }
    }
    assert again.modalities_ == {"text": 2 * LENGTH + 1}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"text": {}}, "shapes must hold no empty dict"),
        ({"text": ["complex64", 3]}, "shapes must be of one of float32, bool"),
        ({"text": "int64"}, "shapes must be lists or dicts of them"),
        ({"text": [0]}, "shapes must be an integer >= 1, got 0"),
        ({"text": {"a": {"input_ids": [-1]}}}, "shapes must be an integer >= 1, got -1"),
        ({"text": {}, "more": [3]}, "shapes must"),
        ({"text": ["int64", 3], "more": ["int64", 3]}, "shapes must be of features where there is no backbone"),
        ({}, "shapes must hold at least one modality"),
    ],
)
def test_files_with_wrong_shapes_are_refused(tmp_path, shapes, message):
    of_text().fit({"text": VIEWS["text"]}, LABELS).save(tmp_path / "model")
    archive = read_tensor_file(tmp_path / "model")
    archive.fields["state"]["plan"]["shapes"] = shapes
    write_tensor_file(tmp_path / "model", archive.kind, archive.fields, archive.arrays)
    with pytest.raises(pyhash.ModelFormatError, match=message):
        pyhash.load(tmp_path / "model", backbones={"text": Words()})


def test_files_with_deep_dicts_are_refused(tmp_path):
    of_text().fit({"text": VIEWS["text"]}, LABELS).save(tmp_path / "model")
    archive = read_tensor_file(tmp_path / "model")
    spec = [3]
    for _ in range(200):
        spec = {"a": spec}
    archive.fields["state"]["plan"]["shapes"] = {"text": spec}
    write_tensor_file(tmp_path / "model", archive.kind, archive.fields, archive.arrays)
    with pytest.raises(pyhash.ModelFormatError, match="at most 16 dicts within each other"):
        pyhash.load(tmp_path / "model", backbones={"text": Words()})
