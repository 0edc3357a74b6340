"""Which class a model file belongs to."""

from __future__ import annotations

import os

from pyhash.errors import ModelFormatError
from pyhash.files import read_archive
from pyhash.methods.base import HashingMethod
from pyhash.methods.batch import BATCH
from pyhash.methods.cca import CCAITQ, CCASign
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


def load(path: str | os.PathLike[str]) -> HashingMethod:
    """The model of a file that its ``save`` wrote.

    Parameters
    ----------
    path : path-like

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
    if archive.kind not in METHODS:
        raise ModelFormatError(f"{path} holds a {archive.kind}, not a model; models are {', '.join(METHODS)}")
    return METHODS[archive.kind].from_archive(archive)
