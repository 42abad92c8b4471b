"""The fast lane: the core's routes as an ASGI application.

    read the body, bounded in bytes and time -> is there such a route?  no -> refused
      short, by what such requests took?  yes -> answered in the event loop;  no -> in a thread

Answers are those of the WSGI way (`runtime.app`): the same handlers through the same `core.answer`, and the same
refusals. Only the costs differ.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runtime import core, memory
from runtime.bodies import Bodies
from runtime.core import Reply, Request, Route, Service
from runtime.errors import DynoliteError, MethodError, NotFoundError, OverloadError, TooLargeError
from runtime.pace import Pace
from runtime.plain_http import query_of
from runtime.routing import Router
from runtime.wire import fast_json, image

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_LABORIOUS = ("image/", "multipart/", "text/csv", "application/x-npz", "application/zip")
# As gunicorn.conf.py has the WSGI way say.
SERVER = b"dynolite"
# After bodies from this size on, memory goes back to the system, a moment later.
_LARGE_BYTES = 256 << 10
_TRIM_SECONDS = 2.0


class Lane:
    """The application. One for each process: made after the fork."""

    def __init__(self, service: Service, routes: Iterable[Route]) -> None:
        self.service = service
        self._router = Router(routes)
        self._pace = Pace()
        settings = service.settings
        self._bodies = Bodies(settings.max_body_bytes, settings.body_seconds)
        self._most_bytes = settings.max_body_bytes
        self._threads = ThreadPoolExecutor(settings.web_threads, "predict")
        self._most = settings.web_threads + settings.max_waiting
        self._threaded = 0
        self._trimming: asyncio.TimerHandle | None = None

    def answer_now(self, request: Request) -> Reply | None:
        """The reply, if it can be had at once: a known route, short by experience, no prediction in a thread."""
        found = self._router.find(request.method, request.path)
        if found is None or len(request.body) > self._most_bytes or not self._is_quick(found[0], request):
            return None
        return self._answer(found[0], request, found[1])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: a plain refusal
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"nothing here speaks {scope['type']}")
        request = request_of(scope)
        reply, close = await self.serve(request, receive)
        await _send(send, request, reply, close=close)

    def takes(self, request: Request, size: int) -> bool:
        """Whether the body of such a request, which is of this size, is to be read at all."""
        found = self._router.find(request.method, request.path)
        if found is None or size > self._most_bytes:
            return False
        try:
            self.service.gate.check(found[0].access, request.headers)
        except DynoliteError:
            return False
        return True

    async def serve(self, request: Request, receive: Receive) -> tuple[Reply, bool]:
        """Read the request's body and answer it; True where the connection must end with the reply."""
        found = self._router.find(request.method, request.path)
        try:
            try:
                if found is None:
                    return await self._no_route(request, receive)
                route, segments = found
                # Who has no key need not send a body.
                self.service.gate.check(route.access, request.headers)
                request.body = await self._bodies.read(receive, request.headers)
            except DynoliteError as error:
                return core.refuse(self.service, request, error), True
            if self._is_quick(route, request):
                return self._answer(route, request, segments), False
            return await self._in_thread(route, request, segments, receive), False
        finally:
            self._bodies.done(receive)
            if len(request.body) > _LARGE_BYTES:
                self._trim_soon()

    def _trim_soon(self) -> None:
        """Once for all the large requests of a second: the next one needs the memory that this one had."""
        if self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(_TRIM_SECONDS, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        fast_json.forget()
        memory.give_back()

    def _is_quick(self, route: Route, request: Request) -> bool:
        if route.method == "GET" and route.rule.startswith("/health"):
            return True
        # A prediction in a thread may hold the interpreter: waiting for it here would hold up all.
        if self._threaded or request.query or not self._pace.is_short(request.path, len(request.body)):
            return False
        return "content-encoding" not in request.headers and not _is_laborious(request)

    def _answer(self, route: Route, request: Request, segments: Mapping[str, str]) -> Reply:
        started = time.monotonic()
        reply = core.answer(self.service, route, request, segments)
        # Refusals are quick and say nothing of the model; a path that does not exist must leave no trace.
        if reply.status == 200:
            self._pace.note(request.path, len(request.body), time.monotonic() - started)
        return reply

    async def _in_thread(self, route: Route, request: Request, segments: Mapping[str, str], receive: Receive) -> Reply:
        if self._threaded >= self._most:
            return core.refuse(self.service, request, OverloadError("too many requests are waiting; try again soon"))
        # The deadline counts the wait for a thread too.
        request.begin(self.service.settings.request_seconds)
        leaving = asyncio.ensure_future(_left(receive))
        request.gone = leaving.done
        self._threaded += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._answer, route, request, segments)
        future.add_done_callback(self._returned)
        try:
            # A thread does not end because its client leaves: it counts until it returns.
            return await asyncio.shield(future)
        finally:
            leaving.cancel()

    def _returned(self, _future: asyncio.Future[Reply]) -> None:
        self._threaded -= 1

    async def _no_route(self, request: Request, receive: Receive) -> tuple[Reply, bool]:
        """Answer OPTIONS, a method that the path does not take, a path that is not there.

        Raises what the reading of its body raises, unless that is too large: then the connection ends with the answer.
        """
        close = False
        try:
            await self._bodies.read(receive, request.headers)
        except TooLargeError:
            close = True
        path, allowed = request.path[:200], self._router.allowed(request.path)
        if request.method == "OPTIONS" and allowed:
            return core.preflight(self.service, request, self._router.options(request.path)), close
        if allowed:
            told = f"{path} takes {' or '.join(allowed)}, got {request.method}"
            return core.refuse(self.service, request, MethodError(told, allowed)), close
        return core.refuse(self.service, request, NotFoundError(f"there is nothing at {path}")), close


def _is_laborious(request: Request) -> bool:
    """Whether the body is of a kind whose size says little of the work: pictures, archives, CSV, forms."""
    body = request.body
    if body[:1] == b"{":
        return b'"b64"' in body
    if body[:4] == b"PK\x03\x04" or image.looks_like_one(body) or b'"b64"' in body:
        return True
    return request.headers.get("content-type", "").lower().startswith(_LABORIOUS)


def request_of(scope: Scope) -> Request:
    """The core's request, its body not yet read."""
    client = scope.get("client") or ("",)
    query = query_of(scope["query_string"].decode("latin-1"))
    path = scope["path"]
    if "://" in path and not path.startswith("/"):  # a whole URL, as a proxy is sent
        path = path.partition("://")[2].partition("/")[2]
    # As Werkzeug: several slashes at the start are one.
    path = "/" + path.lstrip("/")
    return Request(scope["method"], path, headers_of(scope), query=query, peer=client[0])


def headers_of(scope: Scope) -> dict[str, str]:
    """Header values by lower-case name; of equal names the values are joined, as WSGI servers do."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


async def _left(receive: Receive) -> None:
    """Until the client leaves. Of a request without a body, gunicorn tells its empty one first."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, request: Request, reply: Reply, *, close: bool = False) -> None:
    headers = [
        (b"content-type", reply.media_type.encode("latin-1")),
        (b"server", SERVER),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in (core.SECURITY | reply.headers).items()),
    ]
    if reply.status != 304:  # there the length would be that of a 200
        headers.append((b"content-length", str(len(reply.body)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else reply.body})
