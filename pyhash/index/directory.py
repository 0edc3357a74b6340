"""The on-disk form of an index: immutable segment files, and one manifest that is replaced atomically.

A directory holds, for each segment, ``<name>.codes.npy`` (packed codes) and ``<name>.ids.npy`` (their ids, ascending),
and, where rows were removed, ``<name>.alive-<generation>.npy`` (the rows that are left, one bit each). The manifest
says which of the files count; those that it does not name are leftovers. No two commits give a name to different files,
so that a reader of an older manifest finds its files as they were, or finds them gone.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import socket
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash._inputs.checks import check_integer, check_n_bits, n_bytes_of
from pyhash.errors import IndexChangedError, IndexLockedError, ModelFormatError

__all__ = ["IndexDirectory", "SegmentArrays", "SegmentContent", "StoredSegment"]

FORMAT = "pyhash-index"
VERSION = 1
MANIFEST = "manifest.json"
_LOCK = "lock"
_BLOCK_BYTES = 1 << 22  # what is read or written at once: large for the disk, small for the memory
_MAX_NUMBER = 10**15  # of generations, segments and rows: beyond use, and no size computed from it overflows
_MAX_CRC = (1 << 32) - 1

_NUMBER = "(?:[0-9]{8}|[1-9][0-9]{8,15})"
_SEGMENT_NAME = re.compile(f"segment-({_NUMBER})")
_ALIVE_NAME = re.compile(rf"(segment-{_NUMBER})\.alive-({_NUMBER})\.npy")
# All that a writer ever makes and may leave behind; nothing else is ever deleted.
_OWN_FILE = re.compile(
    rf"segment-{_NUMBER}\.(?:codes|ids|alive-{_NUMBER})\.npy|\.{re.escape(MANIFEST)}\.[0-9a-f]{{8}}\.partial"
)

SegmentArrays: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64], "NDArray[np.uint8] | None"]
_Blocks: TypeAlias = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class StoredSegment:
    """What the manifest says of one segment.

    Attributes
    ----------
    name : str
        Its files are ``<name>.codes.npy`` and ``<name>.ids.npy``.
    n : int
        Rows, removed ones included.
    codes_crc, ids_crc : int
        crc32 of the whole files.
    alive : str or None
        File of the mask of rows that are still there; None where all are.
    alive_crc : int or None
        crc32 of that file.
    """

    name: str
    n: int
    codes_crc: int
    ids_crc: int
    alive: str | None = None
    alive_crc: int | None = None

    def __post_init__(self) -> None:
        # Names become paths: only those that this module makes are believed.
        if not isinstance(self.name, str) or not _SEGMENT_NAME.fullmatch(self.name):
            raise ValueError(f"name of a segment must be like segment-00000001, got {self.name!r}")
        check_integer("n", self.n, 0, _MAX_NUMBER)
        check_integer("codes_crc", self.codes_crc, 0, _MAX_CRC)
        check_integer("ids_crc", self.ids_crc, 0, _MAX_CRC)
        if self.alive is None and self.alive_crc is None:
            return
        match = _ALIVE_NAME.fullmatch(self.alive) if isinstance(self.alive, str) else None
        if match is None or match[1] != self.name:
            raise ValueError(f"alive must be like {self.name}.alive-00000001.npy, got {self.alive!r}")
        check_integer("alive_crc", self.alive_crc, 0, _MAX_CRC)

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.name.removeprefix("segment-"))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        own = (f"{self.name}.codes.npy", f"{self.name}.ids.npy")
        return own if self.alive is None else (*own, self.alive)


@dataclass(frozen=True, eq=False)
class SegmentContent:
    """A segment to commit.

    Attributes
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), uint8, C-contiguous
        Packed codes, padding bits zero. May be a memory map.
    ids : ndarray of shape (n,), int64, contiguous
        Strictly ascending.
    alive : ndarray of shape (ceil(n / 8),), uint8, or None
        Bit i % 8 of byte i // 8 says whether row i is still there; padding bits zero. None: all are.
    stored : StoredSegment or None
        The stored form that has these codes and ids, whatever its mask. One that the directory's last commit does not
        name is as good as none: the segment is written.
    """

    codes: NDArray[np.uint8]
    ids: NDArray[np.int64]
    alive: NDArray[np.uint8] | None = None
    stored: StoredSegment | None = None


@dataclass(frozen=True)
class _Manifest:
    """What one commit says; generation 0 is an index that was never committed, and has no file."""

    n_bits: int
    fingerprint: str | None
    generation: int
    next_segment: int
    segments: tuple[StoredSegment, ...]

    def __post_init__(self) -> None:
        check_n_bits(self.n_bits)
        if self.fingerprint is not None and not isinstance(self.fingerprint, str):
            raise TypeError(f"fingerprint must be a string or None, got {self.fingerprint!r}")
        check_integer("generation", self.generation, 0, _MAX_NUMBER)
        check_integer("next_segment", self.next_segment, 1, _MAX_NUMBER)
        if len({segment.name for segment in self.segments}) < len(self.segments):
            raise ValueError("segments must have different names")
        for segment in self.segments:
            if segment.number >= self.next_segment:
                raise ValueError(f"next_segment must be above {segment.name}, got {self.next_segment}")

    def to_bytes(self) -> bytes:
        """Its file. The crc32 at the end is that of all bytes before it, so that every flipped bit is noticed."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        body = json.dumps(content, indent=1).removesuffix("\n}").encode()
        return body + _manifest_end(body)

    @classmethod
    def read(cls, path: Path) -> _Manifest:
        """Reads and checks a manifest."""
        try:
            raw = path.read_bytes()
        except IsADirectoryError as error:
            raise ModelFormatError(f"{path} is not a manifest of an index: it is a directory") from error
        try:
            content = json.loads(raw)
        except Exception as error:  # damaged JSON fails in many ways: syntax, text, digits, depth
            raise ModelFormatError(f"{path} is not a whole manifest: {error or type(error).__name__}") from error
        # Before the crc: a newer version may have another.
        _check_version(path, content)
        body, mark, _ = raw.rpartition(_CRC_MARK)
        if not mark or raw != body + _manifest_end(body):
            raise ModelFormatError(f"{path} is damaged: its crc32 is not that of its content")
        try:
            return cls._of(content)
        except (TypeError, ValueError) as error:
            raise ModelFormatError(f"{path} is not a valid manifest: {error}") from error

    @classmethod
    def _of(cls, content: dict[str, Any]) -> _Manifest:
        fields = {name: content[name] for name in content.keys() - {"format", "version", "crc32"}}
        check_integer("generation", fields.get("generation"), 1)
        segments = fields.pop("segments", None)
        if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
            raise TypeError(f"segments must be a list of objects, got {segments!r}")
        return cls(**fields, segments=tuple(StoredSegment(**segment) for segment in segments))


