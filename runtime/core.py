"""The framework-free core: a request in, a reply out. Flask's views are a coat over it; so is any other way in.

    Request --admit: key, rate, age--> handler of its route --> Reply --finish: headers, metrics, one line in the log-->

Handlers live in `runtime.api`, one file a protocol. Errors become replies by the one table below.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from runtime import errors, logs
from runtime.access import Access, Gate, client_address, cors_headers, preflight_headers
from runtime.metrics import Metrics
from runtime.model import Model
from runtime.models import Models
from runtime.rates import Limiter
from runtime.settings import Settings
from runtime.signature import Array, Batch
from runtime.wire.expected import Bounds, Expected, expected

LOG = logging.getLogger("dynolite")
JSON = "application/json"

# The first class in this order that fits gives the status.
STATUS: tuple[tuple[type[errors.DynoliteError], int], ...] = (
    (errors.UnauthorizedError, 401),
    (errors.NotFoundError, 404),
    (errors.MethodError, 405),
    (errors.NotAcceptableError, 406),
    (errors.SlowBodyError, 408),
    (errors.TooLargeError, 413),
    (errors.MediaTypeError, 415),
    (errors.RefusedError, 422),
    (errors.RateLimitError, 429),
    (errors.UnsupportedError, 501),
    (errors.RequestError, 400),
    (errors.GoneError, 499),  # as nginx counts it; the client never sees it
    (errors.OverloadError, 503),
    (errors.ArtifactError, 503),
    (errors.SourceError, 503),
    (errors.DeadlineError, 504),
    (errors.DynoliteError, 500),
)
_TOLD = errors.RequestError | errors.OverloadError | errors.DeadlineError | errors.GoneError
# On every reply, put there by whoever writes it; a handler's own header of the same name comes instead.
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:=+/-]{1,128}")
# A router's clock may differ from this one's; what it says is believed within reason.
_LONGEST_AGE = 600.0


@dataclass(slots=True)
class Request:
    """One HTTP request, read whole. Header names are in lower case; `deadline` is a time of `time.monotonic`.

    `peer` is the other end's address; `gone` tells whether it has closed the connection.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""
    gone: Callable[[], bool] = lambda: False
    deadline: float = 0.0
    started: float = 0.0
    id: str = ""
    key: str = ""
    model: Model | None = None
    laps: dict[str, float] = field(default_factory=dict)
    lap_started: float = 0.0

    def begin(self, seconds: float, waited: float = 0.0) -> None:
        """Start the clock, once: the deadline is so many seconds after the request came, `waited` seconds ago."""
        if self.started:  # by a lane that let it wait for a thread
            return
        self.started = self.lap_started = time.monotonic() - waited
        self.deadline = self.started + seconds
        self.id = request_id_of(self.headers)

    def mark(self, stage: str) -> None:
        """The stage that began at the last mark ends here; `laps` holds the seconds of each."""
        now = time.monotonic()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self.lap_started
        self.lap_started = now

    def pass_stage(self, stage: str) -> None:
        """`mark`, for a prediction's stages: after the queue it is not begun for no one."""
        self.mark(stage)
        if stage == "queue":
            self.check()

    def check(self) -> None:
        """Raise DeadlineError or GoneError if no one waits for the answer any more."""
        if time.monotonic() > self.deadline:
            raise errors.DeadlineError("the request waited until its time was over; nothing was computed")
        if self.gone():
            raise errors.GoneError("the client closed the connection before its turn came")


