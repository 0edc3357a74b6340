"""StreamFolder: a model and an index that learn a stream, and go on after every kind of stop."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from pyhash._inputs.checks import check_bool, check_integer, check_n_bits
from pyhash._inputs.paths import check_path
from pyhash.index import CodeIndex
from pyhash.index.owned_index import Content
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.parameters import store_parameter
from pyhash.stream.chunk import StreamChunk, check_offset
from pyhash.stream.manifest import MANIFEST, StreamManifest
from pyhash.stream.stream_files import StreamFiles

if TYPE_CHECKING:
    from typing_extensions import Self

Source: TypeAlias = Callable[[Any], Iterable[StreamChunk]]


class _Memory(NamedTuple):
    """What a folder has in memory, to be restored: none of it ever changes."""

    manifest: StreamManifest | None
    model: OnlineMethod[Any, Any]
    codes: Content


class StreamFolder:
    """A folder with a model and the index of its codes, which learn a stream and are committed as one.

    Each chunk is learned, its codes are added to the index, and both are committed together with the offset where the
    stream goes on. After a crash, or a kill at any moment, the folder is as of its last commit. From there the stream
    ends with the model, the codes and the answers that it would have had without the stop, if the source gives the same
    chunks again.

    Parameters
    ----------
    path : path-like
        An existing folder, or a new one, which needs a `model`.
    model : method that learns chunk by chunk, optional
        For a new folder: an unfitted model, or a fitted one, which goes on from what it has learned. The folder works
        on a copy. For an existing folder, which has its own: None, or an unfitted model with the same parameters, so
        that one call both begins a stream and continues it.
    index : CodeIndex, optional
        For a new folder: its codes are copied. It must be empty, or hold codes of the fitted `model`. By default an
        empty one.
    read_only : bool
        Whether to read the last commit only, also while another process learns. Readers take no lock.
    mmap : bool
        Whether to map the codes of the index from the files, as in ``CodeIndex.open``; for an existing folder.

    Raises
    ------
    TypeError
        If `path` is not a path, `index` not a CodeIndex, or `read_only` or `mmap` not a bool.
        If `model` does not learn chunk by chunk, such as a deep one.
    ValueError
        If `model` and `index` do not fit each other, or what the folder holds.
        If `read_only` is True for a new folder.
    FileExistsError
        If `path` is a file, or a folder that holds something else.
    ModelFormatError
        If there is no stream folder and no `model`, or a file of the folder is missing or damaged.
    IndexLockedError
        If another process writes there.
    IndexChangedError
        If the index of the folder was committed alone, without its model.
    OSError
        If the folder cannot be made, read or written.

    Notes
    -----
    One process writes; the lock is that of the index. ``model`` and ``index`` may be used at any time, also by other
    threads. A call that raises, or is interrupted, leaves both as of the last commit.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pyhash import LEMON, StreamChunk, StreamFolder
    >>> labels = np.random.default_rng(0).integers(0, 4, size=600)
    >>> image = np.eye(4)[labels] + np.random.default_rng(1).normal(size=(600, 4))
    >>> def source(offset):
    ...     for start in range(offset or 0, 600, 200):
    ...         rows = slice(start, start + 200)
    ...         yield StreamChunk({"image": image[rows]}, labels[rows], offset=start + 200)
    >>> folder = tempfile.TemporaryDirectory()
    >>> with StreamFolder(f"{folder.name}/stream", LEMON(n_bits=16)) as stream:
    ...     stream.run(source)
    3
    >>> later = StreamFolder(f"{folder.name}/stream", read_only=True)
    >>> later.offset, later.n_chunks, len(later.index)
    (600, 3, 600)
    >>> later.index.search(later.model.encode(image[:1], modality="image"), k=5).ids.shape
    (1, 5)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: OnlineMethod[Any, Any] | None = None,
        index: CodeIndex | None = None,
        *,
        read_only: bool = False,
        mmap: bool = False,
    ) -> None:
        folder = check_path("path", path).absolute()  # a later change of the working directory must not move it
        read_only, mmap = check_bool("read_only", read_only), check_bool("mmap", mmap)
        if model is not None:
            _check_model(model)
        if index is not None and not isinstance(index, CodeIndex):
            raise TypeError(f"index must be a CodeIndex, got {type(index).__name__}")
        self._read_only = read_only
        if model is None or (folder / MANIFEST).exists():
            if index is not None and len(index):
                raise ValueError(f"index must be empty or None for an existing stream folder, got {len(index)} codes")
            self._files, self._model = StreamFiles.open(folder, read_only=read_only, mmap=mmap)
            try:
                if model is not None:
                    _check_the_same(model, self._model)
            except BaseException:
                self.close()
                raise
        else:
            if read_only:
                raise ValueError(f"read_only must be False for a new folder: {folder} has no {MANIFEST}")
            index = _index_for(model, index)
            self._files, self._model = StreamFiles.create(folder, index.n_bits), copy.copy(model)
            if model._state is not None:
                self._files.index.add(index.codes, index.ids, model=model)

    def __repr__(self) -> str:
        return f"StreamFolder({str(self._files.path)!r}) with {self.n_chunks} chunks, offset {self.offset!r}"

    @property
    def model(self) -> OnlineMethod[Any, Any]:
        """The model; each chunk replaces it by another object, so that one who holds it sees one state."""
        return self._model

    @property
    def index(self) -> CodeIndex:
        """The index of the codes. Rows may be removed from it, and are with the next commit."""
        return self._files.index

    @property
    def offset(self) -> Any:
        """Where the stream goes on, as of the last commit; None before the first chunk."""
        return None if self._files.manifest is None else copy.deepcopy(self._files.manifest.offset)

    @property
    def n_chunks(self) -> int:
        """The number of chunks learned, as of the last commit."""
        return 0 if self._files.manifest is None else self._files.manifest.n_chunks

    def learn(
        self,
        views: Mapping[str, Any],
        labels: Any,
        *,
        offset: Any,
        ids: ArrayLike | None = None,
        present: Mapping[str, Any] | None = None,
    ) -> Self:
        """Learn one chunk, add its codes to the index, and commit both.

        Parameters
        ----------
        views, labels, offset, ids, present
            As for ``StreamChunk``.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As ``partial_fit`` of the model and ``add`` of the index; or if `offset` is None or not a value of JSON.
        ValueError
            If the folder is closed, or was opened with ``read_only=True``.
        IndexLockedError, IndexChangedError
            If the folder is not locked any more, because it was removed or replaced.
        OSError
            If the disk is full, or fails.

        Notes
        -----
        Whatever is raised, model, index and offset are as of the last commit. That is the new one only where the call
        failed, or was interrupted, when it had already committed; ``offset`` says which.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import LEMON, StreamFolder
        >>> with tempfile.TemporaryDirectory() as folder, StreamFolder(f"{folder}/s", LEMON(8)) as stream:
        ...     stream.learn({"x": [[1.0, 2.0], [2.0, 1.0]]}, [0, 1], offset=2).offset
        2
        """
        self._check_writable()
        before = self._memory()
        try:
            self._learn(StreamChunk(views, labels, offset, ids, present))
            self._files.commit(self._model, check_offset(offset), self.n_chunks + 1)
        except BaseException:
            self._settle(before)
            raise
        return self

    def run(self, source: Source, *, commit_every: int = 1) -> int:
        """Learn a stream from where it stopped, to its end.

        Parameters
        ----------
        source : callable
            Takes an offset, None at the begin of the stream, and returns an iterable of StreamChunk from there on.
        commit_every : int
            Chunks between commits. More of them save time where chunks are small: a commit writes the whole model. What
            was learned since the last commit is lost in a crash, and learned again.

        Returns
        -------
        int
            The number of chunks learned by this call.

        Raises
        ------
        TypeError
            If `source` is not callable, does not return an iterable, or gives something else than a StreamChunk.
        ValueError
            If ``commit_every < 1``.
        TypeError, ValueError, IndexLockedError, IndexChangedError, OSError
            As ``learn``; also what `source` raises.

        Notes
        -----
        Whatever is raised, Ctrl-C included, model, index and offset are as of the last commit. Call it again to go on.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import LEMON, StreamChunk, StreamFolder
        >>> def source(offset):
        ...     for number in range(offset or 0, 4):
        ...         yield StreamChunk({"x": [[1.0, number], [number, 1.0]]}, [0, 1], offset=number + 1)
        >>> with tempfile.TemporaryDirectory() as folder, StreamFolder(f"{folder}/s", LEMON(8)) as stream:
        ...     stream.run(source, commit_every=2), stream.run(source), stream.n_chunks
        (4, 0, 4)
        """
        self._check_writable()
        if not callable(source):
            raise TypeError(f"source must be a callable that takes an offset, got {source!r}")
        commit_every = check_integer("commit_every", commit_every, 1)
        chunks = source(self.offset)
        if not isinstance(chunks, Iterable):
            raise TypeError(f"source must return an iterable of StreamChunk, got {type(chunks).__name__}")
        n_learned, before, n_before = 0, self._memory(), self.n_chunks
        try:
            offset = None
            for chunk in chunks:
                if not isinstance(chunk, StreamChunk):
                    raise TypeError(f"source must give StreamChunk objects, got {type(chunk).__name__}")
                offset = check_offset(chunk.offset)
                self._learn(chunk)
                n_learned += 1
                if n_learned % commit_every == 0:
                    self._files.commit(self._model, offset, n_before + n_learned)
                    before = self._memory()
            if n_learned % commit_every:
                self._files.commit(self._model, offset, n_before + n_learned)
        except BaseException:
            self._settle(before)
            raise
        finally:
            close = getattr(chunks, "close", None)  # of generators
            if close is not None:
                close()
        return n_learned

    def commit(self) -> None:
        """Commit model and index as they are, with the same offset: for rows that were removed, for example.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        ValueError, IndexLockedError, IndexChangedError, OSError
            As ``learn``.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import LEMON, StreamFolder
        >>> with tempfile.TemporaryDirectory() as folder, StreamFolder(f"{folder}/s", LEMON(8)) as stream:
        ...     _ = stream.learn({"x": [[1.0, 2.0], [2.0, 1.0]]}, [0, 1], offset=2)
        ...     stream.index.remove([0])
        ...     stream.commit()
        ...     StreamFolder(f"{folder}/s", read_only=True).index.ids
        array([1])
        """
        self._check_writable()
        self._files.commit(self._model, self.offset, self.n_chunks)

    def close(self) -> None:
        """Release the lock. Model and index stay in memory, and are not written any more."""
        self._files.index.release()
        self._read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _learn(self, chunk: StreamChunk) -> None:
        """Learn a chunk in memory; where this raises, ``_settle`` must follow."""
        check_offset(chunk.offset)
        # A copy shares what was learned, which no model changes: it replaces it.
        learned = copy.copy(self._model)
        learned.partial_fit(chunk.views, chunk.labels, present=chunk.present)
        self.index.add(learned.codes_, chunk.ids, model=learned)
        self._model = learned

    def _memory(self) -> _Memory:
        return _Memory(self._files.manifest, self._model, self._files.index.content)

    def _settle(self, before: _Memory) -> None:
        """After an error: go back to what was before, unless what is in memory was committed."""
        if self._files.manifest is before.manifest:
            self._model = before.model
            self._files.index.restore(before.codes)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ValueError(f"{self._files.path} must be open for writing, it is closed or was opened read-only")


