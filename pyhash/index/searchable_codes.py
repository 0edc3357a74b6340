"""Exact search of codes in segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from pyhash.errors import ModelFormatError
from pyhash.index.fingerprint import fingerprint_of, refuse_other
from pyhash.index.segment import Segment, Segments, masks_of_allowed
from pyhash.index.segmented_codes import SegmentedCodes
from pyhash.search.hits import HitLists, Hits, Ties
from pyhash.search.request import SearchRequest
from pyhash.search.row_mask import RowMask


class SearchableCodes(SegmentedCodes):
    """Codes with ids, to be searched: each segment by itself, and what they find joined."""

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
        ties: Ties = "id",
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
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
        TypeError
            If `codes` are not of dtype uint8.
            If `k` or `n_threads` is not an integer.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `codes` do not have the shape for `n_bits`, or set padding bits.
            If ``k < 1`` or ``n_threads < 1``.
            If `ties` is not one of the choices.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError
            If the index is mapped, and the search notices damage in its tables; ``verify`` finds all.

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
        request = SearchRequest.nearest(codes, self.n_bits, k, ties, n_threads)
        segments = self._segments
        return request.answer(self._find(segments, request, allowed, model), _n_alive(segments))

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
        ties, allowed, model, n_threads
            As for ``search``.

        Returns
        -------
        Hits
            float64 distances. HitLists, where `radius` is given or `ties` is "all".

        Raises
        ------
        TypeError
            If `projections` or `radius` are not real numbers.
            If `k` or `n_threads` is not an integer, or neither `k` nor `radius` is given.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `projections` are not a matrix of `n_bits` columns, or not finite.
            If ``k < 1`` or ``n_threads < 1``.
            If `radius` is negative or not finite.
            If `ties` is not one of the choices.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError
            If the index is mapped, and the search notices damage in its tables; ``verify`` finds all.

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
        request = SearchRequest.of_projections(projections, self.n_bits, k, radius, ties, n_threads)
        segments = self._segments
        return request.answer(self._find(segments, request, allowed, model), _n_alive(segments))

    def search_radius(
        self,
        codes: ArrayLike,
        radius: int,
        *,
        allowed: ArrayLike | None = None,
        model: Any = None,
        n_threads: int | None = None,
    ) -> HitLists:
        """Return all items within a Hamming distance of each query.

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
            int32 distances in bits.

        Raises
        ------
        TypeError
            If `codes` are not of dtype uint8.
            If `radius` or `n_threads` is not an integer.
            If `allowed` holds neither booleans nor integers.
            If `model` is neither a fitted model nor a str.
        ValueError
            If `codes` do not have the shape for `n_bits`, or set padding bits.
            If ``radius < 0`` or ``n_threads < 1``.
            If `allowed` is a mask of another length.
            If `model` is not the one whose codes the index holds.
        ModelFormatError
            If the index is mapped, and the search notices damage in its tables; ``verify`` finds all.

        Examples
        --------
        >>> from pyhash import CodeIndex, codes
        >>> index = CodeIndex(n_bits=2)
        >>> ids = index.add(codes.pack([[1, 1], [-1, 1], [-1, -1]]))
        >>> index.search_radius(codes.pack([[1, 1], [-1, -1]]), radius=1)
        HitLists(offsets=array([0, 2, 4]), ids=array([0, 1, 2, 1]), distances=array([0, 1, 0, 1], dtype=int32))
        """
        request = SearchRequest.within(codes, self.n_bits, radius, n_threads)
        return self._find(self._segments, request, allowed, model)

    def _find(self, segments: Segments, request: SearchRequest, allowed: ArrayLike | None, model: Any) -> HitLists:
        if model is not None and (segments or self._fingerprint is not None):
            refuse_other(fingerprint_of(model, self.n_bits), self._fingerprint)
        masks = [s.alive for s in segments] if allowed is None else masks_of_allowed(segments, allowed)
        return find_hits(segments, masks, request)


def find_hits(segments: Sequence[Segment], masks: Sequence[RowMask | None], request: SearchRequest) -> HitLists:
    """Return the hits among the rows of segments that the mask of each lets through; ids are those of the rows."""
    found = []
    for segment, mask in zip(segments, masks, strict=True):
        if mask is None or mask.any():
            try:
                lists = request.find(segment.code_set, mask)
            except RuntimeError as error:
                if segment.tables_file is None:
                    raise
                raise ModelFormatError(f"{segment.tables_file} cannot be searched: {error}") from error
            found.append(HitLists(lists.offsets, segment.ids[lists.ids], lists.distances))
    return request.joined(found)


def _n_alive(segments: Segments) -> int:
    return sum(segment.n_alive for segment in segments)
