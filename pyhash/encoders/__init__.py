"""Rows of features from raw items, texts and pictures, all under the contract of ``pyhash.encoders.contract``.

Names load when they are first used, and packages of networks when an encoder needs them.
"""

from typing import TYPE_CHECKING

from pyhash._lazy import lazy_names

if TYPE_CHECKING:  # what type checkers see; a test compares it with __all__
    from pyhash.encoders.bag_of_words import BagOfWords as BagOfWords
    from pyhash.encoders.cached_encoder import CachedEncoder as CachedEncoder
    from pyhash.encoders.callable_encoder import CallableEncoder as CallableEncoder
    from pyhash.encoders.contract import Encoder as Encoder
    from pyhash.encoders.efficientnet_lite0 import EfficientNetLite0 as EfficientNetLite0
    from pyhash.encoders.emoji import EmojiImage as EmojiImage
    from pyhash.encoders.emoji import EmojiText as EmojiText
    from pyhash.encoders.names import ENCODER_NAMES as ENCODER_NAMES
    from pyhash.encoders.names import make_encoder as make_encoder
    from pyhash.encoders.open_clip_encoder import OpenCLIPEncoder as OpenCLIPEncoder
    from pyhash.encoders.pictures import open_picture as open_picture
    from pyhash.encoders.sentence_transformers_encoder import SentenceTransformersEncoder as SentenceTransformersEncoder
    from pyhash.encoders.timm_encoder import TimmEncoder as TimmEncoder
    from pyhash.encoders.torchvision_encoder import TorchvisionEncoder as TorchvisionEncoder
    from pyhash.encoders.transformers_encoder import TransformersEncoder as TransformersEncoder
    from pyhash.encoders.universal_sentence_encoder import UniversalSentenceEncoder as UniversalSentenceEncoder
    from pyhash.encoders.vectorizer_encoder import VectorizerEncoder as VectorizerEncoder
else:
    _MODULES = {
        "BagOfWords": "pyhash.encoders.bag_of_words",
        "CachedEncoder": "pyhash.encoders.cached_encoder",
        "CallableEncoder": "pyhash.encoders.callable_encoder",
        "ENCODER_NAMES": "pyhash.encoders.names",
        "EfficientNetLite0": "pyhash.encoders.efficientnet_lite0",
        "EmojiImage": "pyhash.encoders.emoji",
        "EmojiText": "pyhash.encoders.emoji",
        "Encoder": "pyhash.encoders.contract",
        "OpenCLIPEncoder": "pyhash.encoders.open_clip_encoder",
        "SentenceTransformersEncoder": "pyhash.encoders.sentence_transformers_encoder",
        "TimmEncoder": "pyhash.encoders.timm_encoder",
        "TorchvisionEncoder": "pyhash.encoders.torchvision_encoder",
        "TransformersEncoder": "pyhash.encoders.transformers_encoder",
        "UniversalSentenceEncoder": "pyhash.encoders.universal_sentence_encoder",
        "VectorizerEncoder": "pyhash.encoders.vectorizer_encoder",
        "make_encoder": "pyhash.encoders.names",
        "open_picture": "pyhash.encoders.pictures",
    }
    __all__ = sorted(_MODULES)
    __getattr__ = lazy_names("pyhash.encoders", _MODULES)

    def __dir__() -> list[str]:
        return __all__
