"""`POST /admin/refresh`: look for new versions now. With the admin key only; without one set, there is no such path."""

from __future__ import annotations

from runtime import serving
from runtime.core import Reply, Request, Route, Service, json_reply
from runtime.errors import UnsupportedError


def refresh(service: Service, request: Request) -> Reply:
    """202: the watcher looks; /health tells what came of it."""
    del service, request
    if not serving.ask_refresh():
        raise UnsupportedError(
            "this server does not replace its workers: start it with the repository's gunicorn.conf.py"
        )
    return json_reply({"asked": True}, 202)


ROUTES = (Route("POST", "/admin/refresh", refresh, "admin"),)
