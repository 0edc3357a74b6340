"""Rows of features from raw items, texts and pictures, all under the contract of ``pyhash.encoders.contract``.

Names load when they are first used, and packages of networks when an encoder needs them.
"""

from typing import TYPE_CHECKING

from pyhash._lazy import lazy_names

if TYPE_CHECKING:  # what type checkers see; a test compares it with __all__
    from pyhash.encoders.bag_of_words import BagOfWords as BagOfWords
    from pyhash.encoders.callable_encoder import CallableEncoder as CallableEncoder
    from pyhash.encoders.contract import Encoder as Encoder
    from pyhash.encoders.names import ENCODER_NAMES as ENCODER_NAMES
    from pyhash.encoders.names import make_encoder as make_encoder
    from pyhash.encoders.pictures import open_picture as open_picture
else:
    _MODULES = {
        "ENCODER_NAMES": "pyhash.encoders.names",
        "BagOfWords": "pyhash.encoders.bag_of_words",
        "CallableEncoder": "pyhash.encoders.callable_encoder",
        "Encoder": "pyhash.encoders.contract",
        "make_encoder": "pyhash.encoders.names",
        "open_picture": "pyhash.encoders.pictures",
    }
    __all__ = sorted(_MODULES)
    __getattr__ = lazy_names("pyhash.encoders", _MODULES)

    def __dir__() -> list[str]:
        return __all__
