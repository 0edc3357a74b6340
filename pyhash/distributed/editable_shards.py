"""Changes of a sharded index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_codes
from pyhash._inputs.ids import check_ids
from pyhash.distributed.routing import rows_by_shard
from pyhash.distributed.searchable_shards import SearchableShards
from pyhash.distributed.shard_host import Change
from pyhash.index.editable_codes import next_ids
from pyhash.index.fingerprint import fingerprint_with
from pyhash.index.segmented_codes import refuse_unknown


class EditableShards(SearchableShards):
    """A sharded index whose codes change."""

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
        return fingerprint_with(model, self.n_bits, self._fingerprint, is_empty=not len(self))

    def _next_ids(self, n: int) -> NDArray[np.int64]:
        greatest = [shard.size.greatest_id for shard in self._placement.shards]
        return next_ids([number for number in greatest if number is not None], n)

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
