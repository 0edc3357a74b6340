"""The on-disk form of an index: immutable segment files, and one manifest that is replaced atomically.

A directory holds, for each segment, ``<name>.codes.npy`` (packed codes) and ``<name>.ids.npy`` (their ids, ascending),
where rows were removed, ``<name>.alive-<generation>.npy`` (the rows that are left, one bit each), and where they were
built, ``<name>.tables-<generation>.npy`` (the substring tables of the codes). The manifest says which of the files
count; those that it does not name are leftovers. No two commits give a name to different files, so that a reader of an
older manifest finds its files as they were, or finds them gone.

A commit may have two phases, so that several directories commit as one: first ``prepared.json`` names the content of
the next commit, then it replaces the manifest. In between, both contents are on disk, to be opened by their generation.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash._inputs.checks import check_n_bits
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.commit import CommitFiles
from pyhash.index.lock import LOCK, WriterLock
from pyhash.index.manifest import MANIFEST, PREPARED, Manifest, StoredSegment, is_own_file
from pyhash.index.segment_files import SegmentArrays, SegmentContent, SegmentFiles


class IndexDirectory:
    """A directory that holds an index: it reads the last commit and makes the next.

    Any number of processes may read while one writes. An object is for one thread at a time.

    Use ``open``, ``read`` or ``create``.
    """

    def __init__(self, path: Path, manifest: Manifest, prepared: Manifest | None = None) -> None:
        self.path = path
        self._manifest = manifest
        self._prepared = prepared  # what ``publish`` publishes; opened at a prepared generation, the manifest itself
        self._lock: WriterLock | None = None

    def __repr__(self) -> str:
        return f"IndexDirectory({str(self.path)!r}) at generation {self.generation}"

    @property
    def n_bits(self) -> int:
        """Length of a code in bits."""
        return self._manifest.n_bits

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the model that made the codes, as of this generation."""
        return self._manifest.fingerprint

    @property
    def generation(self) -> int:
        """The number of the commit that this object has opened or made; 0 before the first."""
        return self._manifest.generation

    @property
    def prepared(self) -> int | None:
        """The generation that ``publish`` publishes; None where there is none."""
        return None if self._prepared is None else self._prepared.generation

    @property
    def segments(self) -> tuple[StoredSegment, ...]:
        """The segments of this generation, in its order."""
        return self._manifest.segments

    @classmethod
    def create(cls, path: str | os.PathLike[str], n_bits: int, fingerprint: str | None = None) -> IndexDirectory:
        """Make a directory for a new index. It is no index before the first commit.

        Parameters
        ----------
        path : path-like
            Made where it does not exist.
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
            If the directory is an index already, or holds other files.
        OSError
            If it cannot be made.
        """
        manifest = Manifest(check_n_bits(n_bits), fingerprint, generation=0, next_segment=1, segments=())
        directory = cls(Path(path), manifest)
        # As for a file: a symbolic link stays, and the directory that it names is made.
        target = Path(os.path.realpath(directory.path))
        try:
            target.mkdir()
        except FileExistsError:
            directory._check_unused()
        else:
            sync_directory(target.parent)
        return directory

    @classmethod
    def open(cls, path: str | os.PathLike[str], generation: int | None = None) -> IndexDirectory:
        """Return the index of a directory; reads and checks the manifest only.

        Parameters
        ----------
        path : path-like
        generation : int, optional
            The commit to open: the last one, or one that was prepared, which the first ``lock`` then publishes. By
            default the last one.

        Returns
        -------
        IndexDirectory

        Raises
        ------
        FileNotFoundError
            If there is no such directory.
        ModelFormatError
            If it is not an index, its manifest is damaged, or written by a newer version.
            If there is no such generation yet.
        IndexChangedError
            If a writer has gone on from that generation.
        """
        directory = Path(path)
        if generation is not None:
            return cls._open_generation(directory, generation)
        published = _published(directory)
        if published is None:
            raise ModelFormatError(f"{directory} is not an index: it has no {MANIFEST}")
        return cls(directory, published)

    @classmethod
    def _open_generation(cls, directory: Path, generation: int) -> IndexDirectory:
        published = _published(directory)
        if published is not None and published.generation == generation:
            return cls(directory, published)
        prepared = _manifest_or_none(directory / PREPARED)
        published = _published(directory)  # again: between the two looks a writer may have published what was prepared
        if published is not None and published.generation == generation:
            return cls(directory, published)
        last = 0 if published is None else published.generation
        if last > generation:
            raise IndexChangedError(f"{directory} has gone on from generation {generation}, it is at {last}")
        if prepared is not None and prepared.generation == generation:
            return cls(directory, prepared, prepared)
        also = "" if prepared is None or prepared.generation < last else f", {prepared.generation} is prepared"
        raise ModelFormatError(f"{directory} has no generation {generation}: it is at {last}{also}")

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, mmap: bool, with_tables: bool = True, generation: int | None = None
    ) -> tuple[IndexDirectory, list[SegmentArrays]]:
        """Return the index of a directory with all its content, also while another process commits.

        Parameters
        ----------
        path : path-like
        mmap, with_tables : bool
            As for ``load``.
        generation : int, optional
            As for ``open``.

        Returns
        -------
        IndexDirectory
        list of SegmentArrays
            In the order of its ``segments``; all of the same commit.

        Raises
        ------
        FileNotFoundError, ModelFormatError, IndexChangedError
            As for ``open`` and ``load``.
        """
        loaded: dict[StoredSegment, SegmentArrays] = {}
        while True:
            directory = cls.open(path, generation)
            # What was loaded already is not read again: a busy writer cannot hold up the reader of large segments.
            loaded = {segment: loaded[segment] for segment in directory.segments if segment in loaded}
            try:
                for segment in directory.segments:
                    if segment not in loaded:
                        loaded[segment] = directory.load(segment, mmap=mmap, with_tables=with_tables)
            except IndexChangedError:
                continue
            return directory, [loaded[segment] for segment in directory.segments]

    def load(self, segment: StoredSegment, *, mmap: bool, with_tables: bool = True) -> SegmentArrays:
        """Return the content of a segment.

        Parameters
        ----------
        segment : StoredSegment
            One of ``segments``.
        mmap : bool
            Whether to map codes, ids and tables: then their size, dtype and shape are checked, not their bytes.
        with_tables : bool
            Whether to load tables.

        Returns
        -------
        codes : ndarray of shape (n, ceil(n_bits / 8)), uint8, read only
        ids : ndarray of shape (n,), int64, read only
        alive : ndarray of shape (ceil(n / 8),), uint8, read only, or None
        tables : ndarray of shape (size,), uint8, read only, or None

        Raises
        ------
        ModelFormatError
            If a file is missing, damaged, or not what the manifest says.
        IndexChangedError
            If a file is gone because another writer has committed since.
        """
        with self._reading():
            return SegmentFiles.of(self.path, segment, self.n_bits).load(mmap=mmap, with_tables=with_tables)

    def verify(self) -> None:
        """Check every byte of every segment, in little memory.

        Raises
        ------
        ModelFormatError, IndexChangedError
            As for ``load``.
        """
        with self._reading():
            for segment in self.segments:
                SegmentFiles.of(self.path, segment, self.n_bits).verify()

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock, in this process."""
        return self._lock is not None and self._lock.held

    @property
    def lost(self) -> bool:
        """Whether this object holds a lock that keeps nobody out: its file is not in the directory any more."""
        return self._lock is not None and self._lock.held and not self._lock.is_in_place()

    def lock(self) -> None:
        """Keep other writers out until ``unlock``, or until the object or the process ends. Not for a forked child.

        Publishes the generation of this object, where it was opened as prepared. Where the lock is held already, check
        that it still keeps others out; ``commit`` checks the manifest as well.

        Raises
        ------
        IndexLockedError
            If another writer holds the lock.
        IndexChangedError
            If another writer has committed since this object was opened.
            If the lock is held, and the lock file or the directory was removed or replaced.
        OSError
            If the directory cannot be written.
        """
        if self.locked:
            self._check_lock()
            return
        self._lock = WriterLock(self.path)
        try:
            self._check_unchanged()
            if self._prepared == self._manifest:
                self._publish()
        except BaseException:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Let other writers in. Does nothing where the lock is not held."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def commit(self, segments: Sequence[SegmentContent], fingerprint: str | None) -> list[StoredSegment]:
        """Make `segments` the content of the index, wholly or not at all.

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
            As for ``lock``; nothing is written then.
        OSError
            If the disk is full, or fails.

        Notes
        -----
        A commit that raises leaves the last one in place, and none of its own files. Only where the new manifest was in
        place already, and syncing the directory after it failed or was interrupted, does the new one stay, whole;
        ``generation`` and ``segments`` say which it is. Where the lock is lost while files are written, those stay as
        leftovers, which the next commit deletes: nothing is deleted in a directory that may be another writer's.
        """
        for segment in segments:
            segment.check(self.n_bits)
        held = self.locked
        self.lock()
        try:
            self._check_unchanged()
            self._write(MANIFEST, segments, fingerprint)
        finally:
            if not held:
                self.unlock()
        return list(self.segments)

    def prepare(self, segments: Sequence[SegmentContent], fingerprint: str | None) -> tuple[int, list[StoredSegment]]:
        """Write all files of the next commit; ``publish`` makes it the last one.

        The last commit stays as it is. What was prepared before and not published is given up, and its number is not
        given again. The lock is taken, and kept.

        Parameters
        ----------
        segments, fingerprint
            As for ``commit``.

        Returns
        -------
        int
            The generation; also ``self.prepared``.
        list of StoredSegment
            In the order of `segments`.

        Raises
        ------
        TypeError, ValueError, IndexLockedError, IndexChangedError, OSError
            As for ``commit``; ``prepared`` is then as before, unless the new one was in place already.
        """
        for segment in segments:
            segment.check(self.n_bits)
        self.lock()
        self._check_unchanged()
        manifest = self._write(PREPARED, segments, fingerprint)
        return manifest.generation, list(manifest.segments)

    def publish(self) -> None:
        """Make what was prepared the last commit. Does nothing where nothing is prepared.

        Raises
        ------
        IndexLockedError, IndexChangedError, OSError
            As for ``commit``; ``prepared`` is None then if it is published nevertheless.
        """
        if self._prepared is None:
            return
        self.lock()
        self._check_unchanged()
        self._publish()

    def _publish(self) -> None:
        prepared = self._prepared
        if prepared is None:
            return
        try:
            # A writer that opened it too may have done it.
            if _published(self.path) != prepared:
                self._check_prepared()
                os.replace(self.path / PREPARED, self.path / MANIFEST)
        finally:
            # What is on disk decides, not how far this got.
            with suppress(OSError, ModelFormatError):
                if _published(self.path) == prepared:
                    self._take(MANIFEST, prepared)
        sync_directory(self.path)
        self._delete_leftovers()

    def _check_prepared(self) -> None:
        self._check_lock()
        if _manifest_or_none(self.path / PREPARED) != self._prepared:
            raise IndexChangedError(f"{self.path} has changed: generation {self.prepared} is not prepared any more")

    def _write(self, name: str, segments: Sequence[SegmentContent], fingerprint: str | None) -> Manifest:
        """Write a commit whose manifest has this name, or nothing; return the manifest."""
        files = CommitFiles(self.path, self._manifest, self._to_be_replaced(), self._check_lock)
        manifest = None
        try:
            manifest = files.write(segments, fingerprint)
            if files.names:
                # The names of the files must be on disk before a manifest there relies on them.
                sync_directory(self.path)
            with atomic_file(self.path / name, before_rename=self._check_own) as file:
                file.write(manifest.to_bytes())
            self._take(name, manifest)
        except BaseException as error:
            # What is on disk decides, not how far this got: an interrupt may come just after the manifest's rename.
            with suppress(OSError, ModelFormatError):
                if manifest is not None and _manifest_or_none(self.path / name) == manifest:
                    self._take(name, manifest)
            self._delete(files.names)
            if isinstance(error, OSError):
                self._check_lock()  # a file that is missing, or there already, may be another writer's doing
            raise
        self._delete_leftovers()
        return manifest

    def _take(self, name: str, manifest: Manifest) -> None:
        # One call, which no interrupt can divide as it could two assignments.
        if name == MANIFEST:
            self.__dict__.update(_manifest=manifest, _prepared=None)
        else:
            self._prepared = manifest

    def _to_be_replaced(self) -> Manifest | None:
        """Return what was prepared, by whomever, for the commit after the last one."""
        try:
            prepared = _manifest_or_none(self.path / PREPARED)
        except ModelFormatError:
            return None  # which nobody can open
        return None if prepared is None or prepared.generation <= self.generation else prepared

    def _check_unused(self) -> None:
        names = sorted(os.listdir(self.path))
        if MANIFEST in names:
            raise FileExistsError(f"{self.path} must be a new directory, it is an index already")
        # A writer that died before its first commit is no reason to refuse.
        foreign = [name for name in names if name != LOCK and not is_own_file(name)]
        if foreign:
            raise FileExistsError(f"{self.path} must be a new or empty directory, it holds {foreign[0]!r}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # Either a writer went on and deleted it, or it is lost.
            self._check_manifest()
            raise ModelFormatError(f"{error.filename} is missing, {self.path / MANIFEST} names it") from error

    def _on_disk(self) -> Manifest:
        """Return the manifest as it is now; one of generation 0 where there was never any."""
        if self._prepared == self._manifest and _manifest_or_none(self.path / PREPARED) == self._manifest:
            return self._manifest
        published = _published(self.path)
        if published is not None:
            return published
        if self.generation == 0:
            return self._manifest
        raise ModelFormatError(f"{self.path} is not an index: it has no {MANIFEST}")

    def _check_manifest(self) -> None:
        """Raise if another writer has committed since this object was opened."""
        found = self._on_disk()
        if found != self._manifest:
            how = f"from generation {self.generation} to {found.generation}"
            if found.generation == self.generation:
                how = f"generation {self.generation} is another one now"
            raise IndexChangedError(f"{self.path} has changed since it was opened, {how}: open it again")

    def _check_unchanged(self) -> None:
        """Raise if the manifest is not the one that this object was opened with, damage included."""
        try:
            self._check_manifest()
        except (ModelFormatError, FileNotFoundError) as error:
            raise IndexChangedError(f"{self.path} has changed since it was opened: {error}") from error

    def _check_lock(self) -> None:
        """Raise if the lock that this object holds keeps nobody out."""
        if self.lost:
            raise IndexChangedError(
                f"{self.path} is not locked any more: its lock file or the directory was removed or replaced, and "
                "another writer may be at work; save the index elsewhere, or open it again"
            )

    def _check_own(self) -> None:
        """Raise unless the directory is locked, and as the last commit left it."""
        self._check_lock()
        self._check_unchanged()

    def _delete_leftovers(self) -> None:
        self._delete(name for name in os.listdir(self.path) if is_own_file(name))

    def _delete(self, names: Iterable[str]) -> None:
        """Delete those of the files that neither the manifest nor what is prepared needs."""
        if self.lost:
            return  # they may be another writer's
        needed = set(self._manifest.files)
        if self._prepared is not None:
            needed |= {PREPARED, *self._prepared.files}
        for name in names:
            if name not in needed:
                # What cannot be deleted now harms nobody; the next commit tries again.
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)


def _published(directory: Path) -> Manifest | None:
    """Return the manifest of the last commit, None where there was none; the directory must exist."""
    manifest = _manifest_or_none(directory / MANIFEST)
    if manifest is None and not directory.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    return manifest


def _manifest_or_none(path: Path) -> Manifest | None:
    try:
        return Manifest.read(path)
    except FileNotFoundError:
        return None
