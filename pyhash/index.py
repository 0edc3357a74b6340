"""CodeIndex: exact search over packed codes with ids."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash import _core
from pyhash.checks import as_array, check_codes, check_integer, check_n_bits, check_projections, n_bytes_of
from pyhash.errors import ModelFormatError
from pyhash.files import read_archive, write_archive
from pyhash.threads import resolve_n_threads

__all__ = ["CodeIndex", "Hits", "RadiusHits"]


@dataclass(frozen=True)
class Hits:
    """The nearest items of each query.

    Attributes
    ----------
    ids : ndarray of shape (n_queries, min(k, n)), int64
        By ascending distance, then ascending id.
    distances : ndarray of the same shape
        int32 bits for Hamming, float64 for weighted Hamming distance.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.int32] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class RadiusHits:
    """All items within a radius of each query, one query after another.

    Attributes
    ----------
    offsets : ndarray of shape (n_queries + 1,), int64
        Query i's hits are ``ids[offsets[i]:offsets[i + 1]]``.
    ids : ndarray of shape (n_hits,), int64
        For each query by ascending distance, then ascending id.
    distances : ndarray of shape (n_hits,), int32
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1


# Making nibble planes costs about what a dozen queries cost without them; they are as large as the codes.
_QUERIES_WORTH_PLANES = 32
_QUERIES_OF_A_SCAN = 4


class _Rows:
    """Codes and ids by ascending id, so that the core's ties by position are ties by id.

    Replaced as one object, never changed: a search sees codes and ids of the same moment. Rows from n on are room that
    the next object of the same buffers may have filled already.
    """

    def __init__(self, code_buffer: NDArray[np.uint8], id_buffer: NDArray[np.int64], n: int) -> None:
        self.code_buffer, self.id_buffer, self.n = code_buffer, id_buffer, n
        self.codes, self.ids = code_buffer[:n], id_buffer[:n]
        self.codes.flags.writeable = self.ids.flags.writeable = False
        self._planes: _core.NibblePlanes | None = None

    def top_k(self, queries: NDArray[np.uint8], k: int, n_threads: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Positions and distances of the nearest; by nibble planes where queries are enough to share them."""
        if self._planes is None and len(queries) >= _QUERIES_WORTH_PLANES:
            self._planes = _core.NibblePlanes(self.codes, n_threads)
        if self._planes is None or len(queries) < _QUERIES_OF_A_SCAN:
            return _core.hamming_top_k(queries, self.codes, k, n_threads)
        return _core.nibble_top_k(queries, self.codes, self._planes, k, n_threads)

    def appended(self, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> _Rows:
        """With rows whose ids ascend from beyond the last; doubles the buffers where they are full."""
        n = self.n + len(ids)
        code_buffer, id_buffer = self.code_buffer, self.id_buffer
        if n > len(id_buffer):
            capacity = max(n, 2 * len(id_buffer))
            code_buffer = np.empty((capacity, codes.shape[1]), dtype=np.uint8)
            id_buffer = np.empty(capacity, dtype=np.int64)
            code_buffer[: self.n], id_buffer[: self.n] = self.codes, self.ids
        code_buffer[self.n : n], id_buffer[self.n : n] = codes, ids
        return _Rows(code_buffer, id_buffer, n)

    def merged(self, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> _Rows:
        """With rows of any ids that are new."""
        all_ids = np.concatenate([self.ids, ids])
        order = np.argsort(all_ids, kind="stable")
        return _Rows(np.concatenate([self.codes, codes])[order], all_ids[order], len(all_ids))


class CodeIndex:
    """Exact search over packed binary codes, in memory.

    Results do not depend on the order in which codes were added, the number of threads or the CPU: ties go by ascending
    id. Searches may run while one thread adds: each sees the codes of one moment.

    Parameters
    ----------
    n_bits : int
        Length of a code in bits, at least 1.

    Raises
    ------
    TypeError, ValueError
        If `n_bits` is not an integer >= 1.

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

    def __init__(self, n_bits: int) -> None:
        self.n_bits = check_n_bits(n_bits)
        self._rows = _Rows(np.empty((0, n_bytes_of(self.n_bits)), dtype=np.uint8), np.empty(0, dtype=np.int64), 0)

    def __len__(self) -> int:
        return self._rows.n

    def __repr__(self) -> str:
        return f"CodeIndex(n_bits={self.n_bits}) with {len(self)} codes"

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes (n, ceil(n_bits / 8)), by ascending id; read only."""
        return self._rows.codes

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids (n,), ascending; read only."""
        return self._rows.ids

    def add(self, codes: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Adds codes.

        Parameters
        ----------
        codes : array_like of shape (n, ceil(n_bits / 8)), uint8
            Packed codes.
        ids : array_like of shape (n,), integer, optional
            Unique; by default the integers after the greatest id so far, from 0 on.

        Returns
        -------
        ndarray of shape (n,), int64
            The ids of the added codes, in the order of `codes`.

        Raises
        ------
        TypeError
            If codes are not uint8, or ids not integers.
        ValueError
            If shapes do not fit, padding bits are set, or an id is taken already or given twice. Nothing is added then.
        """
        given = check_codes("codes", codes, self.n_bits)
        rows = self._rows
        new = _next_ids(rows, len(given)) if ids is None else _check_ids(ids, len(given), rows)
        if len(given) == 0:
            return new
        ascending = bool(np.all(new[1:] > new[:-1])) and (rows.n == 0 or bool(new[0] > rows.ids[-1]))
        self._rows = rows.appended(given, new) if ascending else rows.merged(given, new)
        return new

    def search(self, codes: ArrayLike, k: int, *, n_threads: int | None = None) -> Hits:
        """The `k` nearest items of each query by Hamming distance.

        Parameters
        ----------
        codes : array_like of shape (n_queries, ceil(n_bits / 8)), uint8
            Packed query codes.
        k : int
            At least 1. Where the index holds fewer codes, there are fewer columns.
        n_threads : int, optional
            By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

        Returns
        -------
        Hits
            int32 distances in bits.

        Raises
        ------
        TypeError, ValueError
            If codes do not fit the index, or `k` is not an integer >= 1.
        """
        queries = check_codes("codes", codes, self.n_bits)
        k = check_integer("k", k, 1)
        rows = self._rows
        positions, distances = rows.top_k(queries, min(k, rows.n), resolve_n_threads(n_threads))
        return Hits(rows.ids[positions], distances.view(np.int32))

    def search_weighted(self, projections: ArrayLike, k: int, *, n_threads: int | None = None) -> Hits:
        """The `k` nearest items of each query by weighted Hamming distance, exact in float64.

        Parameters
        ----------
        projections : array_like of shape (n_queries, n_bits), real
            What ``project`` of a model gives: signs say the query's bits, magnitudes how sure they are.
        k, n_threads
            As for ``search``.

        Returns
        -------
        Hits
            float64 distances.

        Raises
        ------
        TypeError, ValueError
            If projections do not fit the index or are not finite, or `k` is not an integer >= 1.

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
        """
        queries = check_projections("projections", projections, self.n_bits)
        k = check_integer("k", k, 1)
        rows = self._rows
        positions, distances = _core.weighted_top_k(queries, rows.codes, min(k, rows.n), resolve_n_threads(n_threads))
        return Hits(rows.ids[positions], distances)

    def search_radius(self, codes: ArrayLike, radius: int, *, n_threads: int | None = None) -> RadiusHits:
        """All items within a Hamming distance of each query.

        Parameters
        ----------
        codes : array_like of shape (n_queries, ceil(n_bits / 8)), uint8
            Packed query codes.
        radius : int
            At least 0; inclusive: hits have distance <= radius.
        n_threads : int, optional
            By default PYHASH_NUM_THREADS, else the CPUs that this process may use.

        Returns
        -------
        RadiusHits

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
        RadiusHits(offsets=array([0, 2, 4]), ids=array([0, 1, 2, 1]), distances=array([0, 1, 0, 1], dtype=int32))
        """
        queries = check_codes("codes", codes, self.n_bits)
        radius = min(check_integer("radius", radius, 0), self.n_bits)
        rows = self._rows
        offsets, positions, distances = _core.hamming_radius(queries, rows.codes, radius, resolve_n_threads(n_threads))
        return RadiusHits(offsets, rows.ids[positions], distances.view(np.int32))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index to a file, whole or not at all.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written; an existing one is then as it was.
        """
        rows = self._rows
        write_archive(path, "CodeIndex", {"n_bits": self.n_bits}, {"codes": rows.codes, "ids": rows.ids})

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CodeIndex:
        """The index of a file that ``save`` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        CodeIndex

        Raises
        ------
        OSError
            If the file cannot be read.
        ModelFormatError
            If it is not an index, damaged, or written by a newer version.
        """
        archive = read_archive(path)
        if archive.kind != "CodeIndex":
            raise ModelFormatError(f"{path} holds a {archive.kind}, not a CodeIndex")
        with archive.taken_for("index"):
            index = cls(archive.field("n_bits"))
            codes = archive.array("codes", np.uint8, (None, n_bytes_of(index.n_bits)))
            index.add(codes, archive.array("ids", np.int64, (len(codes),)))
        return index


def _next_ids(rows: _Rows, n: int) -> NDArray[np.int64]:
    first = max(0, int(rows.ids[-1]) + 1) if rows.n else 0
    if first + n > np.iinfo(np.int64).max:
        raise ValueError("ids must be given: the greatest id so far leaves no room for more")
    return np.arange(first, first + n, dtype=np.int64)


def _check_ids(ids: ArrayLike, n: int, rows: _Rows) -> NDArray[np.int64]:
    array = as_array("ids", ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"ids must have shape ({n},), one for each code, got {array.shape}")
    if n and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids must fit int64, got {array.max()}")
    new = array.astype(np.int64)
    unique, counts = np.unique(new, return_counts=True)
    if len(unique) < n:
        raise ValueError(f"ids must be unique, {unique[counts > 1][0]} was given {counts.max()} times")
    taken = np.isin(unique, rows.ids, assume_unique=True)
    if taken.any():
        raise ValueError(f"ids must be new, {unique[taken][0]} is in the index already")
    return new
