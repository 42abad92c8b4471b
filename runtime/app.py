"""Flask's coat over the core, and the only file that imports it: every route, the reading of bodies, errors as JSON."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import flask
from werkzeug.exceptions import HTTPException

from runtime import core
from runtime.core import Reply, Request, Route, Service, methods_of
from runtime.errors import (
    DynoliteError,
    MethodError,
    NotFoundError,
    OverloadError,
    RequestError,
    SlowBodyError,
    TooLargeError,
)
from runtime.metrics import Metrics
from runtime.models import Models
from runtime.patience import Patience
from runtime.routes import ROUTES
from runtime.settings import Settings

# Of a body over the limit, this much more is read away, so that its sender gets to read the answer.
_DRAIN_BYTES = 64 << 20
PATIENCE = Patience()
# What a server may tell in the WSGI environment, as `runtime.threads_worker` does: for how many seconds the request
# waited for a thread, and whether it came when there was no room.
WAITED, NO_ROOM = "dynolite.waited", "dynolite.no_room"


def create_app(
    settings: Settings, models: Models, wake: Callable[[], None] = lambda: None, metrics: Metrics | None = None
) -> flask.Flask:
    """The application for these settings and models."""
    return application(Service(settings, models, wake, metrics))


def application(service: Service) -> flask.Flask:
    """The application of a service, which is its `app.extensions["dynolite"]`."""
    app = flask.Flask("dynolite", static_folder=None, template_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.extensions["dynolite"] = service
    rules: dict[str, list[Route]] = defaultdict(list)
    for route in ROUTES:
        rules[route.rule].append(route)
    for rule, routes in rules.items():
        app.add_url_rule(
            rule,
            rule,
            _view(service, routes),
            methods=[*(route.method for route in routes), "OPTIONS"],
            provide_automatic_options=False,
        )
    app.register_error_handler(HTTPException, lambda error: _refused(service, error))
    return app


def _view(service: Service, routes: list[Route]) -> Callable[..., flask.Response]:
    by_method = {route.method: route for route in routes}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]
    methods = methods_of(by_method)

    def view(**segments: str) -> flask.Response:
        request = _request()
        route = by_method.get(request.method)
        if route is None:
            return _response(core.preflight(service, request, methods))
        if flask.request.environ.get(NO_ROOM) and not route.rule.startswith("/health"):
            told = OverloadError("too many requests are waiting; try again soon")
            return _response(core.refuse(service, request, told))
        if request.method == "POST":
            try:
                # Who has no key need not send a body.
                service.gate.check(route.access, request.headers)
                request.body = _read_body(service.settings)
            except DynoliteError as error:
                return _response(core.refuse(service, request, error))
        request.begin(service.settings.request_seconds, flask.request.environ.get(WAITED, 0.0))
        return _response(core.answer(service, route, request, segments))

    return view


def _request() -> Request:
    """The request that Flask has, its body not yet read."""
    asked = flask.request
    connection = asked.environ.get("gunicorn.socket")
    return Request(
        asked.method,
        asked.path,
        {name.lower(): value for name, value in asked.headers.items()},
        query=asked.args.to_dict(),
        peer=asked.environ.get("REMOTE_ADDR", ""),
        gone=partial(_closed, connection) if connection else _never,
    )


def _read_body(settings: Settings) -> bytes:
    """The body, within its limits of size and time; raises TooLargeError, SlowBodyError, RequestError."""
    connection = flask.request.environ.get("gunicorn.socket")
    if connection:
        PATIENCE.begin(connection, settings.body_seconds)
    try:
        body = _read(settings.max_body_bytes)
    except TooLargeError:
        raise
    except Exception as error:  # noqa: BLE001 - each server has its own for a body that is broken off or malformed
        if connection and PATIENCE.end(connection):
            told = f"the body did not come within {settings.body_seconds:g} s (BODY_SECONDS)"
            raise SlowBodyError(told) from None
        raise RequestError(f"the body is broken off or malformed ({type(error).__name__})") from None
    finally:
        if connection:
            PATIENCE.end(connection)
    return body


def _read(limit: int) -> bytes:
    stream, length = flask.request.stream, flask.request.content_length or 0
    if length <= limit:
        body = stream.read(limit + 1)
        if len(body) < length:
            raise EOFError
        if len(body) <= limit:
            return body
    # A sender that is still sending when the connection closes never reads the answer.
    left = _DRAIN_BYTES
    while left > 0 and (chunk := stream.read(min(left, 1 << 16))):
        left -= len(chunk)
    raise TooLargeError(f"the body is larger than {limit} bytes (MAX_BODY_BYTES)")


def _closed(connection: socket.socket) -> bool:
    """Whether the client has closed its connection, found without taking from what it may have sent next."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _never() -> bool:
    return False


def _response(reply: Reply) -> flask.Response:
    response = flask.Response(reply.body, reply.status, content_type=reply.media_type)
    response.headers.update(core.SECURITY | reply.headers)
    return response


def _refused(service: Service, error: HTTPException) -> flask.Response:
    """What Flask itself refuses, told as the core tells it."""
    request = _request()
    path = request.path[:200]
    told: DynoliteError
    if error.code == 405:
        allowed = tuple(sorted(getattr(error, "valid_methods", None) or ()))
        told = MethodError(f"{path} takes {' or '.join(allowed)}, got {request.method}", allowed)
    elif error.code == 404:
        told = NotFoundError(f"there is nothing at {path}")
    else:
        told = RequestError(error.description or error.name)
    return _response(core.refuse(service, request, told))
