"""gunicorn's `asgi` worker with the fast lane in it: `worker_class = "runtime.worker.Worker"` in gunicorn.conf.py.

It adds to gunicorn's worker, of which it uses more than the documented interface (gunicorn is pinned for that):

- A request of the plainest form that comes between two others is answered here: on the spot if it came whole and is
  short, else when its body is there (`runtime.collector`). Everything else about HTTP (chunks, pipelining, Expect, TLS,
  whatever is odd) stays gunicorn's own work.
- At a stop or a roll idle connections stay open for a moment, as under `gthread`: a request that is on its way is
  answered, and its connection closed with notice. gunicorn's own worker waits out the graceful time, then cuts them.
- A connection on which no request comes is closed after FIRST_SECONDS, and there is a most of them.
- One accept a turn, so that connections spread over the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from gunicorn.asgi import protocol
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol, _get_cached_date_header, _get_cached_status_line
from gunicorn.workers.gasgi import ASGIWorker

from runtime import core
from runtime.asgi import SERVER, Lane
from runtime.collector import Collector
from runtime.core import Reply, Request
from runtime.errors import PredictError
from runtime.plain_http import Reader
from runtime.routes import ROUTES

# As gunicorn's gthread worker: how long a stopping worker keeps idle connections for a request on its way.
LINGER_SECONDS = 2.0
# How long a new connection may take to its first request: idle ones must not use up all that there may be.
FIRST_SECONDS = 15.0
_VERSION = (1, 1)
# The beginnings of 16,384 chunk sizes, 2 MB, for replies in chunks; those here tell their length.
protocol._CHUNK_PREFIXES.clear()
_SERVER = b"Server: %b\r\n" % SERVER


def _lines(headers: Mapping[str, Any]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")


_SECURITY = _lines(core.SECURITY)


class Worker(ASGIWorker):  # type: ignore[misc]
    """Serves what `runtime.wsgi.app` serves, through `runtime.asgi.Lane`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.alive: bool
        self.connections: set[Protocol] = set()
        self.stopping = asyncio.Event()
        self.lane: Lane

    def _setup_event_loop(self) -> None:
        """The loop of asyncio itself: uvloop, where installed, saves a tenth at most, and stops in another way."""
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    @classmethod
    def check_config(cls, _cfg: Any, _log: Any) -> None:
        """The `threads` of gunicorn.conf.py are for the other worker class; the lane has its own."""

    def load_wsgi(self) -> None:
        """After the fork: the lane takes the WSGI application's place."""
        self.asgi = self.lane = Lane(self.app.wsgi().service, ROUTES)

    def handle_exit_signal(self) -> None:
        """SIGTERM: stop gracefully, at once and not at the next heartbeat.

        `alive` stays: gunicorn's protocol looks at it before a reply, to announce the connection's end, and again after
        it, to end it. A signal between the two would cut a connection that was announced to be kept.
        """
        self.stopping.set()

    async def _serve(self) -> None:
        for listener in self.sockets:
            # `backlog` is also how many connections asyncio accepts in one turn: one, and the rest are for all workers.
            server = await self.loop.create_server(
                lambda: Protocol(self), sock=listener.sock, ssl=self._get_ssl_context(), backlog=1
            )
            listener.sock.listen(self.cfg.backlog)
            self.servers.append(server)
        while self.alive and not self.stopping.is_set() and self.ppid == os.getppid():
            self.notify()
            await _wait(self.stopping, 1.0)
        self.stopping.set()
        await self._shutdown()
        self.alive = False

    async def _shutdown(self) -> None:
        # Whoever stands in the queue already is let in: at the end of the whole server no other worker will do it.
        await asyncio.sleep(0.1)
        for listener in self.sockets:
            self.loop.remove_reader(listener.fileno())
        # asyncio drops a connection that it accepted in the very turn in which its server is closed.
        await asyncio.sleep(0.1)
        for server in self.servers:
            server.close()
        now = self.loop.time()
        linger, end = now + LINGER_SECONDS, now + self.cfg.graceful_timeout
        while self.connections and not self._quick_shutdown and self.loop.time() < end:
            if self.loop.time() >= linger:
                for connection in list(self.connections):
                    connection.close_if_idle()
            self.notify()
            await asyncio.sleep(0.05)


