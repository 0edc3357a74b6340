"""pyhash files as .npz: an uncompressed zip of .npy members and ``header.json``."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive, check_described, damage_named, header_of, header_text, parsed_header
from pyhash._files.atomic import atomic_file
from pyhash._files.npy import read_npy_header
from pyhash.errors import ModelFormatError

_HEADER = "header.json"
_ENCRYPTED = 1  # in a member's flags


def write_archive(
    path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a pyhash file, atomically; equal content gives equal bytes.

    Raises
    ------
    TypeError
        If `fields` hold what JSON does not have.
    ValueError
        If `fields` hold NaN or infinity, or are of more than ``MAX_HEADER_BYTES``.
    OSError
        If the file cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = header_text(header_of(kind, fields, arrays), indent=1)
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's own date, 1980, keeps the clock out of the file.
        archive.writestr(zipfile.ZipInfo(_HEADER), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(path: Path, file: IO[bytes]) -> Archive:
    """Read a file of this form.

    Whatever the file says of itself, it costs no more than a few times its own size in memory: members must be stored
    as they are, and their sizes fit the header's, before they are read.
    """
    with damage_named(path), zipfile.ZipFile(file) as archive:
        members = _checked_members(path, archive)
        if _HEADER not in members:
            raise ModelFormatError(f"{path} is not a pyhash file: it has no {_HEADER}")
        header = parsed_header(path, archive.read(_HEADER))
        arrays = {}
        for name, described in header["arrays"].items():
            if f"{name}.npy" not in members:
                raise ModelFormatError(f"{path} is not a whole pyhash file: it has no array {name!r}")
            arrays[name] = _read_array(path, archive, members[f"{name}.npy"], name, described)
    return Archive(path, header["kind"], header["fields"], arrays, header["version"])


def _checked_members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; raise where they are not as ``write_archive`` makes them."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.filename in members:
            raise ModelFormatError(f"{path} has two members {member.filename!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ModelFormatError(f"{path} must not be compressed, its member {member.filename!r} is")
        if member.flag_bits & _ENCRYPTED:
            raise ModelFormatError(f"{path} must not be encrypted, its member {member.filename!r} is")
        members[member.filename] = member
    # Members that overlap could be many times the file.
    size = os.fstat(archive.fp.fileno()).st_size if archive.fp is not None else 0
    if sum(member.file_size for member in members.values()) > size:
        raise ModelFormatError(f"{path} is not a whole pyhash file: its members are larger than the file")
    return members


def _read_array(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, described: list[Any]
) -> NDArray[Any]:
    with archive.open(member) as content:
        shape, dtype = read_npy_header(content)
        check_described(path, name, described, dtype, shape)
        if member.file_size - content.tell() != math.prod(shape) * dtype.itemsize:
            raise ModelFormatError(f"{path}: array {name!r} is not of the size that its header says")
        # At its end, read() checks the checksum of all bytes.
        values = np.ndarray(shape, dtype, content.read())
    array: NDArray[Any] = values.copy()
    return array
