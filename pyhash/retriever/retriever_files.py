"""A Retriever's folder on disk: model, encoders, index and payload, committed as one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.atomic import atomic_file
from pyhash._files.checksum import file_checksum
from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive
from pyhash.errors import IndexChangedError, ModelFormatError
from pyhash.index.joint_files import INDEX, JointFiles
from pyhash.index.owned_index import OwnedIndex
from pyhash.methods.contract import HashingMethod
from pyhash.methods.loading import load
from pyhash.retriever.catalogue import Catalogue
from pyhash.retriever.encoder_set import EncoderSet, state_bytes
from pyhash.retriever.manifest import MANIFEST, RetrieverManifest, StoredEncoder, is_own_file
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


class RetrieverFiles(JointFiles[RetrieverManifest]):
    """The files of one folder, for one writer or reader.

    Use ``create`` or ``open``.

    Attributes
    ----------
    committed : Content or None
        What the last commit holds beside the index, as this object opened or made it.
    """

    what = "the folder of a Retriever"
    how_to_begin = "save makes one"
    manifest_name = MANIFEST
    index_class = RetrieverIndex
    index: RetrieverIndex

    def __init__(self, path: Path, manifest: RetrieverManifest | None, index: OwnedIndex) -> None:
        super().__init__(path, manifest, index)
        self.committed: Content | None = None

    @staticmethod
    def read_manifest(path: Path) -> RetrieverManifest | None:  # noqa: D102
        return RetrieverManifest.read(path)

    @staticmethod
    def is_own_file(name: str) -> bool:  # noqa: D102
        return is_own_file(name)

    @classmethod
    def open(cls, path: Path, *, encoders: Any, backbones: Any, read_only: bool, mmap: bool) -> RetrieverFiles:
        """Return the files of the last commit, read, also while a writer commits.

        Raises
        ------
        ModelFormatError
            If it is no folder of a Retriever, or a file is missing or damaged.
        IndexLockedError
            If another writer is at work, and `read_only` is False.
        IndexChangedError
            If the index was committed alone.
        TypeError, ValueError, ImportError
            If `encoders` or `backbones` do not fit the folder; if pyarrow is missing, and there is a payload.
        OSError
            If it cannot be read.
        """

        def read(manifest: RetrieverManifest, index: OwnedIndex) -> Content:
            return _read(path, manifest, index, encoders, backbones, check=not mmap)

        files, content = cls._open(path, read, read_only=read_only, mmap=mmap)
        files.committed = content
        return files

    def commit(self, content: Content) -> None:
        """Make `content` and the index the content of the folder, wholly or not at all.

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
        Whatever is raised, ``manifest`` and ``committed`` say which commit stands: the last one, or, where only what
        follows the moment of the commit failed, the new one. What is committed has the payload as it is on disk.
        """
        before, written = self.manifest, content

        def write(generation: int) -> RetrieverManifest:
            nonlocal written
            manifest, written = self._written(replace(content, catalogue=content.catalogue.tidied()), generation)
            return manifest

        try:
            self._commit(write)
        finally:
            if self.manifest is not before:
                self.committed = written

    def _written(self, content: Content, generation: int) -> tuple[RetrieverManifest, Content]:
        """Write all files of a commit but the manifest, and return the manifest and what is on disk then."""
        last, before = self.manifest, self.committed
        if last is not None and before is not None and content.model is before.model:
            model, model_crc = last.model, last.model_crc
        else:
            model = f"model-{generation:08d}.{'safetensors' if content.model.is_deep else 'npz'}"
            content.model.save(self.path / model)
            _, model_crc = file_checksum(self.path / model)
        parts = []
        for part in content.catalogue.parts:
            on_disk = last is not None and part.stored is not None and part.stored in last.payload
            parts.append(part if on_disk else replace(part, stored=part.write(self.path)))
        content = replace(content, catalogue=replace(content.catalogue, parts=tuple(parts)))
        if last is not None and before is not None and content.catalogue.has_the_rows_of(before.catalogue):
            items, items_crc = last.items, last.items_crc
        else:
            items = f"items-{generation:08d}.npz"
            write_items(self.path / items, content.catalogue)
            _, items_crc = file_checksum(self.path / items)
        encoders = tuple(
            self._written_encoder(content, name, position, generation) for position, name in enumerate(content.encoders)
        )
        manifest = RetrieverManifest(
            generation=generation,
            index_generation=self.index.prepare_next(),
            model=model,
            items=items,
            model_crc=model_crc,
            items_crc=items_crc,
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

    @property
    def committed_content(self) -> Content:
        """What the last commit holds beside the index."""
        if self.committed is None:
            raise RuntimeError("internal error in pyhash: nothing was committed yet")
        return self.committed

    def abandon(self, *, made: bool) -> None:
        """Leave the disk; without a first commit, delete what was written, and the folder where it was `made`."""
        with suppress(OSError, IndexChangedError):
            self.delete_leftovers()
            if self.manifest is None:
                shutil.rmtree(self.path / INDEX, ignore_errors=True)
                if made:
                    self.path.rmdir()
        self.index.release()


def _read(
    path: Path, manifest: RetrieverManifest, index: OwnedIndex, encoders: Any, backbones: Any, *, check: bool
) -> Content:
    if check:
        # The checksums within zip files leave out what no reader of them looks at, such as dates.
        for name, crc in ((manifest.model, manifest.model_crc), (manifest.items, manifest.items_crc)):
            if file_checksum(path / name)[1] != crc:
                raise ModelFormatError(f"{path / name} is damaged: its crc32 is not that in the manifest")
    model = load(path / manifest.model, backbones=backbones)
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
    if not np.isin(catalogue.numbers, [0, *(part.number for part in parts)]).all():
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
