"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyhash._inputs.paths import check_path


@contextmanager
def atomic_file(
    path: str | os.PathLike[str], *, before_rename: Callable[[], None] | None = None
) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` when the block ends well, and leaves no trace when it does not.

    A file that is replaced passes on its permissions; a new one gets those of the umask. Where `path` is a symbolic
    link, it stays, and the file that it names is written.

    Parameters
    ----------
    path : path-like
    before_rename : callable, optional
        Called when the content is on disk; what it raises leaves the old file in place.

    Yields
    ------
    file
        Open for writing bytes.

    Raises
    ------
    TypeError
        If `path` is not a path.
    IsADirectoryError
        If `path` names a directory.
    FileExistsError
        If `path` names a device, a pipe or a socket.
    OSError
        If the file cannot be written.
    """
    target = Path(os.path.realpath(check_path("path", path)))
    mode = _mode_of(target)
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
    # "x": never another's file. Nobody but the owner can open it before it has the permissions of the old one.
    file = open(partial, "xb", opener=None if mode is None else _private)  # noqa: SIM115 - closed before the rename
    try:
        with file:
            if mode is not None:
                os.chmod(partial, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before_rename is not None:
            before_rename()
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def _mode_of(target: Path) -> int | None:
    """Return the permissions of a file to replace, None where there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Not a regular file", str(target))
    return stat.S_IMODE(mode)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_directory(directory: Path) -> None:
    """Wait until the names in the directory, new ones and gone ones, are on disk."""
    if os.name != "posix":
        return  # elsewhere a directory cannot be opened
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
