"""Encoders by name."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from pyhash.encoders.items import check_kind

if TYPE_CHECKING:
    from pyhash.encoders.contract import Encoder

# The class of each encoder, by its name; a name that ends with a colon goes on with the name of a model.
ENCODER_NAMES = {
    "bag-of-words": "pyhash.encoders.bag_of_words.BagOfWords",
    "universal-sentence-encoder": "pyhash.encoders.universal_sentence_encoder.UniversalSentenceEncoder",
    "sentence-transformers:": "pyhash.encoders.sentence_transformers_encoder.SentenceTransformersEncoder",
    "transformers:": "pyhash.encoders.transformers_encoder.TransformersEncoder",
    "open-clip:": "pyhash.encoders.open_clip_encoder.OpenCLIPEncoder",
    "efficientnet-lite0": "pyhash.encoders.efficientnet_lite0.EfficientNetLite0",
    "emoji-image": "pyhash.encoders.emoji.EmojiImage",
    "emoji-text": "pyhash.encoders.emoji.EmojiText",
    "timm:": "pyhash.encoders.timm_encoder.TimmEncoder",
    "torchvision:": "pyhash.encoders.torchvision_encoder.TorchvisionEncoder",
}


def make_encoder(name: str, *, kind: str | None = None, device: str = "auto", **parameters: Any) -> Encoder:
    """Return an encoder by its name.

    Parameters
    ----------
    name : str
        One of ``ENCODER_NAMES``; one that ends with a colon goes on with the name of a model, as "timm:resnet18".
    kind : {"text", "image"}, optional
        What the items are. Encoders that take both, such as "open-clip:...", need it; others refuse another kind.
    device : str or torch.device, default="auto"
        Where a network runs; "auto": cuda if there is one, else mps, else cpu. Encoders without one leave it aside.
    **parameters
        Further parameters of the class.

    Returns
    -------
    Encoder

    Raises
    ------
    TypeError
        If the class has no such parameter.
    ValueError
        If there is no such name, or `kind` is not that of the encoder.
    ImportError
        If its package is not installed; the message names the extra.

    Examples
    --------
    >>> from pyhash.encoders import make_encoder
    >>> make_encoder("bag-of-words", n_features=100).n_features
    100
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {type(name).__name__}")
    if kind is not None:
        check_kind(kind)
    prefix, colon, model = name.partition(":")
    path = ENCODER_NAMES.get(prefix + colon)
    if path is None or (colon and not model):
        known = ", ".join(repr(each + "NAME" * each.endswith(":")) for each in ENCODER_NAMES)
        raise ValueError(f"name must be one of {known}, got {name!r}")
    module, _, class_name = path.rpartition(".")
    make = getattr(import_module(module), class_name)
    # What the class takes of the two; each encoder has one kind, hence the others check it afterwards.
    given = {"kind": kind, "device": device}
    taken = {key: value for key, value in given.items() if key in signature(make).parameters}
    encoder: Encoder = make(*[model] * bool(colon), **taken, **parameters)
    if kind is not None and kind != encoder.kind:
        raise ValueError(f"kind must be {encoder.kind!r} for {name!r}, got {kind!r}")
    return encoder
