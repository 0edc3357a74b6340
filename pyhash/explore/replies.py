"""What the server answers, and why it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Reply:
    """Status, type and content of an answer."""

    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK
    allow: str | None = None  # methods of the address, where another one was used


class RefusedError(Exception):
    """A request that is not answered; its message is shown to the user."""

    def __init__(self, status: HTTPStatus, message: str, *, allow: str | None = None) -> None:
        super().__init__(message)
        self.status, self.allow = status, allow

    def reply(self) -> Reply:
        """Return the answer that says why."""
        return json_reply({"error": str(self)}, self.status, self.allow)


def json_reply(value: Any, status: HTTPStatus = HTTPStatus.OK, allow: str | None = None) -> Reply:
    """Return a value of JSON types as an answer."""
    body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    return Reply(body, "application/json; charset=utf-8", status, allow)
