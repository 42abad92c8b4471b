"""A real HTTP server that misbehaves on request: for what happens to a model on its way."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["_Handler", bytes], None]


@dataclass
class Seen:
    """One request that came: its path with query, and its headers by lower-case name."""

    path: str
    headers: dict[str, str]


@dataclass
class Host:
    """Files by path, served with ETag and Range; `faults` by path are each used up by one request, in order."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    etags: bool = True
    skew: float = 0.0  # by how many seconds its clock is ahead
    key: str = ""  # the Authorization that every request must have

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(request.path.partition("?")[0] == path for request in self.seen)

    def next_fault(self, path: str) -> Fault | None:
        """What happens to this request; two that come at once do not get the same fault."""
        try:
            return self.faults[path].pop(0)
        except (KeyError, IndexError):
            return None


class _Handler(BaseHTTPRequestHandler):
    host: Host

    def do_GET(self) -> None:
        self.host.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        path = self.path.partition("?")[0]
        body = self.host.files.get(path)
        fault = self.host.next_fault(path)
        if fault:
            fault(self, body or b"")
        elif self.host.key and self.headers.get("Authorization") != self.host.key:
            self.send_error(401)
        elif body is None:
            self.send_error(404)
        else:
            self.send_file(body)

    def send_file(self, body: bytes) -> None:
        """As a well-behaved host does."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and self.headers.get("If-Range", etag) != etag:
            start = 0
        if self.host.etags and self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.end_headers()
            return
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.host.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:])

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by this host's own clock."""
        return super().date_time_string(int((timestamp or time.time()) + self.host.skew))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # those that come while this process stands still must not be turned away

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away in the middle are what this is for."""


@contextmanager
def run(certificate: Path | None = None) -> Iterator[Host]:
    """A host on a free port of 127.0.0.1, for the length of the block; HTTPS with a `certificate` (and key) in PEM."""
    host = Host()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    host.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, **headers: str) -> Fault:
    """An error status."""

    def fault(handler: _Handler, _: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return fault


def cut(after: int) -> Fault:
    """The whole length is promised, and the connection closed after so many bytes."""
    return _begin(after, lambda handler, body: None)


def stall(after: int, seconds: float) -> Fault:
    """Silence after so many bytes."""
    return _begin(after, lambda handler, body: time.sleep(seconds))


def hold(after: int, released: threading.Event) -> Fault:
    """Silence after so many bytes until that happens, and no more bytes then."""

    def rest(_handler: _Handler, _body: bytes) -> None:
        released.wait()

    return _begin(after, rest)


def drip(size: int, pause: float) -> Fault:
    """A few bytes at a time, for ever: no read ever times out."""

    def fault(handler: _Handler, body: bytes) -> None:
        try:
            for start in range(0, len(body), size):
                handler.wfile.write(body[start : start + size])
                time.sleep(pause)
        except OSError:
            pass

    return _begin(0, fault)


def instead(content: bytes, kind: str = "text/html") -> Fault:
    """Another body, with status 200."""

    def fault(handler: _Handler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return fault


def _begin(after: int, rest: Fault) -> Fault:
    def fault(handler: _Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()[:12]}"')
        handler.end_headers()
        handler.wfile.write(body[:after])
        handler.wfile.flush()
        rest(handler, body)

    return fault
