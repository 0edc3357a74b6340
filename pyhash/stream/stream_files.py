"""A stream folder on disk: model, index and offset, committed as one.

A folder holds ``model-<generation>.npz``, the directory ``index``, and ``stream.json``, which names the file of the
model and the generation of the index, and has the offset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyhash.errors import ModelFormatError
from pyhash.index.joint_files import INDEX, JointFiles
from pyhash.index.owned_index import OwnedIndex
from pyhash.methods.loading import load
from pyhash.methods.online import OnlineMethod
from pyhash.stream.manifest import MANIFEST, StreamManifest, is_own_file, model_name
from pyhash.stream.stream_index import StreamIndex


class StreamFiles(JointFiles[StreamManifest]):
    """The files of one folder, for one writer or reader.

    Use ``create`` or ``open``.
    """

    what = "a stream folder"
    how_to_begin = "a new one needs a model"
    manifest_name = MANIFEST
    index_class = StreamIndex

    @staticmethod
    def read_manifest(path: Path) -> StreamManifest | None:  # noqa: D102
        return StreamManifest.read(path)

    @staticmethod
    def is_own_file(name: str) -> bool:  # noqa: D102
        return is_own_file(name)

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

        def read(manifest: StreamManifest, index: OwnedIndex) -> OnlineMethod[Any, Any]:
            model = load(path / manifest.model)
            if not isinstance(model, OnlineMethod) or model.fingerprint != index.fingerprint:
                raise ModelFormatError(f"{path / manifest.model} is not the model whose codes {path / INDEX} holds")
            return model

        return cls._open(path, read, read_only=read_only, mmap=mmap)

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

        def write(generation: int) -> StreamManifest:
            name = model_name(generation)
            model.save(self.path / name)
            return StreamManifest(generation, name, self.index.prepare_next(), n_chunks, offset)

        self._commit(write)
