"""Files of what networks learned: safetensors with the header of a pyhash file.

The header is JSON text in safetensors' own metadata, under ``pyhash``. safetensors has no checksum, so the header holds
one, ``sha256``: of its own other entries as JSON, then of the bytes of every array, in the order of their names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import (
    Archive,
    check_described,
    damage_named,
    header_of,
    header_text,
    parsed_header,
)
from pyhash._files.atomic import atomic_file
from pyhash._inputs.paths import check_path
from pyhash.errors import ModelFormatError

_KEY = "pyhash"
_CHECKSUM = "sha256"
_RESERVED = "__metadata__"
_DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
}


def write_tensor_file(
    path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a safetensors file, atomically; equal content gives equal bytes.

    Arrays become little-endian and contiguous.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    TypeError
        If an array is of a dtype that safetensors does not have.
        If `fields` hold what JSON does not have.
    ValueError
        If an array is named ``__metadata__``.
        If `fields` hold NaN or infinity.
    OSError
        If the file cannot be written.
    """
    stored = {name: _storable(name, array) for name, array in arrays.items()}
    header = header_of(kind, fields, stored)
    header[_CHECKSUM] = _checksum(header, stored)
    _require_safetensors(f"writing {path}")
    from safetensors.numpy import save

    # One entry: safetensors keeps its metadata in no fixed order.
    content = save(stored, {_KEY: header_text(header)})
    with atomic_file(path) as file:
        file.write(content)


def read_tensor_file(path: str | os.PathLike[str]) -> Archive:
    """Read a safetensors file.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    TypeError
        If `path` is not a path.
    ModelFormatError
        If the file is damaged, or not one of pyhash; the message names it.
    OSError
        If it cannot be read.
    """
    target = check_path("path", path)
    with open(target, "rb"):  # what cannot be opened is an OSError, not a damaged file
        _require_safetensors(f"reading {target}")
    from safetensors import safe_open

    with damage_named(target), safe_open(target, framework="np") as file:
        text = (file.metadata() or {}).get(_KEY)
        if text is None:
            raise ModelFormatError(f"{target} is not a pyhash file: it has no {_KEY!r} in its metadata")
        header = parsed_header(target, text)
        arrays = {name: file.get_tensor(name) for name in header["arrays"]}
        for name, described in header["arrays"].items():
            check_described(target, name, described, arrays[name].dtype, arrays[name].shape)
    if header.pop(_CHECKSUM, None) != _checksum(header, arrays):
        raise ModelFormatError(f"{target} is not a whole pyhash file: its content does not have its checksum")
    return Archive(target, header["kind"], header["fields"], arrays, header["version"])


def _require_safetensors(doing: str) -> None:
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        raise ImportError(f'{doing} needs safetensors: pip install "pyhash-crossmodal[deep]"') from None


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array contiguous and little-endian; raise where safetensors cannot hold it."""
    if name == _RESERVED:
        raise ValueError(f"arrays must not be named {_RESERVED!r}, which safetensors keeps for itself")
    array = np.asarray(array, order="C")
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"arrays[{name!r}] must be of a dtype that safetensors has, got {array.dtype}")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _checksum(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Return the checksum of a header, which does not hold it yet, and of all arrays."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
