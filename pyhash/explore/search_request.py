"""What a search asks for, as the page sends it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pyhash.explore.replies import RefusedError

MAX_ANSWERS = 100
_MAX_WORDS = 2000
_KEYS = {"words", "pictures", "like", "where", "k", "weighted"}


@dataclass(frozen=True)
class SearchRequest:
    """A search by words and pictures, or by an item; without any of them, items are listed.

    Attributes
    ----------
    words : dict of str to str
        Text of each modality that is searched by words.
    pictures : dict of str to str
        Name of a picture that was sent before, for each modality that is searched by a picture.
    like : int, optional
        Id of the item whose code is the query.
    where : dict of str to str, int, float or bool
        Values that columns of an answer must have.
    k : int
        Number of answers, 1 to 100.
    weighted : bool
        Weighted or plain Hamming distance.
    """

    words: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    like: int | None = None
    where: dict[str, Any] = field(default_factory=dict)
    k: int = 12
    weighted: bool = True

    @classmethod
    def from_json(cls, body: bytes) -> SearchRequest:
        """Return the request of a JSON object; raise RefusedError if a key or value is not as documented."""
        try:
            # Beyond 4300 digits Python refuses integers, beyond some hundred levels lists in lists.
            value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _refused(f"the search must be JSON: {error}"[:200]) from None
        if not isinstance(value, dict):
            raise _refused(f"the search must be a JSON object, got {type(value).__name__}")
        if unknown := sorted(set(value) - _KEYS):
            raise _refused(f"the search must have the keys {', '.join(sorted(_KEYS))} alone, got {unknown[0][:80]!r}")
        if "like" in value:
            value["like"] = _id_of(value["like"])
        request = cls(**value)
        request._check()
        return request

    def _check(self) -> None:
        for name in ("words", "pictures"):
            texts = getattr(self, name)
            if not _is_mapping_to(texts, str) or any(len(text) > _MAX_WORDS for text in texts.values()):
                raise _refused(f"{name} must map modalities to strings of at most {_MAX_WORDS:,} characters")
        if not _is_mapping_to(self.where, str, int, float, bool):
            raise _refused("where must map columns to strings, numbers or booleans")
        if type(self.k) is not int or not 1 <= self.k <= MAX_ANSWERS:
            raise _refused(f"k must be an integer from 1 to {MAX_ANSWERS}")
        if type(self.weighted) is not bool:
            raise _refused("weighted must be true or false")
        if self.like is not None and (self.words or self.pictures):
            raise _refused("like must be alone, got words or pictures beside it")
        if both := sorted(set(self.words) & set(self.pictures)):
            raise _refused(f"words and pictures must name different modalities, both name {both[0][:80]!r}")


def _id_of(text: Any) -> int:
    """Return an id, which JSON gives as a string: numbers of JavaScript have 53 bits."""
    if isinstance(text, str) and re.fullmatch("-?[0-9]{1,19}", text):
        return int(text)
    raise _refused("like must be the id of an item, as a string")


def _is_mapping_to(value: Any, *kinds: type) -> bool:
    return isinstance(value, Mapping) and all(type(each) in kinds for each in value.values())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _refused(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, message)
