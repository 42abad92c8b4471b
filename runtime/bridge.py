"""A WSGI application as an ASGI one: request and reply whole in memory, the application in a thread.

For pages and error answers, not for streams: what is quick or large goes another way (`runtime.asgi`).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any

Scope = dict[str, Any]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def environ(scope: Scope, body: bytes, *, length: int | None = None) -> dict[str, Any]:
    """The WSGI environment of an ASGI request (PEP 3333). `length` is told in place of the body's own."""
    host, port = scope.get("server") or ("localhost", 80)
    root = scope.get("root_path", "")
    made: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"].removeprefix(root).encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        if name == "CONTENT_TYPE":
            made[name] = value.decode("latin-1")
        elif name not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            key = f"HTTP_{name}"
            made[key] = f"{made[key]},{value.decode('latin-1')}" if key in made else value.decode("latin-1")
    return made


def call(application: Wsgi, made: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Run the application: status, headers and body."""
    began: list[tuple[int, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], _problem: object = None) -> Callable[[bytes], None]:
        began[:] = [(int(status.split(" ", 1)[0]), headers)]
        return written.append

    chunks = application(made, start)
    try:
        written.extend(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close:
            close()
    status, headers = began[0]
    return status, headers, b"".join(written)
