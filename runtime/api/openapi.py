"""`GET /openapi.json`: what this server takes and gives, for the models that it has loaded."""

from __future__ import annotations

from runtime import openapi
from runtime.core import Reply, Request, Route, Service, json_reply


def document(service: Service, request: Request) -> Reply:
    """The OpenAPI 3.1 document."""
    del request
    return json_reply(openapi.document(service.settings, service.models.states, closed=service.gate.closed))


ROUTES = (Route("GET", "/openapi.json", document),)
