"""Codes in segments that can be added and removed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_codes
from pyhash._inputs.ids import MAX_ID, check_ids
from pyhash.index.fingerprint import fingerprint_with
from pyhash.index.layout import Layout
from pyhash.index.searchable_codes import SearchableCodes
from pyhash.index.segment import Segments, merge_segments, tidy_segments, with_rows, without_ids
from pyhash.index.segmented_codes import refuse_unknown


class EditableCodes(SearchableCodes):
    """Codes with ids, to be changed; each change replaces the tuple of segments by one assignment."""

    def __init__(self, n_bits: int, fingerprint: str | None, layout: Layout) -> None:
        super().__init__(n_bits, (), fingerprint)
        self._layout = layout
        self._lock, self._lock_pid = threading.Lock(), os.getpid()

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
            If the index is on disk, and another writer holds its lock.
        IndexChangedError
            If the index is on disk, and another writer has changed it, or its lock file or directory was replaced.

        Notes
        -----
        A call that raises adds nothing.
        """
        given = check_codes("codes", codes, self.n_bits)
        with self._changing():
            fingerprint = self._fingerprint_with(model)
            segments = self._segments
            if ids is None:
                new = next_ids([s.greatest_id() for s in segments if s.n_alive], len(given))
            else:
                new = check_ids(ids, len(given), unique=True)
                for segment in segments:
                    taken = segment.rows_with(new) >= 0
                    if taken.any():
                        raise ValueError(f"ids must be new, {new[taken][0]} is in the index already")
            self._take(with_rows(segments, given, new, self._layout), fingerprint)
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
        TypeError, ValueError, IndexLockedError, IndexChangedError
            As for ``add``, but ids may be in the index. Nothing has changed then.

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
        new = check_ids(ids, len(given), unique=True)
        with self._changing():
            fingerprint = self._fingerprint_with(model)
            self._take(with_rows(without_ids(self._segments, new)[0], given, new, self._layout), fingerprint)
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
        unwanted = np.unique(check_ids(ids))
        with self._changing():
            segments, missing = without_ids(self._segments, unwanted)
            refuse_unknown(unwanted, missing)
            self._take(tidy_segments(segments, self._layout), self._fingerprint)

    def compact(self) -> None:
        """Rewrite all codes as one segment, without those that were removed.

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
        with self._changing():
            segments = self._segments
            if len(segments) > 1 or any(segment.alive is not None for segment in segments):
                any_left = any(segment.n_alive for segment in segments)
                self._take((merge_segments(segments, self._layout),) if any_left else (), self._fingerprint)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Take the lock of this process for one change."""
        if self._lock_pid != os.getpid():  # forked while a thread that is not here held it, perhaps
            self._lock, self._lock_pid = threading.Lock(), os.getpid()
        with self._lock:
            yield

    def _take(self, segments: Segments, fingerprint: str | None) -> None:
        # One call, which no interrupt can divide as it could two assignments.
        self.__dict__.update(_segments=segments, _fingerprint=fingerprint)

    def _fingerprint_with(self, model: Any) -> str | None:
        return fingerprint_with(model, self.n_bits, self._fingerprint, is_empty=not len(self))


def next_ids(greatest: Iterable[int], n: int) -> NDArray[np.int64]:
    """Return n ids after the greatest ones of the parts of an index, from 0 on where there are none."""
    first = 1 + max([-1, *greatest])
    if first + n > MAX_ID:
        raise ValueError("ids must be given: the greatest id so far leaves no room for more")
    return np.arange(first, first + n, dtype=np.int64)
