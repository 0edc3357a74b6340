"""CodeIndex: an index over its life, in memory and on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._files.reading import read_archive
from pyhash._inputs.checks import check_bool, check_integer, check_n_bits, n_bytes_of
from pyhash._inputs.paths import check_path
from pyhash.errors import ModelFormatError
from pyhash.index.directory import IndexDirectory
from pyhash.index.editable_codes import EditableCodes
from pyhash.index.fingerprint import fingerprint_of
from pyhash.index.layout import AUTO, DEFAULT_BYTES_PER_CODE, Layout, check_layout
from pyhash.index.manifest import MANIFEST, StoredSegment
from pyhash.index.segment import Segment, Segments

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CodeIndex"]


class CodeIndex(EditableCodes):
    """Exact search over packed binary codes.

    Results do not depend on the order in which codes were added, the number of threads or the CPU: ties go by ascending
    id. Searches may run while other threads add or remove: each sees the codes of one moment. Layouts that make
    searches fast are made when the index is searched; ``stats`` lists them.

    Parameters
    ----------
    n_bits : int
        Length of a code in bits, at least 1.
    model : fitted model or str, optional
        The model that makes the codes, or its ``fingerprint``. Codes of another model are refused then.
    layout : {"auto", "scan", "multi-index"}
        How searches find the nearest; the answers are the same. "scan": they look at every distinct code.
        "multi-index": they look codes up in tables over runs of bits, where that is faster. "auto": tables are built
        once there were enough searches to pay for it, if they are predicted to be twice as fast.
    layout_bytes_per_code : float
        Memory of the tables for each code, at most. A million codes of 64 bits take 49 bytes each, of 128 bits 160,
        fewer codes a little more; within less, tables hold no copies of the codes and are slower, or there are none.

    Raises
    ------
    TypeError
        If `n_bits` is not an integer, or `layout_bytes_per_code` not a real number.
        If `model` has no fingerprint.
    ValueError
        If ``n_bits < 1`` or ``layout_bytes_per_code < 0``.
        If `model` makes codes of another number of bits.
        If `layout` is none of those.

    Notes
    -----
    A commit writes the tables that there are, and builds them before where `layout` is "multi-index"; an index that is
    opened with ``mmap`` searches them where they are on disk. ``stats`` says what is searched, and why.

    Examples
    --------
    >>> from pyhash import CodeIndex, codes
    >>> index = CodeIndex(n_bits=4)
    >>> index.add(codes.pack([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]]))
    array([0, 1, 2])
    >>> hits = index.search(codes.pack([[1, 1, -1, -1]]), k=2)
    >>> hits.ids, hits.distances
    (array([[1, 0]]), array([[1, 2]], dtype=int32))
    """

    def __init__(
        self,
        n_bits: int,
        *,
        model: Any = None,
        layout: str = "auto",
        layout_bytes_per_code: float = DEFAULT_BYTES_PER_CODE,
    ) -> None:
        n_bits = check_n_bits(n_bits)
        checked = check_layout(layout, layout_bytes_per_code)
        super().__init__(n_bits, None if model is None else fingerprint_of(model, n_bits), checked)
        self._directory: IndexDirectory | None = None

    def __repr__(self) -> str:
        where = "" if self._directory is None else f" at {self._directory.path}"
        return f"CodeIndex(n_bits={self.n_bits}) with {len(self)} codes{where}"

    def _repr_html_(self) -> str:
        from pyhash import _html

        stats = self.stats()
        values: dict[str, Any] = {
            "bits": self.n_bits,
            "codes": f"{stats['n']:,}",
            "removed, not yet rewritten": f"{stats['n_removed']:,}",
            "bytes of codes and ids": f"{stats['n_bytes']:,}",
            "bytes of layouts": f"{sum(stats['layout_bytes'].values()):,}",
        }
        if self.fingerprint is not None:
            values["model"] = self.fingerprint
        if self._directory is not None:
            values |= {"at": self._directory.path, "commit": self.generation}
        segments = [(f"{of['n']:,}", of["layout"], of["reason"]) for of in stats["layouts"]]
        return _html.section(
            "CodeIndex",
            _html.properties(values),
            _html.first_rows(["codes", "search by", "because"], segments, "segments"),
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Take the locks of this process and of the directory for one change."""
        with super()._changing():
            if self._directory is not None:
                self._directory.lock()
            yield

    @property
    def generation(self) -> int:
        """The number of the commit that the index was opened at or has made last; 0 where it is not on disk."""
        return 0 if self._directory is None else self._directory.generation

    # --- on disk ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a directory, whole or not at all; later commits go there too.

        Parameters
        ----------
        path : path-like
            A directory that is made, or is empty, or holds an index already, whose content is replaced.

        Raises
        ------
        TypeError
            If `path` is not a path.
        ValueError
            If the directory holds an index of another number of bits.
        FileExistsError
            If `path` is a file, or a directory that holds something else.
        IndexLockedError
            If another writer holds the lock of the index there.
        IndexChangedError
            If the index is there already, and the directory is no longer as its last commit left it. Saved elsewhere,
            the index is whole; after ``close``, it replaces what is there.
        OSError
            If the directory cannot be written; an index that was there is then as it was.
        """
        target = check_path("path", path).absolute()  # a later change of the working directory must not move it
        with super()._changing():
            before = self._directory
            here = before is not None and _same_place(before.path, target)
            directory = before if before is not None and here else _directory_for(target, self.n_bits)
            if before is not None and before is not directory and before.lost:
                before.unlock()  # it may be the lock of the target, where the directory was renamed
            self.__dict__.update(_segments=self._commit_to(directory), _directory=directory)
            if before is not None and before is not directory:
                before.unlock()

    def commit(self) -> None:
        """Make all changes since the last commit durable, together.

        New segments are written first, then a manifest that replaces the last one. That is the moment of the commit: a
        process that dies before it leaves the last commit, one that dies after it the new one. After ``prepare``, what
        was prepared is committed; later changes are left to the next commit.

        Raises
        ------
        ValueError
            If the index is not on disk: ``save`` it first.
        IndexLockedError
            If another writer holds the lock.
        IndexChangedError
            If another writer has committed, or the lock file or the directory was removed or replaced. Nothing is
            written then; ``save`` to another directory keeps what is in memory.
        OSError
            If the directory cannot be written; the last commit is in place then.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import CodeIndex, codes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CodeIndex(n_bits=2) as index:
        ...         index.save(f"{folder}/index")
        ...         ids = index.add(codes.pack([[1, 1]]))
        ...         index.commit()
        ...     print(CodeIndex.open(f"{folder}/index").ids)
        [0]
        """
        directory = self._directory_to("commit")
        with super()._changing():
            prepared = directory.prepared  # before the lock, which publishes what was opened as prepared
            directory.lock()
            if prepared is None:
                self._segments = self._commit_to(directory)
            else:
                directory.publish()

    def prepare(self) -> int:
        """Write all changes since the last commit, so that ``commit`` has only to rename a file.

        With this, several indexes, or an index and other files, commit as one: prepare all, write the generations that
        they return to a file of your own, atomically, and commit all. That file is the moment of the commit: after a
        crash, ``open`` each with the generation that it names.

        Returns
        -------
        int
            The generation that ``commit`` makes the last one. Until then ``open`` gives the commit before it.

        Raises
        ------
        ValueError
            If the index is not on disk: ``save`` it first.
        IndexLockedError, IndexChangedError, OSError
            As for ``commit``; what was prepared before is still prepared then.

        Notes
        -----
        What was prepared before and not committed is given up, and its generation is not given again. The last commit
        stays as it is, and readers see it.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import CodeIndex, codes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CodeIndex(n_bits=2) as index:
        ...         index.save(f"{folder}/index")
        ...         ids = index.add(codes.pack([[1, 1]]))
        ...         generation = index.prepare()
        ...         print(generation, len(CodeIndex.open(f"{folder}/index")))
        ...         print(len(CodeIndex.open(f"{folder}/index", generation=generation)))
        ...         index.commit()
        ...     print(len(CodeIndex.open(f"{folder}/index")))
        2 0
        1
        1
        """
        directory = self._directory_to("prepare")
        with self._changing():
            segments = self._segments
            generation, stored = directory.prepare([segment.content() for segment in segments], self._fingerprint)
            self._segments = _with_forms(segments, stored)
        return generation

    def lock(self) -> None:
        """Keep other writers out from now on, until ``close``; by default this begins with the first change.

        Raises
        ------
        ValueError
            If the index is not on disk.
        IndexLockedError
            If another writer holds the lock.
        IndexChangedError
            If another writer has committed since the index was opened.
        OSError
            If the directory cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import CodeIndex
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     CodeIndex(n_bits=2).save(f"{folder}/index")
        ...     with CodeIndex.open(f"{folder}/index") as index:
        ...         index.lock()
        """
        self._directory_to("lock")
        with self._changing():
            pass

    def _directory_to(self, do: str) -> IndexDirectory:
        if self._directory is None:
            raise ValueError(f"{do} needs an index on disk: save it to a directory first")
        return self._directory

    def _commit_to(self, directory: IndexDirectory) -> Segments:
        segments = self._segments
        return _with_forms(segments, directory.commit([segment.content() for segment in segments], self._fingerprint))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        mmap: bool = False,
        generation: int | None = None,
        layout: str = "auto",
        layout_bytes_per_code: float = DEFAULT_BYTES_PER_CODE,
    ) -> Self:
        """Return the index of a directory, as of its last commit.

        Parameters
        ----------
        path : path-like
            A directory, or a single file of version 0.1.
        mmap : bool
            Whether to map codes, ids and tables from the files: opening then reads next to nothing, and an index may be
            larger than memory. No layouts are made for what is mapped, so searches are slower where no tables were
            committed, and the content is not checked: ``verify`` does that. A file of version 0.1 is always read.
        generation : int, optional
            The commit to open: the last one, or the one that ``prepare`` has prepared, which the first change then
            commits, or ``lock``. By default the last one.
        layout, layout_bytes_per_code
            As for ``CodeIndex``. Tables on disk are used whatever their size, and not at all with "scan".

        Returns
        -------
        CodeIndex

        Raises
        ------
        TypeError
            If `path` is not a path, `mmap` not a bool, `generation` not an integer, or `layout_bytes_per_code` not a
            real number.
        ValueError
            If ``generation < 1`` or ``layout_bytes_per_code < 0``.
            If `layout` is not one of those of ``CodeIndex``.
        ModelFormatError
            If there is no index, or it is cut short, damaged, or written by a newer version; the message names the
            file.
            If the index has no such generation yet, or is a file of version 0.1, which has none.
        IndexChangedError
            If a writer has gone on from that generation.
        OSError
            If it cannot be read.
        """
        source, mmap = check_path("path", path), check_bool("mmap", mmap)
        if generation is not None:
            generation = check_integer("generation", generation, 1)
        checked = check_layout(layout, layout_bytes_per_code)
        if source.is_file():
            if generation is not None:
                raise ModelFormatError(f"{source} has no generation {generation}: it is a file of version 0.1")
            return cls._of_file(source, checked)
        directory, contents = IndexDirectory.read(
            source.absolute(), mmap=mmap, with_tables=checked.name != "scan", generation=generation
        )
        segments = (
            Segment.of_stored(arrays, stored, checked, lean=mmap)
            for stored, arrays in zip(directory.segments, contents, strict=True)
        )
        return cls._of_directory(directory, tuple(segments), checked)

    @classmethod
    def _of_directory(cls, directory: IndexDirectory, segments: Segments, layout: Layout) -> Self:
        index = cls(directory.n_bits, layout=layout.name, layout_bytes_per_code=layout.bytes_per_code)
        index._segments = segments
        index._fingerprint, index._directory = directory.fingerprint, directory
        return index

    @classmethod
    def _of_file(cls, path: Path, layout: Layout) -> Self:
        archive = read_archive(path)
        if archive.kind != "CodeIndex":
            raise ModelFormatError(f"{path} holds a {archive.kind}, not a CodeIndex")
        with archive.taken_for("index"):
            n_bits = archive.field("n_bits")
            index = cls(n_bits, layout=layout.name, layout_bytes_per_code=layout.bytes_per_code)
            codes = archive.array("codes", np.uint8, (None, n_bytes_of(index.n_bits)))
            index.add(codes, archive.array("ids", np.int64, (len(codes),)))
        return index

    def verify(self) -> None:
        """Read every file of the last commit and check it against its checksum.

        Raises
        ------
        ValueError
            If the index is not on disk.
        ModelFormatError
            If a file is missing or damaged; the message names it.
        IndexChangedError
            If another writer has committed since the index was opened.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import CodeIndex
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index = CodeIndex(n_bits=2)
        ...     index.save(f"{folder}/index")
        ...     index.verify()
        """
        self._directory_to("verify").verify()

    def close(self) -> None:
        """Release the lock and leave the disk: what was not committed is not written.

        The index stays as it is in memory. Without this call, the lock ends with the object or the process.

        Examples
        --------
        >>> from pyhash import CodeIndex
        >>> CodeIndex(n_bits=2).close()
        """
        if self._directory is not None:
            self._directory.unlock()
            self._directory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # For copies and for other processes: the same content, in memory, not on disk.
        whole = self._whole()
        return _restored, (self.n_bits, self._fingerprint, whole.codes, whole.ids, self._layout)

    # --- elsewhere ----------------------------------------------------------------------------------------------------

    def to_faiss(self) -> Any:
        """Return the same codes as an index of FAISS.

        Returns
        -------
        faiss.IndexBinaryFlat or faiss.IndexBinaryIDMap
            The latter where ids are not 0, 1, 2, ...; of ``8 * ceil(n_bits / 8)`` bits.

        Raises
        ------
        ImportError
            If faiss is not installed.

        See Also
        --------
        pyhash.interop : the forms that other engines take.
        """
        from pyhash.interop import to_faiss_index

        whole = self._whole()
        return to_faiss_index(whole.codes, whole.ids, self.n_bits)


def index_of(directory: IndexDirectory, segments: Segments) -> CodeIndex:
    """Return the index of a directory, whose segments are those of its files."""
    return CodeIndex._of_directory(directory, segments, AUTO)


def _with_forms(segments: Segments, stored: list[StoredSegment]) -> Segments:
    return tuple(replace(segment, stored=form) for segment, form in zip(segments, stored, strict=True))


def _same_place(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _restored(
    n_bits: int, fingerprint: str | None, codes: NDArray[np.uint8], ids: NDArray[np.int64], layout: Layout
) -> CodeIndex:
    index = CodeIndex(n_bits, model=fingerprint, layout=layout.name, layout_bytes_per_code=layout.bytes_per_code)
    index.add(codes, ids)
    return index


def _directory_for(path: Path, n_bits: int) -> IndexDirectory:
    """Return a directory to write an index to, in place of the one that may be there."""
    if path.is_file():
        raise FileExistsError(f"{path} must be a new or empty directory, it is a file")
    try:
        return IndexDirectory.create(path, n_bits)
    except FileExistsError:
        if not (path / MANIFEST).exists():
            raise
    directory = IndexDirectory.open(path)
    if directory.n_bits != n_bits:
        raise ValueError(f"{path} holds an index of {directory.n_bits} bits, this one has {n_bits}")
    return directory
