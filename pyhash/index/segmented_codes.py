"""Codes in segments: what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_integer, n_bytes_of
from pyhash._inputs.ids import check_ids
from pyhash.index.segment import Segment, Segments, merge_segments


class SegmentedCodes:
    """Codes with ids, to be read.

    The tuple of segments is replaced as one object and never changed: whoever takes it once sees the codes of one
    moment.
    """

    def __init__(self, n_bits: int, segments: Segments, fingerprint: str | None) -> None:
        self._n_bits = n_bits
        self._segments = segments
        self._fingerprint = fingerprint

    # --- what it holds ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(segment.n_alive for segment in self._segments)

    @property
    def n_bits(self) -> int:
        """Length of a code in bits; read only."""
        return self._n_bits

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the model that made the codes, where it is known."""
        return self._fingerprint

    @property
    def segments(self) -> Segments:
        """The runs of rows that it is made of, at this moment; what ``pyhash.interop.sync`` reads."""
        return self._segments

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes (n, ceil(n_bits / 8)), by ascending id; read only. A copy, if there are several segments."""
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
        return merge_segments(segments)

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

    def _blocks(self, size: int, after: int | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        segments = self._segments
        first = [0 if after is None else int(np.searchsorted(s.ids, after, side="right")) for s in segments]
        while True:
            unfinished = [i for i, segment in enumerate(segments) if first[i] < len(segment.ids)]
            if not unfinished:
                return
            share = max(1, size // len(unfinished))
            # No segment has an unseen id up to the least of the last ones looked at.
            last = min(segments[i].ids[min(first[i] + share, len(segments[i].ids)) - 1] for i in unfinished)
            parts = []
            for i in unfinished:
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
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> _ = index.add(codes.pack([[1, -1], [-1, 1]]), ids=[7, 5])
        >>> codes.unpack(index.reconstruct([7]), n_bits=2)
        array([[ 1, -1]], dtype=int8)
        """
        wanted = check_ids(ids)
        codes, missing = look_up(self, wanted)
        refuse_unknown(wanted, missing)
        return codes

    def stats(self) -> dict[str, Any]:
        """Return what the index consists of, and how it is searched.

        Returns
        -------
        dict
            ``n``, codes; ``n_removed``, rows that are removed but not yet rewritten; ``n_segments``; ``grouped``, codes
            in segments that scan only their distinct codes; ``n_scanned``, codes that a scan looks at; ``n_bytes``,
            memory of codes and ids (or of their files, where mapped); ``layout_bytes``, memory of each layout made so
            far (or of its file): ``bit_planes``, ``nibble_planes``, ``groups``, ``tables``; and ``layouts``, a dict for
            each segment: its ``n``, the ``layout`` ("scan" or "multi-index") by which a search for one query's 10
            nearest would go now, ``n_tables`` and the ``reason``, a sentence.

        Examples
        --------
        >>> from pyhash import CodeIndex
        >>> CodeIndex(n_bits=8).stats()["n"]
        0
        """
        segments = self._segments
        stats = [segment.code_set.stats() for segment in segments]
        layouts = {
            "bit_planes": "bit_plane_bytes",
            "nibble_planes": "nibble_plane_bytes",
            "groups": "group_bytes",
            "tables": "table_bytes",
        }
        return {
            "n": sum(segment.n_alive for segment in segments),
            "n_removed": sum(len(segment.ids) - segment.n_alive for segment in segments),
            "n_segments": len(segments),
            "grouped": sum(len(s.ids) for s, of in zip(segments, stats, strict=True) if of["grouped"]),
            "n_scanned": sum(of["n_distinct"] for of in stats),
            "n_bytes": sum(s.codes.nbytes + s.ids.nbytes for s in segments),
            "layout_bytes": {name: sum(of[key] for of in stats) for name, key in layouts.items()},
            "layouts": [
                {
                    "n": segment.n_alive,
                    "layout": of["layout"],
                    "n_tables": of["n_tables"],
                    "reason": of["layout_reason"],
                }
                for segment, of in zip(segments, stats, strict=True)
            ],
        }


def segments_of(codes: SegmentedCodes) -> Segments:
    """Return the segments of this moment."""
    return codes._segments


def look_up(codes: SegmentedCodes, ids: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the code of each id, and whether it is missing."""
    found = np.empty((len(ids), n_bytes_of(codes.n_bits)), dtype=np.uint8)
    missing = np.ones(len(ids), dtype=np.bool_)
    for segment in segments_of(codes):
        rows = segment.rows_with(ids)
        here = rows >= 0
        found[here] = segment.codes[rows[here]]
        missing &= ~here
    return found, missing


def blocks_after(
    codes: SegmentedCodes, size: int, after: int | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Iterate as ``blocks``, over the ids above `after`, or all of them (None)."""
    return codes._blocks(size, after)


def refuse_unknown(ids: NDArray[np.int64], missing: NDArray[np.bool_]) -> None:
    """Raise KeyError at the first id that is missing."""
    if missing.any():
        raise KeyError(f"{ids[missing][0]} is not in the index")
