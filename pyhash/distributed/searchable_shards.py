"""What a sharded index holds, and how it is searched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import (
    check_bool,
    check_integer,
    n_bytes_of,
)
from pyhash._inputs.ids import MAX_ID, check_ids
from pyhash.distributed.hosts import Hosts
from pyhash.distributed.merged_blocks import merged_blocks
from pyhash.distributed.placement import Answer, Placement
from pyhash.distributed.routing import rows_by_shard
from pyhash.distributed.shards_directory import ShardsDirectory
from pyhash.distributed.shared_lock import SharedLock
from pyhash.index.fingerprint import fingerprint_of, refuse_other
from pyhash.index.segmented_codes import refuse_unknown
from pyhash.search.allowed import check_allowed
from pyhash.search.hits import HitLists, Hits, Ties
from pyhash.search.request import SearchRequest


class SearchableShards:
    """The codes of a sharded index, which its shards' hosts search."""

    _directory: ShardsDirectory
    _fingerprint: str | None
    _gate: SharedLock  # searches share it; a change has it alone
    _hosts: Hosts | None  # None once the index is closed
    _placement: Placement

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
            The values of ``CodeIndex.stats``, summed over the shards, and the ``layouts`` of all; ``n_shards``; and
            ``hosts``, the codes that each worker has open, by its address.

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
        summed = {key: sum(each[key] for each in stats) for key, value in stats[0].items() if isinstance(value, int)}
        layout_bytes = {key: sum(each["layout_bytes"][key] for each in stats) for key in stats[0]["layout_bytes"]}
        layouts = [of for each in stats for of in each["layouts"]]
        return {
            **summed,
            "layout_bytes": layout_bytes,
            "layouts": layouts,
            "n_shards": self.n_shards,
            "hosts": hosts,
        }

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
        request = SearchRequest.nearest(codes, self.n_bits, k, ties, n_threads)
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
        request = SearchRequest.of_projections(projections, self.n_bits, k, radius, ties, n_threads)
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
        request = SearchRequest.within(codes, self.n_bits, radius, n_threads)
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
