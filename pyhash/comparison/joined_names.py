"""Several names in one, such as "image+text" for queries of two modalities or "level1+level2" for labels."""

from __future__ import annotations

from collections.abc import Collection

JOIN = "+"


def split_names(joined: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the names that a plus joins; a known name may hold a plus itself."""
    return (joined,) if joined in known else tuple(joined.split(JOIN))
