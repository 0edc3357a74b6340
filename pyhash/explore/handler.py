"""One request: its checks, its body, and the headers of the answer."""

from __future__ import annotations

import io
import re
import socket
import sys
import time
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from pyhash.explore.origin import check_fetch_site, check_host, check_origin
from pyhash.explore.replies import RefusedError, Reply
from pyhash.explore.routes import Routes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_WRITE_SECONDS = 20.0
_HEADERS = {
    # The page loads its own files, and nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RequestHandler(BaseHTTPRequestHandler):
    """Answers one request, and closes the connection.

    Parameters
    ----------
    routes : Routes
        The addresses of the server.
    host : str
        Name or address that the server was bound to.
    read_seconds : float
        Time within which the whole request must arrive.
    """

    server_version, sys_version = "pyhash", ""

    def __init__(self, routes: Routes, host: str, read_seconds: float, *of_server: Any) -> None:
        self._routes, self._host, self._read_seconds = routes, host, read_seconds
        super().__init__(*of_server)  # which answers the request

    def setup(self) -> None:
        """Read from the connection until the deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_UntilDeadline(self.connection, self._read_seconds))

    def do_GET(self) -> None:
        """Answer with the file or data at the address."""
        self._answer("GET")

    def do_HEAD(self) -> None:
        """Answer as to GET, with headers alone."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a search, or keep a picture."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            reply = self._reply(method)
        except RefusedError as refused:
            reply = refused.reply()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            message = "the server failed; the terminal where it runs shows the error"
            reply = RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, message).reply()
        self._send(reply)

    def _reply(self, method: str) -> Reply:
        check_host(self.headers, self._host, self.connection.getsockname()[1])
        path = self.path.partition("?")[0]
        if path.startswith("/api/"):
            check_fetch_site(self.headers)
        if method == "POST":
            check_origin(self.headers)
        route = self._routes.find(method, path)
        if route.limit is None:
            return route.answer(b"")
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "nothing"
        if kind not in route.content_types:
            wanted = " or ".join(route.content_types)
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {wanted}, got {kind[:80]}")
        return route.answer(self._body(route.limit))

    def _body(self, limit: int) -> bytes:
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not re.fullmatch("[0-9]{1,18}", lengths[0]):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length must give the size of the body once")
        length = int(lengths[0])
        if length > limit:
            message = f"the body must have at most {limit:,} bytes, got {length:,}"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
        if len(body) != length:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body must have {length:,} bytes, got {len(body):,}")
        return body

    def _send(self, reply: Reply) -> None:
        self.close_connection = True
        self.connection.settimeout(_WRITE_SECONDS)  # of all that is sent
        self.send_response(reply.status)
        headers = {**_HEADERS, "Content-Type": reply.content_type, "Content-Length": str(len(reply.body))}
        if reply.allow:
            headers["Allow"] = reply.allow
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is not HTTP, or whose method is unknown, as any other that is refused."""
        status = HTTPStatus(code)
        self._send(RefusedError(status, f"{status.phrase}: {message}" if message else status.phrase).reply())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal shows errors of the server alone."""


class _UntilDeadline(io.RawIOBase):
    """Bytes of a connection; reading raises TimeoutError once the time is over, however slowly they come."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._end = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
