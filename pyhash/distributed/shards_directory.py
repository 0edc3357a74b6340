"""The folders of a sharded index: where its shards are, its manifest, and the lock of its one writer.

The first folder holds ``shards.json``, which names the generation of each shard and is replaced atomically: that is the
moment of a commit. The shards are directories of ``CodeIndex`` in this folder or in the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash.distributed.routing import ROUTING
from pyhash.distributed.shards_manifest import SHARDS_MANIFEST, ShardEntry, ShardsManifest, is_own_name, shard_name
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.code_index import CodeIndex
from pyhash.index.lock import LOCK, WriterLock


class ShardsDirectory:
    """The folders of a sharded index, as of one commit.

    Use ``open`` or ``create``.

    Attributes
    ----------
    folders : tuple of Path
        Absolute; the first holds the manifest.
    manifest : ShardsManifest
    """

    def __init__(self, folders: tuple[Path, ...], manifest: ShardsManifest) -> None:
        self.folders, self.manifest = folders, manifest
        self._lock: WriterLock | None = None

    @classmethod
    def open(cls, folders: tuple[Path, ...]) -> ShardsDirectory:
        """Return the index of the folders; reads and checks the manifest only.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or no manifest in the first one.
        ModelFormatError
            If the manifest is damaged, of another format, or written by a newer version.
        """
        return cls(folders, ShardsManifest.read(folders[0] / SHARDS_MANIFEST))

    @classmethod
    def create(cls, folders: tuple[Path, ...], n_bits: int, n_shards: int, fingerprint: str | None) -> ShardsDirectory:
        """Make an empty index: its folders, where they do not exist, its shards in turn among them, and its manifest.

        Raises
        ------
        FileExistsError
            If a folder is a file, or holds something else.
        OSError
            If folders cannot be written.
        """
        for folder in folders:
            _make_folder(folder)
        mark = os.urandom(6).hex()
        entries = []
        for number in range(n_shards):
            name = shard_name(number, mark)
            with CodeIndex(n_bits, model=fingerprint) as shard:
                shard.save(folders[number % len(folders)] / name)
                entries.append(ShardEntry(name, shard.generation, 0, None))
        directory = cls(folders, ShardsManifest(n_bits, fingerprint, 1, ROUTING, tuple(entries)))
        with atomic_file(folders[0] / SHARDS_MANIFEST) as file:
            file.write(directory.manifest.to_bytes())
        return directory

    def path_of(self, entry: ShardEntry) -> Path:
        """Return the directory of a shard; where no folder has it, that in the first folder, which does not exist."""
        for folder in self.folders:
            if (folder / entry.name).is_dir():
                return folder / entry.name
        return self.folders[0] / entry.name

    def lock(self) -> None:
        """Keep other writers out until ``unlock``, or until the object or the process ends.

        Raises
        ------
        IndexLockedError
            If another writer holds the lock.
        IndexChangedError
            If another writer has committed since this object was opened.
            If the lock is held, and its file or the folder was removed or replaced.
        OSError
            If the folder cannot be written.
        """
        if self._lock is not None and self._lock.held:
            self._check_lock()
            return
        self._lock = WriterLock(self.folders[0])
        try:
            self.check_unchanged()
        except BaseException:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Let other writers in. Does nothing where the lock is not held."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def commit(self, entries: Sequence[ShardEntry], fingerprint: str | None) -> None:
        """Write the next manifest; the lock must be held.

        Raises
        ------
        IndexChangedError
            As for ``lock``; nothing is written then.
        OSError
            If the folder cannot be written. ``manifest`` says whether the new manifest is in place nevertheless.
        """
        new = replace(
            self.manifest, fingerprint=fingerprint, generation=self.manifest.generation + 1, shards=tuple(entries)
        )
        try:
            with atomic_file(self.folders[0] / SHARDS_MANIFEST, before_rename=self._check_own) as file:
                file.write(new.to_bytes())
        except BaseException:
            # What is on disk decides, not how far this got: an interrupt may come just after the rename.
            with suppress(OSError, ModelFormatError):
                if self.read_again() == new:
                    self.manifest = new
            raise
        self.manifest = new

    def read_again(self) -> ShardsManifest:
        """Return the manifest as it is on disk now."""
        return ShardsManifest.read(self.folders[0] / SHARDS_MANIFEST)

    def _check_own(self) -> None:
        self._check_lock()
        self.check_unchanged()

    def _check_lock(self) -> None:
        if self._lock is None or not self._lock.is_in_place():
            raise IndexChangedError(
                f"{self.folders[0]} is not locked any more: its lock file or the folder was removed or replaced, and "
                "another writer may be at work; open the index again"
            )

    def check_unchanged(self) -> None:
        """Raise IndexChangedError if another writer has committed since this object was opened."""
        try:
            found = self.read_again()
        except (ModelFormatError, FileNotFoundError) as error:
            raise IndexChangedError(f"{self.folders[0]} has changed since it was opened: {error}") from error
        if found != self.manifest:
            how = f"from generation {self.manifest.generation} to {found.generation}"
            if found.generation == self.manifest.generation:
                how = f"generation {found.generation} is another one now"
            raise IndexChangedError(f"{self.folders[0]} has changed since it was opened, {how}: open it again")


def _make_folder(folder: Path) -> None:
    if folder.is_file():
        raise FileExistsError(f"{folder} must be a new or empty folder, it is a file")
    try:
        folder.mkdir()
    except FileExistsError:
        # One that died while it made an index here is no reason to refuse.
        foreign = sorted(name for name in os.listdir(folder) if name != LOCK and not is_own_name(name))
        if foreign:
            raise FileExistsError(f"{folder} must be a new or empty folder, it holds {foreign[0]!r}") from None
        in_use = next((path.name for path in sorted(folder.glob("shard-*")) if _holds_codes(path)), None)
        if in_use is not None:
            raise FileExistsError(
                f"{folder} must be a new or empty folder, it holds {in_use!r}, a shard of another index: the first of "
                f"the folders must be that with its {SHARDS_MANIFEST}"
            ) from None
    else:
        sync_directory(folder.parent)


def _holds_codes(shard: Path) -> bool:
    try:
        with CodeIndex.open(shard, mmap=True) as index:
            return len(index) > 0
    except FileNotFoundError:  # it was not made to the end
        return False
