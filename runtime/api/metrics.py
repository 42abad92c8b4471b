"""`GET /metrics` for Prometheus; METRICS=off takes it away."""

from __future__ import annotations

from runtime.core import Reply, Request, Route, Service
from runtime.errors import NotFoundError


def metrics(service: Service, request: Request) -> Reply:
    """The counts of all workers together, in the text format that the client asks for."""
    if service.metrics is None:
        raise NotFoundError("nothing is counted here: METRICS is off")
    body, media_type = service.metrics.exposition(service.models, request.headers.get("accept", ""))
    return Reply(200, body, media_type)


ROUTES = (
    Route("GET", "/metrics", metrics),
    # Where TensorFlow Serving has it.
    Route("GET", "/monitoring/prometheus/metrics", metrics),
)
