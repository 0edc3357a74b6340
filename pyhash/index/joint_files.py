"""A folder with an index and other files, committed as one.

The folder holds the directory ``index``, files with a number in their names that are written once, and a manifest,
which names those that count and the generation of the index. A commit writes what is new to new files and prepares the
next generation of the index. Then the manifest is replaced: that is the moment of the commit. Last, the index publishes
what was prepared, and files that are not named any more are deleted; where a writer dies before, the next one does
both.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.manifest import MANIFEST as INDEX_MANIFEST
from pyhash.index.owned_index import OwnedIndex

if TYPE_CHECKING:
    from typing_extensions import Self

INDEX = "index"


class JointManifest(Protocol):
    """The content of one commit."""

    @property
    def generation(self) -> int:
        """The number of the commit, from 1."""

    @property
    def index_generation(self) -> int:
        """The generation of the index."""

    @property
    def files(self) -> set[str]:
        """The names of the files beside the index that are part of the commit."""

    def to_bytes(self) -> bytes:
        """Return the content of its file."""


ManifestT = TypeVar("ManifestT", bound=JointManifest)
ContentT = TypeVar("ContentT")


class JointFiles(ABC, Generic[ManifestT]):
    """The files of one folder, for one writer or reader.

    Attributes
    ----------
    path : Path
    manifest : JointManifest or None
        Of the last commit, as this object opened or made it; None before the first.
    index : OwnedIndex
        It holds the lock where the folder was opened for writing.
    """

    what: ClassVar[str]  # as errors call the folder
    how_to_begin: ClassVar[str]
    manifest_name: ClassVar[str]
    index_class: ClassVar[type[OwnedIndex]]

    def __init__(self, path: Path, manifest: ManifestT | None, index: OwnedIndex) -> None:
        self.path, self.manifest, self.index = path, manifest, index

    @staticmethod
    @abstractmethod
    def read_manifest(path: Path) -> ManifestT | None:
        """Return the manifest of a folder, None where it has none."""

    @staticmethod
    @abstractmethod
    def is_own_file(name: str) -> bool:
        """Return whether writers make files of this name beside the index and the manifest; no others are deleted."""

    @classmethod
    def create(cls, path: Path, n_bits: int) -> Self:
        """Make a folder with an empty index, locked. It is none of its kind before the first commit.

        Raises
        ------
        FileExistsError
            If there is a file, or a directory that holds something else.
        ValueError
            If a writer that died before its first commit left an index of another number of bits.
        IndexLockedError, IndexChangedError
            If another writer is at work there.
        OSError
            If it cannot be made.
        """
        target = Path(os.path.realpath(path))
        try:
            target.mkdir()
        except FileExistsError:
            cls._check_unused(path)
        else:
            sync_directory(target.parent)
        index = cls.index_class(n_bits)
        index.create(path / INDEX)
        files = cls(path, None, index)
        try:
            files.check_own()
        except BaseException:
            index.release()
            raise
        return files

    @classmethod
    def _open(
        cls,
        path: Path,
        read: Callable[[ManifestT, OwnedIndex], ContentT],
        *,
        read_only: bool,
        mmap: bool,
    ) -> tuple[Self, ContentT]:
        """Return the files and the content of the last commit, also while a writer commits.

        `read` reads what the manifest names beside the index.

        Raises
        ------
        ModelFormatError
            If there is no manifest, or a file is missing or damaged.
        IndexLockedError
            If another writer is at work, and `read_only` is False.
        IndexChangedError
            If the index was committed alone.
        OSError
            If it cannot be read.
        """
        while True:
            manifest = cls.read_manifest(path)
            if manifest is None:
                raise ModelFormatError(f"{path} is not {cls.what}: it has no {cls.manifest_name}; {cls.how_to_begin}")
            index = None
            try:
                # First the index: mapped, it is opened at once, and stays what it is whatever a writer does.
                index = cls.index_class.open(path / INDEX, mmap=mmap, generation=manifest.index_generation)
                content = read(manifest, index)
                if not read_only:
                    sync_directory(path)  # before the index publishes what the manifest names
                    index.lock()
            except BaseException as error:
                if index is not None:
                    index.release()
                if not isinstance(error, (FileNotFoundError, IndexChangedError)):
                    raise
                if cls.read_manifest(path) != manifest:
                    continue  # a writer has gone on
                if isinstance(error, FileNotFoundError):
                    raise ModelFormatError(
                        f"{error.filename} is missing, {path / cls.manifest_name} names it"
                    ) from error
                raise IndexChangedError(f"{path} is not whole, its index was committed alone: {error}") from error
            if not read_only and cls.read_manifest(path) != manifest:
                index.release()
                continue
            files = cls(path, manifest, index)
            if not read_only:
                files.delete_leftovers()
            index.read_only = read_only
            return files, content

    def _commit(self, write: Callable[[int], ManifestT]) -> None:
        """Make the index and what `write` writes the content of the folder, wholly or not at all.

        `write` takes the number of the commit, writes the files that are not on disk yet and prepares the index.

        Raises
        ------
        IndexLockedError, IndexChangedError
            If this object does not hold the lock, or the folder is no longer as it left it.
        OSError
            If the disk is full, or fails.

        Notes
        -----
        Whatever is raised, ``manifest`` says which commit stands: the last one, or, where only what follows the moment
        of the commit failed, the new one.
        """
        self._finish()
        manifest = None
        try:
            self.check_own()
            manifest = write(1 if self.manifest is None else self.manifest.generation + 1)
            with atomic_file(self.path / self.manifest_name, before_rename=self.check_own) as file:
                file.write(manifest.to_bytes())
            self.manifest = manifest
        except BaseException:
            # What is on disk decides, not how far this got.
            with suppress(OSError, ModelFormatError):
                if manifest is not None and self.read_manifest(self.path) == manifest:
                    self.manifest = manifest
            with suppress(OSError, IndexChangedError):
                self.delete_leftovers()
            raise
        self._finish()

    def _finish(self) -> None:
        """Do what follows the moment of a commit: publish the index, delete the files before."""
        if self.manifest is not None and self.index.generation != self.manifest.index_generation:
            # The manifest must be on disk before the index lets go of the generation before.
            sync_directory(self.path)
            self.index.publish()
            self.delete_leftovers()

    def check_own(self) -> None:
        """Raise unless the folder is locked, and as the last commit left it."""
        self.index.lock()
        if self.read_manifest(self.path) != self.manifest:
            raise IndexChangedError(f"{self.path} has changed since it was opened: open it again")

    def delete_leftovers(self) -> None:
        """Delete the files of commits that were not made, and of those before."""
        self.index.lock()  # else they may be another writer's
        used = set() if self.manifest is None else self.manifest.files
        for name in os.listdir(self.path):
            if self.is_own_file(name) and name not in used:
                # What cannot be deleted now harms nobody; the next commit tries again.
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    @classmethod
    def _check_unused(cls, path: Path) -> None:
        """Raise FileExistsError if a directory holds what a writer that died before its first commit does not leave."""
        if not path.is_dir():
            raise FileExistsError(f"{path} must be a new or empty directory, it is a file")
        foreign = [name for name in sorted(os.listdir(path)) if name != INDEX and not cls.is_own_file(name)]
        if foreign:
            raise FileExistsError(f"{path} must be a new or empty directory, it holds {foreign[0]!r}")
        if (path / INDEX / INDEX_MANIFEST).exists() and len(cls.index_class.open(path / INDEX, mmap=True)):
            raise FileExistsError(f"{path} must be a new or empty directory, it holds an index with codes")
