"""The addresses of the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import unquote

from pyhash._html import PICTURE_TYPES, picture_type
from pyhash.explore.collection import Collection
from pyhash.explore.pictures import QueryPictures
from pyhash.explore.replies import RefusedError, Reply, json_reply
from pyhash.explore.search_request import SearchRequest
from pyhash.explore.static_files import static_files

_JSON_BYTES, _PICTURE_BYTES = 1 << 16, 1 << 24
_ITEM_PICTURE = re.compile(r"/api/items/(-?[0-9]{1,19})/pictures/([^/]{1,400})")
_QUERY_PICTURE = re.compile(r"/api/pictures/([0-9a-f]{32})")
_MAP = re.compile(r"/api/map/([^/]{1,400})")


@dataclass(frozen=True)
class Route:
    """What answers at an address; it takes the body, where there is a limit to its size in bytes."""

    answer: Callable[[bytes], Reply]
    limit: int | None = None
    content_types: tuple[str, ...] = ()


class Routes:
    """The files of the page, and the data of a collection at addresses that begin with /api/.

    Parameters
    ----------
    collection : Collection
        What is searched.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection, self._sent = collection, QueryPictures()
        self._fixed = {
            **{path: {"GET": Route(partial(_same, reply))} for path, reply in static_files().items()},
            "/api/about": {"GET": Route(lambda _: json_reply(collection.about()))},
            "/api/evaluation": {"GET": Route(lambda _: json_reply(collection.evaluation()))},
            "/api/search": {"POST": Route(self._search, _JSON_BYTES, ("application/json",))},
            "/api/pictures": {"POST": Route(self._keep_picture, _PICTURE_BYTES, PICTURE_TYPES)},
        }

    def find(self, method: str, path: str) -> Route:
        """Return what answers; raise RefusedError if nothing is at the address, or only another method may be used."""
        methods = self._fixed.get(path) or self._methods_at(path)
        if not methods:
            raise RefusedError(HTTPStatus.NOT_FOUND, "nothing is at this address")
        if method not in methods:
            allowed = ", ".join(methods)
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"this address takes {allowed}", allow=allowed)
        return methods[method]

    def _methods_at(self, path: str) -> dict[str, Route]:
        if match := _ITEM_PICTURE.fullmatch(path):
            return {"GET": Route(partial(self._item_picture, int(match[1]), _decoded(match[2])))}
        if match := _QUERY_PICTURE.fullmatch(path):
            return {"GET": Route(partial(self._query_picture, match[1]))}
        if match := _MAP.fullmatch(path):
            return {"GET": Route(partial(self._map, _decoded(match[1])))}
        return {}

    def _search(self, body: bytes) -> Reply:
        return json_reply(self._collection.search(SearchRequest.from_json(body), self._picture_sent))

    def _map(self, column: str, _: bytes) -> Reply:
        return json_reply(self._collection.class_map(column))

    def _keep_picture(self, body: bytes) -> Reply:
        self._collection.check_picture(body)
        return json_reply({"picture": self._sent.keep(body)})

    def _picture_sent(self, name: str) -> bytes:
        picture = self._sent.get(name)
        if picture is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "the server no longer has this picture: choose it again")
        return picture

    def _query_picture(self, name: str, _: bytes) -> Reply:
        return _picture_reply(self._picture_sent(name))

    def _item_picture(self, number: int, column: str, _: bytes) -> Reply:
        return _picture_reply(self._collection.picture(number, column))


def _same(reply: Reply, _: bytes) -> Reply:
    return reply


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the address must be UTF-8") from None


def _picture_reply(data: bytes) -> Reply:
    kind = picture_type(data)
    if kind is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "this is no picture of the types that are shown")
    return Reply(data, kind)
