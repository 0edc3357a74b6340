"""CodeIndex: exact search over packed codes with ids, in memory and on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._files.reading import read_archive
from pyhash._inputs.checks import (
    as_array,
    check_codes,
    check_integer,
    check_n_bits,
    check_projections,
    check_real,
    n_bytes_of,
)
from pyhash.errors import ModelFormatError
from pyhash.index.directory import IndexDirectory
from pyhash.index.manifest import MANIFEST
from pyhash.index.segment import Segment, tidied
from pyhash.index.segment import merged as merged_segments
from pyhash.interop import to_faiss_index
from pyhash.search import HitLists, Hits, Request, check_allowed, merged, row_mask

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CodeIndex"]

Segments = tuple[Segment, ...]


class CodeIndex:
    """Exact search over packed binary codes.

    Results do not depend on the order in which codes were added, the number of threads or the CPU: ties go by ascending
    id. Searches may run while other threads add or remove: each sees the codes of one moment. Layouts that make
    searches fast are made when the index is searched; ``stats`` tells of them.

    Parameters
    ----------
    n_bits : int
        Length of a code in bits, at least 1.
    model : fitted model or str, optional
        The model that makes the codes, or its ``fingerprint``. Codes that are said to come of another are refused then.

    Raises
    ------
    TypeError, ValueError
        If `n_bits` is not an integer >= 1, or `model` has no fingerprint or another number of bits.

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

    def __init__(self, n_bits: int, *, model: Any = None) -> None:
        self.n_bits = check_n_bits(n_bits)
        self._fingerprint = None if model is None else _fingerprint_of(model, self.n_bits)
        # Replaced as one object, never changed: a search sees all of one moment.
        self._segments: Segments = ()
        self._directory: IndexDirectory | None = None
        self._lock, self._lock_pid = threading.Lock(), os.getpid()

    # --- what it holds ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(segment.n_alive for segment in self._segments)

    def __repr__(self) -> str:
        where = "" if self._directory is None else f" at {self._directory.path}"
        return f"CodeIndex(n_bits={self.n_bits}) with {len(self)} codes{where}"

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the model that made the codes, where it is known."""
        return self._fingerprint

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes (n, ceil(n_bits / 8)), by ascending id; read only. Copies, where there are several runs."""
        return self._whole().codes

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids (n,), ascending; read only."""
        return self._whole().ids

    def _whole(self) -> Segment:
        segments = self._segments
        if len(segments) == 1 and segments[0].alive is None:
            return segments[0]
        if not segments:
            return Segment(np.empty((0, n_bytes_of(self.n_bits)), dtype=np.uint8), np.empty(0, dtype=np.int64))
        return merged_segments(segments)

    def blocks(self, size: int = 65_536) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Everything, block by block, in little memory.

        Parameters
        ----------
        size : int
            Rows of a block at most.

        Yields
        ------
        ids : ndarray of shape (m,), int64
            Ascending, within a block and from block to block.
        codes : ndarray of shape (m, ceil(n_bits / 8)), uint8

        Raises
        ------
        TypeError, ValueError
            If `size` is not an integer >= 1.

        Notes
        -----
        All blocks are of the moment at which the first is asked for, whatever is added or removed meanwhile.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, 1], [-1, 1], [-1, -1]]))
        >>> [ids.tolist() for ids, _ in index.blocks(size=2)]
        [[0, 1], [2]]
        """
        size = check_integer("size", size, 1)
        return self._blocks(size)

    def _blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        segments = self._segments
        first = [0] * len(segments)
        while True:
            open_ = [i for i, segment in enumerate(segments) if first[i] < len(segment.ids)]
            if not open_:
                return
            share = max(1, size // len(open_))
            # No segment has an unseen id up to the least of the last ones looked at.
            last = min(segments[i].ids[min(first[i] + share, len(segments[i].ids)) - 1] for i in open_)
            parts = []
            for i in open_:
                segment, begin = segments[i], first[i]
                end = begin + int(np.searchsorted(segment.ids[begin : begin + share], last, side="right"))
                rows = np.arange(begin, end)
                rows = rows[segment.is_alive(rows)]
                parts.append((segment.ids[rows], segment.codes[rows]))
                first[i] = end
            ids = np.concatenate([part[0] for part in parts])
            codes = np.concatenate([part[1] for part in parts])
            order = np.argsort(ids)
            for begin in range(0, len(ids), size):
                block = order[begin : begin + size]
                yield ids[block], codes[block]

    def reconstruct(self, ids: ArrayLike) -> NDArray[np.uint8]:
        """The codes of ids.

        Parameters
        ----------
        ids : array_like of shape (n,), integer

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8
            In the order of `ids`.

        Raises
        ------
        KeyError
            If an id is not in the index.
        TypeError, ValueError
            If `ids` are not integers, or not a list.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, -1], [-1, 1]]), ids=[7, 5])
        >>> codes.unpack(index.reconstruct([7]), n_bits=2)
        array([[ 1, -1]], dtype=int8)
        """
        wanted = _as_ids(ids)
        out = np.empty((len(wanted), n_bytes_of(self.n_bits)), dtype=np.uint8)
        missing = np.ones(len(wanted), dtype=np.bool_)
        for segment in self._segments:
            rows = segment.rows_with(wanted)
            here = rows >= 0
            out[here] = segment.codes[rows[here]]
            missing &= ~here
        _refuse_unknown(wanted, missing)
        return out

    def stats(self) -> dict[str, Any]:
        """What the index consists of, and how it is searched.

        Returns
        -------
        dict
            ``n``, codes; ``n_removed``, rows that are removed but not yet rewritten; ``n_segments``; ``grouped``, codes
            in segments that scan only their distinct codes; ``n_scanned``, codes that a search looks at; ``n_bytes``,
            memory of codes and ids (or of their files, where mapped), and ``layout_bytes``, memory of each layout made
            so far: ``bit_planes``, ``nibble_planes``, ``groups``.

        Examples
        --------
        >>> from pyhash import CodeIndex
        >>> CodeIndex(n_bits=8).stats()["n"]
        0
        """
        segments = self._segments
        stats = [segment.code_set.stats() for segment in segments]
        layouts = {"bit_planes": "bit_plane_bytes", "nibble_planes": "nibble_plane_bytes", "groups": "group_bytes"}
        return {
            "n": sum(segment.n_alive for segment in segments),
            "n_removed": sum(len(segment.ids) - segment.n_alive for segment in segments),
            "n_segments": len(segments),
            "grouped": sum(len(s.ids) for s, of in zip(segments, stats, strict=True) if of["grouped"]),
            "n_scanned": sum(of["n_distinct"] for of in stats),
            "n_bytes": sum(s.codes.nbytes + s.ids.nbytes for s in segments),
            "layout_bytes": {name: sum(of[key] for of in stats) for name, key in layouts.items()},
        }

    # --- changing it --------------------------------------------------------------------------------------------------

    def add(self, codes: ArrayLike, ids: ArrayLike | None = None, *, model: Any = None) -> NDArray[np.int64]:
        """Adds codes.

        Parameters
        ----------
        codes : array_like of shape (n, ceil(n_bits / 8)), uint8
            Packed codes.
        ids : array_like of shape (n,), integer, optional
            Unique; by default the integers after the greatest id in the index, from 0 on.
        model : fitted model or str, optional
            The model that made the codes, or its fingerprint. An empty index that knows none takes it for its own.

        Returns
        -------
        ndarray of shape (n,), int64
            The ids of the added codes, in the order of `codes`.

        Raises
        ------
        TypeError
            If codes are not uint8, or ids not integers.
        ValueError
            If shapes do not fit, padding bits are set, an id is taken already or given twice, or the codes are of
            another model. Nothing is added then.
        IndexLockedError, IndexChangedError
            If the index is on disk, and another writer holds its lock or has changed it.
        """
        given = check_codes("codes", codes, self.n_bits)
        with self._writing():
            fingerprint = self._fingerprint_with(model)
            segments = self._segments
            if ids is None:
                new = _next_ids(segments, len(given))
            else:
                new = _check_unique(_check_ids(ids, len(given)))
                for segment in segments:
                    taken = segment.rows_with(new) >= 0
                    if taken.any():
                        raise ValueError(f"ids must be new, {new[taken][0]} is in the index already")
            self._take(_with_rows(segments, given, new), fingerprint)
        return new

    def upsert(self, codes: ArrayLike, ids: ArrayLike, *, model: Any = None) -> NDArray[np.int64]:
        """Adds codes, in the place of those that have their ids so far.

        Parameters
        ----------
        codes : array_like of shape (n, ceil(n_bits / 8)), uint8
            Packed codes.
        ids : array_like of shape (n,), integer
            Unique; in the index or new.
        model
            As for ``add``.

        Returns
        -------
        ndarray of shape (n,), int64
            The ids.

        Raises
        ------
        TypeError, ValueError, IndexLockedError, IndexChangedError
            As for ``add``, but ids may be taken. Nothing has changed then.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, -1]]), ids=[7])
        >>> index.upsert(codes.pack([[1, 1], [-1, -1]]), ids=[7, 8])
        array([7, 8])
        >>> len(index)
        2
        """
        given = check_codes("codes", codes, self.n_bits)
        new = _check_unique(_check_ids(ids, len(given)))
        with self._writing():
            fingerprint = self._fingerprint_with(model)
            self._take(_with_rows(_without_ids(self._segments, new)[0], given, new), fingerprint)
        return new

    def remove(self, ids: ArrayLike) -> None:
        """Removes the codes of ids.

        Parameters
        ----------
        ids : array_like of shape (n,), integer

        Raises
        ------
        KeyError
            If an id is not in the index; nothing is removed then.
        TypeError, ValueError
            If `ids` are not integers, or not a list.
        IndexLockedError, IndexChangedError
            As for ``add``.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, -1], [-1, 1]]))
        >>> index.remove([0])
        >>> index.ids
        array([1])
        """
        unwanted = np.unique(_as_ids(ids))
        with self._writing():
            segments, missing = _without_ids(self._segments, unwanted)
            _refuse_unknown(unwanted, missing)
            self._take(tidied(segments), self._fingerprint)

    def compact(self) -> None:
        """Brings everything into one run, and leaves no trace of what was removed.

        On disk it takes effect with the next ``commit``. Needs memory for a copy of all codes and ids.

        Raises
        ------
        IndexLockedError, IndexChangedError
            As for ``add``.

        Examples
        --------
        >>> from pyhash import CodeIndex
        >>> index = CodeIndex(n_bits=8)
        >>> index.compact()
        >>> index.stats()["n_segments"]
        0
        """
        with self._writing():
            segments = self._segments
            if len(segments) > 1 or any(segment.alive is not None for segment in segments):
                self._take((merged_segments(segments),) if any(s.n_alive for s in segments) else (), self._fingerprint)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._in_turn():
            if self._directory is not None:
                self._directory.lock()
            yield

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._lock_pid != os.getpid():  # forked while a thread that is not here held it, perhaps
            self._lock, self._lock_pid = threading.Lock(), os.getpid()
        with self._lock:
            yield

    def _take(self, segments: Segments, fingerprint: str | None) -> None:
        # One call, which no interrupt can divide as it could two assignments.
        self.__dict__.update(_segments=segments, _fingerprint=fingerprint)

    def _fingerprint_with(self, model: Any) -> str | None:
        """The index's fingerprint once codes of a model are in it."""
        if model is None:
            return self._fingerprint
        given = _fingerprint_of(model, self.n_bits)
        if self._fingerprint is None and not len(self):
            return given
        self._refuse_other(given)
        return given

    def _refuse_other(self, fingerprint: str) -> None:
        if fingerprint != self._fingerprint:
            own = "of a model that it does not know" if self._fingerprint is None else f"of model {self._fingerprint}"
            raise ValueError(f"model must be the one whose codes the index holds, {own}, got {fingerprint}")

    # --- searching it -------------------------------------------------------------------------------------------------

    @overload
    def search(
        self,
        codes: ArrayLike,
        k: int,
        *,
        ties: Literal["id"] = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> Hits: ...
    @overload
    def search(
        self,
        codes: ArrayLike,
        k: int,
        *,
        ties: Literal["all"],
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> HitLists: ...
    def search(
        self,
        codes: ArrayLike,
        k: int,
        *,
        ties: str = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> Hits | HitLists:
        """The `k` nearest items of each query by Hamming distance.

        Parameters
        ----------
        codes : array_like of shape (n_queries, ceil(n_bits / 8)), uint8
            Packed query codes.
        k : int
            At least 1. Where the index holds fewer codes, there are fewer columns.
        ties : {"id", "all"}
            "id": of those at the k-th distance, the ones with the least ids. "all": every one of them.
        allowed : array_like of shape (n,), bool, or (m,), integer, optional
            Restricts the search to these items: a mask over ``index.ids``, or ids (those that are not in the index
            allow nothing).
        model : fitted model or str, optional
            The model that made the query codes, or its fingerprint; refused where the index holds another's.
        n_threads : int, optional
            By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

        Returns
        -------
        Hits
            int32 distances in bits. HitLists, where `ties` is "all".

        Raises
        ------
        TypeError, ValueError
            If codes do not fit the index, `k` is not an integer >= 1, or another argument is not as it must be.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, 1], [-1, 1], [1, -1]]))
        >>> index.search(codes.pack([[1, 1]]), k=2, ties="all").ids
        array([0, 1, 2])
        >>> index.search(codes.pack([[1, 1]]), k=2, allowed=[2, 1]).ids
        array([[1, 2]])
        """
        queries = check_codes("codes", codes, self.n_bits)
        request = Request.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
        return request.answer(self._find(request, allowed, model), len(self))

    def search_weighted(
        self,
        projections: ArrayLike,
        k: int | None = None,
        *,
        radius: float | None = None,
        ties: str = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> Hits | HitLists:
        """The nearest items of each query by weighted Hamming distance, exact in float64.

        Parameters
        ----------
        projections : array_like of shape (n_queries, n_bits), real
            What ``project`` of a model gives: signs say the query's bits, magnitudes how sure they are.
        k : int, optional
            The `k` nearest. May be left out where `radius` is given.
        radius : float, optional
            All within this distance (inclusive), or the `k` nearest of them.
        ties, allowed, model, n_threads
            As for ``search``.

        Returns
        -------
        Hits
            float64 distances. HitLists, where `radius` is given or `ties` is "all".

        Raises
        ------
        TypeError, ValueError
            If projections do not fit the index or are not finite, or another argument is not as it must be.

        Notes
        -----
        SHOH's weighted retrieval (Han et al. 2024, Eq. 32 and 33): ``WD(q, d) = sum_l t_l [q_l != d_l]`` with
        ``t_l = min(|p_l|, 1)`` and ``q_l = sgn(p_l)``. It works with any method that has projections.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> ids = index.add(codes.pack([[1, -1], [-1, 1]]))
        >>> index.search_weighted([[0.25, 3.0]], k=2).distances
        array([[0.25, 1.  ]])
        >>> index.search_weighted([[0.25, 3.0]], radius=0.5).ids
        array([1])
        """
        queries = check_projections("projections", projections, self.n_bits)
        if k is not None or radius is None:
            k = check_integer("k", k, 1)
        if radius is not None:
            radius = check_real("radius", radius, 0)
        request = Request.of(queries, k=k, radius=radius, ties=ties, n_threads=n_threads)
        return request.answer(self._find(request, allowed, model), len(self))

    def search_radius(
        self,
        codes: ArrayLike,
        radius: int,
        *,
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> HitLists:
        """All items within a Hamming distance of each query.

        Parameters
        ----------
        codes : array_like of shape (n_queries, ceil(n_bits / 8)), uint8
            Packed query codes.
        radius : int
            At least 0; inclusive: hits have distance <= radius.
        allowed, model, n_threads
            As for ``search``.

        Returns
        -------
        HitLists

        Raises
        ------
        TypeError, ValueError
            If codes do not fit the index, or `radius` is not an integer >= 0.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> ids = index.add(codes.pack([[1, 1], [-1, 1], [-1, -1]]))
        >>> index.search_radius(codes.pack([[1, 1], [-1, -1]]), radius=1)
        HitLists(offsets=array([0, 2, 4]), ids=array([0, 1, 2, 1]), distances=array([0, 1, 0, 1], dtype=int32))
        """
        queries = check_codes("codes", codes, self.n_bits)
        request = Request.of(queries, radius=check_integer("radius", radius, 0), n_threads=n_threads)
        return self._find(request, allowed, model)

    def _find(self, request: Request, allowed: ArrayLike | None, model: Any) -> HitLists:
        segments = self._segments
        if model is not None and (segments or self._fingerprint is not None):
            self._refuse_other(_fingerprint_of(model, self.n_bits))
        masks = [segment.alive for segment in segments]
        if allowed is not None:
            masks = _masks_of(allowed, segments)
        found = []
        for segment, mask in zip(segments, masks, strict=True):
            if mask is None or mask.any():
                lists = request.run(segment.code_set, mask)
                found.append(HitLists(lists.offsets, segment.ids[lists.ids], lists.distances))
        if len(found) == 1:
            return found[0]
        return merged(found, request.k, request.all_ties) if found else request.none_found()

    # --- on disk ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index to a directory, whole or not at all, and goes on there: see ``commit``.

        Parameters
        ----------
        path : path-like
            A directory that is made, or is empty, or holds an index already, whose content is replaced.

        Raises
        ------
        FileExistsError
            If there is something else.
        IndexLockedError
            If another writer holds the lock of the index there.
        OSError
            If the directory cannot be written; an index that was there is then as it was.
        """
        target = Path(path).absolute()  # a later change of the working directory must not move it
        with self._in_turn():
            before = self._directory
            here = before is not None and _same_place(before.path, target)
            directory = before if before is not None and here else _directory_for(target, self.n_bits)
            if before is not None and before is not directory and before.lost:
                before.unlock()  # it may be the lock of the target, where the directory was renamed
            self.__dict__.update(_segments=self._commit_to(directory), _directory=directory)
            if before is not None and before is not directory:
                before.unlock()

    def commit(self) -> None:
        """Makes all changes since the last commit durable, together.

        What is written are the new runs of codes and a manifest, whose replacement by the next is the moment of the
        commit: a process that dies before it leaves the last commit, one that dies after it the new one.

        Raises
        ------
        ValueError
            If the index is not on disk: ``save`` brings it there.
        IndexLockedError, IndexChangedError
            As for ``add``.
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
        if self._directory is None:
            raise ValueError("commit needs an index on disk: save it to a directory first")
        with self._writing():
            self._segments = self._commit_to(self._directory)

    def _commit_to(self, directory: IndexDirectory) -> Segments:
        segments = self._segments
        stored = directory.commit([segment.content() for segment in segments], self._fingerprint)
        return tuple(replace(segment, stored=form) for segment, form in zip(segments, stored, strict=True))

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """The index of a directory, as of its last commit.

        Parameters
        ----------
        path : path-like
            A directory, or a single file of version 0.1.
        mmap : bool
            Whether to map codes and ids from the files: opening then reads next to nothing, and an index may be larger
            than memory. No layouts are made for what is mapped, so searches are slower, and the content is not checked:
            ``verify`` does that.

        Returns
        -------
        CodeIndex

        Raises
        ------
        OSError
            If it cannot be read.
        ModelFormatError
            If it is not an index, cut short, damaged, or written by a newer version; the message names the file.
        """
        if Path(path).is_file():
            return cls._of_file(path)
        directory, contents = IndexDirectory.read(Path(path).absolute(), mmap=mmap)
        index = cls(directory.n_bits)
        index._segments = tuple(
            Segment.of_stored(*arrays, stored, lean=mmap)
            for stored, arrays in zip(directory.segments, contents, strict=True)
        )
        index._fingerprint, index._directory = directory.fingerprint, directory
        return index

    @classmethod
    def _of_file(cls, path: str | os.PathLike[str]) -> Self:
        archive = read_archive(path)
        if archive.kind != "CodeIndex":
            raise ModelFormatError(f"{path} holds a {archive.kind}, not a CodeIndex")
        with archive.taken_for("index"):
            index = cls(archive.field("n_bits"))
            codes = archive.array("codes", np.uint8, (None, n_bytes_of(index.n_bits)))
            index.add(codes, archive.array("ids", np.int64, (len(codes),)))
        return index

    def verify(self) -> None:
        """Reads every file of the last commit and checks it against its checksum.

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
        if self._directory is None:
            raise ValueError("verify needs an index on disk: save it to a directory first")
        self._directory.verify()

    def close(self) -> None:
        """Lets other writers in, and leaves the disk alone from then on; what was not committed is not written.

        The index stays as it is in memory. Without it, the lock ends with the object or the process.

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
        return _restored, (self.n_bits, self._fingerprint, whole.codes, whole.ids)

    # --- elsewhere ----------------------------------------------------------------------------------------------------

    def to_faiss(self) -> Any:
        """The same codes as an index of FAISS.

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
        whole = self._whole()
        return to_faiss_index(whole.codes, whole.ids, self.n_bits)


def _same_place(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _restored(n_bits: int, fingerprint: str | None, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> CodeIndex:
    index = CodeIndex(n_bits, model=fingerprint)
    index.add(codes, ids)
    return index


def _directory_for(path: str | os.PathLike[str], n_bits: int) -> IndexDirectory:
    """A directory to write an index to, in place of the one that may be there."""
    if Path(path).is_file():
        raise FileExistsError(f"{path} must be a new or empty directory, it is a file")
    try:
        return IndexDirectory.create(path, n_bits)
    except FileExistsError:
        if not (Path(path) / MANIFEST).exists():
            raise
    directory = IndexDirectory.open(path)
    if directory.n_bits != n_bits:
        raise ValueError(f"{path} holds an index of {directory.n_bits} bits, this one has {n_bits}")
    return directory


def _with_rows(segments: Segments, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> Segments:
    """With rows of new ids."""
    if not len(ids):
        return segments
    order: Any = slice(None) if np.all(ids[1:] > ids[:-1]) else np.argsort(ids)
    return tidied((*segments, Segment(np.array(codes[order]), np.array(ids[order]))))


def _without_ids(segments: Segments, ids: NDArray[np.int64]) -> tuple[Segments, NDArray[np.bool_]]:
    """Without the rows of these ids; which ids had none."""
    left, missing = [], np.ones(len(ids), dtype=np.bool_)
    for segment in segments:
        rows = segment.rows_with(ids)
        here = rows >= 0
        left.append(segment.without(rows[here]) if here.any() else segment)
        missing &= ~here
    return tuple(left), missing


def _masks_of(allowed: ArrayLike, segments: Segments) -> list[NDArray[np.uint8] | None]:
    """For each segment, the mask of the rows that are allowed and alive."""
    given = check_allowed(allowed, sum(segment.n_alive for segment in segments))
    if given.dtype == np.bool_:
        if len(segments) == 1:
            alive = np.arange(len(segments[0].ids))[segments[0].alive_rows()]
            return [row_mask(alive[given], len(segments[0].ids))]
        all_ids = np.sort(np.concatenate([s.ids[s.alive_rows()] for s in segments])) if segments else np.empty(0, int)
        given = all_ids[given]
    masks: list[NDArray[np.uint8] | None] = []
    for segment in segments:
        rows = segment.rows_with(given)
        masks.append(row_mask(rows[rows >= 0], len(segment.ids)))
    return masks


def _fingerprint_of(model: Any, n_bits: int) -> str:
    if isinstance(model, str):
        return model
    fingerprint = getattr(model, "fingerprint", None)
    if not isinstance(fingerprint, str):
        raise TypeError(f"model must be a fitted model or its fingerprint, got {type(model).__name__}")
    if getattr(model, "n_bits", n_bits) != n_bits:
        raise ValueError(f"model must make codes of n_bits={n_bits}, got one of {model.n_bits}")
    return fingerprint


def _next_ids(segments: Segments, n: int) -> NDArray[np.int64]:
    first = max([0, *(segment.greatest_id() + 1 for segment in segments if segment.n_alive)])
    if first + n > np.iinfo(np.int64).max:
        raise ValueError("ids must be given: the greatest id so far leaves no room for more")
    return np.arange(first, first + n, dtype=np.int64)


def _as_ids(ids: ArrayLike) -> NDArray[np.int64]:
    array = as_array("ids", ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"ids must have shape (n,), got {array.shape}")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids must fit int64, got {array.max()}")
    return array.astype(np.int64)


def _check_ids(ids: ArrayLike, n: int) -> NDArray[np.int64]:
    shape = as_array("ids", ids).shape
    if shape != (n,):
        raise ValueError(f"ids must have shape ({n},), one for each code, got {shape}")
    return _as_ids(ids)


def _check_unique(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    if not np.all(ids[1:] > ids[:-1]):
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) < len(ids):
            raise ValueError(f"ids must be unique, {unique[counts > 1][0]} was given {counts.max()} times")
    return ids


def _refuse_unknown(ids: NDArray[np.int64], missing: NDArray[np.bool_]) -> None:
    if missing.any():
        raise KeyError(f"{ids[missing][0]} is not in the index")
