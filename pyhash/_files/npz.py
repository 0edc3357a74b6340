"""pyhash files as .npz: an uncompressed zip of .npy members and ``header.json``."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.archive import Archive, check_header, damage_named, described_archive, header_of
from pyhash._files.atomic import atomic_file
from pyhash.errors import ModelFormatError

_HEADER = "header.json"


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


def read_npz(path: Path, file: IO[bytes]) -> Archive:
    """Read a file of this form."""
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
