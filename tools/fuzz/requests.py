"""Sends malformed requests to the server of ``pyhash explore``.

Each must be answered with a status other than 500, or refused by closing the connection, and the server must answer a
whole request afterwards.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import socket
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.fuzz.child import Case
from tools.fuzz.command import main

TOKENS = [
    b"GET", b"POST", b"HEAD", b"PUT", b"\0", b"\r\n", b"\r", b"\n", b" ", b":", b"/", b"/api/search", b"/api/pictures",
    b"/api/items/1/pictures/image", b"/api/map/colour", b"../", b"%2e%2e/", b"%00", b"%ff", b"HTTP/1.1", b"HTTP/9",
    b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"{", b"[" * 50, b"?",
    b"9" * 400, b"\xff\xfe", "é".encode(), b"a" * 5000,
]  # fmt: skip
PATHS = [
    "/", "/index.html", "/api/about", "/api/search", "/api/pictures", "/api/evaluation", "/api/map/colour",
    "/api/items/10/pictures/image", "/api/pictures/" + "0" * 32, "/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd", "/api/items/10/pictures/..%2f..", "/api/items/99999999999999999999/pictures/a", "/api/map/%ff",
    "/style.css/../../server.py", "http://other.example/", "*", "/" + "a" * 70_000, "/api/map/" + "%41" * 100, "/\x7f",
]  # fmt: skip
HOSTS = [
    "other.example", "localhost:1", "127.0.0.1", "127.0.0.1:99999999", "[::1", "", " ", "127.0.0.1.nip.io:{port}",
    "user@127.0.0.1:{port}", "127.0.0.1:{port}, other.example", "169.254.1.1:{port}", "LOCALHOST:{port}", "\xff:{port}",
]  # fmt: skip
VALUES = [
    None, True, 0, -1, 101, 10**30, 1e308, "", "a" * 3000, "é\0", [], {}, [[]], {"text": 3}, {"text": "a"}, {"a": "b"},
    {"text": "red"}, {"image": "/etc/passwd"}, {"image": "0" * 32}, {"colour": None}, {"colour": "red"}, {"shelf": 1.5},
    {"shelf": 10**30}, {"colour": ["red"]}, {"": ""}, "10", "-9223372036854775809", "9999999999999999999",
]  # fmt: skip
KEYS = ["words", "pictures", "like", "where", "k", "weighted", "__class__", ""]
KINDS = [
    "application/json",
    "text/plain",
    "image/png",
    "image/svg+xml",
    "image/webp",
    "",
    "a/b; c",
    "multipart/form-data",
]


def request_bytes(rng: np.random.Generator, port: int) -> bytes:
    """Return a request that is malformed, or is a whole one with some parts replaced."""
    makers: list[Callable[[np.random.Generator, int], bytes]] = [_noise, _tokens, _headers, _search, _picture, _flipped]
    return makers[int(rng.integers(len(makers)))](rng, port)


def _one(rng: np.random.Generator, of: list) -> object:
    return of[int(rng.integers(len(of)))]


def _noise(rng: np.random.Generator, port: int) -> bytes:
    return rng.bytes(int(rng.integers(0, 300))) + b"\r\n\r\n" * int(rng.integers(0, 2))


def _tokens(rng: np.random.Generator, port: int) -> bytes:
    return b"".join(_one(rng, TOKENS) for _ in range(int(rng.integers(1, 15)))) + b"\r\n\r\n"


def whole(method: str, path: str, port: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a request as the page sends it; a header that is given takes the place of the usual one."""
    usual = {"Host": f"127.0.0.1:{port}"}
    if method == "POST":
        usual |= {
            "Origin": f"http://127.0.0.1:{port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in usual.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


def _headers(rng: np.random.Generator, port: int) -> bytes:
    method, path = _one(rng, ["GET", "POST", "HEAD", "DELETE", "get", "OPTIONS", "CONNECT", "\x00"]), _one(rng, PATHS)
    headers = {}
    if rng.random() < 0.5:
        headers["Host"] = str(_one(rng, HOSTS)).format(port=port)
    if rng.random() < 0.3:
        headers["Origin"] = str(_one(rng, ["null", "http://other.example", "", f"https://127.0.0.1:{port}"]))
    if rng.random() < 0.3:
        headers["Sec_Fetch_Site"] = str(_one(rng, ["cross-site", "same-site", "same-origin", "", "\xff"]))
    if rng.random() < 0.3:
        headers["Content_Length"] = str(_one(rng, ["-1", "1e3", "", "99999999999999999999", "0x10", "7", "1, 1", "+5"]))
    if rng.random() < 0.2:
        headers["Transfer_Encoding"] = "chunked"
    if rng.random() < 0.2:
        headers["X"] = "a" * 70_000
    if rng.random() < 0.2:
        headers |= {f"X{i}": "b" for i in range(150)}
    if rng.random() < 0.2:
        headers["Content_Type"] = str(_one(rng, KINDS))
    return whole(method, path, port, rng.bytes(int(rng.integers(0, 50))), **headers)


def _search(rng: np.random.Generator, port: int) -> bytes:
    choice = int(rng.integers(6))
    if choice == 0:
        body = b"[" * int(rng.integers(1, 60_000))
    elif choice == 1:
        body = rng.bytes(int(rng.integers(0, 100)))
    elif choice == 2:
        body = str(
            _one(rng, ["NaN", '{"k": 1e999}', '{"k": NaN}', "null", "3", '"a"', '{"k": ' + "9" * 5000 + "}"])
        ).encode()
    else:
        body = json.dumps({str(_one(rng, KEYS)): _one(rng, VALUES) for _ in range(int(rng.integers(0, 4)))}).encode()
        if choice == 3:
            body = body[: int(rng.integers(0, len(body) + 1))]
    headers = {} if rng.random() < 0.8 else {"Content_Length": str(len(body) + int(rng.integers(-3, 100_000)))}
    return whole("POST", "/api/search", port, body, **headers)


def _picture(rng: np.random.Generator, port: int) -> bytes:
    body, kind = _pictures()[int(rng.integers(len(_pictures())))]
    if rng.random() < 0.5:
        kind = str(_one(rng, KINDS))
    if rng.random() < 0.5:
        damaged = bytearray(body)
        for _ in range(int(rng.integers(1, 6))):
            damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        body = bytes(damaged[: int(rng.integers(1, len(damaged) + 1))])
    return whole("POST", "/api/pictures", port, body, Content_Type=kind)


@functools.cache
def _pictures() -> list[tuple[bytes, str]]:
    from PIL import Image

    rows = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    pictures = []
    for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(rows).save(file, name)
        pictures.append((file.getvalue(), f"image/{name.lower()}"))
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    return [*pictures, (svg, "image/png"), (bomb(), "image/png"), (b"\x89PNG\r\n\x1a\n", "image/png")]


def bomb(side: int = 60_000) -> bytes:
    """Return a small PNG file that declares very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _flipped(rng: np.random.Generator, port: int) -> bytes:
    body = b'{"words": {"text": "a red thing"}, "k": 3, "where": {"colour": "red"}}'
    flipped = bytearray(whole("POST", "/api/search", port, body))
    for _ in range(int(rng.integers(1, 5))):
        flipped[int(rng.integers(len(flipped)))] = int(rng.integers(256))
    return bytes(flipped)


def answer_to(request: bytes, port: int, seconds: float = 20.0) -> bytes:
    """Return all that the server answers to some bytes, after which nothing follows."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before its end
        parts = []
        try:
            while part := connection.recv(1 << 16):
                parts.append(part)
        except ConnectionError:
            pass
        return b"".join(parts)


def fault_of(request: bytes, port: int) -> str | None:
    """Return what is wrong with the answer to a request, or with the server afterwards; None if nothing is."""
    try:
        answer = answer_to(request, port)
    except TimeoutError:
        return f"no answer to {request[:200]!r}"
    if answer and not re.match(rb"HTTP/1\.0 [1-4][0-9][0-9] |HTTP/1\.0 50[135] |\{", answer):
        return f"answers {answer[:100]!r} to {request[:200]!r}"
    if b"Traceback" in answer or b"/site-packages/" in answer:
        return f"shows its inside in the answer to {request[:200]!r}"
    if not answer_to(whole("GET", "/api/evaluation", port), port).startswith(b"HTTP/1.0 200 "):
        return f"does not answer after {request[:200]!r}"
    return None


def serve_small_folder() -> int:
    """Start a server of a few items on a thread; return its port."""
    from pyhash.explore.collection import Collection
    from pyhash.explore.routes import Routes
    from pyhash.explore.server import ExploreServer
    from pyhash.retriever import Retriever

    with Retriever.open(_folder(), encoders={"image": _colours()}, read_only=True) as retriever:
        server = ExploreServer(Routes(Collection(retriever, "small")), read_seconds=3.0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


@functools.cache
def _folder() -> Path:
    from pyhash.retriever import Retriever

    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "small"
    names, png = ["red", "green", "blue"] * 4, _pictures()[0][0]
    items = {"text": [f"a {name} thing" for name in names], "image": [png] * len(names)}
    payload = {"colour": names, "image": [png] * len(names), "shelf": [1, 2] * 6}
    retriever = Retriever({"text": "bag-of-words", "image": _colours()}, n_bits=16)
    with retriever.learn(items, names, add=True, payload=payload):
        retriever.save(folder)
    return folder


def _colours() -> object:
    from pyhash.encoders import CallableEncoder

    def mean_colours(pictures: list) -> np.ndarray:
        return np.array([np.asarray(each, np.float32).mean(axis=(0, 1)) for each in pictures])

    return CallableEncoder(mean_colours, kind="image", name="mean-colours", version="1")


@functools.cache
def _port_in(process: int) -> int:
    return serve_small_folder()


def make_batch(rng: np.random.Generator) -> list[Case]:
    """Return requests to a server that the process which runs them starts."""
    _folder()

    def run(seed: int) -> str | None:
        port = _port_in(os.getpid())
        return fault_of(request_bytes(np.random.default_rng(seed), port), port)

    seeds = rng.integers(2**62, size=200).tolist()
    return [Case(f"request of seed {seed}", functools.partial(run, seed)) for seed in seeds]


if __name__ == "__main__":
    sys.exit(main("requests", make_batch))
