"""The server of the page."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

from pyhash.explore.handler import RequestHandler
from pyhash.explore.routes import Routes

_MAX_CONNECTIONS = 256
_LINGER_SECONDS = 1.0


class ExploreServer(ThreadingHTTPServer):
    """Answers requests on threads, each of them within a time limit.

    Parameters
    ----------
    routes : Routes
        The addresses, and what answers at them.
    host : str
        Address to bind to.
    port : int
        0 takes a free one; ``url`` tells which.
    read_seconds : float
        Time within which a whole request must arrive.

    Raises
    ------
    OSError
        If the address cannot be used.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, routes: Routes, *, host: str = "127.0.0.1", port: int = 0, read_seconds: float = 20.0) -> None:
        self._free = threading.Semaphore(_MAX_CONNECTIONS)
        self._host = host
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), partial(RequestHandler, routes, host, read_seconds))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OSError(f"port {port} of {host} cannot be used: {reason}; port 0 takes a free one") from error

    def server_bind(self) -> None:
        """Bind without asking the network for the name of the address, as ``HTTPServer`` does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self._host, self.server_address[1]

    @property
    def url(self) -> str:
        """Address of the page."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it where too many are open."""
        if not self._free.acquire(blocking=False):
            request.close()
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, after what the client still sends: closing before that may take the answer from it."""
        try:
            request.shutdown(socket.SHUT_WR)
            end = time.monotonic() + _LINGER_SECONDS
            while (left := end - time.monotonic()) > 0:
                request.settimeout(left)
                if not request.recv(1 << 16):
                    break
        except OSError:
            pass  # the client is gone
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print errors other than those of clients that end the connection."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
