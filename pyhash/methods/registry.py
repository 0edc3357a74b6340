"""Which class a model file belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from pyhash._files.reading import read_archive
from pyhash.errors import ModelFormatError
from pyhash.methods.batch import BATCH
from pyhash.methods.cca import CCAITQ, CCASign
from pyhash.methods.contract import HashingMethod
from pyhash.methods.dch import DCH
from pyhash.methods.dsfh import DSFH
from pyhash.methods.lemon import LEMON
from pyhash.methods.scm import SCMSeq
from pyhash.methods.seoch import SEOCH
from pyhash.methods.shoh import SHOH
from pyhash.methods.single import LSH, PCAITQ, FeatureSign, PCASign

METHODS: dict[str, type[HashingMethod]] = {
    method.__name__: method
    for method in (SHOH, LEMON, SEOCH, DSFH, BATCH, DCH, SCMSeq, CCAITQ, CCASign, FeatureSign, LSH, PCASign, PCAITQ)
}
# They need torch, hence load when they are first asked for.
DEEP_METHODS = ("SDCH", "DHSL")


def method_class(name: str) -> type[HashingMethod]:
    """The class of a method by its name; an ImportError names the extra that a deep one needs."""
    if name in DEEP_METHODS:
        return cast("type[HashingMethod]", getattr(import_module("pyhash.deep"), name))
    return METHODS[name]


def load(path: str | os.PathLike[str], *, backbones: Mapping[str, Any] | None = None) -> HashingMethod:
    """The model of a file that its ``save`` wrote.

    Parameters
    ----------
    path : path-like
    backbones : mapping of str to torch Module, optional
        For deep methods that were trained behind networks of your own: as they were built, by modality. Their weights
        come from the file, which holds no code.

    Returns
    -------
    HashingMethod
        Of the class that was saved, able to encode and to learn further.

    Raises
    ------
    OSError
        If the file cannot be read.
    ModelFormatError
        If it is not a model, damaged, or written by a newer version.
    ImportError
        If the model is a deep one, and torch or safetensors are not installed.
    TypeError, ValueError
        If backbones are missing, given where there are none, or for modalities that were not learned.

    Examples
    --------
    >>> import os, tempfile
    >>> from pyhash import SHOH, load
    >>> model = SHOH(n_bits=8).partial_fit({"x": [[1.0, 2.0], [2.0, 1.0]]}, [0, 1])
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.npz")
    ...     model.save(path)
    ...     bool((load(path).encode([[1.0, 2.0]], modality="x") == model.encode([[1.0, 2.0]], modality="x")).all())
    True
    """
    archive = read_archive(path)
    if archive.kind not in (*METHODS, *DEEP_METHODS):
        known = ", ".join((*METHODS, *DEEP_METHODS))
        raise ModelFormatError(f"{path} holds a {archive.kind}, not a model; models are {known}")
    method = method_class(archive.kind)
    if backbones is not None and "backbones" not in method._parameter_names():
        raise TypeError(f"backbones must be left out: {archive.kind} has none")
    return method.from_archive(archive, backbones)
