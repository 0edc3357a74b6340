"""Models from files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyhash._files.reading import read_archive
from pyhash.errors import ModelFormatError
from pyhash.methods.registry import method_class, names_of_classes

if TYPE_CHECKING:
    from pyhash.methods.contract import HashingMethod


def load(path: str | os.PathLike[str], *, backbones: Mapping[str, Any] | None = None) -> HashingMethod:
    """Return the model of a file that its ``save`` wrote.

    Parameters
    ----------
    path : path-like
    backbones : mapping of str to torch Module, optional
        For deep methods trained behind networks of your own: those networks by modality, as they were built. Their
        weights come from the file, which holds no code.

    Returns
    -------
    HashingMethod
        Of the class that was saved, able to encode and to learn further.

    Raises
    ------
    OSError
        If the file cannot be read.
    ModelFormatError
        If the file is not a model, is damaged, or was written by a newer version.
    ImportError
        If the model is a deep one, and torch or safetensors are not installed.
    TypeError
        If a backbone is missing or is not a torch Module, or if the method takes none.
    ValueError
        If a backbone is for a modality that was not learned.

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
    names = names_of_classes()
    if archive.kind not in names:
        raise ModelFormatError(f"{path} holds a {archive.kind}, not a model; models are {', '.join(names)}")
    method = method_class(names[archive.kind])
    if backbones is not None and "backbones" not in method._parameter_names():
        raise TypeError(f"backbones must be left out: {archive.kind} has none")
    return method.from_archive(archive, backbones)
