"""A Retriever's folder on disk: model, encoders, index and payload, committed as one.

A folder holds the directory ``index``, files with a number in their names that are written once, and
``retriever.json``, which names those that count and the generation of the index. A commit writes what is new to new
files and prepares the next generation of the index. Then ``retriever.json`` is replaced: that is the moment of the
commit. Last, the index publishes what was prepared, and files that are not named any more are deleted; where a writer
dies before, the next one does both.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file, sync_directory
from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.manifest import MANIFEST as INDEX_MANIFEST
from pyhash.methods.contract import HashingMethod
from pyhash.methods.loading import load
from pyhash.retriever.catalogue import Catalogue
from pyhash.retriever.encoder_set import EncoderSet, state_bytes
from pyhash.retriever.manifest import INDEX, MANIFEST, RetrieverManifest, StoredEncoder, is_own_file
from pyhash.retriever.payload_part import PayloadPart
from pyhash.retriever.payload_tables import arrow, fitted
from pyhash.retriever.retriever_index import RetrieverIndex

_ITEMS = "RetrieverItems"


@dataclass(frozen=True)
class Content:
    """What a folder holds beside the index; none of it ever changes."""

    model: HashingMethod
    encoders: EncoderSet
    catalogue: Catalogue
    method: str
    seed: int
    batch_size: int


class RetrieverFiles:
    """The files of one folder, for one writer or reader.

    Use ``create`` or ``open``.

    Attributes
    ----------
    path : Path
    manifest : RetrieverManifest or None
        Of the last commit, as this object opened or made it; None before the first.
    index : RetrieverIndex
        It holds the lock where the folder was opened for writing.
    """

    def __init__(
        self, path: Path, manifest: RetrieverManifest | None, index: RetrieverIndex, *, is_new: bool = False
    ) -> None:
        self.path, self.manifest, self.index = path, manifest, index
        self._is_new = is_new
        self.committed: Content | None = None

    @classmethod
    def create(cls, path: Path, index: RetrieverIndex) -> RetrieverFiles:
        """Make a folder with a copy of an index, locked. It is no folder of a Retriever before the first commit.

        Raises
        ------
        FileExistsError
            If there is a file, or a directory that holds something else.
        IndexLockedError, IndexChangedError
            If another writer is at work there.
        OSError
            If it cannot be made.
        """
        target = Path(os.path.realpath(path))
        is_new = not target.exists()
        if is_new:
            target.mkdir()
            sync_directory(target.parent)
        else:
            _clear_unused(path)
        copied = index.copied()
        copied.create(path / INDEX)
        files = cls(path, None, copied, is_new=is_new)
        try:
            files.check_own()
        except BaseException:
            copied.release()
            raise
        return files

    @classmethod
    def open(cls, path: Path, *, encoders: Any, read_only: bool, mmap: bool) -> tuple[RetrieverFiles, Content]:
        """Return the files and the content of the last commit, also while a writer commits.

        Raises
        ------
        ModelFormatError
            If it is no folder of a Retriever, or a file is missing or damaged.
        IndexLockedError
            If another writer is at work, and `read_only` is False.
        IndexChangedError
            If the index was committed alone.
        TypeError, ValueError, ImportError
            If `encoders` do not fit the folder; if pyarrow is missing, and there is a payload.
        OSError
            If it cannot be read.
        """
        while True:
            manifest = RetrieverManifest.read(path)
            if manifest is None:
                raise ModelFormatError(f"{path} is not the folder of a Retriever: it has no {MANIFEST}")
            index = None
            try:
                # First the index: mapped, it is opened at once, and stays what it is whatever a writer does.
                index = RetrieverIndex.open(path / INDEX, mmap=mmap, generation=manifest.index_generation)
                content = _read(path, manifest, index, encoders, check=not mmap)
                if not read_only:
                    sync_directory(path)  # before the index publishes what the manifest names
                    index.lock()
            except BaseException as error:
                if index is not None:
                    index.release()
                if not isinstance(error, (FileNotFoundError, IndexChangedError)):
                    raise
                if RetrieverManifest.read(path) != manifest:
                    continue  # a writer has gone on
                if isinstance(error, FileNotFoundError):
                    raise ModelFormatError(f"{error.filename} is missing, {path / MANIFEST} names it") from error
                raise IndexChangedError(f"{path} is not whole, its index was committed alone: {error}") from error
            if not read_only and RetrieverManifest.read(path) != manifest:
                index.release()
                continue
            files = cls(path, manifest, index)
            files.committed = content
            if not read_only:
                files._delete_leftovers()
            index.read_only = read_only
            return files, content

    def commit(self, content: Content) -> Content:
        """Make `content` and the index the content of the folder, wholly or not at all.

        Returns
        -------
        Content
            The same, with the parts of the payload as they are on disk.

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
        manifest = None
        try:
            self.check_own()
            content = replace(content, catalogue=content.catalogue.tidied())
            manifest, content = self._written(content)
            with atomic_file(self.path / MANIFEST, before_rename=self.check_own) as file:
                file.write(manifest.to_bytes())
            self.manifest, self.committed = manifest, content
        except BaseException:
            # What is on disk decides, not how far this got.
            with suppress(OSError, ModelFormatError):
                if manifest is not None and RetrieverManifest.read(self.path) == manifest:
                    self.manifest, self.committed = manifest, content
            with suppress(OSError, IndexChangedError):
                self._delete_leftovers()
            raise
        self._finish()
        return content

    def _written(self, content: Content) -> tuple[RetrieverManifest, Content]:
        """Write all files of a commit but the manifest, and return the manifest and what is on disk then."""
        last, before = self.manifest, self.committed
        generation = 1 if last is None else last.generation + 1
        if last is not None and before is not None and content.model is before.model:
            model = last.model
        else:
            model = f"model-{generation:08d}.{'safetensors' if content.model.is_deep else 'npz'}"
            content.model.save(self.path / model)
        parts = []
        for part in content.catalogue.parts:
            on_disk = last is not None and part.stored is not None and part.stored in last.payload
            parts.append(part if on_disk else replace(part, stored=part.write(self.path)))
        content = replace(content, catalogue=replace(content.catalogue, parts=tuple(parts)))
        if last is not None and before is not None and content.catalogue.has_the_rows_of(before.catalogue):
            items = last.items
        else:
            items = f"items-{generation:08d}.npz"
            write_items(self.path / items, content.catalogue)
        encoders = tuple(
            self._written_encoder(content, name, position, generation) for position, name in enumerate(content.encoders)
        )
        manifest = RetrieverManifest(
            generation=generation,
            index_generation=self.index.prepare_next(),
            model=model,
            items=items,
            n_bits=self.index.n_bits,
            method=content.method,
            seed=content.seed,
            batch_size=content.batch_size,
            encoders=encoders,
            payload=tuple(part.stored for part in parts if part.stored is not None),
            next_part=content.catalogue.next_number,
        )
        return manifest, content

    def _written_encoder(self, content: Content, name: str, position: int, generation: int) -> StoredEncoder:
        """Write the state of an encoder, where it has one that is not on disk yet."""
        described, encoder = content.encoders.described(name), content.encoders.made(name)
        if self.manifest is not None and self.committed is not None:
            kept = self.manifest.encoders[position]
            if self.committed.encoders.made(name) is encoder and replace(described, file=kept.file) == kept:
                return kept
        file = f"encoder-{position:02d}-{generation:08d}.json"
        state = content.encoders.state(name)
        if state is None:
            return replace(described, file=None)
        with atomic_file(self.path / file) as target:
            target.write(state_bytes(state))
        return replace(described, file=file)

    def _finish(self) -> None:
        """Do what follows the moment of a commit: publish the index, delete the files before."""
        if self.manifest is not None and self.index.generation != self.manifest.index_generation:
            # The manifest must be on disk before the index lets go of the generation before.
            sync_directory(self.path)
            self.index.publish()
            self._delete_leftovers()

    def check_own(self) -> None:
        """Raise unless the folder is locked, and as the last commit left it."""
        self.index.lock()
        if RetrieverManifest.read(self.path) != self.manifest:
            raise IndexChangedError(f"{self.path} has changed since it was opened: open it again")

    def _delete_leftovers(self) -> None:
        self.index.lock()  # else they may be another writer's
        used = set() if self.manifest is None else self.manifest.files
        for name in os.listdir(self.path):
            if is_own_file(name) and name not in used:
                # What cannot be deleted now harms nobody; the next commit tries again.
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Delete what was written before the first commit, and leave the disk."""
        with suppress(OSError, IndexChangedError):
            self._delete_leftovers()
            if self.manifest is None:
                shutil.rmtree(self.path / INDEX, ignore_errors=True)
                if self._is_new:
                    self.path.rmdir()
        self.index.release()


def _read(path: Path, manifest: RetrieverManifest, index: RetrieverIndex, encoders: Any, *, check: bool) -> Content:
    model = load(path / manifest.model)
    names = tuple(encoder.modality for encoder in manifest.encoders)
    if model.fingerprint != index.fingerprint and (len(index) or index.fingerprint is not None):
        raise ModelFormatError(f"{path / manifest.model} is not the model whose codes {path / INDEX} holds")
    if not set(model.modalities_) <= set(names) or index.n_bits != manifest.n_bits:
        raise ModelFormatError(f"{path / MANIFEST} does not fit {path / manifest.model}")
    catalogue = _read_items(path / manifest.items, names)
    parts, schema = [], None
    for stored in manifest.payload:
        part = PayloadPart.read(path, stored, check=check)
        try:
            schema = fitted(part.table.slice(0, 0), arrow().schema([]) if schema is None else schema)[1]
        except TypeError as error:
            raise ModelFormatError(f"{path / stored.file} does not fit the parts before: {error}") from None
        used = catalogue.ids[catalogue.numbers == stored.number]
        if not np.isin(used, part.ids).all():
            raise ModelFormatError(f"{path / stored.file} does not hold the items that {manifest.items} says")
        parts.append(part)
    numbers = {0, *(part.number for part in parts)}
    if not set(np.unique(catalogue.numbers).tolist()) <= numbers:
        raise ModelFormatError(f"{path / manifest.items} has items of a payload that {MANIFEST} does not name")
    if not np.array_equal(catalogue.ids, index.ids):
        raise ModelFormatError(f"{path / manifest.items} does not hold the items of {path / INDEX}")
    catalogue = replace(catalogue, parts=tuple(parts), schema=schema, next_number=manifest.next_part)
    encoder_set = EncoderSet.opened(path, manifest.encoders, encoders)
    return Content(model, encoder_set, catalogue, manifest.method, manifest.seed, manifest.batch_size)


def write_items(path: Path, catalogue: Catalogue) -> None:
    """Write the items of a catalogue, but not their payload, to a file."""
    arrays: dict[str, NDArray[Any]] = {"ids": catalogue.ids, "masks": catalogue.masks, "numbers": catalogue.numbers}
    write_archive(path, _ITEMS, {"modalities": list(catalogue.names)}, arrays)


def _read_items(path: Path, names: tuple[str, ...]) -> Catalogue:
    archive = read_archive(path)
    with archive.taken_for("list of items"):
        ids = archive.array("ids", np.int64, (None,))
        masks = archive.array("masks", np.uint32, ids.shape)
        numbers = archive.array("numbers", np.int32, ids.shape)
        if archive.kind != _ITEMS or archive.field("modalities") != list(names):
            raise ValueError("it is of other modalities")
        if np.any(ids[1:] <= ids[:-1]):
            raise ValueError("ids must be ascending")
    return Catalogue(names, ids, masks, numbers)


def _clear_unused(path: Path) -> None:
    """Make a directory empty of what a writer that died before its first commit left; raise for anything else."""
    if not path.is_dir():
        raise FileExistsError(f"{path} must be a new or empty directory, it is a file")
    foreign = [name for name in sorted(os.listdir(path)) if name != INDEX and not is_own_file(name)]
    if foreign:
        raise FileExistsError(f"{path} must be a new or empty directory, it holds {foreign[0]!r}")
    if (path / INDEX / INDEX_MANIFEST).exists():
        left = RetrieverIndex.open(path / INDEX, mmap=True)
        try:
            left.lock()  # raises where the writer is alive
            shutil.rmtree(path / INDEX)
        finally:
            left.release()
