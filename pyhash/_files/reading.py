"""Read a pyhash file of either form."""

from __future__ import annotations

import os

from pyhash._files.archive import Archive
from pyhash._inputs.paths import check_path

_ZIP_START = b"PK\x03\x04"


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a pyhash file of either form.

    Raises
    ------
    ImportError
        If it is a safetensors file, and that package is not installed.
    TypeError
        If `path` is not a path.
    ModelFormatError
        If the file is damaged, or not one of pyhash; the message names it.
    OSError
        If it cannot be read.
    """
    target = check_path("path", path)
    with open(target, "rb") as file:
        if not _is_tensor_file(file.read(9)):
            from pyhash._files.npz import read_npz

            return read_npz(target, file)
    from pyhash._files.safetensors import read_tensor_file

    return read_tensor_file(target)


def _is_tensor_file(start: bytes) -> bool:
    """Return whether a file that starts so is a safetensors file: eight bytes of length, then JSON."""
    return start[8:9] == b"{" and not start.startswith(_ZIP_START)