def _check_model(model: object) -> None:
    if not isinstance(model, OnlineMethod):
        reason = f"{type(model).__name__} learns whole data at once" if hasattr(model, "fit") else "it is no method"
        raise TypeError(
            f"model must learn chunk by chunk, by partial_fit, as LEMON does; got a {type(model).__name__}: {reason}"
            + ("; fit it, and add its codes_ to a CodeIndex" if hasattr(model, "fit") else "")
        )


def _check_the_same(model: OnlineMethod[Any, Any], of_folder: OnlineMethod[Any, Any]) -> None:
    """Raise ValueError unless `model` is unfitted, of the same class, and has the same parameters."""
    if type(model) is not type(of_folder):
        raise ValueError(f"model must be a {type(of_folder).__name__}, as in the folder, got {type(model).__name__}")
    if model._state is not None:
        raise ValueError("model must be None or unfitted for an existing stream folder, which has its own")
    for name, value in model.get_params().items():
        arrays: dict[str, Any] = {}
        arrays_of_folder: dict[str, Any] = {}
        given = store_parameter(name, value, arrays)
        kept = store_parameter(name, getattr(of_folder, name), arrays_of_folder)
        if given != kept or any(not np.array_equal(arrays[key], arrays_of_folder[key]) for key in arrays):
            raise ValueError(
                f"model must have {name}={getattr(of_folder, name)!r}, as in the folder, got {value!r}; without a "
                "model, the folder's own goes on"
            )


def _index_for(model: OnlineMethod[Any, Any], index: CodeIndex | None) -> CodeIndex:
    """Return the index that a new folder begins with."""
    n_bits = check_n_bits(model.n_bits)
    if index is None:
        return CodeIndex(n_bits)
    if index.n_bits != n_bits:
        raise ValueError(f"index must have n_bits={n_bits} as the model, got {index.n_bits}")
    fingerprint = None if model._state is None else model.fingerprint
    if (len(index) or index.fingerprint is not None) and index.fingerprint != fingerprint:
        raise ValueError("index must be empty, or hold codes of the fitted model: its fingerprint is another one")
    return index
