"""Learns short binary codes for several modalities from a stream, searches them exactly, measures how good they are.

Names load when they are first used: ``import pyhash`` itself loads no other package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyhash import codes, comparison, datasets, evaluation, interop, plotting, search
    from pyhash import deep as deep  # not in __all__: a star import must not need torch
    from pyhash.errors import IndexChangedError, IndexLockedError, ModelFormatError, NotFittedError
    from pyhash.index import CodeIndex
    from pyhash.methods import (
        BATCH,
        CCAITQ,
        DCH,
        DSFH,
        LEMON,
        LSH,
        PCAITQ,
        SEOCH,
        SHOH,
        CCASign,
        Centering,
        FeatureMap,
        FeatureSign,
        PCASign,
        RBFAnchors,
        SCMSeq,
        Standardizing,
        UnitLength,
        load,
    )

    __version__: str

_MODULES = ("codes", "comparison", "datasets", "deep", "evaluation", "interop", "plotting", "search")
_METHODS = (
    "BATCH",
    "CCAITQ",
    "CCASign",
    "Centering",
    "DCH",
    "DSFH",
    "FeatureMap",
    "FeatureSign",
    "LEMON",
    "LSH",
    "PCAITQ",
    "PCASign",
    "RBFAnchors",
    "SCMSeq",
    "SEOCH",
    "SHOH",
    "Standardizing",
    "UnitLength",
    "load",
)
_NAMES = {
    **dict.fromkeys(_METHODS, "pyhash.methods"),
    "CodeIndex": "pyhash.index",
    "IndexChangedError": "pyhash.errors",
    "IndexLockedError": "pyhash.errors",
    "ModelFormatError": "pyhash.errors",
    "NotFittedError": "pyhash.errors",
}

__all__ = [
    "BATCH",
    "CCAITQ",
    "DCH",
    "DSFH",
    "LEMON",
    "LSH",
    "PCAITQ",
    "SEOCH",
    "SHOH",
    "CCASign",
    "Centering",
    "CodeIndex",
    "FeatureMap",
    "FeatureSign",
    "IndexChangedError",
    "IndexLockedError",
    "ModelFormatError",
    "NotFittedError",
    "PCASign",
    "RBFAnchors",
    "SCMSeq",
    "Standardizing",
    "UnitLength",
    "__version__",
    "codes",
    "comparison",
    "datasets",
    "evaluation",
    "interop",
    "load",
    "plotting",
    "search",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"pyhash.{name}")
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("pyhash-crossmodal")
    else:
        raise AttributeError(f"module 'pyhash' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "deep"])
