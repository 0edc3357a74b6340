"""Folders of Retrievers, as commands open and write them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pyhash.cli.columns import COLUMNS, Columns, write_columns
from pyhash.cli.interrupts import undivided
from pyhash.retriever import Retriever
from pyhash.retriever.manifest import EVALUATION, INDEX, MANIFEST, is_own_file

if TYPE_CHECKING:
    from pyhash.retriever.encoder_set import EncoderSet


def is_retriever(folder: Path) -> bool:
    """Return whether there is a Retriever in a folder."""
    return (folder / MANIFEST).is_file()


def check_target(folder: Path) -> None:
    """Raise before any work if a Retriever cannot be written to a folder: only its own files are replaced."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    if folder.is_dir() and not is_retriever(folder) and any(folder.iterdir()):
        raise FileExistsError(
            f"--out must name a new or empty folder, or one that `pyhash learn` wrote, got {folder}, which holds other "
            "files"
        )
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written: no permission in {above}")


def write_retriever(retriever: Retriever, columns: Columns, folder: Path) -> None:
    """Write a Retriever to a folder, in place of the one that may be there; files of others stay. It is closed then."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not is_retriever(folder):
        retriever.save(folder)
        retriever.close()
        write_columns(folder, columns)
        return
    # A second folder beside the first, and then both change their names.
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.partial-"))
    new, old = beside / "new", beside / "old"
    try:
        retriever.save(new)
        retriever.close()
        write_columns(new, columns)
    except BaseException:
        with undivided():
            shutil.rmtree(beside)
        raise
    with undivided():
        os.replace(folder, old)
        os.replace(new, folder)
        for path in old.iterdir():
            if path.name not in (MANIFEST, INDEX, EVALUATION, COLUMNS) and not is_own_file(path.name):
                os.replace(path, folder / path.name)
        shutil.rmtree(beside)


def open_retriever(folder: Path, *, read_only: bool = True) -> Retriever:
    """Return the Retriever of a folder; the error where there is none says how to write one."""
    if not is_retriever(folder):
        what = "is not a folder" if not folder.is_dir() else f"has no {MANIFEST}"
        raise FileNotFoundError(f"{folder} {what}: `pyhash learn DATA --out {folder}` writes one")
    return Retriever.open(folder, read_only=read_only)


def kinds_of(retriever: Retriever) -> dict[str, str]:
    """Return what the items of each modality are: "features", "text" or "image"."""
    # Without making the encoders: a search by words needs none of pictures.
    encoders = cast("EncoderSet", retriever.encoders)
    return {name: encoders.described(name).kind or "features" for name in retriever.modalities}
