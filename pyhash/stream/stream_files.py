"""A stream folder on disk: model, index and offset, committed as one.

A folder holds ``model-<generation>.npz``, the directory ``index``, and ``stream.json``, which names the file of the
model and the generation of the index, and has the offset. A commit writes the model to a new file and prepares the next
generation of the index. Then ``stream.json`` is replaced: that is the moment of the commit. Last, the index publishes
what was prepared, and the file of the model before is deleted; where a writer dies before, the next one does both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.manifest import MANIFEST as INDEX_MANIFEST
from pyhash.methods.loading import load
from pyhash.methods.online import OnlineMethod
from pyhash.stream.manifest import INDEX, MANIFEST, StreamManifest, is_own_file, model_name
from pyhash.stream.stream_index import StreamIndex


class StreamFiles:
    """The files of one folder, for one writer or reader.

    Use ``create`` or ``open``.

    Attributes
    ----------
    path : Path
    manifest : StreamManifest or None
        Of the last commit, as this object opened or made it; None before the first.
    index : StreamIndex
        It holds the lock where the folder was opened for writing.
    """

    def __init__(self, path: Path, manifest: StreamManifest | None, index: StreamIndex) -> None:
        self.path, self.manifest, self.index = path, manifest, index

    @classmethod
    def create(cls, path: Path, n_bits: int) -> StreamFiles:
        """Make a folder with an empty index, locked. It is no stream folder before the first commit.

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
            _check_unused(path)
        else:
            sync_directory(target.parent)
        index = StreamIndex(n_bits)
        index.create(path / INDEX)
        files = cls(path, None, index)
        try:
            files._check_own()
        except BaseException:
            index.release()
            raise
        return files

    @classmethod
    def open(cls, path: Path, *, read_only: bool, mmap: bool) -> tuple[StreamFiles, OnlineMethod[Any, Any]]:
        """Return the files and the model of the last commit, also while a writer commits.

        Raises
        ------
        ModelFormatError
            If it is no stream folder, or a file is missing or damaged.
        IndexLockedError
            If another writer is at work, and `read_only` is False.
        IndexChangedError
            If the index was committed without its model.
        OSError
            If it cannot be read.
        """
        while True:
            manifest = StreamManifest.read(path)
            if manifest is None:
                raise ModelFormatError(f"{path} is not a stream folder: it has no {MANIFEST}; a new one needs a model")
            index = None
            try:
                # First the index: mapped, it is opened at once, and stays what it is whatever a writer does.
                index = StreamIndex.open(path / INDEX, mmap=mmap, generation=manifest.index_generation)
                model = load(path / manifest.model)
                if not read_only:
                    sync_directory(path)  # before the index publishes what stream.json names
                    index.lock()
            except BaseException as error:
                if index is not None:
                    index.release()
                if not isinstance(error, (FileNotFoundError, IndexChangedError)):
                    raise
                if StreamManifest.read(path) != manifest:
                    continue  # a writer has gone on
                if isinstance(error, FileNotFoundError):
                    raise ModelFormatError(f"{error.filename} is missing, {path / MANIFEST} names it") from error
                raise IndexChangedError(f"{path} is not whole, its index was committed alone: {error}") from error
            if not read_only and StreamManifest.read(path) != manifest:
                index.release()
                continue
            if not isinstance(model, OnlineMethod) or model.fingerprint != index.fingerprint:
                index.release()
                raise ModelFormatError(f"{path / manifest.model} is not the model whose codes {path / INDEX} holds")
            files = cls(path, manifest, index)
            if not read_only:
                files._delete_leftovers()
            index.read_only = read_only
            return files, model

    def commit(self, model: OnlineMethod[Any, Any], offset: Any, n_chunks: int) -> None:
        """Make model, index and offset the content of the folder, wholly or not at all.

        Raises
        ------
        IndexLockedError, IndexChangedError
            If this object does not hold the lock, or the folder is no longer as it left it.
        NotFittedError, TypeError, ValueError
            If the model cannot be saved.
        OSError
            If the disk is full, or fails.

        Notes
        -----
        Whatever is raised, ``manifest`` says which commit stands: the last one, or, where only what follows the moment
        of the commit failed, the new one.
        """
        self._finish()
        generation = 1 if self.manifest is None else self.manifest.generation + 1
        name, manifest = model_name(generation), None
        try:
            self._check_own()
            model.save(self.path / name)
            manifest = StreamManifest(generation, name, self.index.prepare_next(), n_chunks, offset)
            with atomic_file(self.path / MANIFEST, before_rename=self._check_own) as file:
                file.write(manifest.to_bytes())
            self.manifest = manifest
        except BaseException:
            # What is on disk decides, not how far this got.
            with suppress(OSError, ModelFormatError):
                if manifest is not None and StreamManifest.read(self.path) == manifest:
                    self.manifest = manifest
            with suppress(OSError, IndexChangedError):
                self._delete_leftovers()
            raise
        self._finish()

    def _finish(self) -> None:
        """Do what follows the moment of a commit: publish the index, delete the model before."""
        if self.manifest is not None and self.index.generation != self.manifest.index_generation:
            # The manifest must be on disk before the index lets go of the generation before.
            sync_directory(self.path)
            self.index.publish()
            self._delete_leftovers()

    def _check_own(self) -> None:
        """Raise unless the folder is locked, and as the last commit left it."""
        self.index.lock()
        if StreamManifest.read(self.path) != self.manifest:
            raise IndexChangedError(f"{self.path} has changed since it was opened: open it again")

    def _delete_leftovers(self) -> None:
        self.index.lock()  # else they may be another writer's
        for name in os.listdir(self.path):
            if is_own_file(name) and (self.manifest is None or name != self.manifest.model):
                # What cannot be deleted now harms nobody; the next commit tries again.
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)


def _check_unused(path: Path) -> None:
    """Raise FileExistsError if a directory holds what a writer that died before its first commit does not leave."""
    if not path.is_dir():
        raise FileExistsError(f"{path} must be a new or empty directory, it is a file")
    foreign = [name for name in sorted(os.listdir(path)) if name != INDEX and not is_own_file(name)]
    if foreign:
        raise FileExistsError(f"{path} must be a new or empty directory, it holds {foreign[0]!r}")
    if (path / INDEX / INDEX_MANIFEST).exists() and len(StreamIndex.open(path / INDEX, mmap=True)):
        raise FileExistsError(f"{path} must be a new or empty directory, it holds an index with codes")
