"""Logging to standard error, one line an event, as logfmt or JSON. No bodies, no queries, no secrets.

    level=info pid=7 method=POST path=/predict status=200 ms=0.61 in=25 out=38 model=digits version=1.0.0 ...

A request's line carries its id, its model and version, the milliseconds of each stage, the name of its key, and the
trace of a W3C `traceparent` header.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@%+*<>,;~-]+")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Asked(Protocol):
    """What a line tells of a request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    id: str
    key: str
    model: Any
    laps: dict[str, float]


class Told(Protocol):
    """What a line tells of a reply."""

    status: int
    body: bytes


def configure(level: str, form: str = "logfmt") -> None:
    """Send dynolite's log to standard error; twice is as once."""
    log = logging.getLogger("dynolite")
    log.setLevel(level.upper())
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stderr))
        log.propagate = False
    for handler in log.handlers:
        handler.setFormatter(Lines(form))


class Lines(logging.Formatter):
    """One line a record, a traceback included, in the form that LOG_FORMAT asks for."""

    def __init__(self, form: str = "logfmt", *, words: bool = False) -> None:
        """`words`: the messages are sentences, not pairs."""
        super().__init__()
        self._form, self._words = form, words

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message, level = record.getMessage(), record.levelname.lower()
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._form == "json":
            told = {"level": level, "time": _clock(), "pid": record.process, "message": message}
            return orjson.dumps(told | ({"traceback": trace} if trace else {})).decode()
        told_as = f"msg={quote(message)}" if self._words else message
        # A traceback is for reading: it keeps its lines.
        return f"level={level} pid={record.process} {told_as}" + (f"\n{trace}" if trace else "")


def access_line(form: str) -> Callable[[Asked, Told, float, str], None]:
    """A function that writes a request's line: (request, reply, seconds, kind of error or "").

    It writes by itself: the logging module's way would cost as much as all the rest of a small request.
    """
    render = _as_json if form == "json" else _as_logfmt

    def write(request: Asked, reply: Told, seconds: float, error: str) -> None:
        line = render(request, reply, seconds, error)
        # One write of a short line is not mixed with another process's. A log that no one reads is no reason to fail.
        with contextlib.suppress(OSError):
            os.write(2, line.encode("utf-8", "replace"))

    return write


def quote(text: str) -> str:
    """A logfmt value: as it is if it is plain, else in quotes with what could forge a line escaped."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _as_logfmt(request: Asked, reply: Told, seconds: float, error: str) -> str:
    told = (
        f"level=info pid={os.getpid()} method={request.method} path={quote(request.path[:200])} status={reply.status} "
        f"ms={1e3 * seconds:.2f} in={len(request.body)} out={len(reply.body)} request={request.id}"
    )
    if error:
        told += f" error={error}"
    if request.key:
        told += f" key={request.key}"
    if request.model:
        told += f" model={quote(request.model.name)} version={quote(request.model.artifact.version)}"
        for stage, lap in request.laps.items():
            told += f" {stage}={1e3 * lap:.2f}"
    if trace := _trace(request):
        told += f" trace={trace[1]} span={trace[2]}"
    return told + "\n"


def _as_json(request: Asked, reply: Told, seconds: float, error: str) -> str:
    told: dict[str, str | int | float] = {
        "level": "info",
        "time": _clock(),
        "pid": os.getpid(),
        "method": request.method,
        "path": request.path[:200].encode("utf-8", "replace").decode(),
        "status": reply.status,
        "ms": round(1e3 * seconds, 2),
        "in": len(request.body),
        "out": len(reply.body),
        "request": request.id,
    }
    if error:
        told["error"] = error
    if request.key:
        told["key"] = request.key
    if request.model:
        told["model"], told["version"] = request.model.name, request.model.artifact.version
        for stage, lap in request.laps.items():
            told[stage] = round(1e3 * lap, 2)
    if trace := _trace(request):
        told["trace"], told["span"] = trace[1], trace[2]
    return orjson.dumps(told).decode() + "\n"


def _trace(request: Asked) -> re.Match[str] | None:
    """The trace and span of a W3C traceparent header."""
    given = request.headers.get("traceparent")
    return _TRACE.fullmatch(given) if given else None


def _clock() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() % 1 * 1000):03d}Z"