_CRC_MARK = b',\n "crc32": '


def _manifest_end(body: bytes) -> bytes:
    return _CRC_MARK + str(zlib.crc32(body)).encode() + b"\n}\n"


def _check_version(path: Path, content: object) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelFormatError(f"{path} is not a manifest of an index: it names another format")
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelFormatError(f"{path} has no valid format version, got {version!r}")
    if version > VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, this pyhash reads up to {VERSION}: install a newer pyhash"
        )


# What a file must hold, checked block by block as it passes by, on its way to disk as on its way from there.


def _checked_codes(blocks: Iterable[NDArray[Any]], n_bits: int) -> _Blocks:
    padding = n_bytes_of(n_bits) * 8 - n_bits
    for block in blocks:
        if padding and np.any(block[:, -1] >> (8 - padding)):
            raise ValueError(f"codes must have zero padding bits for n_bits={n_bits}, a row has set ones")
        yield block


def _checked_ids(blocks: Iterable[NDArray[Any]]) -> _Blocks:
    last: int | None = None
    for block in blocks:
        if np.any(block[1:] <= block[:-1]) or (last is not None and block[0] <= last):
            raise ValueError("ids must be strictly ascending, they are not")
        last = int(block[-1])
        yield block


def _checked_alive(blocks: Iterable[NDArray[Any]], n: int) -> _Blocks:
    block = None
    for block in blocks:
        yield block
    if n % 8 and block is not None and block[-1] >> (n % 8):
        raise ValueError(f"alive must have zero padding bits for {n} rows, has set ones")


