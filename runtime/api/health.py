"""`GET /health` for uptime monitors and readiness, `GET /health/live` for liveness. Never slow, never behind a key."""

from __future__ import annotations

import time
from typing import Any

from runtime import __version__, onnx
from runtime.core import Reply, Request, Route, Service, json_reply
from runtime.errors import ArtifactError
from runtime.interpreter import package
from runtime.models import Canary, State


def health(service: Service, request: Request) -> Reply:
    """200 when every model is ready, else 503 with the reason.

    Where keys are set, only a request with one of them is told more than names, versions and readiness.
    """
    known = service.gate.knows(request.headers)
    states = list(service.models.states.values())
    ready = service.models.ready
    body: dict[str, Any] = {"status": "ok" if ready else "not ready", "ready": ready}
    if not states:
        body["reason"] = "no model is configured: set MODEL_URL"
    if len(states) == 1:
        body |= _describe(states[0], known)
    elif states:
        body["models"] = [_describe(state, known) for state in states]
    if known:
        body |= {
            "interpreter": _interpreter(states),
            "server": f"dynolite {__version__}",
            "uptime_seconds": round(time.time() - service.models.started, 1),
        }
    return json_reply(body, 200 if ready else 503)


def live(service: Service, request: Request) -> Reply:
    """200 while the process answers: a model that is not there is no reason to restart it."""
    del service, request
    return json_reply({"live": True})


def _describe(state: State, known: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"model": state.name, "ready": state.model is not None}
    if state.model is not None:
        told["version"] = state.model.artifact.version
    if not known:
        return told
    if state.wanted:
        told["wanted"] = state.wanted
    if state.model is None:
        return told | {"reason": state.reason or "loading"}
    source = state.model.artifact
    told["sha256"] = source.digest
    if source.manifest:
        told["quantization"] = source.manifest.quantization
    if state.note:
        told["note"] = state.note
    if state.canary:
        told["canary"] = _describe_canary(state.canary)
    return told


def _describe_canary(canary: Canary) -> dict[str, Any]:
    told: dict[str, Any] = {"percent": canary.percent, "ready": canary.model is not None}
    if canary.model:
        told |= {"version": canary.model.artifact.version, "sha256": canary.model.artifact.digest}
    if canary.wanted:
        told["wanted"] = canary.wanted
    if canary.note:
        told["note"] = canary.note
    return told


def _interpreter(states: list[State]) -> dict[str, str]:
    """What runs the default model."""
    try:
        served = states[0].model if states else None
        found = onnx.package() if served and served.artifact.kind == "onnx" else package()
    except ArtifactError:
        return {"name": "none"}
    return {"name": found.name, "version": found.version}


ROUTES = (Route("GET", "/health", health, "open"), Route("GET", "/health/live", live, "open"))
