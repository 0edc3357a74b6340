"""ShardedIndex: an index whose codes are in several directories, searched by the workers of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import (
    check_bool,
    check_codes,
    check_integer,
    check_n_bits,
    check_projections,
    check_real,
    is_iterable,
    n_bytes_of,
)
from pyhash._inputs.ids import MAX_ID, check_ids
from pyhash._inputs.paths import check_path
from pyhash.distributed.cluster import check_client
from pyhash.distributed.hosts import Hosts, ThisProcess, Workers
from pyhash.distributed.merged_blocks import merged_blocks
from pyhash.distributed.placement import Answer, Placement, Shard
from pyhash.distributed.routing import rows_by_shard
from pyhash.distributed.shard_host import Change, ShardSize
from pyhash.distributed.shards_directory import ShardsDirectory
from pyhash.distributed.shards_manifest import MAX_SHARDS, SHARDS_MANIFEST, ShardEntry
from pyhash.distributed.shared_lock import SharedLock
from pyhash.errors import IndexChangedError
from pyhash.index.fingerprint import fingerprint_of, refuse_other
from pyhash.index.segmented_codes import refuse_unknown
from pyhash.search.allowed import check_allowed
from pyhash.search.hits import HitLists, Hits, Ties
from pyhash.search.request import SearchRequest

if TYPE_CHECKING:
    from distributed import Client
    from typing_extensions import Self

_N_SHARDS = 8


class ShardedIndex:
    """Exact search over packed binary codes in several directories, by the workers of a cluster.

    Answers are those of one ``CodeIndex`` that holds all the codes, ties included, whatever the number of shards and
    workers. Each shard is a directory of ``CodeIndex``; the id decides the shard. The workers keep the shards open,
    with the layouts that make searches fast. Where a worker ends, others open its shards, with the changes that are not
    committed, and the call goes on.

    Parameters
    ----------
    folders : path-like, or sequence of path-like
        One folder, or several, such as those of several disks. The first holds the manifest; new shards are made in
        turn in all of them. All must be reached by the workers under the same paths.
    client : distributed.Client, optional
        The cluster whose workers open the shards. Without it this process opens them.
    n_bits : int, optional
        Length of a code in bits, to make an index where there is none.
    n_shards : int, optional
        The number of shards of a new index, 8 by default. It stays as it is: choose several times the number of workers
        that there may be.
    model : fitted model or str, optional
        The model that makes the codes, or its ``fingerprint``. Codes of another model are refused then.
    mmap : bool
        Whether workers map codes and ids from the files: see ``CodeIndex.open``.

    Raises
    ------
    TypeError
        If `folders` is neither a path nor a sequence of paths, or `client` not a client.
        If `n_bits` or `n_shards` is not an integer, or `mmap` not a bool.
        If `model` has no fingerprint.
    ValueError
        If there are no folders, or one is given twice.
        If ``n_bits < 1`` or ``n_shards < 1``, or the index that is there has others, or codes of another model.
    FileNotFoundError
        If there is no index, and `n_bits` is not given.
    FileExistsError
        If a new index would be made in a folder that holds something else.
    ModelFormatError
        If the manifest is damaged, or written by a newer version.
    OSError
        If the folders cannot be read, or written where the index is new.

    Notes
    -----
    Shards are opened at once. One that cannot be opened is tried again by each call that needs it.

    A commit makes all shards' changes visible by one rename. One writer at a time; any number of processes, each with
    a ``ShardedIndex`` of its own, may read. They see the commit at which they were opened: to follow a writer, open the
    index again, which is quick, because workers keep what has not changed.

    There is no ``prepare``, ``save`` and ``to_faiss``, as a ``CodeIndex`` has: docs/howto/scale-out.md says why.

    Examples
    --------
    >>> import tempfile
    >>> from pyhash import codes
    >>> from pyhash.distributed import ShardedIndex
    >>> folder = tempfile.TemporaryDirectory()
    >>> with ShardedIndex(f"{folder.name}/index", n_bits=4, n_shards=3) as index:
    ...     ids = index.add(codes.pack([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]]))
    ...     index.commit()
    >>> index = ShardedIndex(f"{folder.name}/index")
    >>> hits = index.search(codes.pack([[1, 1, -1, -1]]), k=2)
    >>> hits.ids, hits.distances
    (array([[1, 0]]), array([[1, 2]], dtype=int32))
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        client: Client | None = None,
        *,
        n_bits: int | None = None,
        n_shards: int | None = None,
        model: Any = None,
        mmap: bool = False,
    ) -> None:
        paths = _check_folders(folders)
        client = check_client(client)
        n_bits = None if n_bits is None else check_n_bits(n_bits)
        n_shards = None if n_shards is None else check_integer("n_shards", n_shards, 1, MAX_SHARDS)
        self._mmap = check_bool("mmap", mmap)
        self._directory = _directory_of(paths, n_bits, n_shards, model)
        self._fingerprint = self._directory.manifest.fingerprint
        self._gate = SharedLock()  # searches share it; a change has it alone
        self._hosts: Hosts | None = ThisProcess() if client is None else Workers(client)
        self._open_at_one_commit(self._hosts)

    def _open_at_one_commit(self, hosts: Hosts) -> None:
        """Open all shards that can be opened, at the last commit, also while a writer goes on."""
        while True:
            self._placement = self._placed(hosts)
            try:
                self._placement.open(range(self.n_shards))
                return
            except IndexChangedError:
                last = self._directory.read_again()
                if last == self._directory.manifest:
                    raise
                self._placement.close()
                self._directory.manifest, self._fingerprint = last, last.fingerprint

    def _placed(self, hosts: Hosts) -> Placement:
        entries = self._directory.manifest.shards
        shards = [
            Shard(number, str(self._directory.path_of(entry)), entry.generation, ShardSize(entry.n, entry.greatest_id))
            for number, entry in enumerate(entries)
        ]
        return Placement(hosts, shards, mmap=self._mmap)

    def __repr__(self) -> str:
        where = self._directory.folders[0]
        return f"ShardedIndex(n_bits={self.n_bits}) with {len(self)} codes in {self.n_shards} shards at {where}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ShardedIndex cannot be copied or sent to another process: open its folders there")

    # --- what it holds ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(shard.size.n for shard in self._placement.shards)

    @property
    def n_bits(self) -> int:
        """Length of a code in bits; read only."""
        return self._directory.manifest.n_bits

    @property
    def n_shards(self) -> int:
        """The number of shards; read only."""
        return len(self._placement.shards)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the model that made the codes, where it is known."""
        return self._fingerprint

    @property
    def generation(self) -> int:
        """The number of the commit that the index was opened at or has made last."""
        return self._directory.manifest.generation

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids (n,), ascending; read only. A copy in this process, of 8 bytes for each code."""
        with self._gate.shared():
            return self._ids()

    def _ids(self) -> NDArray[np.int64]:
        parts = self._ask_each("ids", self._all())
        ids = np.sort(np.concatenate(list(parts.values())))
        ids.flags.writeable = False
        return ids

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes (n, ceil(n_bits / 8)), by ascending id; read only. A copy in this process."""
        with self._gate.shared():
            parts = list(self._ask_each("whole", self._all()).values())
        ids, codes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        codes = codes[np.argsort(ids)]
        codes.flags.writeable = False
        return codes

    def blocks(self, size: int = 65_536) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Iterate over all ids and codes, block by block, in little memory.

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
        TypeError
            If `size` is not an integer.
        ValueError
            If ``size < 1``.
        IndexChangedError
            If a worker ended while its blocks were read, and the index has been committed since.

        Notes
        -----
        All blocks are of the moment at which the first is asked for, whatever is added or removed meanwhile.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, 1], [-1, 1], [-1, -1]]))
        ...     sorted(id for ids, _ in index.blocks(size=2) for id in ids.tolist())
        [0, 1, 2]
        """
        size = check_integer("size", size, 1)
        return self._blocks(size)

    def _blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        with self._gate.shared():
            self._check_open()
            frozen = self._placement.frozen()
        try:
            yield from merged_blocks(frozen, size)
        finally:
            frozen.close()

    def reconstruct(self, ids: ArrayLike) -> NDArray[np.uint8]:
        """Return the codes of the given ids.

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
        TypeError
            If `ids` are not integers.
        ValueError
            If `ids` are not a list.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, -1], [-1, 1]]), ids=[7, 5])
        ...     codes.unpack(index.reconstruct([7]), n_bits=2)
        array([[ 1, -1]], dtype=int8)
        """
        wanted = check_ids(ids)
        codes = np.empty((len(wanted), n_bytes_of(self.n_bits)), dtype=np.uint8)
        missing = np.ones(len(wanted), dtype=np.bool_)
        rows = dict(rows_by_shard(wanted, self.n_shards))
        with self._gate.shared():
            found = self._ask_each("reconstruct", {s: wanted[own] for s, own in rows.items()})
        for s, own in rows.items():
            codes[own], missing[own] = found[s]
        refuse_unknown(wanted, missing)
        return codes

    def stats(self) -> dict[str, Any]:
        """Return what the index consists of, and how it is searched.

        Returns
        -------
        dict
            The values of ``CodeIndex.stats``, summed over the shards; ``n_shards``; and ``hosts``, the codes that each
            worker has open, by its address.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=8) as index:
        ...     index.stats()["n_shards"]
        8
        """
        with self._gate.shared():
            stats = list(self._ask_each("stats", self._all()).values())
            hosts: dict[str, int] = {}
            for shard in self._placement.shards:
                if shard.host is not None:
                    hosts[shard.host] = hosts.get(shard.host, 0) + shard.size.n
        summed = {key: sum(each[key] for each in stats) for key in stats[0] if key != "layout_bytes"}
        layouts = {key: sum(each["layout_bytes"][key] for each in stats) for key in stats[0]["layout_bytes"]}
        return {**summed, "layout_bytes": layouts, "n_shards": self.n_shards, "hosts": hosts}

    # --- searching ----------------------------------------------------------------------------------------------------

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
        partial: bool = False,
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
        partial: bool = False,
    ) -> HitLists: ...
    def search(
        self,
        codes: ArrayLike,
        k: int,
        *,
        ties: Ties = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> Hits | HitLists:
        """Return the `k` nearest items of each query by Hamming distance.

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
            allow nothing). A mask needs all ids in this process: for large indexes give ids.
        model : fitted model or str, optional
            The model that made the query codes, or its fingerprint; refused where the index holds another's.
        n_threads : int, optional
            In each worker; by default PYHASH_NUM_THREADS there, else the threads that Dask gives the worker.
        partial : bool
            Whether to search without shards that cannot be opened. ``missing_shards`` of the hits lists these.

        Returns
        -------
        Hits
            int32 distances in bits. HitLists, where `ties` is "all".

        Raises
        ------
        TypeError
            If `codes` are not of dtype uint8.
            If `k` or `n_threads` is not an integer, or `partial` not a bool.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `codes` do not have the shape for `n_bits`, or set padding bits.
            If ``k < 1`` or ``n_threads < 1``.
            If `ties` is not one of the choices.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError, OSError
            If a shard cannot be opened, and `partial` is False.
        IndexChangedError
            If a shard must be opened, and another writer has committed since the index was opened: open it again.
        ClusterError
            If no worker answers, or workers end again and again while they open the same shard.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, 1], [-1, 1], [1, -1]]))
        ...     index.search(codes.pack([[1, 1]]), k=2, ties="all").ids
        ...     index.search(codes.pack([[1, 1]]), k=2, allowed=[2, 1], partial=True).missing_shards
        array([0, 1, 2])
        ()
        """
        queries = check_codes("codes", codes, self.n_bits)
        request = SearchRequest.of(queries, k=check_integer("k", k, 1), ties=ties, n_threads=n_threads)
        return self._find(request, allowed, model, n_threads, partial)

    @overload
    def search_weighted(
        self,
        projections: ArrayLike,
        k: int,
        *,
        radius: None = None,
        ties: Literal["id"] = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> Hits: ...
    @overload
    def search_weighted(
        self,
        projections: ArrayLike,
        k: int,
        *,
        radius: None = None,
        ties: Literal["all"],
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> HitLists: ...
    @overload
    def search_weighted(
        self,
        projections: ArrayLike,
        k: int | None = None,
        *,
        radius: float,
        ties: Ties = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> HitLists: ...
    def search_weighted(
        self,
        projections: ArrayLike,
        k: int | None = None,
        *,
        radius: float | None = None,
        ties: Ties = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> Hits | HitLists:
        """Return the nearest items of each query by weighted Hamming distance, exact in float64.

        Parameters
        ----------
        projections : array_like of shape (n_queries, n_bits), real
            As ``project`` of a model returns: signs are the query's bits, magnitudes the weights of the bits.
        k : int, optional
            The `k` nearest. May be left out where `radius` is given.
        radius : float, optional
            All within this distance (inclusive), or the `k` nearest of them.
        ties, allowed, model, n_threads, partial
            As for ``search``.

        Returns
        -------
        Hits
            float64 distances. HitLists, where `radius` is given or `ties` is "all".

        Raises
        ------
        TypeError
            If `projections` or `radius` are not real numbers.
            If `k` or `n_threads` is not an integer, or neither `k` nor `radius` is given, or `partial` is not a bool.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `projections` are not a matrix of `n_bits` columns, or not finite.
            If ``k < 1`` or ``n_threads < 1``.
            If `radius` is negative or not finite.
            If `ties` is not one of the choices.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError, OSError, IndexChangedError, ClusterError
            As for ``search``.

        See Also
        --------
        CodeIndex.search_weighted : the definition of the distance.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, -1], [-1, 1]]))
        ...     index.search_weighted([[0.25, 3.0]], k=2).distances
        array([[0.25, 1.  ]])
        """
        queries = check_projections("projections", projections, self.n_bits)
        if k is not None or radius is None:
            k = check_integer("k", k, 1)
        if radius is not None:
            radius = check_real("radius", radius, 0)
        request = SearchRequest.of(queries, k=k, radius=radius, ties=ties, n_threads=n_threads)
        return self._find(request, allowed, model, n_threads, partial)

    def search_radius(
        self,
        codes: ArrayLike,
        radius: int,
        *,
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
        partial: bool = False,
    ) -> HitLists:
        """Return all items within a Hamming distance of each query.

        Parameters
        ----------
        codes : array_like of shape (n_queries, ceil(n_bits / 8)), uint8
            Packed query codes.
        radius : int
            At least 0; inclusive: hits have distance <= radius.
        allowed, model, n_threads, partial
            As for ``search``.

        Returns
        -------
        HitLists
            int32 distances in bits.

        Raises
        ------
        TypeError
            If `codes` are not of dtype uint8.
            If `radius` or `n_threads` is not an integer, or `partial` not a bool.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `codes` do not have the shape for `n_bits`, or set padding bits.
            If ``radius < 0`` or ``n_threads < 1``.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError, OSError, IndexChangedError, ClusterError
            As for ``search``.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, 1], [-1, 1], [-1, -1]]))
        ...     index.search_radius(codes.pack([[1, 1], [-1, -1]]), radius=1).ids
        array([0, 1, 2, 1])
        """
        queries = check_codes("codes", codes, self.n_bits)
        request = SearchRequest.of(queries, radius=check_integer("radius", radius, 0), n_threads=n_threads)
        return cast(HitLists, self._find(request, allowed, model, n_threads, partial))  # without k there is no table

    def _find(
        self, request: SearchRequest, allowed: ArrayLike | None, model: Any, n_threads: int | None, partial: bool
    ) -> Hits | HitLists:
        missing: dict[int, Exception] | None = {} if check_bool("partial", partial) else None
        with self._gate.shared():
            if model is not None and (len(self) or self._fingerprint is not None):
                refuse_other(fingerprint_of(model, self.n_bits), self._fingerprint)
            arguments = self._all() if allowed is None else self._allowed_by_shard(allowed)
            answers = self._ask("search", arguments, request, n_threads, missing=missing)
            n_rows = sum(self._placement.shards[s].size.n for each in answers for s in each.shards)
        found = request.answer(request.joined([each.value for each in answers]), n_rows)
        return replace(found, missing_shards=tuple(sorted(missing))) if missing else found

    def _allowed_by_shard(self, allowed: ArrayLike) -> dict[int, Any]:
        given = check_allowed(allowed, len(self), "ids")
        if given.dtype == np.bool_:
            given = self._ids()[given]
        ids = given[given <= MAX_ID].astype(np.int64)
        none = np.empty(0, dtype=np.int64)
        return {**dict.fromkeys(self._all(), none), **{s: ids[own] for s, own in rows_by_shard(ids, self.n_shards)}}

    # --- changing -----------------------------------------------------------------------------------------------------

    def add(self, codes: ArrayLike, ids: ArrayLike | None = None, *, model: Any = None) -> NDArray[np.int64]:
        """Add codes.

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
            If `codes` are not of dtype uint8.
            If `ids` are not integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `codes` do not have the shape for `n_bits`, or set padding bits.
            If `ids` are not one for each code, or one is in the index already or given twice.
            If `model` is not the one whose codes the index holds.
        IndexLockedError
            If another writer holds the lock of the index or of a shard.
        IndexChangedError
            If another writer has changed the index, or its lock file or folder was replaced.
        ModelFormatError, OSError
            If a shard cannot be opened.
        ClusterError
            If no worker answers, or workers end again and again while they open the same shard.

        Notes
        -----
        A call that raises adds nothing.

        Until ``commit``, this process keeps a copy of what is added, for workers that take over from others: commit
        often where much is added.
        """
        given = check_codes("codes", codes, self.n_bits)
        with self._changing():
            fingerprint = self._fingerprint_with(model)
            if ids is None:
                new = self._next_ids(len(given))
            else:
                new = check_ids(ids, len(given), unique=True)
                self._refuse_taken(new)
            self._change("add", given, new)
            self._fingerprint = fingerprint
        return new

    def upsert(self, codes: ArrayLike, ids: ArrayLike, *, model: Any = None) -> NDArray[np.int64]:
        """Add codes, and replace those whose ids are in the index.

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
        TypeError, ValueError, IndexLockedError, IndexChangedError, ModelFormatError, OSError, ClusterError
            As for ``add``, but ids may be in the index. Nothing has changed then.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, -1]]), ids=[7])
        ...     _ = index.upsert(codes.pack([[1, 1], [-1, -1]]), ids=[7, 8])
        ...     len(index)
        2
        """
        given = check_codes("codes", codes, self.n_bits)
        new = check_ids(ids, len(given), unique=True)
        with self._changing():
            fingerprint = self._fingerprint_with(model)
            self._change("upsert", given, new)
            self._fingerprint = fingerprint
        return new

    def remove(self, ids: ArrayLike) -> None:
        """Remove the codes of the given ids.

        Parameters
        ----------
        ids : array_like of shape (n,), integer

        Raises
        ------
        KeyError
            If an id is not in the index; nothing is removed then.
        TypeError
            If `ids` are not integers.
        ValueError
            If `ids` are not a list.
        IndexLockedError, IndexChangedError, ModelFormatError, OSError, ClusterError
            As for ``add``.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     _ = index.add(codes.pack([[1, -1], [-1, 1]]))
        ...     index.remove([0])
        ...     index.ids
        array([1])
        """
        unwanted = np.unique(check_ids(ids))
        with self._changing():
            rows = dict(rows_by_shard(unwanted, self.n_shards))
            missing = np.zeros(len(unwanted), dtype=np.bool_)
            for s, absent in self._ask_each("missing", {s: unwanted[own] for s, own in rows.items()}).items():
                missing[rows[s]] = absent
            refuse_unknown(unwanted, missing)
            self._placement.change({s: Change("remove", (unwanted[own],)) for s, own in rows.items()})

    def compact(self) -> None:
        """Rewrite each shard as one segment, without the codes that were removed.

        On disk it takes effect with the next ``commit``. Workers need memory for a copy of a shard.

        Raises
        ------
        IndexLockedError, IndexChangedError, ModelFormatError, OSError, ClusterError
            As for ``add``.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=8) as index:
        ...     index.compact()
        ...     index.stats()["n_segments"]
        0
        """
        with self._changing():
            self._placement.change({s: Change("compact") for s in self._all()})

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._gate.alone():
            self._check_open()
            self._directory.lock()
            yield

    def _change(self, method: str, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> None:
        rows = rows_by_shard(ids, self.n_shards)
        self._placement.change({s: Change(method, (codes[own], ids[own])) for s, own in rows})

    def _fingerprint_with(self, model: Any) -> str | None:
        """Return the index's fingerprint once codes of a model are in it."""
        if model is None:
            return self._fingerprint
        given = fingerprint_of(model, self.n_bits)
        if self._fingerprint is not None or len(self):
            refuse_other(given, self._fingerprint)
        return given

    def _next_ids(self, n: int) -> NDArray[np.int64]:
        greatest = [shard.size.greatest_id for shard in self._placement.shards]
        first = max([0, *(number + 1 for number in greatest if number is not None)])
        if first + n > MAX_ID:
            raise ValueError("ids must be given: the greatest id so far leaves no room for more")
        return np.arange(first, first + n, dtype=np.int64)

    def _refuse_taken(self, ids: NDArray[np.int64]) -> None:
        """Raise ValueError at the first id that is in the index."""
        possible = {}
        for s, own in rows_by_shard(ids, self.n_shards):
            greatest = self._placement.shards[s].size.greatest_id
            if greatest is not None and ids[own].min() <= greatest:
                possible[s] = own
        taken = np.zeros(len(ids), dtype=np.bool_)
        for s, absent in self._ask_each("missing", {s: ids[own] for s, own in possible.items()}).items():
            taken[possible[s]] = ~absent
        if taken.any():
            raise ValueError(f"ids must be new, {ids[taken][0]} is in the index already")

    # --- on disk ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make all changes since the last commit durable and visible, together, in all shards.

        Each shard prepares its next generation; then one manifest that names them replaces the last one. That is the
        moment of the commit: a process that dies before it leaves the last commit, one that dies after it the new one.

        Raises
        ------
        IndexLockedError
            If another writer holds the lock of the index or of a shard.
        IndexChangedError
            If another writer has committed, or the lock file or the folder was removed or replaced. Nothing is
            committed then.
        OSError
            If a folder cannot be written; the last commit is in place then.
        ClusterError
            If no worker answers, or workers end again and again while they open the same shard.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     ids = index.add(codes.pack([[1, 1]]))
        ...     before = len(ShardedIndex(f"{folder}/index"))
        ...     index.commit()
        ...     print(before, len(ShardedIndex(f"{folder}/index")))
        0 1
        """
        with self._changing():
            shards = self._placement.shards
            changed = {shard.number: None for shard in shards if shard.changes}
            generations = self._ask_each("prepare", changed)
            entries = [
                ShardEntry(entry.name, generations.get(shard.number, shard.generation), *shard.size)
                for entry, shard in zip(self._directory.manifest.shards, shards, strict=True)
            ]
            last = self.generation
            try:
                self._directory.commit(entries, self._fingerprint)
            finally:
                if self.generation > last:  # also where something failed after the rename
                    self._placement.committed(generations)

    def verify(self) -> None:
        """Read every file of the last commit and check it against its checksum.

        Raises
        ------
        ModelFormatError
            If a file is missing or damaged; the message names it.
        IndexChangedError
            If another writer has committed since the index was opened.
        ClusterError
            If no worker answers.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     index.verify()
        """
        with self._gate.shared():
            self._ask_each("verify", self._all())
            self._directory.check_unchanged()

    def close(self) -> None:
        """Release the locks, and let the workers close the shards: what was not committed is not written.

        The index cannot be used any more. Without this call, locks and shards are released with the object, or with the
        client.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ShardedIndex(f"{folder}/index", n_bits=2).close()
        """
        with self._gate.alone():
            hosts, self._hosts = self._hosts, None
            try:
                if hosts is not None:
                    try:
                        self._placement.close()
                    finally:
                        hosts.close()
            finally:
                self._directory.unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- asking the hosts ---------------------------------------------------------------------------------------------

    def _all(self) -> dict[int, None]:
        return dict.fromkeys(range(self.n_shards))

    def _ask(
        self, method: str, arguments: Mapping[int, Any], *common: Any, missing: dict[int, Exception] | None = None
    ) -> list[Answer]:
        self._check_open()
        return self._placement.ask(method, arguments, *common, missing=missing)

    def _ask_each(self, method: str, arguments: Mapping[int, Any]) -> dict[int, Any]:
        self._check_open()
        return self._placement.ask_each(method, arguments)

    def _check_open(self) -> None:
        if self._hosts is None:
            raise ValueError("the index is closed: open it again")


def _check_folders(folders: object) -> tuple[Path, ...]:
    if isinstance(folders, (str, bytes, os.PathLike)) or not is_iterable(folders):
        folders = [folders]
    paths = tuple(check_path("folders", folder).absolute() for folder in folders)
    if not paths:
        raise ValueError("folders must name at least one folder, got none")
    if len(set(paths)) < len(paths):
        raise ValueError(f"folders must be different, got {', '.join(map(str, paths))}")
    return paths


def _directory_of(folders: tuple[Path, ...], n_bits: int | None, n_shards: int | None, model: Any) -> ShardsDirectory:
    """Return the index of the folders; make it where there is none and `n_bits` is given."""
    try:
        directory = ShardsDirectory.open(folders)
    except FileNotFoundError:
        if n_bits is None:
            raise FileNotFoundError(
                f"{folders[0]} holds no sharded index, there is no {SHARDS_MANIFEST}: give n_bits to make one"
            ) from None
        fingerprint = None if model is None else fingerprint_of(model, n_bits)
        return ShardsDirectory.create(folders, n_bits, n_shards or _N_SHARDS, fingerprint)
    manifest = directory.manifest
    for name, given, there in (("n_bits", n_bits, manifest.n_bits), ("n_shards", n_shards, len(manifest.shards))):
        if given is not None and given != there:
            raise ValueError(f"{name} must be that of the index at {folders[0]}, {there}, got {given}")
    if model is not None and manifest.fingerprint is not None:
        refuse_other(fingerprint_of(model, manifest.n_bits), manifest.fingerprint)
    return directory
