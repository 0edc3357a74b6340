"""Pictures that a table names by their paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_SHOWN = 5  # of the paths that are wrong


def starts_as_picture(data: bytes) -> bool:
    """Return whether bytes start as a JPEG, PNG, GIF, BMP, TIFF or WebP file."""
    return data.startswith(_STARTS) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")


def are_pictures(values: Sequence[str], folder: Path) -> bool:
    """Return whether all values, of which there is at least one, are paths of files in a folder."""
    return bool(values) and all(_why_not(value, folder) is None for value in values)


def locate(where: str, path: str, row: int, folder: Path | None) -> str:
    """Return the path of a picture that a row names.

    Raises
    ------
    ValueError
        If the path leads out of the folder.
    FileNotFoundError
        If there is no such file.
    """
    why = _why_not(path, folder)
    if why is None:
        return os.path.join(folder, os.path.normpath(path)) if folder is not None else path
    error = FileNotFoundError if why == "missing" else ValueError
    raise error(_message(where, [f"row {row}: {path!r} {_TOLD[why]}"]))


def check_pictures(where: str, paths: Iterable[str], folder: Path) -> None:
    """Raise an error that names the first paths that are no files in a folder, and their rows.

    Raises
    ------
    ValueError
        If a path leads out of the folder.
    FileNotFoundError
        If there is no file for a path.
    """
    wrong = [(row, path, why) for row, path in enumerate(paths) if (why := _why_not(path, folder)) is not None]
    if wrong:
        shown = [f"row {row}: {path!r} {_TOLD[why]}" for row, path, why in wrong[:_SHOWN]]
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        error = FileNotFoundError if all(why == "missing" for _, _, why in wrong) else ValueError
        raise error(_message(where, [*shown, *more]))


_TOLD = {"missing": "does not exist", "outside": "leads out of the folder", "no path": "is no path of a file"}


def _why_not(path: str, folder: Path | None) -> str | None:
    """Return why a path names no picture, None if it does. Symbolic links within the folder are followed."""
    if not path or "\0" in path:
        return "no path"
    if folder is not None:
        path = os.path.normpath(path)  # before links are followed, which ".." would leave by another way
        if PurePath(path).is_absolute() or path.split(os.sep)[0] == os.pardir:
            return "outside"
        path = os.path.join(folder, path)
    try:
        return None if os.path.isfile(path) else "missing"
    except ValueError:  # characters that no path has
        return "no path"


def _message(where: str, wrong: Sequence[str]) -> str:
    return f"{where} must hold paths of pictures, got {', '.join(wrong)}"
