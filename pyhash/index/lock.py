"""The lock that keeps a directory to one writer."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path

from pyhash.errors import IndexLockedError

LOCK = "lock"

# Locks that this process holds. A forked child closes its copies at once: it does not hold them, and as long as it had
# them open, the kernel would not free them when the holder dies.
_descriptors: set[int] = set()


def _close_locks_of_parent() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks_of_parent)


class WriterLock:
    """A kernel lock (flock) on the lock file of a directory; it ends with the object or the process.

    Parameters
    ----------
    directory : Path

    Raises
    ------
    IndexLockedError
        If another writer holds the lock.
    OSError
        If the lock file cannot be opened or written.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        self._descriptor = _locked_file(self._path)
        self._pid = os.getpid()
        self._release = weakref.finalize(self, _release, self._descriptor, self._pid)

    @property
    def held(self) -> bool:
        """Whether this process holds the lock: a forked child does not."""
        return self._release.alive and self._pid == os.getpid()

    def is_in_place(self) -> bool:
        """Return whether the path still names the locked file: another file there can be locked by another writer."""
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return os.path.samestat(os.fstat(self._descriptor), there)

    def release(self) -> None:
        """Let other writers in; a second call does nothing."""
        self._release()


def _locked_file(path: Path) -> int:
    """Return the descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        _descriptors.add(descriptor)
        try:
            _lock(descriptor, path)
            # Between the two calls the file may have been removed: then this locks nothing that others can see.
            if os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise IndexLockedError(
            f"{path.parent} must have one writer at a time, it is locked by {_holder(descriptor)}"
        ) from None
    # For the messages of others only: what counts is the kernel's lock.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode() + b"\n", 0)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(holder['pid'])} on host {holder['host']}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return "another process"  # which has not yet written its name


def _close(descriptor: int) -> None:
    _descriptors.discard(descriptor)
    os.close(descriptor)


def _release(descriptor: int, pid: int) -> None:
    import fcntl

    if pid != os.getpid():
        return  # a forked child: it closed its copy when it began, and the number may be another file's by now
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    _close(descriptor)
