"""What a source gives a StreamFolder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class StreamChunk:
    """Rows of a stream that are learned together, and where the stream goes on after them.

    Parameters
    ----------
    views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
        Features of each modality, rows aligned; n >= 1. None for one that no row has, except in the first chunk.
    labels : array_like or list of array_like
        Labels of the rows, as the model's class describes them. Rows without a label get codes and are not learned.
    offset : value that JSON keeps, not None
        Where the source goes on after these rows: a number, a str, or a list or a dict of them. The source gets it back
        when the stream is continued.
    ids : array_like of shape (n,), integer, optional
        Ids of the rows in the index; by default the integers after the greatest id in the index, from 0 on.
    present : mapping of str to array_like of shape (n,), bool, optional
        Which rows have a modality; by default all have each.

    Examples
    --------
    >>> from pyhash import StreamChunk
    >>> StreamChunk({"x": [[1.0, 2.0]]}, [0], offset=1).offset
    1
    """

    views: Mapping[str, Any]
    labels: Any
    offset: Any
    ids: Any = None
    present: Mapping[str, Any] | None = None


def check_offset(offset: Any) -> Any:
    """Return a copy of an offset.

    Raises
    ------
    TypeError
        If JSON does not keep it, or would give it back as another value.
    ValueError
        If it is None, which says that nothing was learned yet.
    """
    if offset is None:
        raise ValueError("offset must not be None, which sources take for the begin of the stream")
    try:
        kept = json.loads(json.dumps(offset, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"offset must be a value that JSON keeps, such as an int or a dict by str: {error}") from None
    if not _is_same(kept, offset):
        raise TypeError(f"offset must be a value that JSON keeps, {offset!r} would come back as {kept!r}")
    return kept


def _is_same(kept: Any, offset: Any) -> bool:
    if isinstance(kept, dict):
        return kept.keys() == offset.keys() and all(_is_same(kept[key], offset[key]) for key in kept)
    if isinstance(kept, list):
        return (
            isinstance(offset, list)
            and len(kept) == len(offset)
            and all(_is_same(*pair) for pair in zip(kept, offset, strict=True))
        )
    return type(kept) is type(offset) and bool(kept == offset)
