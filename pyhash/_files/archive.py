"""The content of a pyhash file: a header of JSON and named arrays. No pickle.

The header holds the format and its version, the kind of object, its fields, and the dtype and shape of every array. The
same header describes both forms of files: .npz (see ``npz``) and safetensors (see ``safetensors``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.errors import ModelFormatError

FORMAT = "pyhash"
VERSION = 1


@dataclass(frozen=True)
class Archive:
    """What a pyhash file holds."""

    path: Path
    kind: str
    fields: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @contextmanager
    def taken_for(self, what: str) -> Iterator[None]:
        """Within the block, content that nothing can be made of is a ModelFormatError too."""
        try:
            yield
        except ModelFormatError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelFormatError(f"{self.path} is not a valid {what}: {error}") from error

    def field(self, name: str) -> Any:
        """A header field; a ModelFormatError where the file has none."""
        if name not in self.fields:
            raise ModelFormatError(f"{self.path} has no field {name!r} in its header")
        return self.fields[name]

    def array(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """An array of the given dtype and shape (None: any length); a ModelFormatError where the file's differs."""
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
    """The header of a file that holds these."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "fields": dict(fields),
        "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()},
    }


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Within the block, whatever fails is a ModelFormatError that names the file."""
    try:
        yield
    except ModelFormatError:
        raise
    except Exception as error:  # a damaged file fails in many ways: zip, npy, safetensors, JSON, text, memory
        raise ModelFormatError(f"{path} is not a whole pyhash file: {str(error) or type(error).__name__}") from error


def described_archive(path: Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Archive:
    """What was read; a ModelFormatError where the arrays are not those of the header, which is checked already."""
    for name, (dtype, shape) in header["arrays"].items():
        if arrays[name].dtype.str != dtype or list(arrays[name].shape) != shape:
            raise ModelFormatError(f"{path}: array {name!r} is not the one that the header describes")
    return Archive(path, header["kind"], header["fields"], arrays)


def check_header(path: Path, header: Any) -> None:
    """Refuses what is no header of a pyhash file, or that of a newer version."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFormatError(f"{path} is not a pyhash file: its header names another format")
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise ModelFormatError(f"{path} has no valid format version, got {version!r}")
    if version > VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, this pyhash reads up to {VERSION}: install a newer pyhash"
        )
    types = {"kind": str, "fields": dict, "arrays": dict}
    for name, wanted in types.items():
        if not isinstance(header.get(name), wanted):
            raise ModelFormatError(f"{path} has no {name!r} in its header")
    for name, described in header["arrays"].items():
        if not isinstance(described, list) or len(described) != 2:
            raise ModelFormatError(f"{path} does not describe array {name!r} in its header")