def _rows_per_block(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return max(1, _BLOCK_BYTES // (math.prod(shape[1:]) * dtype.itemsize))


def _slices(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[slice]:
    """Blocks of rows of an array."""
    step = _rows_per_block(shape, dtype)
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def _as_bytes(block: NDArray[Any]) -> memoryview:
    return block.reshape(-1).view(np.uint8).data


def _write(path: Path, array: NDArray[Any], checked: Callable[[Iterable[NDArray[Any]]], _Blocks]) -> int:
    """Writes an .npy file through to the disk; its crc32."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    # What has this name already was never in a manifest: a crashed writer left it.
    path.unlink(missing_ok=True)
    with open(path, "xb") as file:
        file.write(head.getvalue())
        crc = zlib.crc32(head.getvalue())
        for block in checked(array[rows] for rows in _slices(array.shape, array.dtype)):
            crc = zlib.crc32(_as_bytes(block), crc)
            file.write(_as_bytes(block))
        file.flush()
        os.fsync(file.fileno())
    return crc


@dataclass(frozen=True)
class _File:
    """An .npy file as the manifest describes it."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    crc: int
    checked: Callable[[Iterable[NDArray[Any]]], _Blocks]

    def map(self) -> NDArray[Any]:
        """Its array, read only, none of it read."""
        with self._opened() as (file, _):
            mapped = np.memmap(file, self.dtype, mode="r", offset=file.tell(), shape=self.shape)
        # As a plain array: slices of a memmap are slower, and behave as any other.
        return np.asarray(mapped)

    def read(self) -> NDArray[Any]:
        """Its array, read only, every byte of the file checked."""
        with self._opened() as (file, head_crc):
            array = np.empty(self.shape, dtype=self.dtype)
            self._pass_through(file, head_crc, (array[rows] for rows in _slices(self.shape, self.dtype)))
        array.flags.writeable = False
        return array

    def verify(self) -> None:
        """Checks every byte, in little memory."""
        with self._opened() as (file, head_crc):
            buffer = np.empty((_rows_per_block(self.shape, self.dtype), *self.shape[1:]), dtype=self.dtype)
            slices = _slices(self.shape, self.dtype)
            self._pass_through(file, head_crc, (buffer[: rows.stop - rows.start] for rows in slices))

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], int]]:
        """The file at its first row, when its head and its size are right; the crc32 of what is before."""
        try:
            with open(self.path, "rb") as file:
                yield file, self._check_head(file)
        except IsADirectoryError as error:
            raise ModelFormatError(f"{self.path} is not an .npy file: it is a directory") from error

    def _pass_through(self, file: IO[bytes], head_crc: int, targets: Iterable[NDArray[Any]]) -> None:
        """Reads all rows into `targets`, and checks them and the crc32."""
        try:
            for _ in self.checked(self._blocks(file, head_crc, targets)):
                pass
        except ModelFormatError:
            raise
        except ValueError as error:
            raise ModelFormatError(f"{self.path} is not valid: {error}") from error

    def _blocks(self, file: IO[bytes], crc: int, targets: Iterable[NDArray[Any]]) -> _Blocks:
        for block in targets:
            if file.readinto(_as_bytes(block)) != block.nbytes:  # type: ignore[attr-defined]
                raise ModelFormatError(f"{self.path} was cut short while it was read")
            crc = zlib.crc32(_as_bytes(block), crc)
            yield block
        if crc != self.crc:
            raise ModelFormatError(f"{self.path} is damaged: its crc32 must be {self.crc}, got {crc}")

    def _check_head(self, file: IO[bytes]) -> int:
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"its npy version must be 1.0, got {version[0]}.{version[1]}")
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # a damaged header fails in many ways: length, text, syntax, types
            raise ModelFormatError(f"{self.path} is not a whole .npy file: {error or type(error).__name__}") from error
        if (shape, dtype, fortran_order) != (self.shape, self.dtype, False):
            raise ModelFormatError(
                f"{self.path} must hold {self.dtype} of shape {self.shape} in C order, got {dtype} of shape {shape}"
                + (" in Fortran order" if fortran_order else "")
            )
        start = file.tell()
        size = os.fstat(file.fileno()).st_size
        wanted = start + math.prod(self.shape) * self.dtype.itemsize
        if size != wanted:
            raise ModelFormatError(f"{self.path} must have {wanted} bytes, got {size}")
        file.seek(0)
        return zlib.crc32(file.read(start))


