"""Files: whole or not at all, with a header that says what they are, and never a pickle.

A pyhash file is an .npz archive (uncompressed zip of .npy members) with one member more, ``header.json``: format and
version, the kind of object, its parameters, and dtype and shape of every array. What networks learned lies in
safetensors files with the same header; see ``tensor_files``.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pyhash.errors import ModelFormatError

FORMAT = "pyhash"
VERSION = 1
_HEADER = "header.json"
_ZIP_START = b"PK\x03\x04"


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that appears under `path` when the block ends well, and leaves no trace when it does not."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    # "x": never another's file; unlike tempfile's, its permissions follow the user's umask.
    file = open(partial, "xb")  # noqa: SIM115 - closed below, before the rename
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Returns when the names in the directory, new ones and gone ones, are on disk."""
    if os.name != "posix":
        return  # elsewhere a directory cannot be opened
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def write_archive(
    path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Writes a pyhash file, atomically; equal content gives equal bytes."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(header_of(kind, fields, arrays), indent=1, allow_nan=False)
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's own date, 1980, keeps the clock out of the file.
        archive.writestr(zipfile.ZipInfo(_HEADER), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Reads a pyhash file of either form; a ModelFormatError names the file and what is wrong with it.

    Raises ImportError if it is a safetensors file and that package is not installed.
    """
    target = Path(path)
    with open(target, "rb") as file:
        if not _is_tensor_file(file.read(9)):
            return _read_zip(target, file)
    from pyhash.tensor_files import read_tensor_file  # here, as it stands on this module

    return read_tensor_file(target)


def _is_tensor_file(start: bytes) -> bool:
    """Whether a file that starts so is a safetensors file: eight bytes of length, then JSON."""
    return start[8:9] == b"{" and not start.startswith(_ZIP_START)


def _read_zip(path: Path, file: IO[bytes]) -> Archive:
    with damage_named(path), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if _HEADER not in names:
            raise ModelFormatError(f"{path} is not a pyhash file: it has no {_HEADER}")
        header = json.loads(archive.read(_HEADER))
        check_header(path, header)
        arrays = {name: _read_array(archive, name) for name in header["arrays"]}
    return described_archive(path, header, arrays)


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    # read() checks the checksum of all bytes before any of them is believed.
    member = io.BytesIO(archive.read(f"{name}.npy"))
    array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


# --- what both forms of files share -----------------------------------------------------------------------------------


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