@dataclass(slots=True)
class Reply:
    """One HTTP reply."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class Service:
    """What handlers work with. `wake` is called once a request: it lets a process load its models that no one loaded.

    Made before the workers are forked: what counts over all workers is shared from here on.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        wake: Callable[[], None] = lambda: None,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings, self.models, self.wake = settings, models, wake
        self.gate = Gate(settings.api_keys, settings.admin_key)
        self.limiter = Limiter(*settings.rate_limit, self.gate.names) if settings.rate_limit else None
        self.metrics = metrics if metrics or not settings.metrics else Metrics()
        self.access_log = logs.access_line(settings.log_format) if settings.access_log else None
        self._bounds = Bounds(
            settings.max_tensor_bytes, settings.max_pixels, settings.max_json_depth, settings.max_instances
        )
        self._expected: dict[Model, Expected] = {}

    def expected(self, model: Model) -> Expected:
        """What a body for this model should hold."""
        found = self._expected.get(model)
        if found is None:
            found = self._expected[model] = expected(model.signature, model.artifact.manifest, self._bounds)
        return found

    def predict(self, model: Model, inputs: Mapping[str, Array], request: Request) -> dict[str, Array]:
        """The one way from decoded inputs to outputs, whatever the protocol. Marks decode, queue and invoke.

        What has waited until its deadline, or until its client went away, is not begun.
        """
        request.model = model
        request.mark("decode")
        request.check()
        if model.signature.batch is not Batch.NONE:
            for array in inputs.values():
                self._bounds.check_rows(len(array) if array.ndim else 0)
        return model.predict(inputs, request.deadline, request.pass_stage)

    def choose(self, name: str | None, request: Request) -> Model:
        """The model of that name (None: the default) that this client is to have: the canary for its share of clients.

        Raises NotFoundError, NotReadyError.
        """
        state = self.models.state(name)
        if state.canary is None:
            return state.model or self.models.get(name)
        client = request.key or client_address(request.headers, request.peer, self.settings.trust_proxy)
        return self.models.choose(name, client)

    def admit(self, access: Access, request: Request) -> None:
        """Check key and rate, and note the age; raises UnauthorizedError, RateLimitError, NotFoundError."""
        request.key = self.gate.check(access, request.headers)
        if access == "open":
            return
        proxies = self.settings.trust_proxy
        if self.limiter:
            self.limiter.take(request.key or client_address(request.headers, request.peer, proxies))
        if proxies and (begun := request.headers.get("x-request-start")):
            due = time.monotonic() - _age(begun) + self.settings.request_seconds
            request.deadline = min(request.deadline, due)  # the wait for a thread is in the age


Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path rule (`<name>` is one segment) with its handler: (service, request, **segments) -> reply."""

    method: str
    rule: str
    handler: Handler
    access: Access = "key"


def methods_of(routes: Collection[str]) -> tuple[str, ...]:
    """The methods that a rule takes whose routes have these: HEAD wherever there is GET, and OPTIONS."""
    return tuple(sorted({*routes, "OPTIONS", *(("HEAD",) if "GET" in routes else ())}))


def answer(service: Service, route: Route, request: Request, segments: Mapping[str, str]) -> Reply:
    """Call the route's handler; whatever it raises becomes a reply."""
    request.begin(service.settings.request_seconds)
    service.wake()
    try:
        service.admit(route.access, request)
        request.check()  # it may have waited for a thread
        reply = route.handler(service, request, **segments)
    except errors.DynoliteError as error:
        return _failed(service, route.rule, request, error)
    except Exception:
        LOG.exception("request=%s status=500", request.id)
        return _failed(service, route.rule, request, errors.PredictError("internal error"))
    return finish(service, route.rule, request, reply)


def refuse(service: Service, request: Request, error: errors.DynoliteError) -> Reply:
    """The reply to a request that no route has seen: an unknown path or method, a body that is too large."""
    request.begin(service.settings.request_seconds)
    return _failed(service, "none", request, error)


def preflight(service: Service, request: Request, methods: tuple[str, ...]) -> Reply:
    """The reply to OPTIONS, which needs no key: what the path takes, and what a page's script may send."""
    request.begin(service.settings.request_seconds)
    reply = Reply(204, b"", headers={"Allow": ", ".join(methods)})
    if service.settings.cors_origins and "access-control-request-method" in request.headers:
        reply.headers |= preflight_headers()
    return finish(service, "preflight", request, reply)


def finish(service: Service, rule: str, request: Request, reply: Reply, error: str = "") -> Reply:
    """Give the reply the headers that tell of its request; count it and log it. `error` is the name of its kind."""
    request.mark("encode")
    headers = reply.headers
    headers["X-Request-Id"] = request.id
    if request.model:
        headers["X-Model"] = request.model.title
    if service.settings.cors_origins and "origin" in request.headers:
        headers |= cors_headers(service.settings.cors_origins, request.headers["origin"])
    if "server-timing" in request.headers:
        headers["Server-Timing"] = ", ".join(f"{lap};dur={1e3 * time:.3f}" for lap, time in request.laps.items())
    seconds = time.monotonic() - request.started
    if service.metrics:
        service.metrics.record(rule, reply.status, error, request, len(reply.body), seconds)
    if service.access_log:
        service.access_log(request, reply, seconds, error)
    return reply


def _failed(service: Service, rule: str, request: Request, error: errors.DynoliteError) -> Reply:
    reply = error_reply(error)
    if reply.status >= 500:
        LOG.warning("request=%s status=%d error=%s", request.id, reply.status, logs.quote(str(error)))
    return finish(service, rule, request, reply, type(error).__name__)


def error_reply(error: errors.DynoliteError) -> Reply:
    """The reply that tells an error: its message where the client can act on it, a brief word where not."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    told = str(error) if isinstance(error, _TOLD) else ""  # of the others the log tells
    reply = json_reply({"error": told or "the server failed on this request; its log says why"}, status)
    if isinstance(error, errors.OverloadError | errors.RateLimitError):
        reply.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.MethodError) and error.allowed:
        reply.headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, errors.UnauthorizedError):
        wrong = ', error="invalid_token"' if error.given else ""
        reply.headers["WWW-Authenticate"] = f'Bearer realm="dynolite"{wrong}'
    return reply


def json_reply(value: Any, status: int = 200) -> Reply:
    """A reply of one JSON value."""
    return Reply(status, orjson.dumps(value) + b"\n")


def request_id_of(headers: Mapping[str, str]) -> str:
    """The client's (or router's) X-Request-Id if it is one that may stand in a log, else a new one."""
    given = headers.get("x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def _age(begun: str) -> float:
    """Seconds since the router took the request: X-Request-Start holds milliseconds since 1970, perhaps behind `t=`."""
    try:
        age = time.time() - float(begun.removeprefix("t=")) / 1000
    except ValueError:
        return 0.0
    return age if 0 < age < _LONGEST_AGE else 0.0
