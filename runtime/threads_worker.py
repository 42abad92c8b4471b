"""gunicorn's `gthread` worker with the limits of the fast lane: `worker_class = "runtime.threads_worker.Worker"`.

    accept -> wait for the first bytes, without a thread -> WEB_THREADS answer, MAX_WAITING more wait for one of them
                                                         -> spare threads: /health, and the 503 to all that is beyond

It adds to gunicorn's worker, of which it uses more than the documented interface (gunicorn is pinned for that):

- The WSGI environment tells how long a request waited for its thread, and whether it came when there was no room.
- A request's head must come within FIRST_SECONDS, as its body within BODY_SECONDS: gunicorn would hold a thread for it
  as long as the client likes.
- Connections are closed in the thread that answered, which may take two seconds, and not in the one that accepts.
- What gunicorn itself refuses is JSON, as every other error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

import orjson
from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from runtime import core
from runtime.app import NO_ROOM, PATIENCE, WAITED

# How long a connection may take to the end of its next request's head.
FIRST_SECONDS = 15.0
# Two: a client that is slow with one of these does not hold up the next.
_SPARE_THREADS = 2
_HEALTH = b"GET /health"


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves `runtime.wsgi.app`. Every method but `handle`, `handle_request` and `_ask` runs in the main thread."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """After the fork."""
        self._spare = ThreadPoolExecutor(_SPARE_THREADS, "spare")
        self._inside: set[Any] = set()
        self._here = threading.local()
        return ThreadPoolExecutor(self.cfg.threads, "predict")

    def load_wsgi(self) -> None:
        """Put what is known of each request before the application."""
        self._application: Any = self.app.wsgi()
        self._most = self.cfg.threads + self._application.service.settings.max_waiting
        self.wsgi = self._ask

    def run(self) -> None:
        """Until the end."""
        try:
            super().run()
        finally:
            self._spare.shutdown(wait=False)

    def enqueue_req(self, conn: Any) -> None:
        """Have a thread answer a connection's next request, or wait for its first bytes."""
        if not (conn.initialized or conn.data_ready):
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + FIRST_SECONDS
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
            return
        conn.taken, conn.no_room = time.monotonic(), len(self._inside) >= self._most
        pool = self._spare
        if not conn.no_room and not _begins(conn.sock, _HEALTH):
            self._inside.add(conn)
            pool = self.tpool
        pool.submit(self.handle, conn).add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """A thread is done with the connection, for this time."""
        self._inside.discard(conn)
        super().finish_request(conn, fs)

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop: connections without a first request wait no longer for one than those without a next."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def handle(self, conn: Any) -> Any:
        """Read and answer one request; whether the connection is kept."""
        conn.waited = time.monotonic() - conn.taken
        self._here.conn = conn
        reading = conn.sock
        PATIENCE.begin(reading, FIRST_SECONDS)
        try:
            kept = super().handle(conn)
        finally:
            PATIENCE.end(reading)
        if not kept:
            conn.close(graceful=True)
            conn.close = _closed_already
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose head is read."""
        PATIENCE.end(conn.sock)
        return super().handle_request(req, conn)

    def _ask(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[WAITED], environ[NO_ROOM] = self._here.conn.waited, self._here.conn.no_room
        replied: Iterable[bytes] = self._application(environ, start_response)
        return replied


def _begins(connection: socket.socket, start: bytes) -> bool:
    """Whether what a client has sent begins so, found without taking it. Of TLS nothing is known."""
    with contextlib.suppress(OSError, ValueError):
        return connection.recv(len(start), socket.MSG_PEEK | socket.MSG_DONTWAIT) == start
    return False


def _closed_already(*, graceful: bool = False) -> None:
    """What is left to do of a connection that its thread has closed."""


def _write_error(connection: socket.socket, status: int, reason: str, told: str) -> None:
    """In the place of gunicorn's, which writes a page of HTML."""
    body = orjson.dumps({"error": told or "the server failed on this request; its log says why"}) + b"\n"
    headers = {"Content-Type": core.JSON, "Content-Length": len(body), "Connection": "close", "Server": "dynolite"}
    head = "".join(f"{name}: {value}\r\n" for name, value in (headers | core.SECURITY).items())
    util.write_nonblock(connection, f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + body)


util.write_error = _write_error