# Locks that this process holds. A forked child closes its copies at once: it does not hold them, and as long as it had
# them open, the kernel would not free them when the holder dies.
_lock_descriptors: set[int] = set()


def _close_locks_of_parent() -> None:
    for descriptor in _lock_descriptors:
        os.close(descriptor)
    _lock_descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks_of_parent)


def _take_lock(directory: Path) -> int:
    """The descriptor of the lock file, locked."""
    import fcntl

    path = directory / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _lock_descriptors.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexLockedError(
                f"{directory} must have one writer at a time, it is locked by {_holder(descriptor)}"
            ) from None
        # For the messages of others only: what counts is the kernel's lock, which ends with the process.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode() + b"\n", 0)
    except BaseException:
        _lock_descriptors.discard(descriptor)
        os.close(descriptor)
        raise
    return descriptor


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(holder['pid'])} on host {holder['host']}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return "another process"  # which has not yet written its name


def _release_lock(descriptor: int, pid: int) -> None:
    import fcntl

    if pid != os.getpid():
        return  # a forked child: it closed its copy when it began, and the number may be another file's by now
    _lock_descriptors.discard(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class IndexDirectory:
    """A directory that holds an index: what its last commit says, and the way to the next.

    Any number of processes may read while one writes. An object is for one thread at a time.

    Use ``open``, ``read`` or ``create``.
    """

    def __init__(self, path: Path, manifest: _Manifest) -> None:
        self.path = path
        self._manifest = manifest
        self._locked_by: int | None = None
        self._release: weakref.finalize[..., IndexDirectory] | None = None

    def __repr__(self) -> str:
        return f"IndexDirectory({str(self.path)!r}) at generation {self.generation}"

    @property
    def n_bits(self) -> int:
        """Length of a code in bits."""
        return self._manifest.n_bits

    @property
    def fingerprint(self) -> str | None:
        """What the last commit said of the model that made the codes."""
        return self._manifest.fingerprint

    @property
    def generation(self) -> int:
        """The number of commits so far; 0 where there was none."""
        return self._manifest.generation

    @property
    def segments(self) -> tuple[StoredSegment, ...]:
        """The segments of the last commit, in its order."""
        return self._manifest.segments

    @classmethod
    def create(cls, path: str | os.PathLike[str], n_bits: int, fingerprint: str | None = None) -> IndexDirectory:
        """A directory for a new index. It is no index before the first commit.

        Parameters
        ----------
        path : path-like
            Is made where it does not exist.
        n_bits : int
            Length of a code in bits.
        fingerprint : str, optional
            Of the model that makes the codes.

        Returns
        -------
        IndexDirectory
            At generation 0.

        Raises
        ------
        FileExistsError
            If it is an index already, or holds other files.
        OSError
            If it cannot be made.
        """
        manifest = _Manifest(check_n_bits(n_bits), fingerprint, generation=0, next_segment=1, segments=())
        directory = cls(Path(path), manifest)
        try:
            directory.path.mkdir()
        except FileExistsError:
            directory._check_unused()
        else:
            sync_directory(directory.path.parent)
        return directory

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> IndexDirectory:
        """The index of a directory; reads and checks the manifest only.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        IndexDirectory

        Raises
        ------
        FileNotFoundError
            If there is no such directory.
        ModelFormatError
            If it is not an index, its manifest is damaged, or written by a newer version.
        """
        directory = Path(path)
        try:
            return cls(directory, _Manifest.read(directory / MANIFEST))
        except FileNotFoundError as error:
            if directory.is_dir():
                raise ModelFormatError(f"{directory} is not an index: it has no {MANIFEST}") from error
            raise

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, mmap: bool) -> tuple[IndexDirectory, list[SegmentArrays]]:
        """The index of a directory with all its content, also while another process commits.

        Parameters
        ----------
        path : path-like
        mmap : bool
            As for ``load``.

        Returns
        -------
        IndexDirectory
        list of (codes, ids, alive)
            In the order of its ``segments``; all of the same commit.

        Raises
        ------
        FileNotFoundError, ModelFormatError
            As for ``open`` and ``load``.
        """
        loaded: dict[StoredSegment, SegmentArrays] = {}
        while True:
            directory = cls.open(path)
            # What was loaded already is not read again: a busy writer cannot hold up the reader of large segments.
            loaded = {segment: loaded[segment] for segment in directory.segments if segment in loaded}
            try:
                for segment in directory.segments:
                    if segment not in loaded:
                        loaded[segment] = directory.load(segment, mmap=mmap)
            except IndexChangedError:
                continue
            return directory, [loaded[segment] for segment in directory.segments]

    def load(self, segment: StoredSegment, *, mmap: bool) -> SegmentArrays:
        """The content of a segment.

        Parameters
        ----------
        segment : StoredSegment
            One of ``segments``.
        mmap : bool
            Maps codes and ids and reads nothing of them: their size, dtype and shape are checked, not their bytes.

        Returns
        -------
        codes : ndarray of shape (n, ceil(n_bits / 8)), uint8, read only
        ids : ndarray of shape (n,), int64, read only
        alive : ndarray of shape (ceil(n / 8),), uint8, read only, or None

        Raises
        ------
        ModelFormatError
            If a file is missing, damaged, or not what the manifest says.
        IndexChangedError
            If a file is gone because another writer has committed since.
        """
        with self._reading():
            codes, ids, alive = self._files_of(segment)
            mask = None if alive is None else alive.read()
            return (codes.map(), ids.map(), mask) if mmap else (codes.read(), ids.read(), mask)

    def verify(self) -> None:
        """Checks every byte of every segment, in little memory.

        Raises
        ------
        ModelFormatError, IndexChangedError
            As for ``load``.
        """
        with self._reading():
            for segment in self.segments:
                for file in self._files_of(segment):
                    if file is not None:
                        file.verify()

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock, in this process."""
        return self._locked_by == os.getpid()

    def lock(self) -> None:
        """Keeps other writers out until ``unlock``, or until the object or the process ends. Not for a forked child.

        Raises
        ------
        IndexLockedError
            If another holds the lock.
        IndexChangedError
            If another has committed since this object was opened.
        OSError
            If the directory cannot be written.
        """
        if self.locked:
            return
        descriptor = _take_lock(self.path)
        self._locked_by = os.getpid()
        self._release = weakref.finalize(self, _release_lock, descriptor, self._locked_by)
        try:
            self._check_unchanged()
        except BaseException:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Lets other writers in. Does nothing where the lock is not held."""
        if self._release is not None:
            self._release()
        self._release = self._locked_by = None

    def commit(self, segments: Sequence[SegmentContent], fingerprint: str | None) -> list[StoredSegment]:
        """Makes `segments` the content of the index, wholly or not at all.

        Takes the lock, and releases it, where it is not held. Memory stays small however large the segments are.

        Parameters
        ----------
        segments : sequence of SegmentContent
        fingerprint : str or None
            Of the model that made the codes.

        Returns
        -------
        list of StoredSegment
            In the order of `segments`; as ``self.segments``.

        Raises
        ------
        TypeError, ValueError
            If arrays are not what ``SegmentContent`` says.
        IndexLockedError, IndexChangedError
            As for ``lock``.
        OSError
            If the disk is full, or fails.

        Notes
        -----
        A commit that raises leaves the last one in place, and none of its own files. Only where the new manifest was in
        place already, and syncing the directory after it failed or was interrupted, does the new one stay, whole;
        ``generation`` and ``segments`` say which it is.
        """
        for segment in segments:
            self._check_content(segment)
        held = self.locked
        self.lock()
        try:
            self._replace_by(segments, fingerprint)
            self._delete_unnamed()
        finally:
            if not held:
                self.unlock()
        return list(self.segments)

    def _replace_by(self, segments: Sequence[SegmentContent], fingerprint: str | None) -> None:
        names: list[str] = []
        manifest = self._manifest
        try:
            manifest = self._written(segments, fingerprint, names)
            if names:
                # The names of the files must be on disk before a manifest there relies on them.
                sync_directory(self.path)
            with atomic_file(self.path / MANIFEST) as file:
                file.write(manifest.to_bytes())
            self._manifest = manifest
        except BaseException:
            # What is on disk decides, not how far this got: an interrupt may come just after the manifest's rename.
            if self._on_disk() == manifest:
                self._manifest = manifest
            self._delete(name for name in names if name not in self._named())
            raise

    def _written(self, segments: Sequence[SegmentContent], fingerprint: str | None, names: list[str]) -> _Manifest:
        """The next manifest, when its new files are on disk; `names` gets theirs, before they are made."""
        generation, number = self.generation + 1, self._manifest.next_segment
        stored = []
        for segment in segments:
            form = self._stored_form(segment)
            if form is None:
                form = self._write_rows(segment, f"segment-{number:08d}", names)
                number += 1
            stored.append(self._with_mask(form, segment.alive, generation, names))
        return _Manifest(self.n_bits, fingerprint, generation, number, tuple(stored))

    def _stored_form(self, segment: SegmentContent) -> StoredSegment | None:
        """What the last commit has of the segment; its mask may be another."""
        given = segment.stored
        for form in self.segments:
            if given is not None and (form.name, form.n, form.codes_crc, form.ids_crc) == (
                given.name,
                len(segment.ids),
                given.codes_crc,
                given.ids_crc,
            ):
                return form
        return None

    def _write_rows(self, segment: SegmentContent, name: str, names: list[str]) -> StoredSegment:
        names += [f"{name}.codes.npy", f"{name}.ids.npy"]
        codes, ids = (self.path / file for file in names[-2:])
        codes_crc = _write(codes, segment.codes, partial(_checked_codes, n_bits=self.n_bits))
        ids_crc = _write(ids, segment.ids, _checked_ids)
        return StoredSegment(name, len(segment.ids), codes_crc, ids_crc)

    def _with_mask(
        self, form: StoredSegment, alive: NDArray[np.uint8] | None, generation: int, names: list[str]
    ) -> StoredSegment:
        """The form with the mask, which is written unless the form has it already."""
        if alive is None:
            return StoredSegment(form.name, form.n, form.codes_crc, form.ids_crc)
        if self._has_mask(form, alive):
            return form
        names.append(f"{form.name}.alive-{generation:08d}.npy")
        crc = _write(self.path / names[-1], alive, partial(_checked_alive, n=form.n))
        return StoredSegment(form.name, form.n, form.codes_crc, form.ids_crc, names[-1], crc)

    def _has_mask(self, form: StoredSegment, alive: NDArray[np.uint8]) -> bool:
        # By content: equal crcs would only make it likely, and a removal must not be lost by bad luck.
        file = self._files_of(form)[2]
        if file is None:
            return False
        try:
            return np.array_equal(file.read(), alive)
        except (ModelFormatError, FileNotFoundError):
            return False  # a damaged mask is written anew

    def _files_of(self, segment: StoredSegment) -> tuple[_File, _File, _File | None]:
        n, n_bytes = segment.n, n_bytes_of(self.n_bits)
        bytes_, int64 = np.dtype(np.uint8), np.dtype(np.int64)
        codes, ids = (self.path / name for name in segment.files[:2])
        mask = None
        if segment.alive is not None and segment.alive_crc is not None:
            checked = partial(_checked_alive, n=n)
            mask = _File(self.path / segment.alive, bytes_, (n_bytes_of(n),), segment.alive_crc, checked)
        return (
            _File(codes, bytes_, (n, n_bytes), segment.codes_crc, partial(_checked_codes, n_bits=self.n_bits)),
            _File(ids, int64, (n,), segment.ids_crc, _checked_ids),
            mask,
        )

    def _check_content(self, segment: SegmentContent) -> None:
        n, n_bytes = len(segment.ids), n_bytes_of(self.n_bits)
        _check_array("codes", segment.codes, np.uint8, (n, n_bytes))
        _check_array("ids", segment.ids, np.int64, (n,))
        if segment.alive is not None:
            _check_array("alive", segment.alive, np.uint8, (n_bytes_of(n),))

    def _check_unused(self) -> None:
        names = sorted(os.listdir(self.path))
        if MANIFEST in names:
            raise FileExistsError(f"{self.path} must be a new directory, it is an index already")
        # A writer that died before its first commit is no reason to refuse.
        foreign = [name for name in names if name != _LOCK and not _OWN_FILE.fullmatch(name)]
        if foreign:
            raise FileExistsError(f"{self.path} must be a new or empty directory, it holds {foreign[0]!r}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # Either a writer went on and deleted it, or it is lost.
            self._check_unchanged()
            raise ModelFormatError(f"{error.filename} is missing, {self.path / MANIFEST} names it") from error

    def _on_disk(self) -> _Manifest:
        """The manifest as it is now; one of generation 0 where there was never any."""
        try:
            return type(self).open(self.path)._manifest
        except ModelFormatError:
            if self.generation == 0 and not (self.path / MANIFEST).exists():
                return self._manifest
            raise

    def _check_unchanged(self) -> None:
        found = self._on_disk()
        if found != self._manifest:
            raise IndexChangedError(
                f"{self.path} has changed since it was opened, from generation {self.generation} to "
                f"{found.generation}: open it again"
            )

    def _named(self) -> set[str]:
        return {name for segment in self.segments for name in segment.files}

    def _delete_unnamed(self) -> None:
        """Deletes what the manifest does not name: of earlier commits, and of writers that died."""
        named = self._named()
        self._delete(name for name in os.listdir(self.path) if _OWN_FILE.fullmatch(name) and name not in named)

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            # What cannot be deleted now harms nobody; the next commit tries again.
            with suppress(OSError):
                (self.path / name).unlink(missing_ok=True)


def _check_array(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} of a segment must be an array of {np.dtype(dtype)}, got {got}")
    if array.shape != shape or not array.flags.c_contiguous:
        layout = "" if array.flags.c_contiguous else ", not contiguous"
        raise ValueError(f"{name} of a segment must have shape {shape} and be contiguous, got {array.shape}{layout}")
