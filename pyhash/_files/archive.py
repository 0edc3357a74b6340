"""The content of a pyhash file: a header of JSON and named arrays. No pickle.

The header holds the format and its version, the kind of object, its fields, and the dtype and shape of every array. The
same header describes both forms of files: .npz (see ``npz``) and safetensors (see ``safetensors``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.errors import ModelFormatError

FORMAT = "pyhash"
# Version 2: models have sums of rows, and calibrations.
VERSION = 2
# JSON takes several times its length when it is parsed. Far beyond what a model or index has.
MAX_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class Archive:
    """The content of a pyhash file."""

    path: Path
    kind: str
    fields: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    version: int = VERSION

    @contextmanager
    def taken_for(self, what: str) -> Iterator[None]:
        """Turn errors of the block, where content does not fit together, into a ModelFormatError."""
        try:
            yield
        except ModelFormatError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise ModelFormatError(f"{self.path} is not a valid {what}: {error}") from error

    def field(self, name: str) -> Any:
        """Return a header field; raise ModelFormatError where the file has none."""
        if name not in self.fields:
            raise ModelFormatError(f"{self.path} has no field {name!r} in its header")
        return self.fields[name]

    def array(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Return an array of this dtype and shape (None: any length); raise ModelFormatError where it has another."""
        array = self.arrays.get(name)
        if array is None:
            raise ModelFormatError(f"{self.path} has no array {name!r}")
        fits = len(shape) == array.ndim and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            wanted = tuple("any" if n is None else n for n in shape)
            raise ModelFormatError(
                f"{self.path}: array {name!r} must be {np.dtype(dtype)} of shape {wanted}, "
                f"got {array.dtype} of shape {array.shape}"
            )
        return array


def header_of(kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the header of a file that holds these."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "fields": dict(fields),
        "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()},
    }


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn every error of the block into a ModelFormatError that names the file."""
    try:
        yield
    except ModelFormatError:
        raise
    except Exception as error:  # a damaged file fails in many ways: zip, npy, safetensors, JSON, text, memory
        raise ModelFormatError(f"{path} is not a whole pyhash file: {str(error) or type(error).__name__}") from error


def check_described(path: Path, name: str, described: list[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raise if the dtype and shape of an array are not those that the header says."""
    if described != [dtype.str, list(shape)]:
        raise ModelFormatError(f"{path}: array {name!r} is not the one that the header describes")


def header_text(header: dict[str, Any], indent: int | None = None) -> str:
    """Return a header as JSON.

    Raises
    ------
    TypeError
        If it holds what JSON does not have.
    ValueError
        If it holds NaN or infinity, or is longer than ``MAX_HEADER_BYTES``.
    """
    text = json.dumps(header, indent=indent, allow_nan=False)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"fields of a file must take at most {MAX_HEADER_BYTES} bytes as JSON, got {len(text)}")
    return text


def parsed_header(path: Path, text: bytes | str) -> dict[str, Any]:
    """Return the header of JSON text, checked; raise ModelFormatError where it is none, or that of a newer version."""
    if len(text) > MAX_HEADER_BYTES:
        raise ModelFormatError(f"{path} has a header of more than {MAX_HEADER_BYTES} bytes")
    header = json.loads(text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFormatError(f"{path} is not a pyhash file: its header names another format")
    check_version(path, header.get("version"), VERSION)
    types = {"kind": str, "fields": dict, "arrays": dict}
    for name, wanted in types.items():
        if not isinstance(header.get(name), wanted):
            raise ModelFormatError(f"{path} has no {name!r} in its header")
    for name, described in header["arrays"].items():
        if not _is_description(described):
            raise ModelFormatError(f"{path} does not describe array {name!r} in its header")
    return header


def check_version(path: Path, version: object, newest: int) -> None:
    """Raise if this is no version of a format, or one above the newest that can be read."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelFormatError(f"{path} has no valid format version, got {version!r}")
    if version > newest:
        raise ModelFormatError(
            f"{path} has format version {version}, this pyhash reads up to {newest}: install a newer pyhash"
        )


def _is_description(described: object) -> bool:
    """Return whether this is the dtype and the shape of an array."""
    if not isinstance(described, list) or len(described) != 2:
        return False
    dtype, shape = described
    lengths = isinstance(shape, list) and all(type(length) is int and length >= 0 for length in shape)
    return isinstance(dtype, str) and lengths
