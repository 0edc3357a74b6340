"""A folder that is written beside its place, and moved there when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyhash.cli.interrupts import undivided


@contextmanager
def staged(directory: Path, is_owned: Callable[[str], bool]) -> Iterator[Path]:
    """Yield a folder to write into; its files move to `directory` at the end, or are removed after an error.

    Files of an earlier run, which `is_owned` knows by their names, are removed too where they were not written again.
    """
    directory = directory.resolve()
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a folder")
    try:
        stage = _make_stage(directory)
    except OSError as error:
        raise OSError(f"{directory} cannot be written: {error.strerror}") from error
    try:
        yield stage
        with undivided():
            written = {file.name for file in stage.iterdir()}
            directory.mkdir(exist_ok=True)
            for name in sorted(written):
                new, old = stage / name, directory / name
                # os.replace replaces neither a folder nor anything by a folder: move the old one away first.
                if old.is_dir() or (new.is_dir() and old.exists()):
                    os.replace(old, stage / f"{name}.before")
                os.replace(new, old)
            for file in directory.iterdir():
                if file.name not in written and is_owned(file.name):
                    file.unlink()
    finally:
        with undivided():
            shutil.rmtree(stage)


def _make_stage(directory: Path) -> Path:
    """Make a temporary folder on the file system of `directory`: an unwritable one is noticed before any work."""
    if directory.exists():
        return Path(tempfile.mkdtemp(dir=directory, prefix=".partial-"))
    directory.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}.partial-"))
