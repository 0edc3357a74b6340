"""Learn short binary codes for several modalities from a stream, search them exactly, measure retrieval.

Names load when they are first used: ``import pyhash`` itself loads no other package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhash import methods as methods
from pyhash._lazy import lazy_names

if TYPE_CHECKING:  # what type checkers see; a test compares it with __all__
    from pyhash import codes as codes
    from pyhash import comparison as comparison
    from pyhash import datasets as datasets
    from pyhash import deep as deep
    from pyhash import distributed as distributed
    from pyhash import encoders as encoders
    from pyhash import evaluation as evaluation
    from pyhash import explore as explore
    from pyhash import hub as hub
    from pyhash import interop as interop
    from pyhash import plotting as plotting
    from pyhash import search as search
    from pyhash.errors import ClusterError as ClusterError
    from pyhash.errors import IndexChangedError as IndexChangedError
    from pyhash.errors import IndexLockedError as IndexLockedError
    from pyhash.errors import ModelFormatError as ModelFormatError
    from pyhash.errors import NotFittedError as NotFittedError
    from pyhash.index import CodeIndex as CodeIndex
    from pyhash.methods import *  # noqa: F403
    from pyhash.retriever import Retriever as Retriever
    from pyhash.stream import StreamChunk as StreamChunk
    from pyhash.stream import StreamFolder as StreamFolder

    __version__: str
else:
    _SUBMODULES = (
        *(
            "codes",
            "comparison",
            "datasets",
            "encoders",
            "evaluation",
            "explore",
            "hub",
            "interop",
            "methods",
            "plotting",
            "search",
        ),
    )
    _OF_EXTRAS = ("deep", "distributed")  # not in __all__: a star import must need neither torch nor dask
    _ERRORS = ("ClusterError", "IndexChangedError", "IndexLockedError", "ModelFormatError", "NotFittedError")
    _MODULES = {
        **{name: f"pyhash.{name}" for name in (*_SUBMODULES, *_OF_EXTRAS)},
        **dict.fromkeys(methods.__all__, "pyhash.methods"),
        **dict.fromkeys(_ERRORS, "pyhash.errors"),
        "CodeIndex": "pyhash.index",
        "Retriever": "pyhash.retriever",
        **dict.fromkeys(("StreamChunk", "StreamFolder"), "pyhash.stream"),
    }
    __all__ = sorted({*_MODULES, "__version__"}.difference(_OF_EXTRAS))
    _load = lazy_names("pyhash", _MODULES)

    def __getattr__(name: str) -> Any:
        if name != "__version__":
            return _load(name)
        from importlib.metadata import version

        globals()[name] = value = version("pyhash-crossmodal")
        return value

    def __dir__() -> list[str]:
        return sorted([*__all__, *_OF_EXTRAS])