class Protocol(ASGIProtocol):  # type: ignore[misc]
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(transport)
        self.worker.connections.add(self)
        self._reader = Reader()
        self._used = self.worker.loop.time()
        self._patience = min(FIRST_SECONDS, self._keepalive)
        self._collector: Collector | None = None
        self._serving: asyncio.Task[None] | None = None
        self._ends = False  # a reply has said so
        self._peer = (transport.get_extra_info("peername") or ("",))[0]
        if len(self.worker.connections) > self.worker.worker_connections:
            self._send_error_response(503, "too many connections; try again soon", [("Retry-After", "1")])
            self._close_transport()
        elif self._keepalive_handle is None:
            self._keepalive_handle: Any = self.worker.loop.call_later(self._patience, self._keepalive_timeout)

    def connection_lost(self, problem: Exception | None) -> None:
        """The connection is gone."""
        self.worker.connections.discard(self)
        super().connection_lost(problem)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: one plain request, or work for gunicorn's parser."""
        if self._is_between_requests() and self._take(data):
            return
        try:
            super().data_received(data)
        except ValueError:  # a length of thousands of digits, which Python does not read
            self._send_error_response(400, "the announced length is no number that is read here")
            self._close_transport()

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way."""
        if self._is_between_requests():
            self._close_transport()
            self._request_ready.set()

    def _is_between_requests(self) -> bool:
        parser = self._callback_parser
        return (
            self._awaiting_request
            and self._collector is None
            and not self._closed
            and parser.__class__ is PythonProtocol
            and parser._state == "request_line"
            and not parser._buffer
            and not self._finishing_calls
            and not self._flow_control.write_paused
        )

    def _take(self, data: bytes) -> bool:
        """Answer the plain request that `data` is or begins with; False if it is none, or not to be taken."""
        found = self._reader.read(data)
        if found is None:
            return False
        request, size = found
        request.peer = self._peer
        whole = len(request.body) == size
        if whole:
            reply = self.worker.lane.answer_now(request)
            if reply is not None:
                self._reply(reply)
                return True
        if self._is_ssl or not self.worker.lane.takes(request, size):
            return False
        collector = Collector(self.transport, request.body, size)
        self._collector, request.body = collector, b""
        ready = self._start if whole else self._ready
        collector.begin(lambda: ready(request, collector), self.connection_lost)
        return True

    def _ready(self, request: Request, collector: Collector) -> None:
        """The body is there, or somebody must ask for the rest of it."""
        body = collector.body
        if body is not None:
            request.body = body
            reply = self.worker.lane.answer_now(request)
            if reply is not None:
                self._end(collector, reply)
                return
            request.body = b""
        self._start(request, collector)

    def _start(self, request: Request, collector: Collector) -> None:
        self._serving = self.worker.loop.create_task(self._serve(request, collector))

    async def _serve(self, request: Request, collector: Collector) -> None:
        try:
            reply, close = await self.worker.lane.serve(request, collector.receive)
        except Exception:
            # Otherwise nobody would answer, nor close the connection.
            self.log.exception("the fast lane failed")
            reply, close = core.error_reply(PredictError("internal error")), True
        self._end(collector, reply, close=close)

    def _end(self, collector: Collector, reply: Reply, *, close: bool = False) -> None:
        self._collector = self._serving = None
        collector.end(self)
        if not self.transport.is_closing():
            self._reply(reply, close=close)
        if collector.extra and not self._closed:
            self.data_received(collector.extra)

    def _reply(self, reply: Reply, *, close: bool = False) -> None:
        worker = self.worker
        worker.nr += 1
        if worker.nr >= worker.max_requests:
            worker.stopping.set()
        close = close or worker.stopping.is_set()
        self.transport.write(_head(reply, close=close) + reply.body)
        self._used, self._patience = time.monotonic(), self._keepalive  # as the loop's own clock
        if close:
            self._close_transport()
            self._request_ready.set()

    def _send_response_start(self, status: int, headers: Any, request: Any, close: bool = False) -> None:
        self._ends = self._ends or (b"connection", b"close") in headers
        super()._send_response_start(status, headers, request, close)

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        """Write what gunicorn itself refuses as every other error is written."""
        reply = core.json_reply({"error": message}, status)
        reply.headers.update(extra_headers)
        self._safe_write(_head(reply, close=True) + reply.body)

    async def _serve_http_request(self, *request: Any) -> bool:
        keeps: bool = await super()._serve_http_request(*request)
        return keeps and not self._ends

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        closes: bool = self.worker.stopping.is_set() or super()._will_close(request, response_requires_close)
        return closes

    def _keepalive_timeout(self) -> None:
        """The timer is not set anew by requests answered on the spot: it looks when the last one was."""
        left = self._used + self._patience - self.worker.loop.time()
        if self._collector is not None:
            left = self._patience
        if left > 0.01:
            self._keepalive_handle = self.worker.loop.call_later(left, self._keepalive_timeout)
        else:
            super()._keepalive_timeout()


def _head(reply: Reply, *, close: bool) -> bytes:
    own = {"Content-Type": reply.media_type, "Content-Length": len(reply.body), **reply.headers}
    if reply.status == 304:  # the length would be that of a 200
        del own["Content-Length"]
    return b"".join(
        (
            _get_cached_status_line(_VERSION, reply.status),
            _SERVER,
            _get_cached_date_header(),
            _SECURITY + _lines(own) if core.SECURITY.keys().isdisjoint(own) else _lines(core.SECURITY | own),
            b"Connection: close\r\n\r\n" if close else b"\r\n",
        )
    )


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
