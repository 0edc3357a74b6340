"""Folders of Retrievers, as commands open and write them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyhash.cli.columns import COLUMNS
from pyhash.cli.interrupts import undivided
from pyhash.index.joint_files import INDEX
from pyhash.retriever import Retriever
from pyhash.retriever.manifest import EVALUATION, MANIFEST, is_own_file

_OWN = (MANIFEST, INDEX, EVALUATION, COLUMNS)


def is_retriever(folder: Path) -> bool:
    """Return whether there is a Retriever in a folder."""
    return (folder / MANIFEST).is_file()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield where to write a Retriever, which moves to `folder` at the end; after an error nothing is left of it.

    Only files of a Retriever that is there already are replaced. Whether that can be done is found out before the
    block.

    Raises
    ------
    NotADirectoryError
        If `folder` is a file.
    FileExistsError
        If it holds something else than a Retriever.
    OSError
        If it cannot be written, or has changed at the end of the block.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    replaced = is_retriever(folder)
    if folder.is_dir() and not replaced and any(folder.iterdir()):
        raise FileExistsError(
            f"--out must name a new or empty folder, or one that `pyhash learn` wrote, got {folder}, which holds other "
            "files"
        )
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    except OSError as error:
        raise OSError(f"{folder} cannot be written: {error.strerror}") from error
    new, old = beside / "new", beside / "old"
    try:
        yield new
    except BaseException:
        with undivided():
            shutil.rmtree(beside)
        raise
    with undivided():
        try:
            if replaced:
                os.replace(target, old)
            os.replace(new, target)  # also in place of an empty folder
        except OSError as error:  # another command has written there since
            if old.exists() and not target.exists():
                os.replace(old, target)
            shutil.rmtree(new)
            with suppress(OSError):  # not where the folder before could not go back
                beside.rmdir()
            raise OSError(f"{folder} cannot be written: it has changed since the command began") from error
        for path in old.iterdir() if replaced else ():
            if path.name not in _OWN and not is_own_file(path.name):
                os.replace(path, target / path.name)
        shutil.rmtree(beside)


def check_retriever(folder: Path) -> None:
    """Raise FileNotFoundError unless there is a Retriever in a folder; the error says how to write one."""
    if not is_retriever(folder):
        what = "is not a folder" if not folder.is_dir() else f"has no {MANIFEST}"
        raise FileNotFoundError(f"{folder} {what}: `pyhash learn DATA --out {folder}` writes one")


def open_retriever(folder: Path, *, read_only: bool = True) -> Retriever:
    """Return the Retriever of a folder; raise as ``check_retriever`` where there is none."""
    check_retriever(folder)
    return Retriever.open(folder, read_only=read_only)


def kinds_of(retriever: Retriever) -> dict[str, str]:
    """Return what the items of each modality are: "features", "text" or "image"."""
    return {name: kind or "features" for name, kind in retriever.kinds.items()}
